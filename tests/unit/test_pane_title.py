"""The title of a pane fills its line exactly, and leaves out the least important first."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ebpftop.ui.panes.title import Count, Title
from ebpftop.ui.widgets.columns import Span

TITLE = Title(
    3,
    "Syscalls",
    Span("●", "good"),
    (Count("94", 4), Count("3896/s"), Count("4.7% failed", 1), Count("p50 1.1µs", 3), Count("p99 98ms", 2)),
    "4 ring",
    (Span("filtered · not seen: calls that seccomp denies", "warn"), Span("filtered", "dim")),
)


def text(width: int, title: Title = TITLE, *, focused: bool = False) -> str:
    return "".join(span.text for span in title.spans(width, focused=focused))


@pytest.mark.parametrize("width", range(130))
def test_it_is_as_wide_as_the_pane(width: int) -> None:
    assert cell_len(text(width)) == width


def test_all_of_it_where_there_is_room() -> None:
    assert text(130).startswith(" 3 Syscalls ●  94 · 3896/s · 4.7% failed · p50 1.1µs · p99 98ms  lost 4 ring  ")
    assert text(130).endswith("  filtered · not seen: calls that seccomp denies ")


def test_what_is_left_out_first() -> None:
    drawn = [" ".join(text(width).split()) for width in (120, 114, 86, 82, 70, 59, 45, 34)]
    assert drawn == [
        "3 Syscalls ● 3896/s · 4.7% failed · p50 1.1µs · p99 98ms lost 4 ring filtered · not seen: "
        "calls that seccomp denies",
        "3 Syscalls ● 3896/s · 4.7% failed · p99 98ms lost 4 ring filtered · not seen: calls that seccomp denies",
        "3 Syscalls ● 3896/s lost 4 ring filtered · not seen: calls that seccomp denies",
        "3 Syscalls ● 3896/s · 4.7% failed · p50 1.1µs · p99 98ms lost 4 ring filtered",
        "3 Syscalls ● 3896/s · 4.7% failed · p99 98ms lost 4 ring filtered",
        "3 Syscalls ● 3896/s · 4.7% failed lost 4 ring filtered",
        "3 Syscalls ● 3896/s lost 4 ring filtered",
        "3 Syscalls ● 3896/s lost 4 ring",
    ]
    assert text(26).rstrip() == " 3 Syscalls ●  lost 4 ring"


def test_of_equals_the_last_goes_first() -> None:
    title = Title(1, "Execs", Span("●", "good"), (Count("first"), Count("second")))
    assert text(24, title).rstrip() == " 1 Execs ●  first"


def test_all_is_said_in_brief_before_anything_is_left_out() -> None:
    counts = (Count("31/s"), Count("22 failed", 1), Count("folded 41 PATH searches", 3, "folded 41 PATH"))
    title = Title(1, "Execs", Span("●", "good"), counts)
    assert [" ".join(text(width, title).split()) for width in (60, 48, 40)] == [
        "1 Execs ● 31/s · 22 failed · folded 41 PATH searches",
        "1 Execs ● 31/s · 22 failed · folded 41 PATH",
        "1 Execs ● 31/s · 22 failed",
    ]


def test_a_triangle_shows_where_the_focus_is() -> None:
    assert text(60, focused=True).startswith("▸3 Syscalls ●")


def test_what_a_click_means() -> None:
    line = text(130)
    assert TITLE.part_at(line.index("●"), 130) == "mark"
    assert TITLE.part_at(line.index("ring"), 130) == "probe"
    assert TITLE.part_at(line.index("seccomp"), 130) == "probe"
    assert {TITLE.part_at(line.index(word), 130) for word in ("3", "Syscalls", "4.7%")} == {"other"}
    assert TITLE.part_at(200, 130) == "other"
    assert TITLE.part_at(text(80).index("filtered"), 80) == "other"
