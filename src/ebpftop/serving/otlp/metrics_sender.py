"""MetricsSender: sends the last reading in a thread of its own: a place of metrics that hangs holds up no event."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ebpftop.serving.otlp.target import NEVER_S, PAUSE_AT_THE_END_S, Target

if TYPE_CHECKING:
    from ebpftop.serving.otlp.metrics import MetricsRequest
    from ebpftop.serving.reading import TotalsReading


class MetricsSender:
    """Sends to *target* what *request* makes of the last reading, every *interval_s* at most; none of them twice."""

    def __init__(self, target: Target, request: MetricsRequest, interval_s: float) -> None:
        self._target = target
        self._request = request
        self._interval_s = interval_s
        self._changed = threading.Condition()
        self._reading: TotalsReading | None = None
        self._due_s = 0.0
        self._end_s = NEVER_S
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def set_reading(self, reading: TotalsReading) -> None:
        """Send this reading when it is time, unless there is a newer one then."""
        with self._changed:
            self._reading = reading
            self._changed.notify()

    def finish(self, reading: TotalsReading, until_s: float) -> None:
        """Send *reading* as the last one, until *until_s* (monotonic) at most."""
        with self._changed:
            self._reading = reading
            self._end_s, self._due_s, self._ends = until_s, 0.0, True
            self._target.hurry(0.0)
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while (reading := self._next()) is not None:
            outcome = self._target.post(self._target.packed(self._request.body(reading)), self._end_s)
            with self._changed:
                if outcome.verdict != "later":
                    self._due_s = time.monotonic() + self._interval_s
                    continue
                if self._reading is None:  # no newer one has come
                    self._reading = reading
                if self._ends:
                    self._target.hurry(PAUSE_AT_THE_END_S)

    def _next(self) -> TotalsReading | None:
        """Wait until a reading is to be sent, and take it; None: it is over."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                due_s = NEVER_S if self._reading is None else max(self._due_s, self._target.next_s)
                if self._ends:
                    if self._reading is None or now_s >= self._end_s:
                        return None
                    due_s = min(self._target.next_s, self._end_s)
                if due_s <= now_s:
                    reading, self._reading = self._reading, None
                    return reading
                self._changed.wait(None if due_s == NEVER_S else min(due_s - now_s, threading.TIMEOUT_MAX))
