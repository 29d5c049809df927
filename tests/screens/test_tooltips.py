"""What the mouse rests on says what it is."""

from __future__ import annotations

import pytest

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.status_bar import StatusBar
from ebpftop.ui.words import STATUS

from .conftest import pane, settle, until
from .scene import FakeSource, minute


@pytest.mark.parametrize("probe", ["execs", "users", "syscalls"])
async def test_each_heading_says_what_its_column_is(probe: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, source)
        lines = pane(app, probe).lines
        for slot in lines.slots:
            await pilot.hover(lines, offset=(slot.x, 0))
            assert lines.tooltip == slot.column.about
        await pilot.hover(lines, offset=(lines.slots[0].x, 2))
        assert lines.tooltip is None


async def test_each_word_of_the_status_line_says_what_it_is() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, source)
        bar = app.main.query_one(StatusBar)
        seen = set()
        for begin, _, key in bar._places:
            await pilot.hover(bar, offset=(begin, 0))
            assert bar.tooltip == STATUS[key]
            seen.add(key)
        assert {"host", "kernel", "probes", "events", "lost", "cost", "interval", "clock"} <= seen


async def test_a_click_on_a_word_of_the_status_line_opens_what_it_is_about() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        bar = app.main.query_one(StatusBar)
        places = {key: begin for begin, _, key in bar._places}
        await pilot.click(bar, offset=(places["name"] + 1, 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await pilot.click(bar, offset=(places["lost"], 0))
        await until(pilot, lambda: not isinstance(app.screen, MainScreen))


@pytest.mark.parametrize("part", ["host", "events"])
async def test_a_click_on_host_or_rate_opens_the_diagnostics(part: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        bar = app.main.query_one(StatusBar)
        places = {key: begin for begin, _, key in bar._places}
        await pilot.click(bar, offset=(places[part], 0))
        await until(pilot, lambda: isinstance(app.screen, SheetScreen) and app.screen.details.title == "Diagnostics")


async def test_a_click_on_the_clock_pauses_and_one_on_paused_goes_on() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        bar = app.main.query_one(StatusBar)
        for part, paused in (("clock", True), ("paused", False)):
            begin = next(begin for begin, _, key in bar._places if key == part)
            await pilot.click(bar, offset=(begin + 1, 0))
            await until(pilot, lambda paused=paused: app.main.playback.paused is paused)  # type: ignore[misc]
            await settle(pilot, source)
