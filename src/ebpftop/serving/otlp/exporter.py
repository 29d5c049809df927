"""Exporter: the thread that sends. Whoever gives it something never waits for a collector.

Events are sent in their order, batch by batch, again and again until there is an answer: a collector that is away for
a while misses nothing that the queue can hold. Metrics are totals, so only the last reading is sent.
"""

from __future__ import annotations

import gzip
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Record
from ebpftop.serving.otlp.answers import Outcome, outcome_of
from ebpftop.serving.otlp.connection import Connection, Unreachable
from ebpftop.serving.otlp.events import Args, Events, LogsRequest, is_sent, log_record
from ebpftop.serving.otlp.metrics import MetricsRequest
from ebpftop.serving.otlp.outbox import Counts, Outbox
from ebpftop.serving.otlp.values import unix_ns

if TYPE_CHECKING:
    from ssl import SSLContext

    from ebpftop.serving.otlp.settings import Endpoint, Settings
    from ebpftop.serving.reading import TotalsReading

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
"""The pause after a failure doubles from the first to the longest, and a random part of it, up to half, is left out:
many machines do not come back at the same moment."""
QUIET_S = 10.0
"""The shortest time between two reports of one signal."""
_PAUSE_AT_THE_END_S = 0.1
_NEVER_S = float("inf")
_LEVEL = 1
_SHORTEST_SECRET = 8
"""Characters: shorter words (`Bearer`, `Basic`, a tenant) may be shown."""


class Target:
    """Where one signal goes: its connection, when it may be tried again, and what was reported of it."""

    def __init__(self, endpoint: Endpoint, tls: SSLContext | None, what: str, report: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        self.next_s = 0.0
        """When to try again, on the monotonic clock."""
        self._connection = Connection(endpoint, tls)
        self._pause_s = 0.0
        self._is_asked_to_wait = False
        self._what = what
        self._report = report
        self._reported = ""
        self._quiet_until_s = 0.0

    def post(self, body: bytes, until_s: float) -> Outcome:
        """Send *body*. What goes wrong is reported when it changes, but not often."""
        try:
            outcome = outcome_of(self._connection.post(body, until_s))
        except Unreachable as error:
            outcome = Outcome("later", reason=str(error))
        outcome = outcome._replace(reason=_without_values(outcome.reason, self.endpoint))
        now_s = time.monotonic()
        if outcome.verdict == "later":
            self._back_off(outcome)
        else:
            self._pause_s = self.next_s = 0.0
        # If our own time is over, that says nothing about the receiver.
        if outcome.reason != self._reported and now_s < until_s and now_s >= self._quiet_until_s:
            self._report(self._sentence(outcome))
            self._reported = outcome.reason
            self._quiet_until_s = now_s + QUIET_S
        return outcome

    def _back_off(self, outcome: Outcome) -> None:
        self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
        pause_s = outcome.retry_after_s
        # Asked for 0 s, or a time that is over, we would try as fast as the receiver can answer.
        self._is_asked_to_wait = pause_s is not None and pause_s >= FIRST_PAUSE_S
        if pause_s is None or pause_s < FIRST_PAUSE_S:
            pause_s = self._pause_s * random.uniform(0.5, 1.0)
        self.next_s = time.monotonic() + pause_s

    def hurry(self, pause_s: float) -> None:
        """Try again in *pause_s*, unless the receiver asked for another time."""
        if not self._is_asked_to_wait:
            self.next_s = min(self.next_s, time.monotonic() + pause_s)

    def _sentence(self, outcome: Outcome) -> str:
        place = f"{self._what} to {self.endpoint}"
        if not outcome.reason:
            return f"{place}: they are taken again"
        follows = {"later": "; it is tried again", "refused": "; what is refused is lost", "taken": ""}[outcome.verdict]
        return f"{place}: {outcome.reason}{follows}"


def _without_values(reason: str, endpoint: Endpoint) -> str:
    """Return *reason* without the values of our headers: a receiver may say which key it does not like."""
    for _, value in endpoint.headers:
        for word in value.split():
            if len(word) >= _SHORTEST_SECRET:
                reason = re.sub(re.escape(word[:_SHORTEST_SECRET]) + r"\S*", "..", reason)
    return reason


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
        self._interval_s = settings.metric_interval_s
        self._logs_request = LogsRequest(settings.resource, version)
        self._metrics_request = metrics
        self._logs = self._metrics = None
        if settings.logs is not None and events != "none":
            self._logs = Target(settings.logs, tls, "events", report)
        if settings.metrics is not None:
            self._metrics = Target(settings.metrics, tls, "metrics", report)
        self._outbox = Outbox(limit_bytes, self._pack)
        self._reading: TotalsReading | None = None
        self._metrics_due_s = 0.0
        self._end_s = _NEVER_S
        self._flushes = self._ends = False
        self._idle = threading.Event()
        """There is nothing left to send."""
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def start(self) -> None:
        """Begin to send."""
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
        is_first = self._reading is None
        self._reading = reading
        if is_first:
            self._outbox.poke()

    def counts(self) -> Counts:
        """Return what became of the events."""
        return self._outbox.counts()

    def flush(self, until_s: float) -> Counts:
        """Send all events that wait, until *until_s* (monotonic) at most; what is left then is lost."""
        self._end_s = until_s
        self._flushes = True
        self._idle.clear()
        if self._logs is not None:
            self._logs.hurry(0.0)
        self._outbox.drain()
        if self._logs is not None and self._thread.is_alive():
            self._idle.wait(max(0.0, until_s - time.monotonic()))
        return self._outbox.abandon()

    def finish(self, reading: TotalsReading, until_s: float) -> None:
        """Send *reading* as the last one, until *until_s* at most. Call `flush` before."""
        self._reading = reading
        self._end_s = until_s
        self._metrics_due_s = 0.0
        if self._metrics is not None:
            self._metrics.hurry(0.0)
        self._ends = True
        self._outbox.poke()
        if self._thread.is_alive():
            self._thread.join(max(0.0, until_s - time.monotonic()))

    # ---- the thread that sends ----

    def _pack(self, records: Sequence[bytes]) -> bytes:
        body = self._logs_request.body(records)
        return gzip.compress(body, _LEVEL, mtime=0) if self._logs and self._logs.endpoint.gzip else body

    def _run(self) -> None:
        while True:
            now_s = time.monotonic()
            logs_s = self._logs.next_s if self._logs is not None else _NEVER_S
            metrics_s = self._metrics_next_s()
            self._outbox.wait(
                min(logs_s if logs_s > now_s else _NEVER_S, metrics_s),
                for_batches=logs_s <= now_s,
            )
            self._outbox.pack()
            if self._logs is not None and self._logs.next_s <= time.monotonic():
                self._send_events(self._logs)
            if self._metrics is not None and self._metrics_next_s() <= time.monotonic():
                self._send_metrics(self._metrics)
            if not self._outbox.counts().waiting:
                self._idle.set()
            if self._ends and (self._metrics_next_s() == _NEVER_S or time.monotonic() >= self._end_s):
                return

    def _metrics_next_s(self) -> float:
        if self._metrics is None or self._reading is None or (self._flushes and not self._ends):
            return _NEVER_S
        return max(self._metrics_due_s, self._metrics.next_s)

    def _send_events(self, target: Target) -> None:
        batch = self._outbox.first()
        if batch is None or batch.body is None:
            return
        outcome = target.post(batch.body, self._end_s)
        if outcome.verdict == "taken":
            self._outbox.acknowledge(outcome.rejected)
        elif outcome.verdict == "refused":
            self._outbox.refuse()
        else:
            self._hurry_at_the_end(target)

    def _send_metrics(self, target: Target) -> None:
        reading = self._reading
        if reading is None:
            return
        body = self._metrics_request.body(reading)
        if target.endpoint.gzip:
            body = gzip.compress(body, _LEVEL, mtime=0)
        outcome = target.post(body, self._end_s)
        if outcome.verdict == "later":
            self._hurry_at_the_end(target)
            return
        self._metrics_due_s = _NEVER_S if self._ends else time.monotonic() + self._interval_s

    def _hurry_at_the_end(self, target: Target) -> None:
        if self._end_s != _NEVER_S:
            target.hurry(_PAUSE_AT_THE_END_S)
