"""Breaking the text of a cell into lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ebpftop.ui.widgets.columns import Cell, Span
from ebpftop.ui.widgets.wrapping import wrapped


def texts(cell: Cell, width: int) -> list[str]:
    return ["".join(span.text for span in line) for line in wrapped(cell, width)]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 8, [""]),
        ("make all", 8, ["make all"]),
        ("make all tests", 8, ["make all", "tests"]),
        ("gcc -c main.c", 8, ["gcc -c", "main.c"]),
        ("cat /usr/share/doc", 8, ["cat /usr", "/share/d", "oc"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("日本語日本語", 5, ["日本", "語日", "本語"]),
        ("日", 1, ["日"]),
    ],
)
def test_lines_end_at_blanks_that_leave_them_half_full(text: str, width: int, lines: list[str]) -> None:
    assert texts([Span(text)], width) == lines


def test_looks_go_on_in_the_next_line() -> None:
    cell = [Span("make", "strong"), Span(" "), Span("all tests", "dim")]
    assert wrapped(cell, 8) == [
        [Span("make", "strong"), Span(" "), Span("all", "dim")],
        [Span("tests", "dim")],
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=6), st.integers(2, 40))
def test_no_line_is_too_wide_and_nothing_but_blanks_is_lost(parts: list[str], width: int) -> None:
    cell = [Span(part) for part in parts]
    lines = texts(cell, width)
    assert all(cell_len(line) <= width for line in lines if len(line) > 1)
    assert "".join(lines).replace(" ", "") == "".join(parts).replace(" ", "")


@pytest.mark.parametrize("character", ["x", "x ", "日", "é", "\u0301", "☁\ufe0f"])
def test_a_text_of_any_characters_is_broken(character: str) -> None:
    length = 100_000
    lines = texts([Span(character * length)], 60)
    assert length // 500 < len(lines) < length
    assert sum(line.count(character[0]) for line in lines) == length
