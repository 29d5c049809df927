"""Who starts programs: counters of each uid, their rates and their last minutes."""

from __future__ import annotations

from collections import deque

from ebpftop.models.rates import Meter
from ebpftop.records import UserRow, Users
from ebpftop.source import Batch


class User:
    """One uid: its counters, and the rate of its execs."""

    __slots__ = ("meter", "row")

    def __init__(self, row: UserRow) -> None:
        self.row = row
        self.meter = Meter()

    @property
    def name(self) -> str:
        return self.row.user if self.row.user is not None else str(self.row.uid)

    @property
    def rate(self) -> float:
        return self.meter.rate

    @property
    def history(self) -> deque[float]:
        return self.meter.history


class UsersModel:
    """All uids seen, by uid."""

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.total = Meter()

    def feed(self, batch: Batch) -> None:
        """Take in the counters of one batch."""
        for record in batch.records:
            if isinstance(record, Users):
                self._read(record)

    def _read(self, record: Users) -> None:
        for row in record.rows:
            user = self.users.get(row.uid)
            if user is None:
                user = self.users[row.uid] = User(row)
                # A uid that appears after the first reading had zero before it: its first execs count into the rate.
                if self.total.time is not None:
                    user.meter.read(0, self.total.time)
            user.row = row
            user.meter.read(row.execs, record.time)
        self.total.read(sum(row.execs for row in record.rows), record.time)

    @property
    def execs(self) -> int:
        return sum(user.row.execs for user in self.users.values())

    @property
    def failed(self) -> int:
        return sum(user.row.failed for user in self.users.values())
