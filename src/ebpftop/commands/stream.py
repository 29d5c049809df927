"""`ebpftop stream`: records as JSON Lines on stdout."""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ebpftop.commands.delivered import Delivered
from ebpftop.commands.kernel_options import (
    NO_PRIVILEGE,
    check_machine,
    open_kernel,
    options_of,
    refused,
    report_failed,
    root_work,
)
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.commands.when import When, runner_of
from ebpftop.commands.whole_frames import LATEST_S, FrameWriter
from ebpftop.commands.whole_lines import LineWriter
from ebpftop.core.format import counted
from ebpftop.core.records import Probe, Record
from ebpftop.core.source import SourceError
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.limits import WITHOUT_SCREEN
from ebpftop.lifecycle.process import ORDERLY_S, process
from ebpftop.recording.readings import ReadingEncoder
from ebpftop.sources.reading_pace import pause_s

if TYPE_CHECKING:
    from ebpftop.sources.live import KernelSource


Sink = Callable[[Sequence[Record]], None]


def pump(
    source: KernelSource,
    sink: Sink,
    duration_s: float | None,
    when: When | None = None,
    so_far: Callable[[], str] = lambda: "",
) -> int:
    """Give *sink* the header, then everything that *source* yields, until *duration_s* is over or a signal came.

    It is called at each round, also with nothing: what it kept back may be due.

    *when* looks at all of it too, and may end it.

    A signal raises nothing in the middle of a write: it is checked between two batches.

    *so_far* says what was written until now, if the end is cut short; it must not wait.

    Returns the exit status. `duration_s` counts from the last attach, on the monotonic clock, which cannot be set. All
    events within it are delivered.
    """
    # From the first record on: a reader that stops reading may block it anywhere.
    with process.undone_at_last(lambda: _report_cut(so_far())):
        sink([source.header])
        if when is not None:
            when.begin(source.header)
        gone = GoneReports()
        until = None if duration_s is None else source.attached_s + duration_s
        while _goes_on(when) and (until is None or time.monotonic() < until):
            records: list[Record] = []
            for probe in source.probes:
                batch = source.poll(probe, 0)
                if batch is not None:
                    records += batch.records
            sink(records)
            if when is not None:
                when.feed(records)
                when.pulse()
            gone.note(records)
            wait_s = pause_s(len(records))
            left_s = wait_s if until is None else min(wait_s, until - time.monotonic())
            if left_s > 0 and _goes_on(when):
                time.sleep(left_s)
        for batch in source.finish():
            sink(batch.records)
            if when is not None:
                when.feed(batch.records)
        if when is not None:
            when.finish()
    return when.status if when is not None and when.status is not None else process.asked or 0


def _goes_on(when: When | None) -> bool:
    return process.asked is None and (when is None or when.status is None)


class GoneReports:
    """Reports what the filter names but what no longer exists; or that all of it exists again."""

    def __init__(self) -> None:
        self._gone: tuple[str, ...] = ()

    def note(self, records: Iterable[Record]) -> None:
        """Report what *records* say of it, if that has changed."""
        for record in records:
            if isinstance(record, Probe) and record.gone != self._gone:
                self._gone = record.gone
                self._report()

    def _report(self) -> None:
        for one in self._gone:
            # A process that gets the pid of one that ended is another process.
            until = "any more" if one.startswith("pid ") else "unless it is made again"
            stdio.report(f"{one} is gone: nothing can match it {until}")
        if not self._gone:
            stdio.report("all that the filter names exists again")


def _report_cut(so_far: str) -> None:
    """Report that the end was cut short. If stderr is not writable at once, skip it: there is no time to wait."""
    if select.select([], [sys.stderr], [], 0)[1]:
        stdio.report(
            f"the last events were not read in {ORDERLY_S:.1f} s{so_far}; "
            "with EBPFTOP_END_S=60 it may take half a minute"
        )


def run(args: argparse.Namespace) -> int:
    """Stream until asked to stop."""
    stdio.require_stdout(for_records=True)
    if args.compress and os.isatty(1):
        raise SourceError("a compressed stream is not text, and stdout is a terminal", "pipe it: | zstdcat")
    check_machine(WITHOUT_SCREEN)
    if refused():
        return NO_PRIVILEGE
    runner = runner_of(args)
    outputs = redirect_stdio()
    when = When(args, runner) if args.when else None
    options = options_of(args)
    stdout: LineWriter | FrameWriter = LineWriter(outputs.stdout_fd)
    if args.compress:
        stdout = FrameWriter(outputs.stdout_fd, min(LATEST_S, options.interval_s / 2))
    source = open_kernel(options, root_work(loads=args.load is not None))
    encoder = ReadingEncoder(source.header.host if args.host_field else None)
    delivered = Delivered()

    def so_far() -> str:
        return f" {delivered.written_text(max(0, stdout.written - 1), header=stdout.written > 0)}"

    def sink(records: Sequence[Record]) -> None:
        delivered.note(records)
        try:
            stdout.write([encoder.encode(record) + b"\n" for record in records])
        except BrokenPipeError:
            raise
        except OSError as error:
            raise stdio.write_error(error, so_far() if stdout.written else "") from error

    process.end_by(lambda: None)  # `pump` sees it
    try:
        if report_failed(source):
            status = pump(source, sink, args.duration, when, so_far)
            stdout.flush()
            if lost := delivered.lost_text():
                stdio.report(f"{counted(delivered.records, 'record', whole=True)}{lost}")
            return status
        pump(source, sink, 0.0)  # the reader of the stream gets the reason, too
        stdout.flush()
        return 1
    except BrokenPipeError:  # the reader has enough, as `head` has: nobody misses the rest
        return 0
    finally:
        source.close()
