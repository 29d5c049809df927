"""Why processes wait: shares of the last seconds, letters, and what is said of each, whatever the readings are like."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.records import Probe
from ebpftop.core.source import Batch
from ebpftop.core.state_records import BlockedCall, ProcessStates, ThreadNow, Waker
from ebpftop.core.syscall_records import Awaited, InFlight
from ebpftop.filters.query import QueryError
from ebpftop.models.wait_fields import waits_language
from ebpftop.models.waits import most_on, woken_by
from ebpftop.ui.panes.wait_columns import wait_columns
from ebpftop.ui.panes.wait_details import wait_sheet
from tests.unit.state_samples import (
    DISK,
    HELD,
    LOCK,
    NOBODY_S,
    PEER,
    READ_0,
    WRITES,
    S,
    flight,
    only,
    read,
    reading,
    row,
    thread,
)


def test_shares_are_of_the_last_ten_seconds() -> None:
    totals = [(min(at, 5), 0.0, max(0, at - 5)) for at in range(1, 21)]
    model = read(*(reading(at, row(*totals[at - 1])) for at in range(1, 21)))
    assert (only(model).running, only(model).blocked) == (0.0, 1.0)
    model = read(*(reading(at, row(*totals[at - 1])) for at in range(1, 11)))
    assert (only(model).running, only(model).blocked) == (0.5, 0.5)
    assert only(model).letters(1010) == "rrrrrbbbbb"


def test_the_first_reading_says_what_was_since_the_probe_was_attached() -> None:
    waiter = only(read(reading(4, row(1, 2, 1))))
    assert (waiter.running, waiter.queued, waiter.blocked) == (0.25, 0.5, 0.25)
    assert waiter.letters(1004) == "······qqqq"


def test_hours_before_the_first_reading_are_not_the_last_ten_seconds() -> None:
    model = read(reading(3600, row(3600, 0, 0), busy=3600), reading(3601, row(3600, 0, 1), busy=3600))
    assert (only(model).running, only(model).blocked) == (0.0, 1.0)
    assert model.machine is not None
    assert model.machine.running == 0.0


def test_letters_are_those_of_seconds_however_often_it_is_read() -> None:
    often = read(*(reading(at / 4, row(at / 4 if at <= 20 else 5, 0, 0)) for at in range(1, 41)))
    assert only(often).letters(1010) == "rrrrrbbbbb"
    seldom = read(reading(5, row(5, 0, 0)), reading(10, row(5, 0, 5)))
    assert only(seldom).letters(1010) == "rrrrrbbbbb"


def test_threads_that_only_wait_do_not_hide_one_that_runs() -> None:
    waiter = only(read(reading(1, row(1, 0, 40)), reading(2, row(2, 0, 80))))
    assert waiter.letters(1002)[-2:] == "rr"


def test_running_is_of_one_cpu_as_htop_counts_and_blocked_is_of_all_threads() -> None:
    # 60 threads: two run all the time, one waits for a CPU for half of it.
    waiter = only(read(*(reading(at, row(2 * at, 0.5 * at, 57.5 * at, threads=60)) for at in range(1, 21))))
    assert (waiter.running, waiter.queued) == (2.0, 0.5)
    assert waiter.blocked == pytest.approx(57.5 / 60)
    (cell,) = next(column for column in wait_columns(lambda: None) if column.key == "running").cell(waiter, 0)
    assert cell.text == "200%"


def test_who_is_listed_late_did_not_do_all_of_it_in_one_second() -> None:
    model = read(reading(99), reading(100, row(50, 0, 50)))
    assert only(model).running == pytest.approx(0.5)
    assert only(read(reading(99), reading(100, row(0.2, 0, 0, start_ns=round(99.8 * S))))).running == pytest.approx(0.2)
    model.feed(Batch("states", 1101, (reading(101, row(51, 0, 50)),)))
    assert only(model).running == 1.0


def test_totals_that_begin_anew_are_no_negative_time() -> None:
    model = read(reading(8, row(1, 0, 7)), reading(9, row(0.5, 0, 0.5), since=1))
    assert only(model).running == 0.5
    model.feed(Batch("states", 1009, (Probe(time=1009, probe="states", state="off", via=None, reason=None),)))
    assert model.waiters == []
    assert model.machine is None


def test_the_whole_machine() -> None:
    machine = read(reading(1, busy=1), reading(2, busy=3, queued=1), reading(3, busy=4, queued=3)).machine
    assert machine is not None
    assert (machine.cpus, round(machine.running, 3), round(machine.queued, 3), machine.seconds) == (2, 0.667, 1.0, 3)
    machine = read(reading(1, queued=5), reading(2, queued=3)).machine
    assert machine is not None
    assert machine.queued == 2.5, "what is less than before is no negative time"


@pytest.mark.parametrize(
    ("shown", "calls", "words"),
    [
        (row(0, 0, 1, thread("blocked", nr=0, call="read")), (PEER,), "read tcp 10.0.0.7:5432"),
        (row(0, 0, 1, thread("blocked", nr=0, call="read")), (), "read"),
        (row(0, 0, 1, thread("blocked", nr=1, call="write")), (PEER,), "write"),
        (row(0, 0, 1, thread("blocked")), (PEER,), "read tcp 10.0.0.7:5432"),
        (row(0, 0, 1, thread("running")), (PEER,), ""),
        (row(0.9, 0, 0.1, thread("blocked", nr=0, call="read")), (PEER,), "on CPU"),
        (row(0.9, 0, 0.1, thread("blocked", 8, 202, "futex")), (HELD,), "lock 0x10 ← b 9"),
        (row(0.4, 0.2, 0.4, thread("blocked", nr=0, call="read")), (PEER,), "on CPU"),
        (row(0.4, 0, 0.6, thread("blocked", nr=0, call="read")), (), "read"),
        (row(0, 0, 1, thread("stopped")), (), "stopped by a signal"),
        (row(0, 0, 1, thread("blocked"), thread("blocked", 8, 202, "futex")), (HELD,), "lock 0x10 ← b 9"),
        (row(0.5, 0.5, 0, thread("runnable")), (), "CPU: 1.5 wanted per CPU"),
        (row(0, 0, 1, ended=True), (), "ended"),
    ],
)
def test_what_it_mostly_waits_for(shown: ProcessStates, calls: tuple[InFlight, ...], words: str) -> None:
    model = read(reading(1, shown, busy=2, queued=1))
    model.connect(calls)
    assert most_on(only(model), model.machine) == words
    assert wait_sheet(model, only(model)).content(80), "and its sheet can be drawn"


def test_a_thread_that_wants_a_cpu_is_queued_in_a_filter_as_on_the_screen() -> None:
    model = read(reading(1, row(0.5, 0.5, 0, thread("runnable")), busy=2, queued=1))
    language = waits_language(lambda: model.machine)
    for text, matches in (("state:queued", True), ("state:blocked", False)):
        query = language.parse(text)
        assert query is not None
        assert query.matches(only(model)) is matches
    with pytest.raises(QueryError, match="queued"):
        language.parse("state:runnable")


def test_what_was_blocked_in_before_and_runs_now() -> None:
    def calls(read_ns: int, write_ns: int) -> tuple[BlockedCall, ...]:
        return tuple(
            BlockedCall(abi="x86_64", nr=nr, syscall=name, ns=ns, max_ns=ns, count=1)
            for nr, name, ns in ((0, "read", read_ns), (1, "write", write_ns))
        )

    first = row(0, 0, 30, thread("running"), blocked=calls(30 * S, 0))
    later = row(0, 0, 45, thread("running"), blocked=calls(30 * S, 15 * S))
    model = read(reading(30, first), reading(45, later))
    assert most_on(only(model), model.machine) == "write", "of the last seconds, not of all"
    model.feed(Batch("states", 1056, (reading(56, msgspec.structs.replace(later, blocked_ns=56 * S)),)))
    assert most_on(only(model), model.machine) == "", "in none of them in the last seconds"


def test_who_woke_it() -> None:
    wakers = (
        Waker(pid=None, comm=None, context="softirq", count=3),
        Waker(pid=9, comm=None, context=None, count=2),
    )
    assert list(woken_by(row(0, 0, 1, wakers=wakers))) == [("softirq", 3, None), ("process 9", 2, 9)]


def test_readings_that_are_far_apart_are_no_ten_seconds() -> None:
    model = read(reading(60, row(30, 0, 30), busy=60), reading(120, row(30, 0, 90), busy=180))
    assert model.machine is not None
    assert (model.machine.seconds, only(model).seconds, only(model).running) == (60, 60, 0.0)
    often = read(*(reading(at * 1.06, row(0, 0, 0)) for at in range(1, 30)))
    assert often.machine is not None
    assert (often.machine.seconds, only(often).seconds) == (10, 10)


def test_who_is_not_in_a_reading_is_not_listed_and_counts_once_when_it_is_back() -> None:
    model = read(reading(1, row(1, 0, 0, wakeups=8)), reading(2), reading(3, row(1, 0, 2, wakeups=8)))
    assert only(model).running == pytest.approx(1 / 3)
    assert only(model).wakeups == 8
    model.feed(Batch("states", 1004, (reading(4, row(2, 0, 2, wakeups=9)),)))
    assert only(model).running == pytest.approx(0.5)
    assert only(model).wakeups == 9


def test_wake_ups_are_of_the_last_ten_seconds_and_begin_anew_with_the_probe() -> None:
    model = read(*(reading(at, row(0, 0, at, wakeups=min(at, 15))) for at in range(1, 21)))
    assert only(model).wakeups == 5
    model.feed(Batch("states", 1021, (reading(21, row(0, 0, 1, wakeups=2), since=1),)))
    assert only(model).wakeups == 2


def test_totals_of_one_process_that_go_back_begin_anew() -> None:
    def calls(ns: int) -> tuple[BlockedCall, ...]:
        return (BlockedCall(abi="x86_64", nr=0, syscall="read", ns=ns, max_ns=ns, count=1),)

    model = read(reading(8, row(4, 0, 4, wakeups=9, blocked=calls(4 * S))), reading(9, row(5, 0, 4, wakeups=9)))
    model.feed(Batch("states", 1010, (reading(10, row(0.5, 0, 0.5, wakeups=2, blocked=calls(S // 2))),)))
    waiter = only(model)
    assert (waiter.running, waiter.blocked, waiter.wakeups) == (0.5, 0.5, 2)
    assert waiter.most_blocked is not None, "what it was blocked in began anew, too"
    assert waiter.letters(1010) == "·········r"


@pytest.mark.parametrize(
    ("now", "calls", "chosen", "urgency"),
    [
        ((READ_0, LOCK, DISK), (HELD,), DISK, 3),
        ((READ_0, LOCK), (HELD,), LOCK, 2),
        ((thread("blocked", nr=0, call="ppoll"), READ_0), (PEER,), None, 2),
        ((thread("blocked", 8, 202, "futex"),), (NOBODY_S,), LOCK, 1),
        ((READ_0,), (), READ_0, 1),
        ((thread("blocked"),), (), thread("blocked"), 0),
        ((), (), None, 0),
    ],
)
def test_which_thread_says_most_and_how_much(
    now: tuple[ThreadNow, ...], calls: tuple[InFlight, ...], chosen: ThreadNow | None, urgency: int
) -> None:
    model = read(reading(1, row(0, 0, 1, *now)))
    model.connect(calls)
    assert only(model).urgency == urgency
    if chosen is not None or not now:
        assert only(model).thread == chosen


def test_a_call_is_that_of_its_thread_also_if_no_signal_ends_it() -> None:
    model = read(reading(1, row(0, 0, 1, READ_0, DISK)))
    model.connect((flight(6, fd=1, path="/of/another"), WRITES))
    assert only(model).call_of(DISK) == WRITES
    assert only(model).call_of(READ_0) is None
    assert most_on(only(model), model.machine) == "write /mnt/a"


def test_who_waits_for_itself_waits_for_nobody_else() -> None:
    model = read(reading(1, row(0, 0, 1, LOCK)))
    model.connect((flight(8, "futex", 202, lock="0x10", awaited=(Awaited(pid=7, comm="a"), Awaited(pid=9, comm="b"))),))
    assert only(model).awaited == 9
    model.connect((flight(8, "futex", 202, lock="0x10", awaited=(Awaited(pid=7, comm="a"),)),))
    assert only(model).awaited is None
    model.connect(())
    assert only(model).awaited is None
    assert only(model).calls == (), "what was in flight before is not now"


def test_a_call_from_before_the_probe_was_attached_has_lasted_at_least_so_long() -> None:
    model = read(reading(20, row(0, 0, 20, READ_0)))
    model.connect((flight(before=True),))
    assert model.latest is not None
    assert only(model).waited(READ_0, model.latest) == (9 * S, True)


def test_what_begins_anew_is_not_what_went_on_though_its_totals_are_larger() -> None:
    again = read(reading(8, row(1, 0, 7), busy=1), reading(12, row(3, 0, 8), since=4, busy=2))
    assert (only(again).running, only(again).seconds) == (0.75, 4)
    back = read(reading(20, row(1, 0, 7), busy=1), reading(10, row(3, 0, 8), since=30, busy=15))
    assert only(back).running == pytest.approx(0.1)
    assert only(back).seconds == 30
    assert back.machine is not None
    assert back.machine.running == 0.25


def test_a_probe_that_is_on_already_begins_nothing_anew() -> None:
    model = read(reading(8, row(8, 0, 0)))
    model.feed(Batch("states", 1008, (Probe(time=1008, probe="states", state="on", via="raw", reason=None),)))
    model.feed(Batch("states", 1009, (reading(9, row(8, 0, 1)),)))
    assert only(model).running == pytest.approx(8 / 9)


def test_a_pid_that_is_used_again_is_another_process() -> None:
    ended = row(1, 0, 4, ended=True)
    model = read(reading(5, row(1, 0, 4)), reading(6, ended, row(1.5, 0, 4.5, start_ns=5 * S)))
    assert len(model.waiters) == 2
    found = model.find(7)
    assert found is not None
    assert (found.row.start_ns, found.running) == (5 * S, 1.5)
    model.feed(Batch("states", 1007, (reading(7, row(2, 0, 5, start_ns=6 * S)),)))
    assert (only(model).running, model.find(8)) == (2.0, None)


@pytest.mark.parametrize(
    ("matches", "matches_not"),
    [
        ("pid:7", "pid:0"),
        ("uid:33", "uid:7"),
        ("running:20%", "running:30%"),
        ("queued:30%", "queued:50%"),
        ("blocked:50%", "blocked:20%"),
        ("threads:3", "threads:7"),
        ("comm:a", "comm:b"),
        ("on:CPU*", "on:read*"),
        ("call:read", "call:poll"),
        ("call:write", "call:open"),
        ("by:server", "by:8"),
        ("by:9", "by:a"),
        ("by:softirq", "by:irq"),
        ("by:holder", "by:hold"),
        ("by:12", "by:1"),
        ("kernel:tcp_*", "kernel:udp_*"),
        ("state:stopped", "state:running"),
        ("7", "8"),
        ("wanted", "unwanted"),
    ],
)
def test_each_field_of_the_filter(matches: str, matches_not: str) -> None:
    wakers = (
        Waker(pid=9, comm="server", context=None, count=2),
        Waker(pid=None, comm=None, context="softirq", count=1),
    )
    write = BlockedCall(abi="x86_64", nr=1, syscall="write", ns=S, max_ns=S, count=1)
    now = thread("blocked", nr=0, call="read"), thread("stopped", 8)
    one = row(2, 3, 5, *now, uid=33, threads=3, wakers=wakers, blocked=(write,))
    model = read(reading(10, one, busy=20, queued=10))
    model.connect((flight(awaited=(Awaited(pid=12, comm="holder"),), kernel_stack=("tcp_recvmsg", "ksys_read")),))
    language = waits_language(lambda: model.machine)
    for text, expected in ((matches, True), (matches_not, False)):
        query = language.parse(text)
        assert query is not None
        assert query.matches(only(model)) is expected, text
