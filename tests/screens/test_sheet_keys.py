"""The keys of a sheet: to the next and the previous row of its list, copying it, quitting from it."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import TracedScreen
from ebpftop.ui.screens.traced_sheet import traced_details
from ebpftop.ui.widgets.keyline import KeyLine

from .conftest import until
from .scene import FakeSource, batch, before, ran
from .syscall_scene import minute_of_calls
from .test_screen_keys import running

PROGRAMS = [ran(at, 500 + at, name, ppid=1) for at, name in enumerate(("make", "cc", "as", "cc", "ld"), 1)]


def programs() -> FakeSource:
    return FakeSource([batch("execs", 6, before(1, 0, "init"), *PROGRAMS)])


def sheet(app: EbpftopApp) -> SheetScreen:
    assert isinstance(app.screen, SheetScreen)
    return app.screen


def footer(app: EbpftopApp) -> str:
    return app.screen.query_one(KeyLine).render_line(0).text


def said(app: EbpftopApp) -> list[str]:
    return [notification.message for notification in app._notifications]


async def titles(pilot: Pilot[int], app: EbpftopApp, *keys: str) -> list[str]:
    found = []
    for key in keys:
        await pilot.press(key)
        found.append(sheet(app).details.title)
    return found


async def test_n_and_capital_n_show_the_rows_beside_it_and_say_where_the_list_ends() -> None:
    async with running(programs(), size=(80, 24)) as (pilot, app):
        await pilot.press("g", "enter")
        assert "n N Next, previous  y Copy sheet" in footer(app)
        assert footer(app).rstrip().endswith("Esc Back  ? Help  q Quit")
        assert await titles(pilot, app, *"nnnn") == ["cc (502)", "as (503)", "cc (504)", "ld (505)"]
        assert said(app) == []
        assert await titles(pilot, app, *"nN") == ["ld (505)", "cc (504)"]
        assert said(app) == ["This is the last row of the list; N goes back"]
        await pilot.press("escape")
        assert isinstance(app.screen, MainScreen)
        # The list is at what was shown last.
        assert app.main.execs.log_lines.selected() is app.main.execs.model.ring[3]


async def test_the_rows_beside_it_are_those_that_the_filter_shows() -> None:
    async with running(programs()) as (pilot, app):
        await pilot.press("slash", *"comm:cc", "enter", "g", "enter")
        assert await titles(pilot, app, *"nNN") == ["cc (504)", "cc (502)", "cc (502)"]
        assert said(app) == ["This is the first row of the list; n goes on"]


async def test_of_what_a_sheet_goes_on_to_no_row_is_beside_it() -> None:
    async with running(programs()) as (pilot, app):
        await pilot.press("G", "enter")
        assert await titles(pilot, app, *"N") == ["cc (504)"]
        await pilot.press("o", "j", "enter")  # to its parent
        assert "Next, previous" not in footer(app)
        assert await titles(pilot, app, "n", "escape", "N") == ["init (1)", "cc (504)", "as (503)"]


async def test_rows_that_come_meanwhile_are_beside_it_too() -> None:
    source = programs()
    async with running(source) as (pilot, app):
        await pilot.press("G", "enter")
        source.give(batch("execs", 8, ran(7, 507, "strip", ppid=1)))
        await until(pilot, lambda: app.main.execs.model.ring.end == len(PROGRAMS) + 1)
        assert await titles(pilot, app, *"n") == ["strip (507)"]


async def test_n_on_a_call_shows_the_next_one_unless_its_list_is_filtered() -> None:
    async with running(FakeSource(minute_of_calls(5)), size=(120, 40)) as (pilot, app):
        await pilot.press("tab", "tab", "g", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        assert "n N Next, previous" in footer(app)
        rows = app.main.pane.lines.rows()
        await pilot.press("n")
        assert screen.call is rows[1]
        assert rows[1].row.name in screen.title_text()
        await until(pilot, lambda: screen.callers.end > 0)
        await pilot.press("slash", *"zzz", "enter", "n")
        assert screen.call is rows[1]
        await pilot.press("escape", "N")
        assert screen.call is rows[0]
        await pilot.press("escape")
        assert app.main.pane.lines.selected() is rows[0]


async def test_n_on_a_traced_call_shows_the_next_one() -> None:
    async with running(FakeSource(minute_of_calls(60))) as (pilot, app):
        await pilot.press("tab", "tab", "S")
        await until(pilot, lambda: isinstance(app.screen, TracedScreen))
        traced = app.screen
        assert isinstance(traced, TracedScreen)
        await pilot.press("g", "enter")
        rows = traced.log_lines.view.rows()
        shown = []
        for key in "nn":
            await pilot.press(key)
            shown.append(sheet(app).details.copies)
        assert shown == [traced_details(row).copies for row in rows[1:3]]


@pytest.mark.parametrize(
    "keys", [("G", "enter"), ("question_mark",), ("f2",), ("c",), ("O", "tab"), ("tab", "tab", "I"), ("P",)]
)
async def test_q_quits_from_wherever_one_is(keys: tuple[str, ...]) -> None:
    async with running(programs()) as (pilot, app):
        await pilot.press(*keys)
        if not isinstance(app.screen, MainScreen):
            assert footer(app).rstrip().endswith("q Quit")
        await pilot.press("q")
        assert not app.is_running or app._exit


@pytest.mark.parametrize("keys", [("ctrl+s",), ("slash",), ("tab", "tab", "I", "slash"), ("question_mark", "slash")])
async def test_where_a_text_is_typed_q_is_a_letter(keys: tuple[str, ...]) -> None:
    async with running(programs()) as (pilot, app):
        await pilot.press(*keys)
        await pilot.press("q")
        assert not app._exit
        assert "q Quit" not in footer(app)
