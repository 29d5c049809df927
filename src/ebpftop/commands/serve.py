"""`ebpftop serve`: totals for engines that collect from many machines."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

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
from ebpftop.commands.serve_otlp import QUEUE_BYTES, Sending, chosen_events, sending
from ebpftop.commands.stream import GoneReports
from ebpftop.core.process_records import Process
from ebpftop.core.records import Event, Record
from ebpftop.core.source import UsageError
from ebpftop.kernel import compile_helper
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.lifecycle.limits import WITHOUT_SCREEN
from ebpftop.lifecycle.process import process
from ebpftop.serving.address import DEFAULT, Address
from ebpftop.serving.buckets import Histograms
from ebpftop.serving.listener import Health, Listener, listen
from ebpftop.serving.prometheus import exposition
from ebpftop.serving.reading import TotalsReading
from ebpftop.serving.textfile import TextFile
from ebpftop.serving.totals import Totals
from ebpftop.sources.reading_pace import pause_s

if TYPE_CHECKING:
    from socket import socket

    from ebpftop.kernel.root_work import RootWork
    from ebpftop.sources.live import KernelSource
    from ebpftop.sources.live_options import Options

PROBES = ("execs", "users", "syscalls")
"""The probes that are attached if none is named."""
_WITH_METRICS = (*PROBES, "cgroups")

INTERVAL_S = 5.0
"""How often the counters are read if nothing is said: engines scrape every 15 seconds or less often."""
_STEP_S = 0.2
"""How soon it ends when it is asked to."""
_SAMPLE_S = 0.12
"""How long after a reading it is read whether the sample of our own cost has ended."""
TEXTFILE_EVERY_S = 5.0
_LATE_READINGS = 3
_LATE_S = 5.0
"""After so many intervals without a reading, and so many seconds, the readings are late."""


class Served:
    """The last reading, and its text once somebody asks for it. Any thread may ask."""

    def __init__(self, reading: TotalsReading, histograms: Histograms, interval_s: float) -> None:
        self._histograms: Histograms = histograms
        self._late_s = max(_LATE_S, _LATE_READINGS * interval_s)
        self._lock = threading.Lock()
        self._text: tuple[TotalsReading, bytes] | None = None
        self.set(reading)

    def set(self, reading: TotalsReading) -> None:
        """Serve *reading* from now on."""
        self._reading = reading
        self._read_s = time.monotonic()

    def text(self) -> bytes:
        """Return the text of the last reading: the same object until there is another one."""
        with self._lock:
            reading = self._reading
            if self._text is None or self._text[0] is not reading:
                self._text = reading, exposition(reading, self._histograms)
            return self._text[1]

    def health(self) -> Health:
        """Return whether the kernel is still read."""
        age_s = time.monotonic() - self._read_s
        off = ", ".join(probe.probe for probe in self._reading.probes if not probe.up)
        text = f"the last reading is {age_s:.1f} s old"
        return Health(age_s <= self._late_s, f"{text}; not attached: {off}" if off else text)


def chosen_options(args: argparse.Namespace) -> Options:
    """Return how to watch: only what is served."""
    chosen = PROBES if args.probes is None else tuple(args.probes)
    if unknown := [name for name in chosen if name not in _WITH_METRICS]:
        raise UsageError(f"--probes {unknown[0]}: there are no metrics of it", f"choose of {','.join(_WITH_METRICS)}")
    if args.by is not None:
        chosen = tuple(dict.fromkeys((*chosen, "cgroups")))
    args.probes = chosen
    return replace(
        options_of(args),
        probes=chosen,
        interval_s=args.interval or INTERVAL_S,
        exec_events=chosen_events(args, chosen) != "none",
        in_flight=False,
        processes=False,
        env_names=False,
    )


def run(args: argparse.Namespace) -> int:
    """Serve until asked to stop."""
    check_machine(WITHOUT_SCREEN, (args.otlp_queue or QUEUE_BYTES) >> 20 if args.otlp is not None else 0)
    if refused():
        return NO_PRIVILEGE
    options = chosen_options(args)
    otlp = sending(args, chosen_events(args, options.probes))
    redirect_stdio()
    file: TextFile | None = None
    if args.textfile is not None:
        with as_invoker():
            file = TextFile(args.textfile, stdio.report)
    address = args.listen or (DEFAULT if file is None and otlp is None else None)
    root = root_work()
    server = _listening(address, root)
    with ExitStack() as at_end:
        if server is not None:
            at_end.callback(server.close)
        if otlp is not None:  # what waits is sent when nothing is in the kernel any more
            at_end.enter_context(process.undone_at_last(otlp.cut_text))
            at_end.callback(otlp.end)
        source = open_kernel(options, root)
        at_end.callback(source.close)
        process.end_by(lambda: None)  # the loop sees it
        if not report_failed(source):
            return 1
        totals = Totals(source.header, source.probes, timed=options.latency, by=args.by)
        served = Served(totals.reading(), args.histograms, options.interval_s)
        if file is not None:
            at_end.enter_context(process.undone_at_last(file.remove))
            at_end.callback(file.remove)
            file.check()  # root without its capabilities may not write everywhere
        if otlp is not None:
            otlp.begin(totals)
        readings = _readings(source, totals, served, options.interval_s, otlp)
        next(readings, None)  # nobody shall scrape zeros
        if server is not None and address is not None:
            listener = Listener(server, served.text, served.health)
            at_end.callback(listener.close)
            listener.start()
            stdio.report(f"serving http://{Address(address.host or '0.0.0.0', listener.port)}/metrics")
        _write_on(readings, served, file)
        if otlp is not None:
            otlp.ends()
            for batch in source.finish():
                totals.update([*batch.records, *otlp.put(batch.records)])
    return process.asked or 0


def _listening(address: Address | None, root: RootWork) -> socket | None:
    """Return the socket that listens. The helpers were forked before: they must not have it."""
    try:
        return None if address is None else listen(address)
    except BaseException:
        root.close()
        compile_helper.close()
        raise


def _write_on(readings: Iterator[None], served: Served, file: TextFile | None) -> None:
    """Go on reading until asked to end; write *file* now and then."""
    written_s = 0.0
    while True:
        if file is not None and time.monotonic() >= written_s + TEXTFILE_EVERY_S - _STEP_S:
            written_s = time.monotonic()
            file.write(served.text())
        if next(readings, _ENDED) is _ENDED:
            return


_ENDED = object()


def _readings(
    source: KernelSource, totals: Totals, served: Served, interval_s: float, otlp: Sending | None
) -> Iterator[None]:
    """Yield after each reading, until asked to end. Events are read in between, and sent."""
    gone = GoneReports()
    while process.asked is None:
        records: list[Record] = []
        for probe in source.probes:
            batch = source.poll(probe, 0)
            if batch is not None:
                records += batch.records
        gone.note(records)
        if otlp is not None:
            records += otlp.put(records)
        totalled = [record for record in records if not isinstance(record, (Event, Process))]
        if totalled:
            totals.update(totalled)
            reading = totals.reading()
            served.set(reading)
            if otlp is not None:
                otlp.set_reading(reading)
            yield
        if otlp is not None and otlp.with_events:
            _pause(pause_s(len(records)))
        else:
            _pause(_SAMPLE_S if records else interval_s - time.monotonic() % interval_s)


def _pause(seconds: float) -> None:
    """Wait, or until asked to end."""
    until_s = time.monotonic() + seconds
    while process.asked is None and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, _STEP_S))
