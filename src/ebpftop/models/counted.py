"""The rows of a reading of counters: what they gained since the reading before, and since a baseline."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from ebpftop.core.group_records import Figures
from ebpftop.models.latency import difference

HISTORY = 24
"""Readings whose execs are kept of each row: as many as the widest trend has cells."""

Row = TypeVar("Row", bound=Figures)


class Gain(NamedTuple):
    """What is counted; each only grows."""

    execs: int = 0
    failed: int = 0
    calls: int = 0
    errors: int = 0
    total_ns: int = 0

    @classmethod
    def of(cls, row: Figures) -> Gain:
        """Return the figures of a row."""
        return cls(row.execs, row.failed, row.calls, row.errors, row.total_ns)

    def since(self, before: Gain) -> Gain:
        """Return what came after *before*. If one of them shrank, they were reset: all of it came after."""
        if any(now < then for now, then in zip(self, before, strict=True)):
            return self
        return Gain(*(now - then for now, then in zip(self, before, strict=True)))

    def plus(self, other: Gain) -> Gain:
        """Return both together."""
        return Gain(*(one + two for one, two in zip(self, other, strict=True)))


NOTHING = Gain()


class Counted(Generic[Row]):
    """The rows of one kind of readings, by their keys. A reading touches only what changed since the one before."""

    def __init__(self, key_of: Callable[[Row], Hashable]) -> None:
        self.rows: Mapping[Hashable, Row] = {}
        self.readings = 0
        self.seconds = 0.0
        """Between the last two readings; 0 if there is only one since counting began."""
        self.since: float | None = None
        """When counting began anew (Unix seconds); None: with the probe."""
        self.begun: float | None = None
        """The time of the first reading."""
        self.history: deque[Mapping[Hashable, float]] = deque(maxlen=HISTORY)
        """The execs a second of each row in each of the last readings, oldest first; none: not in it."""
        self.active: dict[Hashable, float] = {}
        """When each row last gained execs."""
        self._key_of = key_of
        self._gained: dict[Hashable, Gain] = {}
        self._baseline: Mapping[Hashable, Row] = {}
        self._time: float | None = None
        self._reset_due = math.inf

    def read(self, time: float, rows: Sequence[Row]) -> None:
        """Take in a reading of *time* (Unix seconds)."""
        before, self.rows = self.rows, {self._key_of(row): row for row in rows}
        self.readings += 1
        self.begun = time if self.begun is None else self.begun
        self.seconds = max(0.0, time - self._time) if self._time is not None else 0.0
        self._gained = {}
        if self.seconds > 0:
            execs: dict[Hashable, float] = {}
            for key, row in self.rows.items():
                then = before.get(key)
                if then is row or then == row:
                    continue
                # What appears after the first reading had nothing before it.
                gain = self._gained[key] = Gain.of(row).since(Gain.of(then) if then is not None else NOTHING)
                if gain.execs:
                    execs[key] = gain.execs / self.seconds
                    self.active[key] = time
            self.history.append(execs)
            if len(self.active) > 2 * len(self.rows):
                self.active = {key: at for key, at in self.active.items() if key in self.rows}
        self._time = time
        self._reset_if_due()

    def reset_at(self, time: float) -> None:
        """Count from the first reading at or after *time* (Unix seconds) on."""
        self._reset_due = time
        self._reset_if_due()

    def cut(self) -> None:
        """What comes next does not follow from what was read last: nothing was counted meanwhile."""
        self._time, self.seconds, self._gained = None, 0.0, {}
        self.history.clear()

    def _reset_if_due(self) -> None:
        if self._time is not None and self._time >= self._reset_due:
            self._reset_due = math.inf
            self._baseline, self.since = self.rows, self._time
            self.cut()
            self._time = self.since

    def gained(self, key: Hashable) -> Gain:
        """Return what a row gained over the last reading."""
        return self._gained.get(key, NOTHING)

    def total(self, key: Hashable, row: Row) -> Gain:
        """Return what a row gained since counting began."""
        base = self._baseline.get(key)
        return Gain.of(row) if base is None else Gain.of(row).since(Gain.of(base))

    def histogram(self, key: Hashable, row: Row) -> tuple[int, ...]:
        """Return the latencies of its calls since counting began."""
        base = self._baseline.get(key)
        return row.histogram_ns if base is None else difference(row.histogram_ns, base.histogram_ns)

    def items(self) -> Iterator[tuple[Hashable, Row]]:
        """Yield the rows with their keys."""
        yield from self.rows.items()
