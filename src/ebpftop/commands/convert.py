"""`ebpftop convert FILE --to FORMAT`: a recording for other programs. Needs neither root nor bcc."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from ebpftop.commands.convert_output import Output
from ebpftop.conversion import folded, loaded_tables, tables
from ebpftop.conversion.input import Input
from ebpftop.conversion.jsonl import JsonLines
from ebpftop.core.format import size
from ebpftop.core.source import SourceError, UsageError
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.lifecycle.process import process
from ebpftop.probes.registry import registry
from ebpftop.recording.passage import EVERYTHING, Passage
from ebpftop.recording.reader import Parts, is_stream, open_files, require_no_device, wait_for_first
from ebpftop.recording.span import TypedSpan, split_span

_OPTIONS = {
    "perfetto": ("slower",),
    "folded": ("of", "value"),
    "csv": ("kind", "whole", "exact"),
    "jsonl": ("kind", "whole"),
}
"""The options that mean something for each format."""

_NOTHING = {
    "calls": "no traced call has a stack: record with --trace CALLS --stacks",
    "wall": "no program ran in it that had started in it",
    "cpu": "no end in it says what CPU time was used",
    "count": "no program started in it",
}
"""What is said of folded stacks without a line."""


def run(args: argparse.Namespace) -> int:
    """Convert a recording; report what could not be read."""
    _check(args)
    name, typed = split_span(args.file)
    if args.to == "perfetto":
        _require_perfetto()
    fd = _stdin() if name == "-" else open_files(name)
    if args.output is None:
        _refuse_terminal(args.to)
    if not is_stream(fd):
        process.status_if_ended = 1  # 0 would mean that all of it was written
    with as_invoker():
        output = Output(args.output, replace=args.force, packed=(args.output or "").endswith(".zst"))
    with output.whole_or_nothing():
        return _convert(args, fd, "stdin" if name == "-" else name, typed, output)


def _convert(args: argparse.Namespace, fd: int | Parts, name: str, typed: TypedSpan | None, output: Output) -> int:
    if sys.platform == "linux":
        # Its author is unknown, so it is not read with root's rights.
        from ebpftop.kernel.capabilities import give_up_root

        give_up_root(Path(__file__))
    if is_stream(fd):
        process.end_by(lambda: None)  # a stream that nobody needs any more is at its end: `passage` sees it
        wait_for_first(fd, lambda: stdio.report("waiting for the first record; Ctrl-C ends it"))
    passage = Passage(fd, name, lambda: process.asked is not None, args.host)
    span = EVERYTHING
    first = passage.first_time()
    if typed is not None:
        span = typed.resolve(first, passage.last_time())
    if args.to == "csv" and not tables.is_table(args.kind[0]):
        try:
            _refuse_kinds(args.kind, (*tables.tables(), *loaded_tables.names_in(passage.records(span))))
        finally:
            passage.close()
    records = passage.records(span, whole=args.whole)
    source = Input(passage.header, records, max(span[0], first), is_part=span[0] > first)
    try:
        for data in _pieces(args, source, passage):
            output.write(data)
    except BrokenPipeError:
        return 0
    finally:
        passage.close()
    for line in passage.damage.report():
        stdio.report(line)
    if args.to == "folded" and not output.size:
        stdio.report(_NOTHING["calls" if args.of == "calls" else args.value])
    if args.output is not None:
        stdio.report(f"{args.output}: {size(output.size)}")
    return process.asked or 0


def _pieces(args: argparse.Namespace, source: Input, passage: Passage) -> Iterator[bytes]:
    if args.to == "perfetto":
        from ebpftop.conversion.perfetto import to_perfetto

        yield from to_perfetto(source, args.slower)
    elif args.to == "folded":
        yield from (
            folded.calls(source.records, args.value) if args.of == "calls" else folded.programs(source, args.value)
        )
    elif args.to == "csv":
        yield from tables.to_csv(source, args.kind[0], exact=args.exact, report=stdio.report)
    else:
        lines = JsonLines(args.kind)
        yield from lines.convert(source)
        if passage.end is not None or passage.is_over:
            yield lines.end(passage.end.reason if passage.end else "")


def _check(args: argparse.Namespace) -> None:
    """Set the defaults of options; raise UsageError for those that mean nothing for this format."""
    mine = _OPTIONS[args.to]
    for name in sorted({name for names in _OPTIONS.values() for name in names} - {*mine}):
        if getattr(args, name):
            formats = " and ".join(one for one, names in _OPTIONS.items() if name in names)
            raise UsageError(f"--{name} is for --to {formats}", f"--to {args.to} has --{', --'.join(mine)}")
    if args.to == "perfetto":
        args.slower = args.slower or 10_000_000
    if args.to == "folded":
        args.of = args.of or "programs"
        args.value = args.value or "wall"
        if args.of == "calls" and args.value == "cpu":
            raise UsageError("--value cpu: nobody counts the CPU time of a call", "--value wall, or count")
    if args.to == "csv":
        args.kind = args.kind or (tables.RUNS,)
        if len(args.kind) > 1:
            raise UsageError("--kind: a CSV file is one table", "convert once for each kind")
    _check_kinds(args)
    if (args.output or "").endswith(".zst") and args.to != "jsonl":
        raise UsageError(f"{args.output}: only recordings (--to jsonl) are written compressed", "leave .zst out")


def _check_kinds(args: argparse.Namespace) -> None:
    if args.to == "csv":
        if os.path.isfile(split_span(args.file)[0]):
            return  # an unknown one is refused with the names of the maps that are in it
        known: tuple[str, ...] = (*tables.tables(), *(f"{prefix}NAME" for prefix in loaded_tables.PREFIXES))
        unknown = [kind for kind in args.kind if not tables.is_table(kind)]
    else:
        known = tuple(registry().kinds)
        unknown = [kind for kind in args.kind if kind not in known]
    if unknown:
        _refuse_kinds(unknown, known)


def _refuse_kinds(unknown: Sequence[str], known: Sequence[str]) -> NoReturn:
    raise UsageError(f"--kind: unknown: {', '.join(unknown)}", f"choose from {', '.join(known)}")


def _require_perfetto() -> None:
    try:
        import perfetto.protos.perfetto.trace.perfetto_trace_pb2  # noqa: F401
    except ImportError as error:
        raise SourceError(
            f"the package perfetto, which has the messages of this format, cannot be used ({error})",
            "install it where ebpftop is (pip install 'ebpftop[perfetto]', or: pip install perfetto)",
        ) from None


def _refuse_terminal(to: str) -> None:
    if to == "perfetto" and os.isatty(1):
        raise SourceError("a Perfetto trace is not text, and stdout is a terminal", "name a file: -o trace.pftrace")


def _stdin() -> int:
    if os.isatty(0):
        raise SourceError("stdin is a terminal, not a stream", "ssh HOST sudo ebpftop stream | ebpftop convert - ..")
    fd = os.dup(0)
    if os.fstat(0).st_rdev != os.stat(os.devnull).st_rdev:  # /dev/null is reported as any empty stream is
        require_no_device(fd, "stdin")
    return fd
