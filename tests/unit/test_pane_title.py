"""The title of a pane fills its line exactly, and leaves out the least important first."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ebpftop.ui.panes.title import Title
from ebpftop.ui.widgets.columns import Span

TITLE = Title(
    3,
    "Syscalls",
    Span("●", "good"),
    ("3896/s", "4.7% failed", "p99 98ms"),
    "4 ring",
    (Span("filtered · not seen: calls that seccomp denies", "warn"), Span("filtered", "dim")),
)


def text(width: int, title: Title = TITLE, *, focused: bool = False) -> str:
    return "".join(span.text for span in title.spans(width, focused=focused))


@pytest.mark.parametrize("width", range(130))
def test_it_is_as_wide_as_the_pane(width: int) -> None:
    assert cell_len(text(width)) == width


def test_all_of_it_where_there_is_room() -> None:
    assert text(110).startswith(" 3 Syscalls ●  3896/s · 4.7% failed · p99 98ms  lost 4 ring  ")
    assert text(110).endswith("  filtered · not seen: calls that seccomp denies ")


def test_what_is_left_out_first() -> None:
    assert "3896/s · 4.7% failed  lost 4 ring" in text(100)
    assert text(100).endswith("  filtered · not seen: calls that seccomp denies ")
    assert text(70).split("  ")[-1].strip() == "filtered"
    assert "3896/s · 4.7% failed · p99 98ms  lost 4 ring" in text(70)
    assert text(45).rstrip().endswith("filtered")
    assert "3896/s  lost 4 ring" in text(45)
    assert text(34).rstrip() == " 3 Syscalls ●  3896/s  lost 4 ring"
    assert text(26).rstrip() == " 3 Syscalls ●  lost 4 ring"


def test_a_triangle_shows_where_the_focus_is() -> None:
    assert text(60, focused=True).startswith("▸3 Syscalls ●")


def test_what_a_click_means() -> None:
    line = text(110)
    assert TITLE.part_at(line.index("●"), 110) == "mark"
    assert TITLE.part_at(line.index("ring"), 110) == "probe"
    assert TITLE.part_at(line.index("seccomp"), 110) == "probe"
    assert {TITLE.part_at(line.index(word), 110) for word in ("3", "Syscalls", "4.7%")} == {"other"}
    assert TITLE.part_at(200, 110) == "other"
    assert TITLE.part_at(text(70).index("filtered"), 70) == "other"
