"""What `ebpftop serve --otlp` does beside serving: from the options to a thread that sends, and its end."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

from ebpftop import __version__
from ebpftop.commands.kernel_options import host_name
from ebpftop.core.format import counted
from ebpftop.core.records import Lost, Record
from ebpftop.core.source import UsageError
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.lifecycle.process import ORDERLY_S
from ebpftop.serving.otlp.connection import tls_context
from ebpftop.serving.otlp.events import Args, Events
from ebpftop.serving.otlp.exporter import Exporter
from ebpftop.serving.otlp.metrics import MetricsRequest
from ebpftop.serving.otlp.outbox import Counts
from ebpftop.serving.otlp.settings import is_disabled, read_settings, sends_no_logs
from ebpftop.serving.reading import TotalsReading
from ebpftop.serving.totals import Totals

QUEUE_BYTES = 16_000_000
"""What waits at most if nothing is said. Compressed, that is five minutes of a thousand events a second."""
_FLUSH_SHARE, _METRICS_SHARE = 0.6, 0.8
"""The parts of the time for an end in order after which events, and then metrics, are not sent any more."""


def chosen_events(args: argparse.Namespace, probes: Sequence[str]) -> Events:
    """Return which events are sent; raises UsageError for options that do not go together."""
    if args.otlp is None:
        for option, value in (("--events", args.events), ("--args", args.otlp_args), ("--otlp-queue", args.otlp_queue)):
            if value is not None:
                raise UsageError(f"{option}: nothing is sent", "add --otlp URL")
        return "none"
    if is_disabled(os.environ):
        return "none"
    if sends_no_logs(os.environ):
        if args.events not in (None, "none"):
            raise UsageError(f"--events {args.events}: OTEL_LOGS_EXPORTER=none says to send none", "unset it")
        return "none"
    events: Events = args.events or ("failures" if "execs" in probes else "none")
    if events != "none" and "execs" not in probes:
        raise UsageError(f"--events {events}: --probes leaves execs out", "add execs to --probes")
    if events == "none" and args.otlp_args is not None:
        raise UsageError(f"--args {args.otlp_args}: no events are sent", "leave it out, or add --events all")
    return events


def sending(args: argparse.Namespace, events: Events) -> Sending | None:
    """Return what sends, not begun yet; None if nothing is to be sent. Raises SourceError."""
    if args.otlp is None:
        return None
    if is_disabled(os.environ):
        if args.listen is None and args.textfile is None:
            raise UsageError(
                "--otlp: OTEL_SDK_DISABLED=true says that nothing is to be sent", "unset OTEL_SDK_DISABLED"
            )
        stdio.report("--otlp: nothing is sent, since OTEL_SDK_DISABLED is true")
        return None
    host = host_name(args)
    defaults = {
        "service.name": "ebpftop",
        "service.version": __version__,
        "service.instance.id": host,
        "host.name": host,
        "os.type": "linux",
    }
    settings = read_settings(args.otlp, os.environ, defaults)
    if settings.metrics is None and (settings.logs is None or events == "none"):
        raise UsageError("--otlp: neither metrics nor events are to be sent", "unset OTEL_METRICS_EXPORTER")
    tls = None
    if any(one is not None and one.https for one in (settings.logs, settings.metrics)):
        with as_invoker():
            tls = tls_context(settings.certificates)
    chosen: Args = args.otlp_args or "none"
    exporter = Exporter(
        settings,
        tls,
        __version__,
        stdio.report,
        metrics=MetricsRequest(settings.resource, __version__, args.histograms),
        events=events,
        args=chosen,
        limit_bytes=args.otlp_queue or QUEUE_BYTES,
    )
    places = []
    if settings.metrics is not None:
        places.append(f"metrics to {settings.metrics} every {settings.metric_interval_s:g} s")
    with_events = settings.logs is not None and events != "none"
    if with_events:
        places.append(f"events to {settings.logs} ({events})")
    return Sending(exporter, f"sending {', '.join(places)}", with_events=with_events)


class Sending:
    """The exporter of a command, and what is said about it."""

    def __init__(self, exporter: Exporter, about: str, *, with_events: bool) -> None:
        self.with_events = with_events
        self._exporter = exporter
        self._about = about
        self._totals: Totals | None = None
        self._lost = 0
        self._asked_s: float | None = None

    def begin(self, totals: Totals) -> None:
        """Begin to send, *totals* among it. There must not be a fork any more."""
        self._totals = totals
        self._exporter.start()
        stdio.report(self._about)

    def put(self, records: Sequence[Record]) -> list[Record]:
        """Send the events of *records*; return what was lost since the last time, as a record."""
        self._exporter.put(records)
        return self._lost_since(self._exporter.counts())

    def _lost_since(self, counts: Counts) -> list[Record]:
        if counts.lost == self._lost:
            return []
        self._lost = counts.lost
        return [Lost(time=time.time(), probe="execs", where="export", count=counts.lost)]

    def set_reading(self, reading: TotalsReading) -> None:
        """There is a new reading of the totals."""
        self._exporter.set_reading(reading)

    def ends(self) -> None:
        """The command was asked to end now."""
        self._asked_s = time.monotonic()

    def end(self) -> None:
        """Send what waits, in the time that there is; say what is lost."""
        if self._totals is None:
            return
        asked_s = time.monotonic() if self._asked_s is None else self._asked_s
        counts = self._exporter.flush(asked_s + _FLUSH_SHARE * ORDERLY_S)
        self._totals.update(self._lost_since(counts))
        self._exporter.finish(self._totals.reading(), asked_s + _METRICS_SHARE * ORDERLY_S)
        self._totals = None
        if self.with_events:
            stdio.report(sentence(counts))

    def cut_text(self) -> str | None:
        """Return what is to be said if the end is cut short."""
        return sentence(self._exporter.counts()) if self._totals is not None and self.with_events else None


def sentence(counts: Counts) -> str:
    """Return what became of all events."""
    text = f"{counted(counts.made, 'event', whole=True)}, {counts.acknowledged:,} acknowledged"
    reasons = (
        (counts.full, "had no room in the queue"),
        (counts.refused, "were refused"),
        (counts.left + counts.waiting, "were left at the end"),
    )
    if not (lost := counts.lost + counts.waiting):
        return f"{text}, none lost"
    return f"{text}, {lost:,} lost: {', '.join(f'{number:,} {why}' for number, why in reasons if number)}"
