"""Rates and their history, from totals that only grow and the times at which they were read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping


class Meter:
    """One total that grows: its rate over the last reading, and the rates before it."""

    __slots__ = ("history", "rate", "time", "total")

    def __init__(self, keep: int = 120) -> None:
        self.total: float = 0
        self.time: float | None = None
        self.rate = 0.0
        self.history: deque[float] = deque(maxlen=keep)

    def read(self, total: float, time: float) -> None:
        """Read the *total* at *time* (Unix seconds). If it shrank, the counter was reset: all of it is new."""
        if self.time is not None and time > self.time:
            gained = total - self.total if total >= self.total else total
            self.rate = gained / (time - self.time)
            self.history.append(self.rate)
        if self.time is None or time > self.time:
            self.time = time
        self.total = total


class Window:
    """Events per second over the last few seconds. Probes report independently, so times come in any order."""

    def __init__(self, slots: int = 5) -> None:
        self.slots = slots
        self._counts: dict[int, int] = {}
        self._oldest: int | None = None

    def add(self, time: float, events: int) -> None:
        """Count *events* that became known at *time* (Unix seconds)."""
        second = int(time)
        self._oldest = second if self._oldest is None else min(self._oldest, second)
        self._counts[second] = self._counts.get(second, 0) + events
        newest = max(self._counts)
        for late in [s for s in self._counts if s < newest - self.slots]:
            del self._counts[late]

    def recall(self, seconds: Mapping[int, int]) -> None:
        """Set the events of these *seconds*, except those that are too old to count."""
        if not self._counts or not seconds:
            return
        newest = max(self._counts)
        self._counts.update((s, n) for s, n in seconds.items() if newest - self.slots <= s <= newest)
        self._oldest = min(seconds) if self._oldest is None else min(self._oldest, *seconds)

    def rate(self) -> float:
        """Return events per second over the last full seconds; over the current second if there is no full one yet."""
        if not self._counts or self._oldest is None:
            return 0.0
        newest = max(self._counts)
        spans = min(self.slots, newest - self._oldest)
        if not spans:
            return float(self._counts[newest])
        return sum(n for second, n in self._counts.items() if second != newest) / spans
