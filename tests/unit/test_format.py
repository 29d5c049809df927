"""Numbers as people read them."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ebpftop
from ebpftop.core import format
from ebpftop.filters.regex import PatternError, parse
from ebpftop.ui.widgets.columns import Column, Span, cell_from, clip, fit, layout_cell


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *[(0, "0"), (9999, "9999"), (10_000, "10.0k"), (123_456, "123k"), (999_949, "1.00M"), (4_560_000, "4.56M")],
        *[(7.2e9, "7.20G"), (999e9, "999G"), (1.5e12, "1.50T")],
    ],
)
def test_count(number: int, text: str) -> None:
    assert format.count(number) == text


def test_one_of_a_kind_is_not_many() -> None:
    said = [format.counted(number, "line") for number in (0, 1, 2, 12_345)]
    assert said == ["0 lines", "1 line", "2 lines", "12.3k lines"]
    assert format.counted(1, "process", "processes") == "1 process"
    assert format.counted(12_345, "process", "processes", whole=True) == "12,345 processes"


# "more than 4096 rows of one kind": a limit, which is never one. "1 calls/s" is a unit.
_MANY = re.compile(
    r" (more |other |broken |later )*"
    r"(lines|execs|calls|users|records|rows|columns|readings|arguments|characters|names|slots|events)\b"
    r"(?! of one kind|/s)"
)


def test_no_number_is_followed_by_a_plural_that_one_would_not_take() -> None:
    """What says how many there are asks `counted`, or the number cannot be one."""
    found = []
    for file in sorted(Path(ebpftop.__file__).parent.rglob("*.py")):
        for text in ast.walk(ast.parse(file.read_text())):
            if isinstance(text, ast.JoinedStr):
                for number, words in pairwise(text.values):
                    after = words.value if isinstance(words, ast.Constant) and isinstance(words.value, str) else ""
                    if isinstance(number, ast.FormattedValue) and _MANY.match(after):
                        found.append(f"{file.name}:{text.lineno}: {after}")
    assert found == []


@given(st.floats(0, 1e15))
def test_count_and_rate_fit_in_six_characters(number: float) -> None:
    assert len(format.count(number)) <= 6
    assert len(format.per_second(number)) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[
            (0.00012, "120µs"),
            (0.045, "45ms"),
            (0.99951, "1.00s"),
            (3.214, "3.21s"),
            (42.04, "42.0s"),
            (59.96, "60.0s"),
            (119.94, "119.9s"),
            (119.96, "2m00s"),
        ],
        *[(750, "12m30s"), (18120, "5h02m"), (273_600, "3d4h"), (-1, "0")],
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert format.duration(seconds) == text


@given(st.floats(0, 86400 * 99))
def test_duration_fits_in_six_characters(seconds: float) -> None:
    assert len(format.duration(seconds)) <= 6
    assert len(format.age(seconds)) <= 6


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "·"),
        (128, "128ns"),
        (999.6, "1.0µs"),
        (1234, "1.2µs"),
        (45e6, "45ms"),
        (3.4e9, "3.4s"),
        (119.4e9, "119s"),
        (321e9, "5m21s"),
        (605e9, "10m"),
        (9e18, "104166d"),
    ],
)
def test_nanoseconds(ns: float | None, text: str) -> None:
    assert format.nanoseconds(ns) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_340, "12.3 kB"), (999_600, "1.00 MB"), (5 * 10**13, "50.0 TB")],
)
def test_size(number: int, text: str) -> None:
    assert format.size(number) == text


def test_whole_share() -> None:
    shares = (-0.1, 0.0, 0.001, 0.0051, 0.094, 0.595, 0.996, 1.0)
    assert [format.whole_share(part) for part in shares] == ["0%", "0%", "<1%", "1%", "9%", "60%", "100%", "100%"]


@pytest.mark.parametrize(("part", "text"), [(0, "0%"), (0.0004, "<0.1%"), (0.0123, "1.2%"), (0.5, "50%"), (1, "100%")])
def test_share(part: float, text: str) -> None:
    assert format.share(part) == text


@pytest.mark.parametrize(
    ("part", "drawn"), [(0, ""), (0.001, "╸"), (0.5, "━━"), (0.625, "━━╸"), (1, "━━━━"), (9, "━━━━")]
)
def test_bar(part: float, drawn: str) -> None:
    assert format.bar(part, 4) == drawn


def test_sparkline_is_scaled_to_its_peak_and_nothing_is_blank() -> None:
    assert format.sparkline([0, 1, 4, 8], 6) == "   ▁▄█"
    assert format.sparkline([9, 9, 1, 1], 2) == "██"
    assert format.sparkline([0, 0], 3) == "   "


def test_sparklines_of_one_logarithmic_scale_can_be_compared() -> None:
    assert format.sparkline([0, 0.01, 1, 10, 100, 1000], 6, 1000) == " ▁▁▃▆█"
    assert format.sparkline([10], 3, 1000) == "  ▃"
    assert format.sparkline([0, 5], 2, 0) == "  "


def test_losses_are_named_and_zeros_left_out() -> None:
    assert format.losses([("ring", 4), ("map", 0), ("argv", 12_000)]) == "4 ring, 12.0k argv"


# What is typed as a filter.


def test_small_letters_match_capitals_and_capitals_only_themselves() -> None:
    lower, upper = parse("git"), parse("Git")
    assert lower is not None
    assert upper is not None
    assert lower.matches("GIT push")
    assert not upper.matches("git push")


@pytest.mark.parametrize("typed", ["(", "[a", "a**", "a{99999999999}", "(?P<x"])
def test_invalid_patterns_are_told_not_raised_raw(typed: str) -> None:
    with pytest.raises(PatternError):
        parse(typed)


# Columns.


def columns(*widths: tuple[int, int, bool]) -> list[Column[str]]:
    return [
        Column(f"c{i}", f"C{i}", width, lambda row, _: (Span(row),), rank=rank, flexible=flexible)
        for i, (width, rank, flexible) in enumerate(widths)
    ]


def test_least_important_columns_go_first() -> None:
    wide = columns((5, 2, False), (5, 1, False), (10, 0, True))
    assert [(s.column.key, s.x, s.width) for s in fit(wide, 30)] == [("c0", 0, 5), ("c1", 6, 5), ("c2", 12, 18)]
    assert [s.column.key for s in fit(wide, 20)] == ["c1", "c2"]
    assert [s.column.key for s in fit(wide, 12)] == ["c2"]


def test_the_column_that_rows_are_sorted_by_goes_last_of_those_that_may_go() -> None:
    wide = columns((5, 2, False), (5, 1, False), (10, 0, True))
    assert [s.column.key for s in fit(wide, 20, sorted_by="c0")] == ["c0", "c2"]
    assert [s.column.key for s in fit(wide, 12, sorted_by="c0")] == ["c2"]
    assert [s.column.key for s in fit(wide, 30, sorted_by="c0")] == ["c0", "c1", "c2"]
    assert [s.column.key for s in fit(wide, 20, frozenset({"c0"}), sorted_by="c0")] == ["c1", "c2"]


def test_hidden_and_widened_columns() -> None:
    some = columns((5, 1, False), (10, 0, True))
    assert [s.column.key for s in fit(some, 40, frozenset({"c0"}))] == ["c1"]
    assert [s.width for s in fit(some, 40, widths={"c0": 9})] == [9, 30]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5), st.booleans()), min_size=1, max_size=8),
    st.integers(1, 120),
)
def test_columns_never_overlap_nor_leave_the_pane(widths: list[tuple[int, int, bool]], width: int) -> None:
    slots = fit(columns(*widths), width)
    assert slots
    assert all(slot.width >= 1 for slot in slots)
    for left, right in pairwise(slots):
        assert left.x + left.width < right.x
    assert slots[-1].x + slots[-1].width <= width


@pytest.mark.parametrize(
    ("text", "width", "clipped"),
    [
        ("abc", 5, "abc  "),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本", 4, "日本"),
        ("日本語", 4, "日 …"),
        ("x", 0, ""),
    ],
)
def test_clip_counts_cells_not_characters(text: str, width: int, clipped: str) -> None:
    assert clip(text, width) == clipped


@given(st.lists(st.text("ab 日e\u0301", max_size=12), max_size=4), st.integers(1, 20), st.booleans())
def test_a_cell_always_has_its_width(texts: list[str], width: int, right: bool) -> None:
    from rich.cells import cell_len

    laid = layout_cell([Span(text) for text in texts], width, right)
    assert sum(cell_len(span.text) for span in laid) == width


def test_flexible_columns_share_what_is_left_up_to_their_limits() -> None:
    columns: list[Column[None]] = [
        Column("name", "NAME", 10, flexible=True, widest=14),
        Column("bar", "", 4, flexible=True, widest=6),
        Column("text", "TEXT", 4, flexible=True),
    ]
    assert [slot.width for slot in fit(columns, 26)] == [12, 6, 6]
    assert [slot.width for slot in fit(columns, 102)] == [14, 6, 80]
    assert [slot.width for slot in fit(columns[:2], 102)] == [14, 6]


@pytest.mark.parametrize(
    ("start", "text"),
    [(0, "abcd 日本 ef"), (1, "…cd 日本 ef"), (5, "… 本 ef"), (6, "…本 ef"), (9, "…ef"), (40, "…")],
)
def test_a_cell_scrolled_sideways(start: int, text: str) -> None:
    cell = (Span("ab", "strong"), Span("cd "), Span("日本", "dim"), Span(" ef"))
    from rich.cells import cell_len

    rest = cell_from(cell, start)
    assert "".join(span.text for span in rest) == text
    whole = cell_len("abcd 日本 ef")
    assert sum(cell_len(span.text) for span in rest) == (whole - start if start < whole else 1)
