"""Exporter: the threads that send. Whoever gives it something never waits for a collector.

Events are sent in their order, batch by batch, again and again until there is an answer: a collector that is away for
a while misses nothing that the queue can hold. Metrics are totals, so only the last reading is sent, in another thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Record
from ebpftop.serving.otlp.events import Args, Events, LogsRequest, is_sent, log_record
from ebpftop.serving.otlp.metrics import MetricsRequest
from ebpftop.serving.otlp.metrics_sender import MetricsSender
from ebpftop.serving.otlp.outbox import Counts, Outbox
from ebpftop.serving.otlp.target import NEVER_S, PAUSE_AT_THE_END_S, Target
from ebpftop.serving.otlp.values import unix_ns

if TYPE_CHECKING:
    from ssl import SSLContext

    from ebpftop.serving.otlp.settings import Settings
    from ebpftop.serving.reading import TotalsReading


class Exporter:
    """Sends what it is given, as *settings* say, until it is finished.

    *events* and *args* say which events, and how much of their arguments; *limit_bytes* is how much waits at most.
    *report* is called in its thread.
    """

    def __init__(
        self,
        settings: Settings,
        tls: SSLContext | None,
        version: str,
        report: Callable[[str], None],
        *,
        metrics: MetricsRequest,
        events: Events,
        args: Args,
        limit_bytes: int,
    ) -> None:
        self._events: Events = events if settings.logs is not None else "none"
        self._args: Args = args
        self._logs_request = LogsRequest(settings.resource, version)
        self._logs = self._metrics = None
        if settings.logs is not None and events != "none":
            self._logs = Target(settings.logs, tls, "events", report)
        if settings.metrics is not None:
            target = Target(settings.metrics, tls, "metrics", report)
            self._metrics = MetricsSender(target, metrics, settings.metric_interval_s)
        self._outbox = Outbox(limit_bytes, self._pack)
        self._end_s = NEVER_S
        self._ends = False
        self._idle = threading.Event()
        """There is nothing left to send."""
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        if self._metrics is not None:
            self._metrics.start()
        if self._logs is not None:
            self._thread.start()

    # ---- any thread ----

    def put(self, records: Iterable[Record]) -> None:
        """Send those of *records* that are events, and asked for."""
        now_ns = unix_ns(time.time())
        chosen = [
            log_record(record, self._args, now_ns)
            for record in records
            if isinstance(record, (Exec, Exit)) and is_sent(record, self._events)
        ]
        if chosen:
            self._outbox.put(chosen)

    def set_reading(self, reading: TotalsReading) -> None:
        """Send this reading when metrics are due, unless there is a newer one then."""
        if self._metrics is not None:
            self._metrics.set_reading(reading)

    def counts(self) -> Counts:
        """Return what became of the events."""
        return self._outbox.counts()

    def flush(self, until_s: float) -> Counts:
        """Send all events that wait, until *until_s* (monotonic) at most; what is left then is lost."""
        self._end_s = until_s
        self._idle.clear()
        if self._logs is not None:
            self._logs.hurry(0.0)
        self._outbox.drain()
        if self._thread.is_alive():
            self._idle.wait(max(0.0, until_s - time.monotonic()))
        self._ends = True
        return self._outbox.abandon()

    def finish(self, reading: TotalsReading, until_s: float) -> None:
        """Send *reading* as the last one, until *until_s* at most. Call `flush` before."""
        if self._metrics is not None:
            self._metrics.finish(reading, until_s)

    # ---- the thread that sends events ----

    def _pack(self, records: Sequence[bytes]) -> bytes:
        body = self._logs_request.body(records)
        return body if self._logs is None else self._logs.packed(body)

    def _run(self) -> None:
        target = self._logs
        assert target is not None
        while not self._ends:
            now_s = time.monotonic()
            self._outbox.wait(target.next_s if target.next_s > now_s else NEVER_S, for_batches=target.next_s <= now_s)
            self._outbox.pack()
            if target.next_s <= time.monotonic():
                self._send_events(target)
            if not self._outbox.counts().waiting:
                self._idle.set()

    def _send_events(self, target: Target) -> None:
        batch = self._outbox.first()
        if batch is None or batch.body is None:
            return
        outcome = target.post(batch.body, self._end_s)
        if outcome.verdict == "taken":
            self._outbox.acknowledge(outcome.rejected)
        elif outcome.verdict == "refused":
            self._outbox.refuse()
        elif self._end_s != NEVER_S:
            target.hurry(PAUSE_AT_THE_END_S)
