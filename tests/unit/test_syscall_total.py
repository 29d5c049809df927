"""All system calls together, and which of them work rather than wait."""

from __future__ import annotations

import pytest

from ebpftop.core.syscall_records import SyscallRow
from ebpftop.models.rates import Meter
from ebpftop.models.syscall_total import peak_rate, total_of, working_ns
from ebpftop.models.syscalls import Call
from ebpftop.ui.panes.syscall_columns import call_columns
from ebpftop.ui.widgets.columns import Column, value_of


def row(name: str, count: int, total_ns: int, *, nr: int = 0, histogram: tuple[int, ...] = ()) -> SyscallRow:
    return SyscallRow(
        abi="x86_64", nr=nr, name=name, count=count, errors=count // 2, histogram_ns=histogram, total_ns=total_ns
    )


def column(key: str, calls: list[Call]) -> Column[Call]:
    columns = call_columns(
        lambda c, _: (), lambda: False, lambda: working_ns(calls, last=False), lambda: peak_rate(calls)
    )
    return next(c for c in columns if c.key == key)


@pytest.fixture
def calls() -> list[Call]:
    return [
        Call(row("openat", 4, 300, nr=257, histogram=(1, 3))),
        Call(row("close", 6, 100, nr=3, histogram=(0, 2, 4))),
        Call(row("read", 2, 5_000, nr=0)),
        Call(row("futex", 2, 90_000, nr=202)),
    ]


def test_the_total_is_the_sum_of_calls_and_of_histograms_of_any_length(calls: list[Call]) -> None:
    total = total_of(calls, Meter())
    assert total is not None
    assert (total.count(last=False), total.errors(last=False)) == (14, 7)
    assert total.buckets(last=False) == (1, 5, 4)
    assert total_of([], Meter()) is None


def test_the_total_begins_where_its_calls_begin(calls: list[Call]) -> None:
    calls[0].base = row("openat", 3, 100, nr=257, histogram=(1, 2))
    total = total_of(calls, Meter())
    assert total is not None
    assert total.count(last=False) == 11
    assert total.buckets(last=False) == (0, 3, 4)


def test_the_share_is_of_the_time_in_calls_that_do_not_wait(calls: list[Call]) -> None:
    share = column("share", calls)
    assert [value_of(share, call, 0.0) for call in calls] == [0.75, 0.25, None, None]
    assert ["".join(s.text for s in share.cell(call, 0.0)) for call in calls] == ["75%", "25%", "wait", "wait"]
    assert share.sort is not None
    assert [c.row.name for c in sorted(calls, key=share.sort, reverse=True)][:2] == ["openat", "close"]


def test_trends_have_one_scale(calls: list[Call]) -> None:
    for call, rates in zip(calls, ((1000.0, 10.0), (10.0,), (), ()), strict=True):
        call.history.extend(rates)
    trend = column("trend", calls)
    assert trend.fill is not None
    drawn = ["".join(s.text for s in trend.fill(call, 4)) for call in calls]
    assert peak_rate(calls) == 1000
    assert drawn[0][2] == "█"
    assert drawn[0][3] == drawn[1][3] != "█", "the same rate looks the same in each row"
    assert drawn[2] == "    "


def test_of_calls_that_nobody_makes_now_the_most_frequent_so_far_is_first(calls: list[Call]) -> None:
    rate = column("rate", calls)
    assert rate.sort is not None
    assert [c.row.name for c in sorted(calls, key=rate.sort, reverse=True)][:2] == ["close", "openat"]
