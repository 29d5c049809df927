"""The screen of what changed: what is marked, what is found, and where its rows lead."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.recording.grouping import group
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.changed import ChangedScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.widgets.timeline_bar import TimelineBar
from tests.unit.spans import START, Machine

from .conftest import Look, settle, until
from .scene import FakeSource, Remembered
from .test_screen_travel import press, running

QUIET = Machine(calls={"read": 200.0, "openat": 60.0, "futex": 20.0})
WORSE = Machine(
    calls=QUIET.calls,
    octaves={"read": 4.0},
    errnos={**QUIET.errnos, ("openat", "EACCES"): 9.0},
    programs={who: rate for who, rate in QUIET.programs.items() if who != ("bob", "sh")},
)


def source() -> Remembered:
    """A machine on which something changes after two minutes."""
    before = QUIET.records(120, seed=1)
    after = WORSE.records(60, seed=2, begin=START + 120)
    return Remembered([*group(before, 1.0), *group(after, 1.0)])


async def compared(pilot: Pilot[int]) -> ChangedScreen:
    """Mark the moment of the change, and wait until the table is there."""
    app = pilot.app
    assert isinstance(app, EbpftopApp)
    app.main.playback.seek(START + 120.5)
    await press(pilot, app, "M", "l", "D")
    screen = app.screen
    assert isinstance(screen, ChangedScreen)
    await until(pilot, lambda: screen.changed is not None)
    await pilot.pause()
    return screen


def names(screen: ChangedScreen) -> list[tuple[str, str]]:
    return [(row.mark, row.name) for row in screen.table.rows()]


@pytest.mark.parametrize("size", [(60, 15), (120, 35)], ids=["60x15", "120x35"])
def test_what_changed_after_a_mark(looks_the_same: Look, size: tuple[int, int]) -> None:
    async def draw(pilot: Pilot[int]) -> None:
        await compared(pilot)
        pilot.app.clear_notifications()
        await pilot.press("j", "j")

    assert looks_the_same(source(), size, before=draw)


async def test_what_was_planted_is_listed_and_leads_on() -> None:
    async with running(source()) as (pilot, app):
        screen = await compared(pilot)
        first = names(screen)[:6]
        assert {("+", "EACCES of openat"), ("up", "read"), ("-", "sh"), ("up", "read by php-fpm")} <= set(first)
        await pilot.press("z")
        assert ("same", "futex") in names(screen)
        assert "same axis" in await plotted(pilot, screen, "read")
        assert "over time" in await plotted(pilot, screen, "sh")
        go_to(screen, "read")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SyscallScreen))
        await pilot.press("escape")
        assert app.screen is screen, "the way back"
        go_to(screen, "sh")
        await press(pilot, app, "enter")
        assert len(app.screen_stack) == 1
        box = app.main.playback.box
        assert box is not None
        assert box.end == pytest.approx(START + 120.5, abs=1), "what vanished is in span A"
        assert {row.exec.comm for row in app.main.execs.rows_shown().rows} == {"sh"}


def go_to(screen: ChangedScreen, name: str) -> None:
    screen.table.go_to(next(at for at, row in enumerate(screen.table.rows()) if row.name == name))


async def plotted(pilot: Pilot[int], screen: ChangedScreen, name: str) -> str:
    go_to(screen, name)
    await pilot.pause()
    return "".join(span.text for span in screen.plot.spans)


async def test_without_a_mark_it_says_what_to_do() -> None:
    async with running(source(), (80, 24)) as (pilot, app):
        await pilot.press("D")
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "M marks a moment" in shown
        await pilot.press("D")
        assert app.screen is app.main


async def test_a_drag_over_the_timeline_shows_that_span_alone_and_is_compared() -> None:
    async with running(source()) as (pilot, app):
        bar = app.main.query_one(TimelineBar)
        left, right = bar.place(START + 130), bar.place(START + 170)
        await pilot.mouse_down(bar, offset=(left, 0))
        await pilot.hover(bar, offset=(left + 4, 0))
        await pilot.hover(bar, offset=(right, 0))
        await pilot.mouse_up(bar, offset=(right, 0))
        await until(pilot, lambda: app.main.playback.box is not None and not app.main.playback.seeking)
        box = app.main.playback.box
        assert box is not None
        assert (box.begin, box.end) == pytest.approx((START + 130, START + 170), abs=4)
        await pilot.press("D")
        screen = app.screen
        assert isinstance(screen, ChangedScreen)
        assert screen.compared is not None
        assert screen.compared.b == (box.begin, box.end)
        await pilot.press("escape", "escape")
        assert app.main.playback.box is None


async def test_marks_are_on_the_timeline_and_can_be_gone_to() -> None:
    async with running(source()) as (pilot, app):
        app.main.playback.seek(START + 60)
        await press(pilot, app, "M", "l")
        assert app.main.query_one(TimelineBar).moments.marks == pytest.approx((START + 60,), abs=1)
        await press(pilot, app, "left_parenthesis")
        assert app.main.playback.moment_or_shown == pytest.approx(START + 60, abs=1)
        await pilot.press("M")
        assert app.main.query_one(TimelineBar).moments.marks == ()


async def test_a_source_without_history_has_nothing_to_compare() -> None:
    fake = FakeSource()
    async with running(fake) as (pilot, app):
        await settle(pilot, fake)
        await pilot.press("M", "D")
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "There is no history to compare" in shown
