"""What a message, a click or a cursor means is a row, not the place where the row was."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual import events
from textual.events import Key

from ebpftop.filters.spec import Filter
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.program_fields import EXECS
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import ProcessScreen, WaitingScreen
from ebpftop.ui.widgets.row_view import RowView

from .conftest import pane, settle, until
from .scene import START, FakeSource, batch, ended, minute, ran, trace
from .syscall_scene import minute_of_calls
from .test_screen_keys import running


def click(lines: RowView[Any], line: int, chain: int = 1) -> events.Click:
    """A click on a line of a widget, as Textual forwards it."""
    return events.Click(lines, 3, line, 0, 0, 1, False, False, False, 3, line, None, chain)


@pytest.mark.parametrize("keys", [("k", "enter", "m"), ("t", "j", "enter", "m"), ("tab", "j", "enter", "tab", "m")])
async def test_keys_at_once_open_the_row_that_was_chosen(keys: tuple[str, ...]) -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        for key in keys:
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await pilot.press("escape")
        assert isinstance(app.screen, MainScreen)


async def test_a_row_that_fell_out_of_the_ring_is_shown_as_it_is_remembered() -> None:
    source = FakeSource([batch("execs", 1, *(ran(1, i, f"p{i}") for i in range(10)))])
    async with running(source) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await pilot.press("g")
        execs.log_lines.action_open()
        # Before the message is read, all rows are others.
        execs.model.ring.capacity = 3
        execs.feed(batch("execs", 2, *(ran(2, i, f"q{i}") for i in range(20, 30))))
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert isinstance(app.screen, SheetScreen)
        assert app.screen.details.title == "p0 (0)"


@pytest.mark.parametrize("probe", ["execs", "users", "syscalls", "trace"])
async def test_enter_means_the_row_under_the_cursor_whatever_happens_to_the_rows_before_it_is_read(probe: str) -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        one = pane(app, probe)
        one.lines.go_to(one.lines.first + 1)
        row = one.lines.selected()
        one.lines.action_open()
        for other in app.main.panes:
            # Nothing is left of what was chosen from.
            other.set_model(type(other.model)(), ViewFilter(Filter(), 0.0))
            other.show()
        assert one.lines.end == one.lines.first
        await until(pilot, lambda: app.screen is not app.main)
        screen = app.screen
        if isinstance(screen, SyscallScreen):
            assert screen.call is row
        else:
            assert isinstance(screen, SheetScreen)
            assert screen.details.title == one.details(row).title


async def test_the_cursor_of_a_filtered_log_stays_on_its_row_when_older_ones_come_into_the_filter() -> None:
    old = ran(1, 10, "old")
    rows = [ran(2 + i, 100 + i, "wanted") for i in range(5)]
    source = FakeSource([batch("execs", 1, old), *(batch("execs", 2 + i, row) for i, row in enumerate(rows))])
    async with running(source) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await pilot.press("slash", *"wanted|SIGKILL", "enter", "k", "k")
        chosen = execs.log_lines.selected()
        assert chosen is not None
        source.give(batch("execs", 9, ended(old, 8, None, "SIGKILL")))
        await settle(pilot, source)
        assert len(execs.model.view) == 6
        assert execs.log_lines.selected() is chosen


@pytest.mark.parametrize("probe", ["execs", "users", "syscalls", "trace"])
@pytest.mark.parametrize("chain", [1, 2])
async def test_a_click_means_the_row_that_was_drawn_there(probe: str, chain: int) -> None:
    async with running(FakeSource(minute()), (200, 50)) as (pilot, app):
        one = pane(app, probe)
        drawn = {y: row for y, (_, row) in one.lines._drawn.items()}
        assert len(drawn) >= 3
        y = sorted(drawn)[2]
        _move_rows(one)
        one.lines.on_click(click(one.lines, y, chain))
        assert one.lines.selected() is drawn[y]
        if chain == 2:
            await until(pilot, lambda: app.screen is not app.main)


def _move_rows(one: Pane) -> None:
    """Put other rows where the rows of a pane were, before they are drawn."""
    if isinstance(one, ExecsPane):
        one._apply(one.model.view_filter, EXECS.parse("!xyz"))
    elif one.probe == "trace":
        one.lines.scroll_to(y=0, animate=False, force=True)
        one.feed(batch("trace", 70, *(replace(trace()[1].records[0], time=START + 70 + i) for i in range(40))))
        one.show()
    else:
        lines = one.lines
        assert hasattr(lines, "action_reverse")
        lines.action_reverse()


async def test_a_click_on_a_row_that_is_gone_does_nothing() -> None:
    source = FakeSource([batch("execs", 1, *(ran(1, i, f"p{i}") for i in range(5)))])
    async with running(source) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        y = min(execs.log_lines._drawn)
        execs.model.ring.capacity = 3
        execs.feed(batch("execs", 2, *(ran(2, i, f"q{i}") for i in range(20, 30))))
        execs.log_lines.post_message(click(execs.log_lines, y, 2))
        await pilot.pause()
        assert execs.log_lines.selected() is None
        assert isinstance(app.screen, MainScreen)


async def test_a_process_that_ended_while_its_sheet_was_open_is_not_filtered_to() -> None:
    program = ran(1, 4000, "sleeper")
    source = FakeSource([batch("execs", 1, program)])
    async with running(source) as (pilot, app):
        await pilot.press("k", "enter")
        assert isinstance(app.screen, SheetScreen)
        source.give(batch("execs", 3, ended(program, 2)))
        await settle(pilot, source)
        await pilot.press("enter")
        assert isinstance(app.screen, SheetScreen)
        assert any("has ended" in n.message for n in app._notifications)
        assert not source.filters


async def test_screens_above_open_what_was_chosen() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press("tab", "tab", "I")
        screen = app.screen
        assert isinstance(screen, WaitingScreen)
        await until(pilot, lambda: screen.table.end > 0)
        await pilot.press("j")
        chosen = screen.table.selected()
        assert chosen is not None
        screen.table.action_open()
        screen.table.show_rows([])
        await until(pilot, lambda: isinstance(app.screen, ProcessScreen))
        assert isinstance(app.screen, ProcessScreen)
        assert app.screen.process[0] == chosen.pid
