"""Panes without boxes: a title, a header, rows; what a click on a title does."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.widgets.row_view import POINT

from .conftest import settle, until
from .scene import FakeSource, batch, execs, minute, probe_state, ran


def lines_of(pilot: Pilot[int]) -> list[str]:
    """The screen as text, by line."""
    return [strip.text for strip in pilot.app.screen._compositor.render_strips()]


def pane(app: EbpftopApp, probe: str) -> Pane:
    return next(pane for pane in app.main.panes if pane.probe == probe)


async def test_a_small_terminal_shows_21_rows() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        assert sum(pane.lines.page for pane in app.main.panes if pane.display) >= 21
        screen = "\n".join(lines_of(pilot))
        assert not set(screen) & set("╭╮╰╯─"), "a box"
        assert screen.count("│") == pane(app, "syscalls").region.height, "a line between neighbours only"


async def test_the_title_shows_where_the_focus_is() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        for _ in range(4):
            await until(pilot, lambda: "▸" in app.main.pane.title_text)
            assert "\n".join(lines_of(pilot)).count("▸") == 1
            await pilot.press("tab")


async def test_the_selected_row_has_a_sign_and_not_only_a_colour() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("tab", "j", "j")
        await until(pilot, lambda: any(POINT in line for line in lines_of(pilot)))
        marked = [line for line in lines_of(pilot) if POINT in line]
        assert len(marked) == 1
        assert f" {POINT}www-data" in marked[0]


async def test_clicks_on_a_title() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        users = pane(app, "users")
        at = users.region
        await pilot.click(offset=(at.x + 4, at.y))
        await until(pilot, lambda: app.main.pane is users)
        await pilot.click(offset=(at.x + 4, at.y), times=2)
        await until(pilot, lambda: app.main.has_class("-maximised") and users.has_class("-max"))
        await pilot.press("m")
        assert source.toggled == []
        await pilot.pause()
        at = users.region
        await pilot.click(offset=(at.x + users.title_text.index("●"), at.y))
        await until(pilot, lambda: source.toggled == ["users"])


async def test_Enter_in_a_pane_without_rows_tells_of_its_probe() -> None:
    failed = probe_state("syscalls", "failed", reason="EPERM", remedy="run it as root")
    source = FakeSource([*execs(), batch("syscalls", 1, failed)])
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("tab", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        screen = app.screen
        assert isinstance(screen, SheetScreen)
        text = screen.details.sheet().content().plain
        assert "EPERM" in text
        assert "run it as root" in text


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (10, 4), (30, 8)])
async def test_no_size_is_too_small_to_survive(size: tuple[int, int]) -> None:
    source = FakeSource([*minute(), batch("execs", 61, ran(61, 7000, "late"))])
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        await pilot.press("tab", "j", "m", "m", "tab")
        assert app.is_running
