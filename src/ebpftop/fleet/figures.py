"""What is counted of one host, and how often that happens each second."""

from __future__ import annotations

from collections import deque

from ebpftop.fleet.seen import SeenCalls, SeenCost, SeenLost

_SPAN = 4
"""Samples that a rate is of: one a second, so of the last three seconds."""
_SAMPLE_S = 1.0
_CLOCK_S = 30.0
"""Seconds of records of which the one that came soonest tells the clock."""
_CALLS_MAX = 20_000
_LOSSES_MAX = 256


class Pace:
    """How often something happens each second, from totals at known moments."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SPAN)

    def sample(self, now_s: float, total: int) -> None:
        """Take *total* at *now_s*, if the last one is a second old."""
        if not self._samples or now_s - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now_s, total))

    @property
    def rate(self) -> float | None:
        """Each second, None until two samples were taken."""
        if len(self._samples) < 2:
            return None
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return max(0, last - first) / (last_s - first_s)

    def clear(self) -> None:
        """Begin again: the totals do not go on from those before."""
        self._samples.clear()


class CallFigures:
    """System calls and their errors, from readings that are whole or have what changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[int, int]] = {}
        self._totals = 0, 0
        self._last: tuple[float, int, int] | None = None
        self.calls: float | None = None
        """Each second, between the last two readings."""
        self.errors: float | None = None

    def take(self, reading: SeenCalls) -> None:
        """Take another reading."""
        if reading.whole:
            self._known = {(row.abi, row.nr): (row.count, row.errors) for row in reading.rows[:_CALLS_MAX]}
            counts = self._known.values()
            calls, errors = sum(count for count, _ in counts), sum(failed for _, failed in counts)
        else:
            calls, errors = self._totals
            for row in reading.rows:
                before = self._known.get((row.abi, row.nr))
                if before is None and len(self._known) >= _CALLS_MAX:
                    continue
                count, failed = before or (0, 0)
                calls += row.count - count
                errors += row.errors - failed
                self._known[row.abi, row.nr] = row.count, row.errors
        self._totals = calls, errors
        last, self._last = self._last, (reading.time, calls, errors)
        if last is None or (span := reading.time - last[0]) <= 0:
            return
        self.calls, self.errors = max(0, calls - last[1]) / span, max(0, errors - last[2]) / span

    def clear(self) -> None:
        """Begin again: another run of ebpftop counts."""
        self._known, self._totals, self._last, self.calls, self.errors = {}, (0, 0), None, None, None


class Clock:
    """How far the clock of a host is ahead: the record that came soonest has the least delay in it."""

    def __init__(self) -> None:
        self._since_s = 0.0
        self._now: float | None = None
        self._before: float | None = None

    def take(self, time: float, now_s: float, wall: float) -> None:
        """Take a record of *time*, which came at *now_s* (monotonic), when it was *wall* here."""
        if now_s - self._since_s > _CLOCK_S:
            self._since_s, self._before, self._now = now_s, self._now, None
        ahead = time - wall
        self._now = ahead if self._now is None else max(self._now, ahead)

    @property
    def ahead_s(self) -> float | None:
        """Seconds; None if nothing came."""
        known = [one for one in (self._now, self._before) if one is not None]
        return max(known) if known else None


class Figures:
    """All that is counted of one host."""

    def __init__(self) -> None:
        self.execs = self.failures = 0
        self.exec_pace, self.failure_pace = Pace(), Pace()
        self.calls = CallFigures()
        self.clock = Clock()
        self.cost: float | None = None
        self._lost: dict[tuple[str, str], int] = {}

    def begin(self) -> None:
        """Another run of ebpftop counts from now on."""
        self.calls.clear()
        self._lost.clear()
        self.exec_pace.clear()
        self.failure_pace.clear()

    def sample(self, now_s: float) -> None:
        self.exec_pace.sample(now_s, self.execs)
        self.failure_pace.sample(now_s, self.failures)

    def take_lost(self, record: SeenLost) -> None:
        key = record.probe, record.where
        if key in self._lost or len(self._lost) < _LOSSES_MAX:
            self._lost[key] = record.count

    def take_cost(self, record: SeenCost) -> None:
        self.cost = record.user + (record.kernel or 0.0)

    @property
    def lost(self) -> int:
        """What the host itself lost since its ebpftop began."""
        return sum(self._lost.values())
