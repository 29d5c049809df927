"""Totals, baselines, heat maps and callers of system calls, from readings alone."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import ProcessCalls, ProcessTotal, Syscall, SyscallRow, Syscalls
from ebpftop.models.baseline import Baseline, failed_share
from ebpftop.models.callers import Caller, CallOf, callers, calls_of, comm_of
from ebpftop.models.syscalls import Call, SyscallsModel


def row(
    count: int, *, errors: int = 0, ns: tuple[int, ...] = (), total_ns: int = 0, max_ns: int = 0, **errnos: int
) -> SyscallRow:
    return SyscallRow(
        abi="x86_64", nr=0, name="read", count=count, errors=errors, histogram_ns=ns, total_ns=total_ns, max_ns=max_ns,
        errnos=errnos,
    )  # fmt: skip


def feed(model: SyscallsModel, *rows: SyscallRow) -> SyscallsModel:
    for one in rows:
        second = model.readings + 1.0
        model.feed(Batch("syscalls", second, (Syscalls(time=second, rows=(one,)),)))
    return model


def test_z_lets_every_figure_start_from_here() -> None:
    model = feed(SyscallsModel(), row(100, errors=4, ns=(0, 0, 100), total_ns=500, max_ns=7, ENOENT=4))
    model.reset()
    read = model.calls["x86_64", 0]
    assert (read.count(last=False), read.errors(last=False), read.spent_ns(last=False)) == (0, 0, 0)
    assert read.errnos() == {}
    assert read.longest(last=False) is None
    feed(model, row(110, errors=9, ns=(0, 0, 100, 0, 0, 10), total_ns=900, max_ns=60, ENOENT=4, EINTR=5))
    assert (read.count(last=False), read.errors(last=False), read.spent_ns(last=False)) == (10, 5, 400)
    assert read.errnos() == {"EINTR": 5}
    assert read.failure_rate(last=False) == 0.5
    assert 32 <= (read.quantile(0.5, last=False) or 0) <= 60
    assert read.longest(last=False) == 60
    model.undo_reset()
    assert read.count(last=False) == 110
    assert read.errnos() == {"ENOENT": 4, "EINTR": 5}


def test_a_call_that_first_appears_after_z_counts_whole() -> None:
    model = SyscallsModel()
    model.feed(Batch("syscalls", 1, (Syscalls(time=1, rows=()),)))
    model.reset()
    feed(model, row(7))
    assert model.calls["x86_64", 0].count(last=False) == 7


def test_the_longest_since_z_is_no_longer_than_its_bucket() -> None:
    model = feed(SyscallsModel(), row(1, ns=(0,) * 20 + (1,), max_ns=2_000_000))
    model.reset()
    feed(model, row(2, ns=(0,) * 10 + (1,) + (0,) * 9 + (1,), max_ns=2_000_000))
    assert model.calls["x86_64", 0].longest(last=False) == 2048


def test_what_was_asked_is_shown_until_readings_can_tell() -> None:
    model = feed(SyscallsModel(), row(1))
    read = model.calls["x86_64", 0]
    model.ask(read.key, "ignore")
    assert model.handler(read) == "ignore"
    feed(model, row(2))
    assert model.handler(read) == "ignore", "this reading may have been on its way"
    feed(model, row(3))
    assert model.handler(read) == "count"
    model.ask(read.key, "trace")
    model.forget()
    assert model.handler(read) == "count"


def test_traced_calls_are_kept_up_to_a_limit() -> None:
    model = SyscallsModel(traced=10)
    call = Syscall(time=1, pid=1, comm="a", abi="x86_64", nr=0, name="read", args=("0",), ret=0, ns=1)
    model.feed(Batch("syscalls", 1, (call,) * 25))
    assert (model.traced.end, len(model.traced)) == (25, 10)


def test_ticks_hold_what_returned_between_readings() -> None:
    model = feed(SyscallsModel(), row(1, ns=(1,)), row(3, ns=(1, 2)), row(3, ns=(1, 2)), row(1, ns=(0, 1)))
    assert [tick.ns for tick in model.calls["x86_64", 0].ticks] == [(0, 2), (), (0, 1)]


# ---- The heat map ----


# ---- Who ----


def pair(pid: int, nr: int, count: int, errors: int = 0) -> ProcessCalls:
    return ProcessCalls(
        pid=pid, start_ns=10 * pid, comm=f"p{pid}", abi="x86_64", nr=nr, name=f"call{nr}", count=count, errors=errors
    )


READING = Syscalls(
    time=1,
    rows=(row(100, errors=10),),
    processes=(pair(7, 0, 20, 1), pair(8, 0, 50, 6), pair(7, 1, 5)),
    process_totals=(
        ProcessTotal(pid=7, start_ns=70, comm="p7", count=31, errors=2),
        ProcessTotal(pid=8, start_ns=80, comm="p8", count=50, errors=6),
    ),
)


def test_what_fell_out_of_the_kernels_map_is_shown_as_others() -> None:
    assert callers(READING, ("x86_64", 0)) == [
        Caller(8, "p8", 50, 6, 80),
        Caller(7, "p7", 20, 1, 70),
        Caller(None, "others", 30, 3),
    ]


def test_no_more_than_all_calls_failed_though_one_was_in_flight_when_counting_began() -> None:
    assert failed_share(382, 381) == 1.0
    assert [failed_share(1, 0), failed_share(-1, 4), failed_share(1, 4)] == [0.0, 0.0, 0.25]
    call = Call(row(381, errors=382))
    assert (call.errors(last=False), call.failure_rate(last=False)) == (382, 1.0)


def test_calls_of_a_process_come_with_those_not_told_apart() -> None:
    assert calls_of(READING, (7, 70)) == [
        CallOf(("x86_64", 0), "call0", 20, 1),
        CallOf(("x86_64", 1), "call1", 5, 0),
        CallOf(None, "others", 6, 1),
    ]
    assert [call.name for call in calls_of(READING, (8, 80))] == ["call0"]
    assert comm_of(READING, (7, 70)) == "p7"


def later(*processes: ProcessCalls, count: int, totals: tuple[ProcessTotal, ...] = ()) -> Syscalls:
    return Syscalls(time=2, rows=(row(count, errors=count // 10),), processes=processes, process_totals=totals)


def test_processes_are_counted_from_zero_too() -> None:
    now = later(pair(7, 0, 22, 2), pair(8, 0, 50, 6), count=110)
    assert callers(now, ("x86_64", 0), Baseline.at(READING, "Z")) == [
        Caller(7, "p7", 2, 1, 70),
        Caller(None, "others", 8, 0),
    ]


def test_a_process_that_got_the_pid_of_another_is_not_counted_from_that_ones_figures() -> None:
    reused = msgspec.structs.replace(pair(7, 0, 21), start_ns=71)
    assert callers(later(reused, count=121), ("x86_64", 0), Baseline.at(READING, "Z")) == [Caller(7, "p7", 21, 0, 71)]


def test_of_a_process_that_zero_did_not_tell_only_what_is_certain_is_told() -> None:
    told = tuple(pair(pid, 0, 100 - pid) for pid in range(1, 9))
    zero = Baseline.at(Syscalls(time=1, rows=(row(2000),), processes=told, boot_ns=1000), "Z")
    # It had at most a quarter more than the 92 calls of the least that was told, or it would have been told itself.
    now = later(pair(50, 0, 300), pair(101, 0, 250), count=3000)
    assert callers(now, ("x86_64", 0), zero) == [
        Caller(101, "p101", 250, 0, 1010),  # it started later
        Caller(50, "p50", 185, 0, 500),
        Caller(None, "others", 565, 300),
    ]


def test_calls_of_a_process_are_counted_from_zero_too() -> None:
    totals = (ProcessTotal(pid=7, start_ns=70, comm="p7", count=45, errors=9),)
    now = later(pair(7, 0, 29, 7), pair(7, 1, 5), count=200, totals=totals)
    assert calls_of(now, (7, 70), Baseline.at(READING, "Z")) == [
        CallOf(("x86_64", 0), "call0", 9, 6),
        CallOf(None, "others", 5, 1),
    ]


def timed(pid: int, nr: int, count: int, total_ns: int, max_ns: int) -> ProcessCalls:
    return msgspec.structs.replace(pair(pid, nr, count), total_ns=total_ns, max_ns=max_ns)


def test_time_of_a_process_and_of_all_others() -> None:
    whole = msgspec.structs.replace(row(100), total_ns=1000, max_ns=300)
    total = ProcessTotal(pid=7, start_ns=70, comm="p7", count=31, errors=0, total_ns=700, max_ns=300)
    now = Syscalls(
        time=1, rows=(whole,), processes=(timed(7, 0, 20, 600, 300), timed(8, 0, 50, 50, 4)), process_totals=(total,)
    )
    assert callers(now, ("x86_64", 0)) == [
        Caller(8, "p8", 50, 0, 80, 50, 4),
        Caller(7, "p7", 20, 0, 70, 600, 300),
        Caller(None, "others", 30, 0, total_ns=350),
    ]
    assert calls_of(now, (7, 70)) == [
        CallOf(("x86_64", 0), "call0", 20, 0, 600, 300),
        CallOf(None, "others", 11, 0, 100),
    ]


def test_of_older_recordings_the_time_of_processes_is_unknown() -> None:
    old = msgspec.structs.replace(READING, rows=(msgspec.structs.replace(READING.rows[0], total_ns=1000),))
    assert {(c.total_ns, c.max_ns) for c in callers(old, ("x86_64", 0))} == {(None, None)}
    assert {(c.total_ns, c.max_ns) for c in calls_of(old, (7, 70))} == {(None, None)}
    now = later(timed(7, 0, 22, 500, 9), count=110)
    (first, *_) = callers(now, ("x86_64", 0), Baseline.at(READING, "Z"))
    assert (first.count, first.total_ns, first.max_ns) == (2, None, None)


def test_time_is_counted_from_zero_and_the_longest_is_known_if_it_is_longer_than_before() -> None:
    zero = Baseline.at(later(timed(7, 0, 20, 600, 300), timed(8, 0, 50, 50, 4), count=70), "Z")
    now = later(timed(7, 0, 21, 700, 300), timed(8, 0, 51, 90, 40), count=72)
    assert [(c.pid, c.total_ns, c.max_ns) for c in callers(now, ("x86_64", 0), zero)] == [(7, 100, None), (8, 40, 40)]


def test_of_a_process_that_zero_did_not_list_only_the_time_that_is_certainly_later_is_shown() -> None:
    listed = tuple(timed(pid, 0, 1000 - pid, 100 * pid, pid) for pid in range(1, 11))
    zero = Baseline.at(Syscalls(time=1, rows=(row(20_000),), processes=listed, boot_ns=1000), "Z")
    now = later(timed(50, 0, 5000, 2000, 77), timed(101, 0, 250, 2000, 77), count=30_000)
    found = {c.pid: (c.count, c.total_ns, c.max_ns) for c in callers(now, ("x86_64", 0), zero)}
    # Before, it had at most a quarter more than the eighth of those that are listed: 992 calls, 300 ns.
    assert found[50] == (5000 - 1240, 2000 - 375, None)
    assert found[101] == (250, 2000, 77), "it started later"


def test_callers_since_z_are_counted_from_the_first_reading_of_them_after_it() -> None:
    def read(time: float, of_pair: int, everything: int, pairs_time: float) -> None:
        record = Syscalls(
            time=time, rows=(row(everything),), processes=(pair(7, 0, of_pair),), pairs_time=pairs_time, boot_ns=1000
        )
        model.feed(Batch("syscalls", time, (record,)))

    model = SyscallsModel()
    read(1.0, 100, 100, 1.0)
    read(5.0, 100, 500, 1.0)
    model.reset()
    assert model.callers(("x86_64", 0)) == []
    read(5.5, 100, 550, 1.0)
    assert not [caller for caller in model.callers(("x86_64", 0)) if caller.pid is not None], "100 is from before Z"
    read(6.0, 600, 600, 6.0)
    read(7.0, 700, 700, 7.0)
    assert model.callers(("x86_64", 0)) == [Caller(7, "p7", 100, 0, 70), Caller(None, "others", 100, 0)]
    read(8.0, 700, 800, 7.0)
    assert model.callers(("x86_64", 0))[-1] == Caller(None, "others", 100, 0), "all of one moment"


def test_totals_begin_with_the_first_reading_after_the_filters_change_however_late_that_is_told() -> None:
    model = feed(SyscallsModel(), row(100), row(110), row(115))
    model.filter_changed(1.5)
    read = model.calls["x86_64", 0]
    assert (read.count(last=False), model.since) == (5, 2.0)
    model.filter_changed(3.5)
    assert (read.count(last=False), model.since) == (5, 2.0), "no reading is that young"
    feed(model, row(120), row(127))
    assert (read.count(last=False), model.since) == (7, 4.0)


def test_another_moments_model_counts_from_the_same_zero_if_that_lies_before_it() -> None:
    live = feed(SyscallsModel(), row(100), row(110))
    live.filter_changed(1.5)
    live.reset()
    past = feed(SyscallsModel(), row(100))
    past.begin_with(live.filter_baseline, live.baseline)
    assert (past.calls["x86_64", 0].count(last=False), past.since) == (100, None)
    feed(past, row(110), row(125))
    past.begin_with(live.filter_baseline, live.baseline)
    assert (past.calls["x86_64", 0].count(last=False), past.since) == (15, 2.0)


@pytest.mark.parametrize("reading", [None, Syscalls(time=1, rows=())])
def test_nothing_is_known_before_the_first_reading(reading: Syscalls | None) -> None:
    assert callers(reading, ("x86_64", 0)) == []
    assert calls_of(reading, (7, 70)) == []
    assert comm_of(reading, (7, 70)) == ""
