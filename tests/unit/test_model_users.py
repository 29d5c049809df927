"""Users: counters of many, narrowed and widened again, and what the other probes know of them."""

from __future__ import annotations

import time
import tracemalloc

import msgspec
import pytest

from ebpftop.core.comm import comm_matches
from ebpftop.core.escape import c_string
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import SyscallRow, Syscalls, UserCalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.parse import parse_filter
from ebpftop.filters.spec import Filter
from ebpftop.filters.stack import FilterLevel, FilterStack
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Processes
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.user import PROGRAMS_EACH, REST
from ebpftop.models.users import UsersModel


def row(uid: int, execs: int, failed: int = 0, **more: str) -> UserRow:
    return UserRow(uid=uid, user=None, execs=execs, failed=failed, **more)  # type: ignore[arg-type]  # of any field


def readings(model: UsersModel, *rows_at: tuple[float, tuple[UserRow, ...]]) -> None:
    for at, rows in rows_at:
        model.feed(Batch("users", at, (Users(time=at, rows=rows),)))


def program(
    pid: int, comm: str, uid: int = 1000, *, ppid: int = 1, at: float = 100.0, error: str | None = None
) -> Exec:
    return Exec(
        time=at, pid=pid, tid=pid, ppid=ppid, uid=uid, user=None, comm=comm, file=f"/bin/{comm}", argv=(comm,),
        truncated=False, ret=-2 if error else 0, error=error, start_ns=pid,
        cgroup=f"/a/b/docker-8f3a0c11d2e4{'0' * 52}.scope", container="8f3a0c11d2e4",
    )  # fmt: skip


def execs(*records: Exec | Exit | Process) -> Batch:
    return Batch("execs", 100.0, records)


def test_rates_and_history_of_a_user_who_pauses() -> None:
    model = UsersModel()
    readings(model, *((float(t), (row(0, n),)) for t, n in enumerate((5, 15, 15, 15, 18))))
    user = model.users[0]
    assert user.rate == 3
    assert list(user.history) == [10, 0, 0, 3]
    assert list(model.total.history) == [10, 0, 0, 3]


def test_failures_have_a_rate_of_their_own() -> None:
    model = UsersModel()
    readings(model, (0.0, (row(0, 5, 1),)), (2.0, (row(0, 15, 7),)))
    assert (model.users[0].rate, model.users[0].failed_rate) == (5, 3)
    readings(model, (4.0, (row(0, 15, 7),)))
    assert model.users[0].failed_rate == 0
    readings(model, (5.0, (row(0, 4, 2),)))
    assert (model.users[0].rate, model.users[0].failed_rate) == (4, 2), "counters that shrank were reset"


def test_the_share_of_calls_that_failed() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(1000, 1),)))
    for at, calls, errors in ((1.0, 100, 90), (2.0, 200, 95), (3.0, 200, 95)):
        users = (UserCalls(uid=1000, count=calls, errors=errors),)
        model.feed(Batch("syscalls", at, (Syscalls(time=at, rows=(), pairs_time=at, users=users),)))
        assert model.users[1000].calls_failed == (0.05 if at == 2.0 else 0.0)


def test_the_time_in_calls_per_second() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(1000, 1), row(1001, 1))))
    times: dict[float, int | None] = {1.0: 100, 2.0: 500, 4.0: 500, 5.0: None, 6.0: 900, 7.0: 1000}
    seen: list[float | None] = []
    for at, ns in times.items():
        users = (UserCalls(uid=1000, count=int(at), errors=0, total_ns=ns, max_ns=ns),)
        model.feed(Batch("syscalls", at, (Syscalls(time=at, rows=(), pairs_time=at, users=users),)))
        seen.append(model.users[1000].calls_ns)
    assert seen == [0, 400, 0, None, None, 100]
    assert model.users[1001].calls_ns == 0, "it made no call"


def test_history_is_bounded() -> None:
    model = UsersModel()
    readings(model, *((float(t), (row(0, t * (t % 3 > 0)),)) for t in range(1000)))
    assert len(model.users[0].history) == 120


def test_a_user_who_appears_later_had_nothing_before() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(0, 5),)), (2.0, (row(0, 5), row(7, 40))))
    assert model.users[7].rate == 40


def test_narrowed_users_count_from_there_and_widened_ones_as_before_without_a_burst() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(0, 1000), row(7, 10))), (2.0, (row(0, 1000), row(7, 10))))
    model.apply_filter(ViewFilter(Filter(pids=(1,)), 3.0))
    readings(model, (3.0, (row(0, 1500, 40), row(7, 10))), (4.0, (row(0, 1502, 41), row(7, 10), row(9, 4))))
    assert {user.row.uid: (user.row.execs, user.row.failed, user.rate) for user in model.shown} == {
        0: (2, 1, 2),
        9: (4, 0, 4),
    }
    assert (model.total.row.execs, model.total.row.failed, model.total.rate) == (6, 1, 6)
    model.apply_filter(ViewFilter(Filter(), 5.0))
    last = (6.0, (row(0, 1503, 41), row(7, 10), row(9, 4)))
    readings(model, (5.0, (row(0, 1502, 41), row(7, 10), row(9, 4))), last)
    assert model.failed == 41
    assert {user.row.uid: (user.row.execs, user.rate) for user in model.shown} == {0: (1503, 1), 7: (10, 0), 9: (4, 0)}
    assert model.total.rate == 1


def test_a_reading_that_was_faster_than_the_news_of_the_filter_is_what_counts_from_there() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(0, 100),)), (2.0, (row(0, 150),)))
    model.apply_filter(ViewFilter(Filter(pids=(1,)), float("inf")))
    readings(model, (2.5, (row(0, 170),)), (3.0, (row(0, 172),)))
    model.apply_filter(ViewFilter(Filter(pids=(1,)), 2.4))
    user = model.users[0]
    assert (user.row.execs, user.rate, model.total.row.execs, model.since) == (2, 4, 2, 2.5)


def test_narrowed_before_it_is_fed_a_model_counts_from_the_first_reading_that_the_filter_holds_for() -> None:
    model = UsersModel()
    model.apply_filter(ViewFilter(Filter(pids=(1,)), 2.5))
    readings(model, *((float(t), (row(0, 10 * t),)) for t in range(12)))
    assert (model.users[0].row.execs, model.since) == (80, 3.0)


def test_what_runs_is_counted_in_scope() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(1000, 4),)))
    model.feed(execs(program(5, "make"), program(6, "cc", ppid=5), program(7, "vi")))
    assert (model.users[1000].running, model.total.running) == (3, 3)
    model.apply_filter(ViewFilter(Filter(pids=(5,)), float("inf")))
    assert (model.users[1000].running, model.total.running) == (2, 2)
    model.apply_filter(ViewFilter(Filter(pids=(5,)), 200.0))
    # Its parent had ended, so nothing here tells that it descends from 5; but it came through the kernel's filter.
    late = Process(time=201.0, pid=8, ppid=1, uid=1000, user=None, comm="ld", argv=("ld",), start_ns=8)
    model.feed(Batch("execs", 201.0, (late,)))
    assert [known.pid for known in model.processes_of(1000)] == [6, 5, 8]
    assert model.total.running == 3
    # An ancestor of something wanted, told with it.
    above = Process(time=202.0, pid=9, ppid=1, uid=1000, user=None, comm="up", argv=("up",), start_ns=9, matched=False)
    model.feed(Batch("execs", 202.0, (above,)))
    assert model.total.running == 3
    model.apply_filter(ViewFilter(Filter(), 300.0))
    model.feed(Batch("execs", 300.0, (msgspec.structs.replace(above, time=300.0, matched=True),)))
    assert model.total.running == 5


def test_the_total_is_of_the_users_in_scope() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(0, 10), row(7, 1))), (2.0, (row(0, 30), row(7, 4))))
    model.apply_filter(ViewFilter(Filter(uids=(7,)), float("inf")))
    assert [user.row.uid for user in model.shown] == [7]
    total = model.shown_total
    assert (total.row.execs, total.rate, list(total.history)) == (4, 3, [3])
    model.apply_filter(ViewFilter(Filter(), float("inf")))
    assert model.shown_total.row.execs == 34


def test_programs_failures_and_running_processes_come_from_the_exec_log() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(1000, 4),)))
    model.feed(execs(program(5, "make"), program(6, "cc"), program(7, "cc"), program(8, "x", error="ENOENT")))
    model.feed(execs(Exit(time=101, pid=6, uid=1000, comm="cc", code=0, signal=None, duration_s=1, start_ns=6)))
    activity = model.activity[1000]
    assert activity.programs == {"make": 1, "cc": 2}
    assert activity.errors == {"ENOENT": 1}
    assert activity.container == "8f3a0c11d2e4"
    assert model.users[1000].running == 2
    assert [process.pid for process in model.processes_of(1000)] == [7, 5]


def test_a_process_that_runs_another_program_as_another_user_is_counted_there() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(0, 1), row(1000, 1))))
    model.feed(execs(program(5, "su", uid=0), program(5, "sh", uid=1000)))
    assert (model.users[0].running, model.users[1000].running, model.total.running) == (0, 1, 1)


def test_kernel_threads_are_no_programs_that_run() -> None:
    model = UsersModel()
    model.feed(execs(Process(time=1, pid=2, ppid=0, uid=0, user="root", comm="kthreadd", argv=(), start_ns=1)))
    assert model.total.running == 0


def test_system_calls_of_a_user_are_counted_in_the_kernel_and_marked_where_it_forgot_some() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(1000, 1), row(33, 1))))
    read_calls(model, 1.0, everything=1000, of={1000: 100})
    assert model.users[1000].calls_rate == 0, "one reading is no rate"
    read_calls(model, 3.0, everything=9000, of={1000: 500, 33: 7000})
    assert (model.users[1000].calls_rate, model.users[33].calls_rate) == (200, 3500)
    assert model.total.calls_rate == 4000
    assert not model.users[1000].calls_at_least
    read_calls(model, 4.0, everything=9500, of={1000: 800, 33: 7000}, evicted=3)
    assert (model.users[1000].calls_rate, model.users[33].calls_rate) == (300, 0)
    assert model.users[1000].calls_at_least
    read_calls(model, 5.0, everything=9600, of={1000: 900, 33: 7000}, evicted=3)
    assert not model.users[1000].calls_at_least, "what was evicted before is no part of this rate"


def test_calls_of_users_that_are_read_less_often_are_divided_by_the_time_between_these_readings() -> None:
    model = UsersModel()
    readings(model, (1.0, (row(1000, 1),)))
    read_calls(model, 1.0, everything=1000, of={1000: 100}, read=1.0)
    read_calls(model, 2.0, everything=2000, of={1000: 100}, read=1.0)
    assert (model.users[1000].calls_rate, model.total.calls_rate) == (0, 1000)
    read_calls(model, 6.0, everything=8000, of={1000: 600}, read=6.0)
    read_calls(model, 7.0, everything=8001, of={1000: 600}, read=6.0)
    assert (model.users[1000].calls_rate, model.total.calls_rate) == (100, 1)


def read_calls(
    model: UsersModel,
    at: float,
    everything: int,
    of: dict[int, int],
    evicted: int = 0,
    read: float | None = None,
) -> None:
    rows = (SyscallRow(abi="x86_64", nr=0, name="read", count=everything, errors=0, histogram_ns=()),)
    users = tuple(UserCalls(uid=uid, count=count, errors=0) for uid, count in of.items())
    model.feed(Batch("syscalls", at, (Syscalls(time=at, rows=rows, users=users, evicted=evicted, pairs_time=read),)))


def test_names_of_programs_are_bounded_for_each_user() -> None:
    model = UsersModel()
    model.feed(execs(*(program(pid, f"p{pid}") for pid in range(1000))))
    programs = model.activity[1000].programs
    assert len(programs) == PROGRAMS_EACH + 1
    assert programs[REST] == 1000 - PROGRAMS_EACH
    model.feed(execs(program(1, "p0")))
    assert programs["p0"] == 2, "a name that has a place keeps it"


def test_counters_that_shrank_were_counted_anew() -> None:
    model = UsersModel()
    readings(model, (0.0, (row(0, 50),)), (1.0, (row(0, 60),)), (3.0, (row(0, 8),)))
    assert model.users[0].rate == 4
    assert list(model.users[0].history) == [10, 4]


def test_a_full_map_of_users_costs_bounded_memory_and_little_time() -> None:
    uids = range(16384)
    tracemalloc.start()
    model = UsersModel()
    readings(model, *((float(t), tuple(row(uid, t) for uid in uids)) for t in range(3)))
    began_s = time.process_time()
    rows = tuple(row(uid, 3 + (uid == 5)) for uid in uids)
    took_s = []
    for t in range(3, 8):
        began_s = time.process_time()
        readings(model, (float(t), rows))
        took_s.append(time.process_time() - began_s)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 32 << 20
    # A reading comes once a second; tracing memory makes this several times slower than it is.
    assert min(took_s) < 0.5


@pytest.mark.parametrize(
    ("typed", "wanted", "rest"),
    [
        ("uid:0", Filter(uids=(0,)), ""),
        ("uid:0 uid:7 pid:12 ", Filter(uids=(0, 7), pids=(12,)), ""),
        (
            "comm:ssh* container:8f3 cgroup:/a/b x.*y",
            Filter(comms=("ssh*",), containers=("8f3",), cgroups=("/a/b",)),
            "x.*y",
        ),
        ("uid:root", None, "uid:root"),
        ("pid:", None, "pid:"),
        ("comm:sixteen-bytes-is", None, "comm:sixteen-bytes-is"),
        ("uid:4294967294", Filter(uids=(4294967294,)), ""),
        ("uid:4294967295", None, "uid:4294967295"),
        ("uid:0 uid:9999999999 x", Filter(uids=(0,)), "uid:9999999999 x"),
        ("uid:٣", None, "uid:٣"),
        ("pid:٣", None, "pid:٣"),
        ("comm:" + "ä" * 7 + "x", Filter(comms=("ä" * 7 + "x",)), ""),
        ("comm:" + "ä" * 8, None, "comm:" + "ä" * 8),
        ("comm:fifteen-bytes-x*", Filter(comms=("fifteen-bytes-x*",)), ""),
        ("cgroup:..", None, "cgroup:.."),
        ("cgroup:/../a", None, "cgroup:/../a"),
        ("cgroup:.", None, "cgroup:."),
        ("git uid:0", None, "git uid:0"),
        ("!uid:0", None, "!uid:0"),
        ("", None, ""),
    ],
)
def test_terms_for_the_kernel_are_told_from_the_expression(typed: str, wanted: Filter | None, rest: str) -> None:
    step, left = parse_filter(typed)
    assert (step.filter if step else None) == wanted
    assert left == rest


@pytest.mark.parametrize("name", ["plain", "a\u0301", "tab\there", "\udcff\udcfe", "a\u3164b"])
def test_a_name_means_the_same_to_screen_and_kernel_whatever_its_bytes(name: str) -> None:
    comm = c_string(name.encode("utf-8", "surrogateescape"))
    assert comm_matches(name, comm)
    assert comm_matches(name[:1] + "*", comm)
    assert not comm_matches(name + "x", comm)


KINDS = {"uids": (7,), "pids": (12,), "comms": ("ssh*",), "cgroups": ("/a",), "containers": ("8f3",)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone_is_a_filter_and_a_step_of_another_kind_leaves_it(kind: str) -> None:
    alone = Filter(**{kind: KINDS[kind]})  # type: ignore[arg-type]  # of any kind
    assert alone
    assert str(alone) == f"--{kind.removesuffix('s')} {KINDS[kind][0]}"
    whole = Filter(hide_self=False)
    for other, values in KINDS.items():
        whole = whole.combined(Filter(**{other: values}))  # type: ignore[arg-type]
    assert whole == Filter(**KINDS, hide_self=False)  # type: ignore[arg-type]
    assert Filter(**KINDS).combined(Filter(**{kind: ("x",)})) == Filter(**{**KINDS, kind: ("x",)})  # type: ignore[arg-type]


def test_steps_take_their_own_kind_and_leave_the_others() -> None:
    scope = FilterStack(Filter(uids=(0,), comms=("a",)))
    scope.push(FilterLevel("7", Filter(uids=(7,))))
    scope.push(FilterLevel("7", Filter(uids=(7,))))
    assert scope.filter == Filter(uids=(7,), comms=("a",))
    scope.pop()
    scope.pop()
    assert scope.pop() is None
    assert (scope.filter, scope.breadcrumb) == (Filter(), "")


def is_matched(wanted: Filter, *programs: Exec) -> bool:
    """Return whether the last program matches."""
    processes = Processes()
    *_, known = map(processes.started, programs)
    return ViewFilter(wanted).matches_exec(programs[-1], known.lineage, processes) is True


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Filter(uids=(1000,)), True),
        (Filter(uids=(0,)), False),
        (Filter(pids=(5,)), True),
        (Filter(pids=(4,)), True),
        (Filter(pids=(3,)), True),
        (Filter(pids=(2,)), False),
        (Filter(comms=("ma*",)), True),
        (Filter(comms=("mak",)), False),
        (Filter(cgroups=("/a",)), True),
        (Filter(cgroups=("a/b/",)), True),
        (Filter(cgroups=("//a//b/",)), True),
        (Filter(cgroups=("/a/bc",)), False),
        (Filter(cgroups=("/a/b/docker",)), False),
        (Filter(cgroups=("/",)), True),
        (Filter(cgroups=("/sys/fs/cgroup/a/b",)), True),
        (Filter(cgroups=("/sys/fs/cgroup/unified/a",)), True),
        (Filter(cgroups=("/sys/fs/cgroup",)), True),
        (Filter(cgroups=("/sys/fs/cgroups/a",)), False),
        (Filter(containers=("8f3",)), True),
        (Filter(containers=("8f3a0c11d2e4" + "0" * 52,)), True),
        (Filter(containers=("8f4",)), False),
        (Filter(containers=("8",)), False),
        (Filter(uids=(1000,), comms=("cc",)), False),
    ],
)
def test_what_came_before_the_filter_is_judged_like_the_kernel_would(wanted: Filter, taken: bool) -> None:
    assert is_matched(wanted, program(3, "init"), program(4, "sh", ppid=3), program(5, "make", ppid=4)) is taken


def test_a_child_of_the_process_that_is_asked_for_is_taken_though_nothing_told_of_that() -> None:
    assert is_matched(Filter(pids=(4,)), program(5, "make", ppid=4))
    assert not is_matched(Filter(pids=(3,)), program(5, "make", ppid=4))


def test_lines_are_narrowed_by_who_the_exec_log_says_printed_them() -> None:
    log = TraceLog()
    log.feed(execs(program(5, "make", uid=7), program(6, "cc", uid=8)))
    lines = tuple(
        Trace(time=float(at), cpu=0, pid=pid, task="x", message=str(at)) for at, pid in ((1, 5), (2, 6), (3, 9))
    )
    log.feed(Batch("trace", 3.0, lines))
    log.apply_filter(ViewFilter(Filter(uids=(7,)), 50.0))
    log.view.scan(100)
    log.feed(Batch("trace", 60.0, (Trace(time=60.0, cpu=0, pid=77, task="x", message="60"),)))
    assert [log.view[i].message for i in range(log.view.first, log.view.end)] == ["1", "60"]
    log.apply_filter(ViewFilter(Filter(), 70.0))
    log.view.scan(100)
    assert len(log.view) == 4
