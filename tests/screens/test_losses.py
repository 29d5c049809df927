"""The sheet of what was lost: each kind in words."""

from __future__ import annotations

import pytest

from ebpftop.core.records import Fullest, Lost, Where
from ebpftop.models.overview import KINDS_OF_LOSS, Overview
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.losses import losses
from ebpftop.ui.widgets.status_bar import StatusBar
from ebpftop.ui.words import LOSSES

from .conftest import Look, settle, until
from .scene import START, FakeSource, batch, execs, minute
from .test_screen_keys import running


def lost(at: float, where: Where, count: int) -> Lost:
    return Lost(time=START + at, probe="execs", where=where, count=count)


def overview_of(*records: Lost | Fullest) -> Overview:
    overview = Overview()
    for record in records:
        overview.feed(batch("execs", record.time - START, record))
    return overview


def words(overview: Overview) -> str:
    """Return the sheet as one line of words."""
    return " ".join(losses(lambda: overview).sheet().content().plain.split())


def test_each_kind_has_its_sentences_there_whether_it_was_lost_or_not() -> None:
    text = words(overview_of(lost(5, "argv", 54)))
    for where in KINDS_OF_LOSS:
        assert LOSSES[where].missing in text.replace("  ", " ")
        assert f"Helps: {LOSSES[where].helps}" in text


def test_how_full_each_buffer_was_is_told_with_its_time() -> None:
    full = [Fullest(time=START + at, probe="execs", share=share, size=16 << 20) for at, share in ((1, 0.02), (9, 0.31))]
    trace = Fullest(time=START + 7, probe="trace", share=0.0004, size=4 << 20)
    text = losses(lambda: overview_of(*full, trace)).sheet().content().plain
    ring = text[text.index("ring") : text.index("exits")].splitlines()
    assert [line.split() for line in ring if " at 13" in line] == [
        ["execs", "━━────", "31%", "at", "13:00:09"],
        ["trace", "╸─────", "<0.1%", "at", "13:00:07"],
    ]
    assert all(len(line) <= 78 for line in text.splitlines()[2:])


@pytest.mark.parametrize(("width", "longest"), [(58, 58), (78, 78), (118, 108), (398, 108)])
def test_sentences_fill_the_screen_but_are_not_too_long_to_read(width: int, longest: int) -> None:
    lines = losses(Overview).sheet().content(width).plain.splitlines()
    assert longest - 10 < max(len(line) for line in lines[3:]) <= longest


def test_what_was_lost_comes_first_with_its_time() -> None:
    overview = overview_of(lost(5, "argv", 50), lost(9, "argv", 54), lost(20, "argv", 54))
    text = losses(lambda: overview).sheet().content().plain
    assert overview.lost_last == {"argv": START + 9}
    assert text.splitlines()[0].startswith("54 lost in all · nothing since 13:00:09")
    first = next(line for line in text.splitlines() if line.startswith(KINDS_OF_LOSS))
    assert first.split()[:3] == ["argv", "54", "13:00:09"]
    assert all(len(line) <= 78 for line in text.splitlines()[2:])


def test_what_is_being_lost_now_says_so() -> None:
    assert "still going on" in words(overview_of(lost(5, "ring", 3)))


def test_nothing_lost_is_said_too() -> None:
    assert words(Overview()).startswith("Nothing was lost")


async def test_x_opens_it_and_the_status_bar_names_the_only_kind() -> None:
    source = FakeSource(execs())
    async with running(source) as (pilot, app):
        source.give(batch("execs", 61, lost(61, "argv", 54)))
        await settle(pilot, source)
        status = app.main.query_one(StatusBar)
        await until(pilot, lambda: "lost 54 argv" in "".join(span.text for span in status.spans(120)))
        source.give(batch("execs", 62, lost(62, "ring", 1)))
        await until(pilot, lambda: "lost 55  " in "".join(span.text for span in status.spans(120)))
        # What is only beyond the limit of details is counted: that is not lost.
        source.give(batch("syscalls", 63, lost(63, "rate", 3438)))
        await until(pilot, lambda: "lost 55  over limit 3438  " in "".join(span.text for span in status.spans(120)))
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert isinstance(app.screen, SheetScreen)
        assert app.screen.details.title == "Lost"


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_sheet(looks_the_same: Look, size: tuple[int, int]) -> None:
    source = FakeSource([*minute(), batch("execs", 61, lost(61, "argv", 54))])
    assert looks_the_same(source, size, "X")
