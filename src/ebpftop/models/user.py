"""One user: its counters and rates, and what is known of its programs."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from ebpftop.core.process_records import Exec
from ebpftop.core.user_records import UserRow

HISTORY = 120
"""Readings in the history of rates."""

PROGRAMS_EACH = 200
REST = "(others)"
"""Programs of a user that are counted by name; what all others are counted as."""


class Readings:
    """How many readings there were, for all users of a model together."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class User:
    """One uid: its counters, and the rates of its execs.

    There may be very many users, nearly all of them idle: a reading does not touch an idle user.
    """

    __slots__ = (
        "_active",
        "_counted_until",
        "_failed_rate",
        "_history",
        "_rate",
        "_readings",
        "calls_at_least",
        "calls_failed",
        "calls_ns",
        "calls_rate",
        "read_as",
        "row",
        "running",
    )

    def __init__(self, row: UserRow, readings: Readings | None = None) -> None:
        self.row = row
        self.read_as = row
        """The row as it was read, before the baseline was subtracted."""
        self.running = 0
        self.calls_rate = 0.0
        self.calls_failed = 0.0
        """Share of these calls that returned an error, 0 to 1."""
        self.calls_ns: float | None = 0.0
        """Time that its threads spent in calls, per second, in ns; None: unknown, as in older recordings."""
        self.calls_at_least = False
        """The kernel's map dropped some calls of the last reading, perhaps of this user."""
        self._rate = self._failed_rate = 0.0
        self._readings = readings or Readings()
        self._active = -1  # the last reading with activity of this user
        self._counted_until = self._readings.count  # the last reading in the history
        self._history = array("f")

    @property
    def name(self) -> str:
        return self.row.user if self.row.user is not None else str(self.row.uid)

    @property
    def rate(self) -> float:
        """Execs per second over the last reading."""
        return self._rate if self._active == self._readings.count else 0.0

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate, self._active = rate, self._readings.count

    @property
    def failed_rate(self) -> float:
        """Failed execs per second over the last reading."""
        return self._failed_rate if self._active == self._readings.count else 0.0

    @property
    def history(self) -> Sequence[float]:
        """Rates of the last readings, oldest first."""
        self._catch_up(self._readings.count)
        return self._history[-HISTORY:]

    @history.setter
    def history(self, rates: Sequence[float]) -> None:
        self._history, self._counted_until = array("f", rates), self._readings.count

    def read(self, row: UserRow, seconds: float) -> None:
        """Read the counters, *seconds* after the last ones. If they shrank, they were reset: all of it is new."""
        before = self.row if row.execs >= self.row.execs else zero(row)
        gained, failed = row.execs - before.execs, max(0, row.failed - before.failed)
        self.row = row
        if gained:
            self._catch_up(self._readings.count - 1)
            self.rate, self._failed_rate = gained / seconds, failed / seconds
            self._history.append(self.rate)
            self._counted_until = self._readings.count

    def _catch_up(self, reading: int) -> None:
        """Note that nothing happened up to *reading*."""
        idle = reading - self._counted_until
        if idle > 0:
            self._history.extend([0.0] * min(idle, HISTORY))
            self._counted_until = reading
        if len(self._history) > 2 * HISTORY:
            del self._history[:-HISTORY]


@dataclass(slots=True)
class Activity:
    """What the exec log knows of one uid: programs by name, failures by errno, the container seen last."""

    programs: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    container: str | None = None

    def count(self, record: Exec) -> int:
        """Count a program that started, or failed to; return how many names are new."""
        self.container = record.container or self.container
        names, name = (self.programs, record.comm) if record.error is None else (self.errors, record.error)
        before = len(names)
        if name not in names and before >= PROGRAMS_EACH:
            name = REST
        names[name] = names.get(name, 0) + 1
        return len(names) - before


def zero(row: UserRow) -> UserRow:
    """Return *row* with nothing counted."""
    return UserRow(uid=row.uid, user=row.user, execs=0, failed=0)
