"""Heat maps: columns of time, rows of latency, and the strength of a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.models.heat import LEVELS, Column, added, columns_of_ticks, heat, thresholds, within
from ebpftop.models.latency import Tick

HISTOGRAMS = st.lists(st.lists(st.integers(0, 1 << 40), max_size=44), max_size=30)


def test_of_nothing_there_is_no_map() -> None:
    assert heat([], 10) is None
    assert heat([Column(1, 2, ()), Column(2, 3, (0, 0)), Column(3, 4, None)], 10) is None
    assert heat([Column(1, 2, (1,))], 0) is None


@given(HISTOGRAMS, st.integers(1, 20))
def test_no_call_is_left_out_and_rows_are_as_many_as_fit(histograms: list[list[int]], lines: int) -> None:
    columns = [Column(at, at + 1, ns) for at, ns in enumerate(histograms)]
    shown = heat(columns, lines)
    if shown is None:
        assert not any(n for ns in histograms for n in ns)
        return
    assert shown.rows <= lines
    assert [sum(counts) for counts in shown.counts] == [sum(ns) for ns in histograms]
    assert shown.first % shown.per_row == 0


@given(HISTOGRAMS, st.integers(1, 20))
def test_strength_grows_with_the_count_and_whatever_happened_is_seen(histograms: list[list[int]], lines: int) -> None:
    shown = heat([Column(at, at + 1, ns) for at, ns in enumerate(histograms)], lines)
    if shown is None:
        return
    cells = sorted(
        (count, shown.level(at, row)) for at, counts in enumerate(shown.counts) for row, count in enumerate(counts)
    )
    levels = [level for _, level in cells]
    assert levels == sorted(levels)
    assert all((level == 0) == (count == 0) for count, level in cells)
    assert max(levels) <= LEVELS


@pytest.mark.parametrize(
    ("peak", "steps"),
    [
        (1, (1, 4, 16, 64, 256)),
        (1023, (1, 4, 16, 64, 256)),
        (1024, (1, 8, 64, 512, 4096)),
        (10**6, (1, 16, 256, 4096, 65536)),
    ],
)
def test_strengths_begin_at_the_same_multiple_of_the_one_before(peak: int, steps: tuple[int, ...]) -> None:
    assert thresholds(peak) == steps


def test_rows_stay_what_they_are_when_a_slower_call_comes() -> None:
    before = heat([Column(0, 1, (0,) * 9 + (5,) * 8)], 5)
    after = heat([Column(0, 1, (0,) * 9 + (5,) * 9)], 5)
    assert before is not None
    assert after is not None
    assert before.low_ns(0) == after.low_ns(0) == 1 << 8
    assert before.per_row == after.per_row == 2
    assert after.buckets(1, 2) == range(10, 14)


def test_readings_share_columns_or_take_several() -> None:
    ticks = [Tick(10.0 + at, (at,)) for at in range(4)]
    many = columns_of_ticks(ticks, 8)
    assert [column.ns for column in many] == [(0,), (0,), (1,), (1,), (2,), (2,), (3,), (3,)]
    assert (many[0].begin, many[0].end, many[-1].begin, many[-1].end) == (9, 10, 12, 13)
    few = columns_of_ticks(ticks, 2)
    assert [(column.begin, column.end, column.ns) for column in few] == [(9, 11, (1,)), (11, 13, (5,))]
    assert columns_of_ticks((), 5) == []


def test_histograms_are_added_and_cut() -> None:
    assert added([(1, 2), (), (1, 0, 3)]) == (2, 2, 3)
    assert added([]) == ()
    assert within((1, 2, 3, 4), range(1, 3)) == (0, 2, 3, 0)
