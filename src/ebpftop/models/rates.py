"""Rates and their history, from totals that only grow and the times at which they were read."""

from __future__ import annotations

from collections import deque


class Meter:
    """One total that grows: its rate over the last reading, and the rates before it."""

    __slots__ = ("history", "rate", "time", "total")

    def __init__(self, keep: int = 120) -> None:
        self.total: float = 0
        self.time: float | None = None
        self.rate = 0.0
        self.history: deque[float] = deque(maxlen=keep)

    def read(self, total: float, time: float) -> None:
        """Take the *total* at *time* (Unix seconds). A total that shrank was counted anew: it is all new."""
        if self.time is not None and time > self.time:
            gained = total - self.total if total >= self.total else total
            self.rate = gained / (time - self.time)
            self.history.append(self.rate)
        if self.time is None or time > self.time:
            self.time = time
        self.total = total


class Window:
    """Events per second over the last few seconds, counted in slots of *slot_s* seconds."""

    def __init__(self, slots: int = 5, slot_s: float = 1.0) -> None:
        self.slots = slots
        self.slot_s = slot_s
        self._counts: deque[tuple[int, int]] = deque()
        self._start: int | None = None

    def add(self, time: float, events: int) -> None:
        """Count *events* that became known at *time* (Unix seconds)."""
        slot = int(time / self.slot_s)
        if self._start is None:
            self._start = slot
        if self._counts and self._counts[-1][0] >= slot:
            last, before = self._counts.pop()
            self._counts.append((last, before + events))
        else:
            self._counts.append((slot, events))
        while self._counts[0][0] <= self._counts[-1][0] - self.slots - 1:
            self._counts.popleft()

    def rate(self) -> float:
        """Return events per second over the last full slots (the running slot alone where there is no other yet)."""
        if not self._counts or self._start is None:
            return 0.0
        now = self._counts[-1][0]
        spans = min(self.slots, now - self._start)
        if not spans:
            return self._counts[-1][1] / self.slot_s
        return sum(n for slot, n in self._counts if now - spans <= slot < now) / spans / self.slot_s
