"""`ebpftop diff A B`: what changed between two recordings, or two spans of them. Needs neither root nor bcc."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from pathlib import Path

import msgspec

from ebpftop.core.source import UsageError
from ebpftop.lifecycle import stdio
from ebpftop.models.changed import compare
from ebpftop.models.changed_text import lines
from ebpftop.models.span_figures import SpanFigures
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import Parts, is_stream, open_files, wait_for_first
from ebpftop.recording.span import TypedSpan, split_span

_PIPE_WIDTH = 100
_LEAST_WIDTH = 60
_STDIN = 0


def run(args: argparse.Namespace) -> int:
    """Print what changed."""
    stdio.require_stdout()
    typed = [split_span(text) for text in (args.before, args.after)]
    if all(path == "-" for path, _ in typed):
        raise UsageError("diff: there is but one stdin", "give one of the two as a file")
    fds = [os.dup(_STDIN) if path == "-" else open_files(path) for path, _ in typed]
    if sys.platform == "linux":
        # Who made them is unknown, so they are not read with root's rights.
        from ebpftop.kernel.capabilities import give_up_root

        give_up_root(Path(__file__))
    a, b = (
        _figures(fd, "stdin" if path == "-" else path, span, args.host)
        for fd, (path, span) in zip(fds, typed, strict=True)
    )
    changed = compare(a, b, (args.before, args.after))
    if args.json:
        text = msgspec.json.format(msgspec.json.encode(changed), indent=2).decode() + "\n"
    else:
        text = stdio.shown("".join(f"{line}\n" for line in lines(changed, _width())))
    stdio.write_stdout(text)
    return 0


def _figures(fd: int | Parts, name: str, typed: TypedSpan | None, host: str | None) -> SpanFigures:
    """Add up a recording of *host*, or a part of it; report what could not be read."""
    if is_stream(fd):
        wait_for_first(fd, lambda: stdio.report("waiting for the first record; Ctrl-C ends it"))
    passage = Passage(fd, name, host=host)
    try:
        last = passage.last_time()
        begin, end = -math.inf, math.inf if last is None else last
        if typed is not None:
            begin, end = typed.resolve(passage.first_time(), last)
            end = min(end, math.inf if last is None else last)
        if passage.header.begin is not None:
            begin = max(begin, passage.header.begin)
        figures = SpanFigures(passage.header, begin, end)
        figures.feed(passage.figures((begin, end)))
        figures.close()
    finally:
        passage.close()
    for line in passage.damage.report():
        stdio.report(f"{name}: {line}")
    return figures


def _width() -> int:
    """Return how wide the table is: as the terminal, or a page."""
    if not sys.stdout.isatty():
        return _PIPE_WIDTH
    return max(_LEAST_WIDTH, shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns)
