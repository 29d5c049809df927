"""What processes do, put together by what they belong to: unit, container, cgroup or program."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from ebpftop.core.cgroup_path import containers_of
from ebpftop.core.group_records import OTHER_COMM, OTHER_ID, CgroupRow, Cgroups, CommRow, Comms, Figures, UidRow, Uids
from ebpftop.core.records import Probe
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.models.baseline import failed_share
from ebpftop.models.counted import NOTHING, Counted
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.latency import quantile

PROBE = "cgroups"

By: TypeAlias = Literal["units", "containers", "cgroups", "programs"]
BY: tuple[By, ...] = get_args(By)


class Group:
    """Processes that belong together. *key* identifies them for good; *path* is the cgroup that all of them are in.

    Of several cgroups, it has the sums. Rates are over the last reading, totals since counting began.
    """

    __slots__ = (
        *("active", "blocked", "by", "container", "history", "key", "last", "members", "name", "path", "running"),
        *("seen", "seen_other", "seconds", "state", "total", "_alive", "_buckets", "_gain", "_last_at"),
    )

    def __init__(self, by: By, key: str, name: str, path: str | None = None) -> None:
        self.by = by
        self.key = key
        self.name = name
        self.path = path
        self.container: str | None = None
        """Its id, as a filter has it."""
        self.state: str | None = None
        self.running: int | None = None
        self.blocked: int | None = None
        """How many of its threads are blocked now; None if it is not known."""
        self.last = ""
        """The program that was started last in it."""
        self.active: float | None = None
        """When a program was started last (Unix seconds), as far as readings show it."""
        self.members: list[str] = []
        """The cgroups that it is made of."""
        self.total = NOTHING
        self.seconds = 0.0
        self.history: list[float] = []
        """EXECS/s of the readings so far, the newest last."""
        self.seen = 0
        """A bit for each call of the native ABI that was made, ever since the probe was attached."""
        self.seen_other = False
        self._gain = NOTHING
        self._buckets: list[int] = []
        self._alive = False
        self._last_at = -1.0

    @property
    def is_one(self) -> bool:
        """Tell it from all that are not counted one by one."""
        return self.path is not None or (self.by == "programs" and self.name != OTHER_COMM)

    @property
    def gone(self) -> bool:
        """Whether its cgroups have been removed."""
        return bool(self.members) and not self._alive

    @property
    def rate(self) -> float:
        """Execs a second."""
        return self._rate(self._gain.execs)

    @property
    def failed_rate(self) -> float:
        """Of these, those that failed."""
        return self._rate(self._gain.failed)

    @property
    def calls_rate(self) -> float:
        """Calls a second."""
        return self._rate(self._gain.calls)

    @property
    def calls_failed(self) -> float:
        """The share of these that returned an error, 0 to 1."""
        return failed_share(self._gain.errors, self._gain.calls)

    @property
    def calls_ns(self) -> float:
        """Time that its threads spent in calls, in ns a second."""
        return self._rate(self._gain.total_ns)

    @property
    def p99_ns(self) -> float | None:
        """99 of 100 calls took this long or less; None if none has returned."""
        return quantile(self._buckets, 0.99)

    def _rate(self, gained: int) -> float:
        return gained / self.seconds if self.seconds > 0 else 0.0

    def add(self, counted: Counted[Any], key: Hashable, row: Figures) -> None:
        """Add what *row* counts."""
        self.seconds = counted.seconds
        self.total = self.total.plus(counted.total(key, row))
        self._gain = self._gain.plus(counted.gained(key))
        for bucket, number in enumerate(counted.histogram(key, row)):
            if bucket == len(self._buckets):
                self._buckets.append(0)
            self._buckets[bucket] += number
        if row.seen:
            self.seen |= int(row.seen, 16)
        self.seen_other |= row.seen_other
        at = counted.active.get(key)
        if at is not None:
            self.active = max(at, self.active or at)
        if isinstance(row, (CgroupRow, CommRow)) and row.blocked is not None:
            self.blocked = (self.blocked or 0) + row.blocked
        if isinstance(row, CgroupRow):
            self._describe(row, 0.0 if at is None else at)

    def _describe(self, row: CgroupRow, active: float) -> None:
        if row.path is not None:
            self.members.append(row.path)
        self._alive |= not row.gone
        self.state = row.state or self.state
        if row.running is not None:
            self.running = (self.running or 0) + row.running
        if row.last and active > self._last_at:
            self.last, self._last_at = row.last, active


class GroupsModel:
    """The groups, of any kind that somebody looks at: only those are put together, when they are asked for."""

    def __init__(self) -> None:
        self.cgroups: Counted[CgroupRow] = Counted(lambda row: (row.hierarchy, row.id))
        self.programs: Counted[CommRow] = Counted(lambda row: row.comm)
        self.users: Counted[UidRow] = Counted(lambda row: row.uid)
        self.view_filter = ViewFilter()
        self.time = 0.0
        """When what is known was read (Unix seconds)."""
        self.was_off = False
        """Its probe was detached, and attached again: what happened in between is in none of the figures."""
        self.is_off = False
        """Its probe is detached: no figure grows."""
        self._groups: dict[By, tuple[int, list[Group]]] = {}
        self._changes = 0

    def begin_after(self, before: EventCounts) -> None:
        """Do nothing: the counters are totals, so they include what happened before."""

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        for record in batch.records:
            match record:
                case Cgroups():
                    self.cgroups.read(record.time, record.rows)
                case Comms():
                    self.programs.read(record.time, record.rows)
                case Uids():
                    self.users.read(record.time, record.rows)
                case Probe(probe="cgroups", state=state) if state != "on":
                    for counted in self._all:
                        counted.cut()
                    self.is_off = self.is_known
                case Probe(probe="cgroups"):
                    self.was_off |= self.is_off
                    self.is_off = False
                    continue
                case _:
                    continue
            self.time = max(self.time, record.time)
            self._changes += 1

    @property
    def _all(self) -> tuple[Counted[Any], ...]:
        return self.cgroups, self.programs, self.users

    @property
    def is_known(self) -> bool:
        """Whether anything was read."""
        return bool(self.cgroups.readings or self.programs.readings)

    @property
    def begun(self) -> float | None:
        """When the first reading was made (Unix seconds); None if there was none."""
        return self.programs.begun if self.programs.begun is not None else self.cgroups.begun

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only what matches; count from the first reading on that the kernel applied the filter to."""
        self.view_filter = view_filter
        self._changes += 1
        if math.isfinite(view_filter.kernel_filter_since):
            for counted in self._all:
                counted.reset_at(view_filter.kernel_filter_since)

    def groups(self, by: By) -> list[Group]:
        """Return what did something since counting began."""
        known = self._groups.get(by)
        if known is None or known[0] != self._changes:
            known = self._groups[by] = self._changes, self._put_together(by)
        return known[1]

    def find(self, by: By, key: str) -> Group | None:
        """Return the group of this key."""
        return next((group for group in self.groups(by) if group.key == key), None)

    def numbers(self) -> Mapping[By, int]:
        """Return how many groups of each kind there are."""
        return {by: len(self.groups(by)) for by in BY}

    def _matches(self, group: Group) -> bool:
        if group.path is not None:
            return self.view_filter.matches_cgroup(group.path)
        return self.view_filter.matches_comm(group.name)

    def _put_together(self, by: By) -> list[Group]:
        groups: dict[str, Group] = {}
        of_row: dict[Hashable, Group] = {}
        counted: Counted[Any] = self.programs if by == "programs" else self.cgroups
        find: Callable[[Any], Group | None] = _program if by == "programs" else _FINDERS[by]
        for key, row in counted.items():
            found = find(row)
            if found is None or (found.is_one and not self._matches(found)):
                continue
            group = of_row[key] = groups.setdefault(found.key, found)
            group.add(counted, key, row)
        _add_history(counted, of_row)
        return [group for group in groups.values() if group.total.calls or group.total.execs or group.running]


def _add_history(counted: Counted[Any], of_row: Mapping[Hashable, Group]) -> None:
    """Give each group the rates of its rows."""
    length = len(counted.history)
    for group in set(of_row.values()):
        group.history = [0.0] * length
    for at, execs in enumerate(counted.history):
        for key, rate in execs.items():
            if (found := of_row.get(key)) is not None:
                found.history[at] += rate


def _program(row: CommRow) -> Group:
    return Group("programs", row.comm, row.comm)


def _cgroup(row: CgroupRow) -> Group:
    if row.id == OTHER_ID:
        return Group("cgroups", "0", "(other cgroups)")
    return Group("cgroups", f"{row.hierarchy}:{row.id}", row.path or f"(cgroup {row.id})", row.path)


def _unit(row: CgroupRow) -> Group | None:
    if row.unit is None or row.path is None:
        return None
    path = _down_to(row.path, lambda parts: row.unit == parts[-1])
    return Group("units", path, row.unit, path)


def _container(row: CgroupRow) -> Group | None:
    if row.container is None or row.path is None:
        return None
    whole = containers_of(row.path)
    path = _down_to(row.path, lambda parts: containers_of("/".join(parts)) == whole)
    group = Group("containers", row.container, row.container_name or row.container, path)
    group.container = row.container
    return group


_FINDERS: Mapping[By, Callable[[CgroupRow], Group | None]] = {
    "units": _unit,
    "containers": _container,
    "cgroups": _cgroup,
}


def _down_to(path: str, is_it: Callable[[Sequence[str]], bool]) -> str:
    """Return the shortest beginning of *path* that *is_it*; all of it if none is."""
    parts = path.split("/")
    for length in range(2, len(parts)):
        if is_it(parts[:length]):
            return "/".join(parts[:length])
    return path
