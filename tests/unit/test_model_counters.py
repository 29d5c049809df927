"""Users, syscalls, rates and latencies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.core.process_records import Exit
from ebpftop.core.records import Cost, Lost, Probe
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.latency import difference, quantile
from ebpftop.models.overview import Overview
from ebpftop.models.rates import Meter, Window
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.users import UsersModel


def test_meter_takes_the_rate_between_readings() -> None:
    meter = Meter()
    meter.read(100, 10.0)
    assert meter.rate == 0
    meter.read(150, 12.0)
    assert meter.rate == 25
    assert list(meter.history) == [25]


def test_meter_that_was_started_anew_counts_all_as_new() -> None:
    meter = Meter()
    meter.read(100, 10.0)
    meter.read(30, 11.0)
    assert meter.rate == 30


def test_meter_read_twice_at_one_time_does_not_divide_by_zero() -> None:
    meter = Meter()
    meter.read(100, 10.0)
    meter.read(110, 10.0)
    meter.read(120, 11.0)
    assert meter.rate == 10


@pytest.mark.parametrize("order", [1, -1])
def test_window_is_the_same_in_whatever_order_probes_report(order: int) -> None:
    window = Window(slots=5)
    for time, events in [(100.2, 10), (101.5, 20), (102.9, 30), (103.1, 7)][::order]:
        window.add(time, events)
    assert window.rate() == 20


def test_window_forgets() -> None:
    window = Window(slots=5)
    window.add(100.0, 1000)
    window.add(120.0, 5)
    assert window.rate() == 0


def test_window_of_one_second_shows_what_it_has() -> None:
    window = Window()
    window.add(100.0, 7)
    assert window.rate() == 7


def users(time: float, *rows: UserRow) -> Batch:
    return Batch("users", time, (Users(time=time, rows=rows),))


def test_users_have_rates_and_a_total() -> None:
    model = UsersModel()
    model.feed(users(10, UserRow(uid=0, user="root", execs=5, failed=1)))
    model.feed(users(11, UserRow(uid=0, user="root", execs=9, failed=2), UserRow(uid=7, user=None, execs=3, failed=0)))
    assert model.users[0].rate == 4
    assert model.users[7].rate == 3
    assert model.users[7].name == "7"
    assert (model.execs, model.failed, model.total.rate) == (12, 2, 7)


def test_a_name_that_resolves_later_is_taken() -> None:
    model = UsersModel()
    model.feed(users(10, UserRow(uid=33, user=None, execs=5, failed=1)))
    model.feed(users(11, UserRow(uid=33, user="www-data", execs=5, failed=1)))
    assert model.users[33].name == "www-data"


def call(count: int, errors: int = 0, ns: tuple[int, ...] = (), total_ns: int = 0) -> SyscallRow:
    return SyscallRow(abi="x86_64", nr=0, name="read", count=count, errors=errors, histogram_ns=ns, total_ns=total_ns)


def readings(*rows: SyscallRow) -> SyscallsModel:
    model = SyscallsModel()
    for second, row in enumerate(rows):
        model.feed(Batch("syscalls", second, (Syscalls(time=second, rows=(row,)),)))
    return model


def test_syscalls_in_all_and_since_the_last_reading() -> None:
    read = readings(call(100, 1, (0, 90)), call(160, 4, (0, 90, 0, 60), 0)).calls["x86_64", 0]
    assert (read.count(last=False), read.count(last=True)) == (160, 60)
    assert (read.errors(last=False), read.errors(last=True)) == (4, 3)
    assert read.rate == 60
    assert (read.quantile(0.5, last=False) or 0) < 4
    assert 8 <= (read.quantile(0.5, last=True) or 0) <= 16


def test_syscalls_of_a_probe_that_was_off_in_between_are_all_new() -> None:
    read = readings(call(100, ns=(0, 100)), call(20, ns=(0, 0, 20))).calls["x86_64", 0]
    assert read.count(last=True) == 20
    assert read.rate == 20


def test_time_spent_in_a_call_is_in_all_or_since_the_last_reading() -> None:
    read = readings(call(1, total_ns=1), call(2, total_ns=3_000_000_001)).calls["x86_64", 0]
    assert read.spent_ns(last=True) == 3_000_000_000
    assert read.spent_ns(last=False) == 3_000_000_001


def test_one_name_in_two_abis_is_two_calls() -> None:
    model = readings(call(1))
    other = SyscallRow(abi="i386", nr=3, name="read", count=5, errors=0, histogram_ns=())
    model.feed(Batch("syscalls", 9, (Syscalls(time=9, rows=(call(1), other)),)))
    assert {key: c.row.count for key, c in model.calls.items()} == {("x86_64", 0): 1, ("i386", 3): 5}


def test_quantile_of_nothing_is_unknown() -> None:
    assert quantile((), 0.5) is None
    assert quantile((0, 0), 0.5) is None


def test_quantile_lies_in_its_bucket() -> None:
    assert quantile((0, 0, 10), 0.5) == pytest.approx(2**2.5)
    assert quantile((5, 0, 0, 5), 0.99) == pytest.approx(2 ** (3 + 4.9 / 5))
    assert quantile((5, 0, 0, 5), 0.5) == 2, "the faster half, to the last of it"
    assert quantile((0, 5, 0), 1.0) == 4


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=64), st.floats(0, 1))
def test_quantile_stays_within_the_buckets_that_have_calls(buckets: list[int], q: float) -> None:
    value = quantile(buckets, q)
    filled = [i for i, n in enumerate(buckets) if n]
    if not filled:
        assert value is None
    else:
        assert value is not None
        assert filled[0] - 1e-9 <= math.log2(value) <= filled[-1] + 1 + 1e-9


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_quantiles_grow(buckets: list[int]) -> None:
    values = [quantile(buckets, q / 20) or 0.0 for q in range(21)]
    assert values == sorted(values)


def test_difference_of_histograms() -> None:
    assert difference((5, 7, 9), (5, 2)) == (0, 5, 9)


def test_overview_sums_losses_by_kind_and_keeps_the_newest_state() -> None:
    overview = Overview()
    ended = Exit(time=10.5, pid=1, uid=0, comm="x", code=0, signal=None, duration_s=None)
    overview.feed(
        Batch(
            "execs",
            10.5,
            (
                Probe(time=10, probe="execs", state="on", via="kprobe:x", reason=None),
                Lost(time=10, probe="execs", where="argv", count=3),
                Lost(time=10, probe="execs", where="ring", count=1),
                Lost(time=10, probe="execs", where="ring", count=5),
                ended,
                ended,
            ),
        )
    )
    overview.feed(Batch("users", 10.7, (Lost(time=10, probe="users", where="map", count=2),)))
    overview.feed(Batch("users", 9.0, (Cost(time=9, kernel=0.1, user=0.2, runs=3),)))
    assert overview.losses("execs") == [("ring", 5), ("argv", 3)]
    assert overview.total_lost == 10
    assert overview.time == 10.7
    assert overview.probes["execs"].state == "on"
    assert overview.cost is not None
    assert overview.cost.runs == 3


def test_trace_log_keeps_lines_and_finds_them() -> None:
    log = TraceLog(capacity=2)
    lines = [Trace(time=i, cpu=3, pid=i, task="bash", message=f"line {i}") for i in range(3)]
    log.feed(Batch("trace", 3, tuple(lines)))
    assert [log.view[i].message for i in range(log.view.first, log.view.end)] == ["line 1", "line 2"]
    assert TraceLog().searchable(lines[2]) == "2 bash cpu3 line 2"


def test_the_seconds_before_a_moment_are_its_rate_each_of_them() -> None:
    window = Window(slots=5)
    window.add(10.2, 1)
    window.recall({4: 1000, 5: 1, 6: 10, 7: 100, 8: 2, 9: 20, 10: 300})
    assert window.rate() == (1 + 10 + 100 + 2 + 20) / 5
    window.add(11.0, 0)
    assert window.rate() == (10 + 100 + 2 + 20 + 300) / 5
