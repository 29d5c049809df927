"""The exec log: what started, and what became of it."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.process_records import TICK_NS, Exec, Exit, Process
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter
from ebpftop.models.exec_row import ExecRow, command_line
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Processes
from ebpftop.models.program_fields import EXECS
from ebpftop.models.ring import BUDGET
from ebpftop.models.tree import grow

SECOND_NS = 1_000_000_000
PROGRAM = Exec(
    time=100.0,
    pid=50,
    tid=50,
    ppid=1,
    uid=1000,
    user="ada",
    comm="sleep",
    file="/usr/bin/sleep",
    argv=("sleep", "9"),
    truncated=False,
    ret=0,
    error=None,
    cgroup="/user.slice",
    start_ns=5 * SECOND_NS + 123,
)
END = Exit(
    time=103.0, pid=50, uid=1000, comm="sleep", code=0, signal=None, duration_s=3.0, start_ns=PROGRAM.start_ns, ppid=1
)
INIT = Process(time=99.0, pid=1, ppid=0, uid=0, user="root", comm="init", argv=("/sbin/init",), start_ns=0)


def log_of(*records: Record, capacity: int = 100_000) -> ExecLog:
    log = ExecLog(capacity)
    log.feed(Batch("execs", 110.0, records))
    return log


def rows_kept(log: ExecLog) -> list[ExecRow]:
    return log.ring.slice(log.ring.first, log.ring.end)


def rows(log: ExecLog) -> list[ExecRow]:
    return [log.view[position] for position in range(log.view.first, log.view.end)]


def test_the_rate_is_that_of_the_span_in_which_the_users_were_counted() -> None:
    times = (100.0, 100.2, 100.9, 101.0, 101.1, 101.8)
    log = log_of(*(msgspec.structs.replace(PROGRAM, time=time, pid=i, tid=i) for i, time in enumerate(times)))
    assert log.rate(101.5) == 3  # of the last second, as long as nothing says more
    for time in (98.0, 100.0, 101.0):
        log.feed(Batch("users", time, (Users(time=time, rows=()),)))
    assert log.rate(101.9) == 3
    assert log.rate(104.5) == 0  # no reading any more: the last second again
    log.feed(Batch("users", 103.0, (Users(time=103.0, rows=()),)))
    assert log.rate(103.1) == 1


def test_the_rate_of_a_full_log_is_that_of_what_it_still_has() -> None:
    log = log_of(*(msgspec.structs.replace(PROGRAM, time=100 + i / 10, pid=i, tid=i) for i in range(10)), capacity=5)
    assert log.rate(101.0) == pytest.approx(4 / 0.5)


def test_a_program_runs_until_its_exit() -> None:
    log = log_of(PROGRAM)
    assert rows(log)[0].running
    assert rows(log)[0].seconds(107.5) == 7.5
    log.feed(Batch("execs", 111.0, (END,)))
    row = rows(log)[0]
    assert (row.running, row.outcome, row.seconds(999.0)) == (False, "0", 3.0)


@pytest.mark.parametrize(("code", "signal", "outcome"), [(3, None, "3"), (None, "SIGKILL", "SIGKILL"), (0, None, "0")])
def test_outcome_is_a_code_or_a_signal(code: int | None, signal: str | None, outcome: str) -> None:
    log = log_of(PROGRAM, msgspec.structs.replace(END, code=code, signal=signal))
    assert rows(log)[0].outcome == outcome


def test_a_failed_exec_never_ran() -> None:
    failed = msgspec.structs.replace(PROGRAM, ret=-2, error="ENOENT")
    log = log_of(failed, END)
    row = rows(log)[0]
    assert (row.failed, row.running, row.outcome, row.seconds(200.0)) == (True, False, "ENOENT", None)
    assert (log.execs, log.failed) == (0, 1)


def test_an_exit_belongs_to_pid_and_start_never_to_the_pid_alone() -> None:
    reused = msgspec.structs.replace(PROGRAM, start_ns=PROGRAM.start_ns + 1, time=104.0)
    log = log_of(PROGRAM, reused, END)
    first, second = rows(log)
    assert first.outcome == "0"
    assert second.running


def test_a_process_that_runs_another_program_replaces_the_first() -> None:
    second = msgspec.structs.replace(PROGRAM, time=101.5, file="/usr/bin/true", argv=("true",))
    log = log_of(PROGRAM, second, END)
    before, after = rows(log)
    assert (before.outcome, before.seconds(999.0)) == ("exec", 1.5)
    assert after.outcome == "0"


def test_an_exit_whose_row_fell_out_of_the_ring_is_no_trouble() -> None:
    others = [msgspec.structs.replace(PROGRAM, pid=60 + i) for i in range(3)]
    log = log_of(PROGRAM, *others, capacity=2)
    log.feed(Batch("execs", 111.0, (END,)))
    assert all(row.running for row in rows(log))
    assert log.exits == 1


def test_an_exit_without_start_time_joins_an_exec_without_one() -> None:
    log = log_of(msgspec.structs.replace(PROGRAM, start_ns=0), msgspec.structs.replace(END, start_ns=0))
    assert rows(log)[0].outcome == "0"


def test_memory_stays_bounded_where_exits_never_come() -> None:
    log = ExecLog(capacity=10)
    for pid in range(100):
        log.feed(Batch("execs", 110.0, (msgspec.structs.replace(PROGRAM, pid=pid),)))
    assert len(log.ring) == 10
    assert len(log._open) <= 21


def test_long_arguments_count_against_the_memory_of_the_log() -> None:
    log = ExecLog()
    huge = msgspec.structs.replace(PROGRAM, argv=("x", "y" * (1 << 20)))
    for pid in range(200):
        log.feed(Batch("execs", 110.0, (msgspec.structs.replace(huge, pid=pid),)))
    assert BUDGET // (1 << 20) - 2 <= len(log.ring) < BUDGET // (1 << 20)


def test_tens_of_thousands_of_ordinary_rows_are_kept_and_no_more_than_the_bound_allows() -> None:
    log = ExecLog()
    ordinary = msgspec.structs.replace(PROGRAM, argv=("cc", "-O2", "-Wall", "-c", "src/some/file.c", "-o", "file.o"))
    log.feed(Batch("execs", 110.0, (ordinary,) * 100_500))
    assert log.ring.end == 100_500
    assert 25_000 < len(log.ring) <= 100_000
    assert log.ring.weight <= BUDGET


@pytest.mark.parametrize(
    "typed",
    [
        "sleep 9",
        '"sleep 9"',
        "^sleep",
        "9$",
        "ada",
        "1000",
        "user.slice",
        "/usr/bin/sl",
        "SIGTERM",
        "Sleep$|sleep",
        "!nothing",
    ],
)
def test_filter_searches_all_fields(typed: str) -> None:
    log = log_of(PROGRAM, msgspec.structs.replace(END, code=None, signal="SIGTERM"))
    log.apply_filter(ViewFilter(), EXECS.parse(typed))
    log.view.scan(10)
    assert len(log.view) == 1


@pytest.mark.parametrize("typed", ["nothing", "!sleep", "SLEEP"])
def test_filter_hides_what_does_not_match(typed: str) -> None:
    log = log_of(PROGRAM)
    log.apply_filter(ViewFilter(), EXECS.parse(typed))
    log.view.scan(10)
    assert len(log.view) == 0


def test_filter_by_user_and_pattern_means_both() -> None:
    log = log_of(PROGRAM)
    for uid, pattern, shown in ((1000, "sleep", True), (0, "sleep", False), (1000, "cat", False)):
        log.apply_filter(ViewFilter(Filter(uids=(uid,))), EXECS.parse(pattern))
        assert log.matches(rows_kept(log)[0]) is shown


def test_command_line_is_quoted_for_a_shell() -> None:
    assert command_line(("sh", "-c", "echo $X", "", "it's")) == "sh -c 'echo $X' '' 'it'\"'\"'s'"


# Processes and their ancestors.


def process(pid: int, ppid: int, start_s: float) -> Process:
    return Process(
        time=99.0,
        pid=pid,
        ppid=ppid,
        uid=0,
        user="root",
        comm=f"p{pid}",
        argv=(f"p{pid}",),
        start_ns=int(start_s * SECOND_NS),
    )


def test_ancestors_go_up_to_pid_1() -> None:
    shell = process(40, 1, 2)
    log = log_of(INIT, shell, msgspec.structs.replace(PROGRAM, ppid=40))
    assert [known.pid for known in log.ancestors(rows(log)[0])] == [40, 1]
    assert log.parent(rows(log)[0]) == "p40"


def test_an_ancestor_that_is_younger_than_its_child_is_somebody_else() -> None:
    log = log_of(INIT, process(40, 1, 9), msgspec.structs.replace(PROGRAM, ppid=40))
    assert log.ancestors(rows(log)[0]) == []


def test_ancestors_that_ended_are_remembered() -> None:
    parent = msgspec.structs.replace(PROGRAM, pid=40, comm="make", start_ns=4 * SECOND_NS)
    gone = msgspec.structs.replace(END, pid=40, start_ns=4 * SECOND_NS)
    log = log_of(INIT, parent, msgspec.structs.replace(PROGRAM, ppid=40), gone)
    ancestors = log.ancestors(rows(log)[1])
    assert [known.comm for known in ancestors] == ["make", "init"]
    assert ancestors[0].ended == 103.0


def test_ancestors_in_a_circle_end() -> None:
    log = log_of(process(40, 41, 2), process(41, 40, 1), msgspec.structs.replace(PROGRAM, ppid=40))
    assert len(log.ancestors(rows(log)[0])) <= 2


def test_a_process_that_ran_before_is_known_by_the_tick_of_its_start() -> None:
    start = 7 * SECOND_NS
    log = log_of(process(70, 1, 7))
    other = msgspec.structs.replace(END, pid=70, start_ns=start + TICK_NS)
    log.feed(Batch("execs", 112.0, (other,)))
    assert 70 in log.processes.running
    same = msgspec.structs.replace(END, pid=70, start_ns=start + TICK_NS - 1)
    log.feed(Batch("execs", 112.0, (same,)))
    assert 70 not in log.processes.running


def test_a_pid_in_use_again_means_that_its_end_was_missed() -> None:
    log = log_of(PROGRAM, msgspec.structs.replace(PROGRAM, start_ns=PROGRAM.start_ns + SECOND_NS, comm="other"))
    known = log.processes.get(50)
    assert known is not None
    assert known.comm == "other"


def test_ended_processes_are_kept_only_so_many() -> None:
    log = ExecLog()
    log.processes.ended.entries = 5
    for pid in range(20):
        program = msgspec.structs.replace(PROGRAM, pid=pid)
        log.feed(Batch("execs", 110.0, (program, msgspec.structs.replace(END, pid=pid))))
    assert len(log.processes.ended) == 5
    assert not log.processes.running


# The tree.


def drawn(log: ExecLog, now: float = 110.0) -> list[str]:
    return [branch.guide + branch.process.comm for branch in grow(log.processes, now)]


def test_tree_puts_children_under_parents_in_the_order_of_their_start() -> None:
    log = log_of(INIT, process(30, 1, 3), process(20, 1, 2), process(31, 30, 4), process(32, 30, 5), process(21, 20, 4))
    assert drawn(log) == ["init", "├─ p20", "│  └─ p21", "└─ p30", "   ├─ p31", "   └─ p32"]


def test_tree_shows_who_ended_a_moment_ago_and_then_forgets() -> None:
    log = log_of(INIT, PROGRAM, END)
    assert drawn(log, 104.0) == ["init", "└─ sleep"]
    assert drawn(log, 109.0) == ["init"]


def test_tree_gives_orphans_to_init() -> None:
    parent = msgspec.structs.replace(PROGRAM, pid=40, comm="make")
    child = msgspec.structs.replace(PROGRAM, ppid=40)
    log = log_of(INIT, parent, child, msgspec.structs.replace(END, pid=40))
    assert drawn(log, 200.0) == ["init", "└─ sleep"]


def test_tree_as_deep_as_processes_can_be() -> None:
    log = log_of(INIT, *(process(pid, pid - 1, pid) for pid in range(2, 3000)))
    assert len(drawn(log)) == 2999


def test_an_ancestor_that_is_told_with_what_is_wanted_is_not_wanted_itself() -> None:
    view_filter = ViewFilter(Filter(comms=("sleep",)), kernel_filter_since=100.0)
    processes = Processes()
    early, late = (
        processes.started(msgspec.structs.replace(INIT, pid=pid, time=time, comm=comm))
        for pid, time, comm in ((7, 99.0, "sleep"), (8, 101.0, "renamed since"))
    )
    above = processes.started(msgspec.structs.replace(INIT, time=101.0, matched=False))
    assert [view_filter.matches_process(known, processes) for known in (early, late, above)] == [True, True, False]
    assert not ViewFilter().matches_process(above, processes), "whoever reported it did not ask for it"
    assert {branch.process.pid for branch in grow(processes, 102.0)} == {7, 8, 1}, "but the whole tree has its roots"
