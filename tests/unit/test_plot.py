"""Plots of block characters, their scales, and the line of times below them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from ebpftop.core.format import brief
from ebpftop.ui.widgets.axis import column_of, time_axis
from ebpftop.ui.widgets.graphs import Graph, scale_text, shown, value_text, widths
from ebpftop.ui.widgets.plot import Scale, peak_of, plot, scale_of


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_largest_fills_the_height_and_whatever_happened_is_seen() -> None:
    assert plot([0, 0.001, 4, 8], 1, Scale(8)) == [" ▁▄█"]
    assert plot([0, 0.001, 4, 8], 2, Scale(8)) == ["   █", " ▁██"]
    assert plot([6], 2, Scale(8)) == ["▄", "█"]


def test_what_is_not_known_is_a_dot_at_the_foot() -> None:
    assert plot([None, 0, 1], 2, Scale(1)) == ["  █", "· █"]


def test_nothing_at_all_is_empty_and_no_error() -> None:
    assert plot([0, 0], 1, scale_of([0, 0])) == ["  "]
    assert plot([], 2, scale_of([])) == ["", ""]
    assert plot([None], 1, scale_of([None], log=True)) == ["·"]
    assert peak_of([None, 0]) is None


def test_on_a_logarithmic_scale_equal_factors_are_equal_steps() -> None:
    scale = scale_of([10, 100, 1000], log=True)
    heights = [scale.share(value) for value in (10, 100, 1000)]
    steps = [b - a for a, b in pairwise(heights)]
    assert steps[0] == pytest.approx(steps[1])
    assert heights[0] > 0.1
    assert heights[-1] == 1
    assert scale.value(scale.share(50)) == pytest.approx(50)


def test_the_newest_of_several_peaks_is_the_peak() -> None:
    assert peak_of([3, None, 3, 1]) == 2


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "·"), (0.01, "<0.1"), (0.3, "0.3"), (9.94, "9.9"), (9.96, "10"), (999.4, "999"), (999.6, "1.0k")),
        *((9949, "9.9k"), (31_000, "31k"), (999_499, "999k"), (999_600, "1.0M"), (1e9, "1.0G"), (5e16, "50P")),
    ],
)
def test_a_brief_number_has_four_characters_at_most(number: float, text: str) -> None:
    assert brief(number) == text
    assert len(text) <= 4


def test_all_graphs_fit_into_120_cells_and_the_execs_into_anything() -> None:
    assert shown(120) == ("execs", "failed", "calls", "errors", "p99", "lost", "cost")
    assert shown(80) == ("execs", "failed", "calls", "p99")
    assert shown(3) == ("execs",)
    for width in range(1, 300):
        count = len(shown(width))
        assert sum(widths(width, count)) + count - 1 == width


def test_a_scale_says_its_top_its_unit_and_that_it_is_logarithmic() -> None:
    assert scale_text(Graph("execs", (1, 190.2, None))) == "≤190"
    assert scale_text(Graph("p99", (1000, 55_000_000))) == "log≤55ms"
    assert scale_text(Graph("cost", (0.03, 0.09))) == "≤9.0%"
    assert scale_text(Graph("lost", (0, 54))) == "≤54/s"
    # What it is now may be more than any column, each of which is a mean.
    assert scale_text(Graph("execs", (1, 190.2), now=217)) == "≤217"
    assert scale_text(Graph("lost", (0, 0.5), now=54)) == "≤0.5/s"
    assert scale_text(Graph("execs", (0, None))) == ""
    assert value_text("calls", None) == "\N{EN DASH}"


def test_a_moment_is_in_the_column_of_its_time() -> None:
    assert [column_of(moment, (0, 10), 5) for moment in (-1, 0, 1.9, 2, 9.9, 10, 99)] == [0, 0, 0, 1, 4, 4, 4]
    assert column_of(5, (7, 7), 5) == 4


def test_times_stand_below_their_columns_and_never_run_together() -> None:
    assert time_axis((0, 100), 100).startswith("00:00:00")
    assert time_axis((0, 100), 100).endswith("00:01:40")
    for width in range(3, 200):
        line = time_axis((0, 3600), width)
        assert len(line) == width
        assert all(len(label) == 8 for label in line.split())


def test_the_cursor_is_marked_below_its_column_wherever_it_is() -> None:
    for width in (20, 60, 200):
        for cursor in range(width):
            line = time_axis((0, 3600), width, cursor)
            assert len(line) == width
            assert line[cursor] == "┃", (width, cursor, line)
