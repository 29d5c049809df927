"""A filter means one thing: whatever shows or saves a record matches it by the rules of the kernel.

The story is told twice: by records, and by what the kernel would have seen when it matched each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import pytest

from ebpftop.core.process_records import TICK_NS, Exec, Exit, Process
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import InFlight, ProcessCalls, Syscall, SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.spec import Filter, Values
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import LINEAGE_MAX, Processes
from ebpftop.models.ring import Row, View
from ebpftop.models.subset import Subset
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.tree import grow
from ebpftop.models.users import UsersModel

ID = "8f3a0c11d2e4" + "0" * 52
Event: TypeAlias = Exec | Exit | Process | Syscall | Trace

BOX = f"/box/docker-{ID}.scope"
UNKNOWN = ""
"""The cgroup of a process that only /proc reported."""


@dataclass(frozen=True)
class Seen:
    """What the kernel sees of the task that causes an event: its user, its name, its cgroup, and whose child it is.

    `family` are the process and all that it descends from by forks, whoever adopted it since.
    """

    uid: int
    comm: str
    family: frozenset[int]
    cgroup: str


def kernel_matches(wanted: Filter, seen: Seen) -> bool:
    """Decide as bpf/filter.h does: each kind that is set must match, and within a kind any value does.

    Any one that is excluded decides.
    """
    no = wanted.excluded
    return (
        (not wanted.uids or seen.uid in wanted.uids)
        and (not wanted.pids or bool(seen.family & set(wanted.pids)))
        and (not wanted.comms or any(_is_named(seen.comm, name) for name in wanted.comms))
        and (not wanted.cgroups or any(_is_in(seen.cgroup, path) for path in wanted.cgroups))
        and (not wanted.containers or (seen.cgroup == BOX and any(ID.startswith(one) for one in wanted.containers)))
        and seen.uid not in no.uids
        and not seen.family & set(no.pids)
        and not any(_is_named(seen.comm, name) for name in no.comms)
        and not any(_is_in(seen.cgroup, path) for path in no.cgroups)
        and not (seen.cgroup == BOX and any(ID.startswith(one) for one in no.containers))
        and not ((no.cgroups or no.containers) and seen.cgroup == UNKNOWN)
    )


def _is_named(comm: str, name: str) -> bool:
    return comm[: len(name) - 1] == name[:-1] if name.endswith("*") else comm == name


def _is_in(cgroup: str, path: str) -> bool:
    return path == "/" or (cgroup + "/").startswith(path + "/")


# ---- The story: make (100) runs sh (110), which runs cc (111) and ends; cc goes on as init's child, and runs ld. ----


def exec_of(time: float, pid: int, ppid: int, uid: int, comm: str, cgroup: str, ret: int = 0) -> Exec:
    return Exec(
        time=time, pid=pid, tid=pid, ppid=ppid, uid=uid, user=None, comm=comm, file=f"/bin/{comm}", argv=(comm,),
        truncated=False, ret=ret, error="ENOENT" if ret else None, start_ns=start_of(pid), cgroup=cgroup,
    )  # fmt: skip


def start_of(pid: int) -> int:
    return pid * TICK_NS + 7


def process_of(time: float, pid: int, ppid: int, uid: int, comm: str, *, matched: bool = True) -> Process:
    return Process(
        time=time,
        pid=pid,
        ppid=ppid,
        uid=uid,
        user=None,
        comm=comm,
        argv=(comm,),
        start_ns=pid * TICK_NS,
        matched=matched,
    )


def exit_of(time: float, pid: int, ppid: int, uid: int, comm: str) -> Exit:
    return Exit(
        time=time, pid=pid, ppid=ppid, uid=uid, comm=comm, code=0, signal=None, duration_s=1.0, start_ns=start_of(pid)
    )


def call_of(time: float, pid: int, comm: str) -> Syscall:
    return Syscall(
        time=time, pid=pid, tid=pid + 5, comm=comm, abi="x86_64", nr=39, name="getpid", args=(), ret=0, ns=10
    )


def line_of(time: float, pid: int, task: str) -> Trace:
    return Trace(time=time, cpu=0, pid=pid, tid=pid + 5, task=task, message=f"{pid} at {time}")


def family(*pids: int) -> frozenset[int]:
    return frozenset(pids)


MAKE, SH, CC, LD = family(1, 100), family(1, 100, 110), family(1, 100, 110, 111), family(1, 100, 110, 111, 112)

EXECS: list[tuple[Event, Seen | None]] = [
    # A child is reported before its parent; and one that is only the ancestor of what was asked for.
    (process_of(9, 90, 80, 7, "cat"), Seen(7, "cat", family(1, 80, 90), UNKNOWN)),
    (process_of(9, 80, 1, 0, "sshd"), Seen(0, "sshd", family(1, 80), UNKNOWN)),
    (process_of(9, 1, 0, 0, "init"), Seen(0, "init", family(1), UNKNOWN)),
    (process_of(9, 70, 1, 0, "cron", matched=False), None),
    (exec_of(10, 100, 1, 1000, "make", "/job"), Seen(1000, "make", MAKE, "/job")),
    (exec_of(11, 110, 100, 1000, "sh", "/job/step"), Seen(1000, "sh", SH, "/job/step")),
    (exec_of(11.2, 111, 110, 1000, "cc", "/job/step"), Seen(1000, "cc", CC, "/job/step")),
    (exit_of(12, 110, 100, 1000, "sh"), Seen(1000, "sh", SH, "/job/step")),
    # It only forked: that it is make's child is only known from its failure.
    (exec_of(12.5, 115, 100, 1000, "make", "/job", ret=-2), Seen(1000, "make", family(1, 100, 115), "/job")),
    (exec_of(13.5, 112, 111, 1000, "ld", "/job/step"), Seen(1000, "ld", LD, "/job/step")),
    (exec_of(14, 120, 80, 7, "make-ready", BOX), Seen(7, "make-ready", family(1, 80, 120), BOX)),
    # It started as root and ends as somebody else.
    (exec_of(14.1, 130, 80, 0, "httpd", "/jobs"), Seen(0, "httpd", family(1, 80, 130), "/jobs")),
    (exit_of(14.2, 130, 80, 33, "httpd"), Seen(33, "httpd", family(1, 80, 130), "/jobs")),
    (exec_of(20, 121, 120, 7, "ld", BOX), Seen(7, "ld", family(1, 80, 120, 121), BOX)),
    (exit_of(21, 121, 120, 7, "ld"), Seen(7, "ld", family(1, 80, 120, 121), BOX)),
]
# When the filter changes, what runs is reported again: cc with the parent that it has now.
REPORTED_AGAIN = process_of(13, 111, 1, 1000, "cc")

CALLS: list[tuple[Event, Seen | None]] = [
    (call_of(11.5, 111, "worker"), Seen(1000, "worker", CC, "/job/step")),  # by the name of the thread
    (call_of(13, 90, "cat"), Seen(7, "cat", family(1, 80, 90), UNKNOWN)),
    (call_of(14.15, 130, "httpd"), Seen(0, "httpd", family(1, 80, 130), "/jobs")),
    (call_of(20.5, 121, "ld"), Seen(7, "ld", family(1, 80, 120, 121), BOX)),
]
LINES: list[tuple[Event, Seen | None]] = [
    # Printed at the beginning of execve: by a fork of make.
    (line_of(10.9, 110, "make"), Seen(1000, "make", SH, "/job/step")),
    (line_of(12.4, 115, "make"), Seen(1000, "make", family(1, 100, 115), "/job")),
    (line_of(13, 90, "cat"), Seen(7, "cat", family(1, 80, 90), UNKNOWN)),
    (line_of(20.2, 121, "ld"), Seen(7, "ld", family(1, 80, 120, 121), BOX)),
]
# Who makes calls and waits in one, by the name of the process.
CALLERS = {
    111: Seen(1000, "cc", CC, "/job/step"),
    90: Seen(7, "cat", family(1, 80, 90), UNKNOWN),
    121: Seen(7, "ld", family(1, 80, 120, 121), BOX),
}
UIDS = (0, 4, 7, 1000)  # 4 started programs that no record reports
# Of each process, the newest record that reports it.
RUNNING = {
    1: (9.0, EXECS[2][1]),
    70: (9.0, None),
    80: (9.0, EXECS[1][1]),
    90: (9.0, EXECS[0][1]),
    100: (10.0, EXECS[4][1]),
    111: (13.0, EXECS[6][1]),
    112: (13.5, EXECS[9][1]),
    120: (14.0, EXECS[10][1]),
}


def reading(time: float, count: int) -> Syscalls:
    row = SyscallRow(abi="x86_64", nr=39, name="getpid", count=100 * count, errors=0, histogram_ns=())
    return Syscalls(
        time=time,
        rows=(row,),
        processes=tuple(
            ProcessCalls(
                pid=pid, comm=seen.comm, abi="x86_64", nr=39, name="getpid", count=count, start_ns=start_of(pid)
            )
            for pid, seen in CALLERS.items()
        ),
        in_flight=tuple(
            InFlight(pid=pid, tid=pid, comm=seen.comm, abi="x86_64", nr=39, name="getpid", ns=5)
            for pid, seen in CALLERS.items()
        ),
    )


READINGS = (reading(16, 5), reading(30, 9))
USERS = Users(time=30, rows=tuple(UserRow(uid=uid, user=None, execs=3, failed=0) for uid in UIDS))


def crowd() -> list[Event]:
    """Return what pushes out of each model who ended before: 2500 programs that start and end."""
    records: list[Event] = []
    for pid in range(10_000, 12_500):
        records += [exec_of(12.2, pid, 80, 5, "crowd", "/crowd"), exit_of(12.3, pid, 80, 5, "crowd")]
    return records


CROWD = crowd()

FILTERS = [
    Filter(),
    Filter(uids=(0,)),
    Filter(uids=(1000,)),
    Filter(uids=(7, 33)),
    Filter(uids=(4,)),
    Filter(pids=(1,)),
    Filter(pids=(80,)),
    Filter(pids=(100,)),
    Filter(pids=(110,)),  # has ended: what it started has not
    Filter(pids=(111,)),
    Filter(pids=(115, 120)),
    Filter(pids=(70,)),
    Filter(comms=("make",)),
    Filter(comms=("make*",)),
    Filter(comms=("cc", "worker")),
    Filter(comms=("ld",)),
    Filter(comms=("*",)),
    Filter(cgroups=("/job",)),
    Filter(cgroups=("/job/step", "/box")),
    Filter(cgroups=("/",)),
    Filter(containers=(ID[:6],)),
    Filter(containers=("8f4",)),
    Filter(uids=(1000,), pids=(111,)),
    Filter(uids=(7,), comms=("ld",), containers=(ID,)),
    Filter(pids=(100,), comms=("make",), cgroups=("/job",)),
    Filter(uids=(1000,), containers=(ID,)),
    Filter(excluded=Values(uids=(0, 7))),
    Filter(excluded=Values(pids=(110,))),
    Filter(excluded=Values(pids=(1,))),
    Filter(excluded=Values(comms=("make*", "ld"))),
    Filter(excluded=Values(cgroups=("/job",))),
    Filter(excluded=Values(cgroups=("/",))),
    Filter(excluded=Values(containers=(ID[:6],))),
    Filter(pids=(100,), excluded=Values(pids=(111,))),
    Filter(uids=(1000,), excluded=Values(uids=(1000,))),
    Filter(cgroups=("/job",), excluded=Values(cgroups=("/job/step",), comms=("cc",))),
    Filter(comms=("*",), excluded=Values(uids=(33,), comms=("worker",), containers=("8f4",))),
]

SINCE = {
    "a recording: the kernel decides nothing": math.inf,
    "all is older than the filter": 100.0,
    "some is older than the filter": 15.0,
    "the kernel decided about all": 0.0,
}


class Everything:
    """All models, fed with the story, and what each shows."""

    def __init__(self, execs: Sequence[Event], *, execs_first: bool) -> None:
        records: list[Event | Syscalls | Users] = [*execs, *(record for record, _ in CALLS + LINES), *READINGS, USERS]
        records.sort(key=lambda record: record.time)
        self.records: list[Record] = [*records]
        self.log, self.users, self.calls, self.trace = ExecLog(), UsersModel(), SyscallsModel(), TraceLog()
        batches = [
            (Batch("execs", 30.0, tuple(execs)), (self.log, self.users, self.calls, self.trace)),
            (Batch("users", 30.0, (USERS,)), (self.users,)),
            (Batch("syscalls", 30.0, tuple(call for call, _ in CALLS) + READINGS), (self.calls, self.users)),
            (Batch("trace", 30.0, tuple(line for line, _ in LINES)), (self.trace,)),
        ]
        for batch, models in batches if execs_first else reversed(batches):
            for model in models:
                model.feed(batch)

    def apply(self, view_filter: ViewFilter) -> None:
        # Counters are counted from a filter on, so each has its own.
        known = self.calls.processes
        self.calls = SyscallsModel()
        self.calls.processes = known
        self.calls.feed(Batch("syscalls", 30.0, tuple(call for call, _ in CALLS) + READINGS))
        self.log.apply_filter(view_filter)
        self.users.apply_filter(view_filter)
        self.calls.apply_filter(view_filter)
        if math.isfinite(view_filter.kernel_filter_since):
            self.calls.filter_changed(view_filter.kernel_filter_since)
        self.trace.apply_filter(view_filter)
        subset = Subset(view_filter, None, self.records)
        self.saved: list[Record] = [kept for record in self.records if (kept := subset(record)) is not None]


def scanned(view: View[Row]) -> list[Row]:
    while view.scan(100_000):
        pass
    return view.rows()


def expected(told: Iterable[tuple[Event, Seen | None]], kind: type[Event], view_filter: ViewFilter) -> list[Event]:
    """Return the records of *kind* that match: what is not older than the filter does."""
    return [
        record
        for record, seen in told
        if isinstance(record, kind)
        and seen is not None
        and (record.time >= view_filter.kernel_filter_since or kernel_matches(view_filter.filter, seen))
    ]


@pytest.fixture(scope="module", params=["quiet", "busy", "the exec log comes last"])
def everything(request: pytest.FixtureRequest) -> Everything:
    execs = [record for record, _ in EXECS] + [REPORTED_AGAIN]
    if request.param == "busy":
        execs += CROWD
    execs.sort(key=lambda record: record.time)
    return Everything(execs, execs_first=request.param != "the exec log comes last")


@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize("wanted", FILTERS, ids=lambda wanted: str(wanted) or "no filter")
def test_everything_shows_and_saves_what_the_kernel_would_have_matched(
    everything: Everything, wanted: Filter, since: str
) -> None:
    view_filter = ViewFilter(wanted, SINCE[since])
    everything.apply(view_filter)
    told = [one for one in EXECS if not (isinstance(one[0], (Exec, Exit)) and one[0].pid >= 10_000)]

    def without_crowd(records: Iterable[Record], kind: type[Event]) -> list[Event]:
        return [r for r in records if isinstance(r, kind) and r.pid < 10_000 and r is not REPORTED_AGAIN]

    log, users, calls, saved = everything.log, everything.users, everything.calls, everything.saved
    programs = expected(told, Exec, view_filter)
    assert without_crowd([row.exec for row in scanned(log.view)], Exec) == programs
    assert without_crowd(saved, Exec) == programs

    running = {
        pid
        for pid, (time, seen) in RUNNING.items()
        if seen and (time >= view_filter.kernel_filter_since or kernel_matches(wanted, seen))
    }
    assert {known.pid for uid in UIDS for known in users.processes_of(uid)} == running
    ancestors = set() if wanted else {70}  # the whole tree has its roots
    assert {branch.process.pid for branch in grow(log.processes, 30.0, view_filter=view_filter)} == running | ancestors
    assert without_crowd(saved, Process) == expected(told, Process, view_filter)

    started = {(record.pid, record.start_ns) for record in programs if isinstance(record, Exec) and not record.ret}
    ends = expected(told, Exit, view_filter)
    ends_saved = without_crowd(saved, Exit)
    assert ends_saved == [
        record
        for record, _ in told
        if isinstance(record, Exit) and (record in ends or (record.pid, record.start_ns) in started)
    ]

    assert scanned(calls.traced_view()) == expected(CALLS, Syscall, view_filter)
    assert without_crowd(saved, Syscall) == expected(CALLS, Syscall, view_filter)
    assert scanned(everything.trace.view) == expected(LINES, Trace, view_filter)
    assert without_crowd(saved, Trace) == expected(LINES, Trace, view_filter)

    # Counters that began with the filter contain only what the kernel let through.
    counted = view_filter.kernel_filter_since <= 30
    callers = {pid for pid, seen in CALLERS.items() if counted or kernel_matches(wanted, seen)}
    assert {call.pid for call in calls.in_flight} == callers
    if counted:
        calls.feed(Batch("syscalls", 31.0, (reading(31, 20),)))
    assert {caller.pid for caller in calls.callers(("x86_64", 39)) if caller.pid is not None} == callers

    uids = {uid for uid in UIDS if uid not in wanted.excluded.uids and (not wanted.uids or uid in wanted.uids)}
    assert {user.row.uid for user in users.shown} <= uids
    if set(wanted.kinds()) == set(Filter(uids=wanted.uids, excluded=Values(uids=wanted.excluded.uids)).kinds()):
        assert [row.uid for record in saved if isinstance(record, Users) for row in record.rows] == sorted(uids)


@pytest.mark.parametrize("execs_first", [True, False])
@pytest.mark.parametrize("since", [math.inf, 15.0])
@pytest.mark.parametrize("wanted", FILTERS, ids=lambda wanted: str(wanted) or "no filter")
def test_what_is_filtered_while_it_comes_in_shows_the_same(wanted: Filter, since: float, execs_first: bool) -> None:
    view_filter = ViewFilter(wanted, since)
    log, users, calls, trace = ExecLog(), UsersModel(), SyscallsModel(), TraceLog()
    for model in (log, users, calls, trace):
        model.apply_filter(view_filter)
    traced = calls.traced_view()
    # One record in each batch, at worst each record of a probe before the first of the exec log.
    execs = [record for record, _ in EXECS] + [REPORTED_AGAIN]
    others = [record for record, _ in CALLS + LINES]
    together = sorted(execs + others, key=lambda record: record.time)
    for record in together if execs_first else [*others, *sorted(execs, key=lambda record: record.time)]:
        for model in (log, users, calls, trace):
            model.feed(Batch("execs", record.time, (record,)))
        traced.advance()
    assert [row.exec for row in scanned(log.view)] == expected(EXECS, Exec, view_filter)
    assert {known.pid for uid in UIDS for known in users.processes_of(uid)} == {
        pid for pid, (time, seen) in RUNNING.items() if seen and (time >= since or kernel_matches(wanted, seen))
    }
    assert scanned(traced) == expected(CALLS, Syscall, view_filter)
    assert scanned(trace.view) == expected(LINES, Trace, view_filter)


def test_processes_that_are_each_other_s_ancestors_descend_from_nobody_else() -> None:
    processes = Processes()
    # A damaged recording: 50 is a child of 51, 51 of 52, 52 of 53, and 53 of 50.
    records = (process_of(9, pid, 50 + (pid - 49) % 4, 0, "x") for pid in (50, 51, 52, 53))
    ring = [processes.started(msgspec.structs.replace(record, start_ns=0)).lineage for record in records]
    assert [processes.descends(lineage, (4711,)) for lineage in ring] == [False] * 4
    assert [processes.descends(lineage, (52,)) for lineage in ring][1:3] == [True, True]


def test_of_a_line_of_descent_without_end_the_newest_part_is_kept() -> None:
    processes = Processes()
    newest = None
    for generation in range(3 * LINEAGE_MAX):
        pid = 100 + generation
        newest = processes.started(process_of(9, pid, pid - 1, 0, "x")).lineage
        processes.exited(exit_of(9, pid, pid - 1, 0, "x"))
    assert newest is not None
    assert processes.descends(newest, (newest.pid - LINEAGE_MAX + 1,))
    ancestors = 0
    while newest.parent is not None:
        newest, ancestors = newest.parent, ancestors + 1
    assert LINEAGE_MAX <= ancestors <= 2 * LINEAGE_MAX
