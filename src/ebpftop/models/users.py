"""Which users start programs: counters, rates and history of each uid, and who runs what."""

from __future__ import annotations

import math
from collections import deque

from ebpftop.core.memory_budget import scaled
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.record_memory import weight
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.baseline import Sum, failed_share
from ebpftop.models.bounded import keep_newest
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Processes, ProcessInfo
from ebpftop.models.ring import RETRIES, UNDECIDED_MAX
from ebpftop.models.user import Activity, Readings, User, zero

RECENT = 4
"""Readings that are kept whole: the filter may have changed before them, but be reported later."""

ENDED_KEPT = 1000
"""Processes that are kept after their end, as ancestors of running ones."""

ACTIVE_USERS = 4096
NAMES = 50_000
"""Names of programs and errors that are counted, of each user and of all."""

_EVICTED_MAX = 4096
USERS_MAX = 40_000
RECENT_BYTES = 6 << 20


class UsersModel:
    """All uids seen, by uid.

    When the filter changes, counters are reset at the first reading after the kernel applied it.
    """

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self._readings = Readings()
        self.total = User(UserRow(uid=-1, user="total", execs=0, failed=0), self._readings)
        self.activity: dict[int, Activity] = {}
        self._names = 0
        self.processes = Processes(ENDED_KEPT)
        self.view_filter = ViewFilter()
        self.since: float | None = None  # Unix seconds: when counters were reset
        self._time: float | None = None
        self._recent: deque[Users] = deque(maxlen=RECENT)
        self._baseline: dict[int, UserRow] = {}
        self._reset = math.inf
        self._running_of: dict[int, int] = {}
        self._counted: dict[int, int] = {}  # running processes that match: pid to uid
        self._undecided: deque[ProcessInfo] = deque(maxlen=UNDECIDED_MAX)
        self._calls: dict[int, Sum] = {}
        self._calls_total = self._calls_total_ns = 0
        self._total_time: float | None = None
        self._calls_time: float | None = None
        self._forgotten = 0

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only the users that match; reset counters at the reading from which on the kernel applies the filter."""
        self.view_filter = view_filter
        self._reset = view_filter.kernel_filter_since
        for pid in tuple(self._counted):
            self._leave(pid)
        self._undecided.clear()
        for known in self.processes.running.values():
            self._enter(known)
        # That reading may already be here: readings can arrive before this call.
        for record in [record for record in self._recent if record.time >= self._reset]:
            self._read(record)

    def begin_after(self, before: EventCounts) -> None:
        """Do nothing: the counters are totals, so they include what happened before."""

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch, of this probe and of the others with details of users."""
        for record, process in zip(batch.records, self.processes.feed(batch), strict=True):
            match record:
                case Exec():
                    self._count(record)
                    if record.ret >= 0 and process is not None:
                        self._runs(process)
                case Exit():
                    if process is not None:
                        self._leave(record.pid)
                case Process():
                    assert process is not None
                    self._runs(process)
                case Users():
                    self._recent.append(record)
                    keep_newest(self._recent, weight, scaled(RECENT_BYTES))
                    self._read(record)
                case Syscalls():
                    self._read_calls(record)
                case _:
                    pass
        if self._undecided:
            self._decide()

    @property
    def shown(self) -> list[User]:
        """The users that match and did something since the filter changed."""
        matches = self.view_filter.matches_uid
        return [u for u in self.users.values() if (u.row.execs or u.running) and matches(u.row.uid)]

    @property
    def shown_total(self) -> User:
        """All users that match together."""
        wanted = self.view_filter.filter
        if not wanted.uids and not wanted.excluded.uids:
            return self.total
        users = self.shown
        execs, failed = sum(u.row.execs for u in users), sum(u.row.failed for u in users)
        total = User(UserRow(uid=-1, user="total", execs=execs, failed=failed))
        total.rate = sum(u.rate for u in users)
        total.calls_rate = sum(u.calls_rate for u in users)
        times = [u.calls_ns for u in users if u.calls_ns is not None]
        total.calls_ns = sum(times) if len(times) == len(users) else None
        total.calls_at_least = any(u.calls_at_least for u in users)
        total.running = sum(u.running for u in users)
        total.history = [sum(rates) for rates in zip(*(u.history for u in users), strict=False)]
        return total

    # The counters.

    def _read(self, record: Users) -> None:
        anew = record.time >= self._reset
        if anew:
            self._baseline = {row.uid: row for row in record.rows} if self.view_filter else {}
            self._reset, self.since = math.inf, record.time if self.view_filter else None
            self._time = None
            self.users.clear()
            running, self.total = self.total.running, User(zero(self.total.row), self._readings)
            self.total.running = running
        seconds = 0.0 if self._time is None else record.time - self._time
        if seconds > 0:
            self._readings.count += 1
        for raw in record.rows:
            user = self.users.get(raw.uid)
            if user is not None and (user.read_as is raw or user.read_as == raw):
                continue
            row = _less(raw, self._baseline.get(raw.uid)) if self._baseline else raw
            if user is None:
                # A uid that appears after the first reading had zero before it: its first execs count into the rate.
                user = self.users[raw.uid] = User(zero(row), self._readings)
                user.running = self._running_of.get(raw.uid, 0)
            if seconds > 0:
                user.read(row, seconds)
            user.row, user.read_as = row, raw
        if len(self.users) > USERS_MAX:
            # Counters only grow, and each reading has all users: a missing one was counted by an earlier ebpftop.
            listed = {raw.uid for raw in record.rows}
            self.users = {uid: user for uid, user in self.users.items() if uid in listed}
        execs = sum(user.row.execs for user in self.users.values())
        failed = sum(user.row.failed for user in self.users.values())
        total = UserRow(uid=-1, user="total", execs=execs, failed=failed)
        if seconds > 0:
            self.total.read(total, seconds)
        self.total.row = total
        if self._time is None or record.time > self._time:
            self._time = record.time

    @property
    def execs(self) -> int:
        return self.total.row.execs

    @property
    def failed(self) -> int:
        return self.total.row.failed

    # What the exec log knows.

    def _count(self, record: Exec) -> None:
        activity = self.activity.get(record.uid)
        if activity is None:
            activity = self.activity[record.uid] = Activity()
        self._names += activity.count(record)
        while len(self.activity) > ACTIVE_USERS or (self._names > NAMES and len(self.activity) > 1):
            gone = self.activity.pop(next(iter(self.activity)))
            self._names -= len(gone.programs) + len(gone.errors)

    def _runs(self, process: ProcessInfo) -> None:
        self._leave(process.pid)
        self._enter(process)
        if len(self._counted) > len(self.processes.running) + _EVICTED_MAX:
            for pid in [pid for pid in self._counted if pid not in self.processes.running]:
                self._leave(pid)

    def _enter(self, known: ProcessInfo) -> None:
        """Count a running process, if it matches. A kernel thread, which has no arguments, does not count."""
        if not known.argv and known.since is None:
            return
        matches = self.view_filter.matches_process(known, self.processes)
        if matches:
            self._counted[known.pid] = known.uid
            self._add_running(known.uid, 1)
        elif matches is None:
            self._undecided.append(known)

    def _decide(self) -> None:
        """Count those that were reported before it was known whether they match."""
        for _ in range(min(RETRIES, len(self._undecided))):
            known = self._undecided.popleft()
            if self.processes.running.get(known.pid) is known and known.pid not in self._counted:
                self._enter(known)

    def _leave(self, pid: int) -> None:
        uid = self._counted.pop(pid, None)
        if uid is not None:
            self._add_running(uid, -1)

    def _add_running(self, uid: int, more: int) -> None:
        count = self._running_of.get(uid, 0) + more
        if count:
            self._running_of[uid] = count
        else:
            self._running_of.pop(uid, None)
        self.total.running += more
        user = self.users.get(uid)
        if user is not None:
            user.running = count

    def processes_of(self, uid: int) -> list[ProcessInfo]:
        """Return what *uid* runs, the newest first."""
        running = self.processes.running
        mine = [running[pid] for pid, owner in self._counted.items() if owner == uid and pid in running]
        return sorted(mine, key=lambda process: (process.since or 0.0, process.pid), reverse=True)

    # What the counters of system calls know.

    def calls_of(self, uid: int) -> Sum | None:
        """Return all system calls that *uid* made, as the newest reading has them; None if it has none of it."""
        return self._calls.get(uid)

    def _read_calls(self, record: Syscalls) -> None:
        total = sum(row.count for row in record.rows)
        total_ns = sum(row.total_ns for row in record.rows)
        if self._total_time is not None and record.time > self._total_time:
            seconds = record.time - self._total_time
            self.total.calls_rate = max(0, total - self._calls_total) / seconds
            self.total.calls_ns = max(0, total_ns - self._calls_total_ns) / seconds if total_ns or not total else None
        self._calls_total, self._calls_total_ns, self._total_time = total, total_ns, record.time
        # Who calls is not read each time.
        if record.callers_time == self._calls_time:
            return
        sums = {caller.uid: Sum.of(caller) for caller in record.users}
        if self._calls_time is not None and record.callers_time > self._calls_time:
            seconds = record.callers_time - self._calls_time
            for uid in sums.keys() | self._calls.keys():
                user = self.users.get(uid)
                if user is not None:
                    now, before = sums.get(uid, Sum()), self._calls.get(uid, Sum())
                    made = max(0, now.count - before.count)
                    user.calls_rate = made / seconds
                    user.calls_failed = failed_share(now.errors - before.errors, made)
                    spent = now.since(before).total_ns
                    user.calls_ns = None if spent is None else spent / seconds
                    user.calls_at_least = record.evicted > self._forgotten
        self._calls, self._calls_time = sums, record.callers_time
        self._forgotten = record.evicted


def _less(row: UserRow, before: UserRow | None) -> UserRow:
    """Return *row* minus *before*. If the counters shrank, they were reset: return *row*."""
    if before is None or row.execs < before.execs:
        return row
    return UserRow(
        uid=row.uid,
        user=row.user,
        execs=row.execs - before.execs,
        failed=max(0, row.failed - before.failed),
        last=row.last if row.execs > before.execs else "",
        ns_uid=row.ns_uid,
        userns=row.userns,
    )
