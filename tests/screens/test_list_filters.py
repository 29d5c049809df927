"""A filter typed for each list, what it says, and how it comes and goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Label

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.screens.list_filters import ListFilters
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.row_filter import AnyFilter
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import Look, settle, until
from .scene import FakeSource, batch, minute, ran
from .syscall_scene import minute_of_calls


@asynccontextmanager
async def running(source: FakeSource) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    app = EbpftopApp(source)
    async with app.run_test(size=(140, 45)) as pilot:
        await settle(pilot, source)
        yield pilot, app
    assert not app.return_code


def list_of(app: EbpftopApp) -> RowView[Any]:
    screen = app.screen
    assert isinstance(screen, ListFilters)
    lines = screen.list_in_focus
    assert lines is not None
    return lines


def filter_of(app: EbpftopApp) -> AnyFilter:
    found = list_of(app).row_filter
    assert found is not None
    return found


def said(app: EbpftopApp) -> str:
    bar = app.screen.query_one(FilterBar)
    return " | ".join(str(bar.query_one(f".filter-{part}", Label).content) for part in ("note", "count", "fields"))


def commands(app: EbpftopApp) -> list[str]:
    return [row.exec.comm for row in app.main.query_one(ExecsPane).model.view.rows()]


@pytest.mark.parametrize(
    ("to", "typed", "fields"),
    [
        pytest.param((), "comm:git", "comm pid ppid", id="execs"),
        pytest.param(("t",), "comm:ssh*", "comm pid ppid", id="tree"),
        pytest.param(("tab",), "user:ada", "user execs failed", id="users"),
        pytest.param(("tab", "tab"), "name:openat", "name calls rate", id="syscalls"),
        pytest.param(("shift+tab",), "!message:Hello*", "cpu pid comm", id="trace"),
        pytest.param(("tab", "tab", "I"), "comm:~.", "name comm pid", id="in flight"),
        pytest.param(("tab", "tab", "s"), "handler:trace", "name slot program", id="table"),
        pytest.param(("tab", "tab", "S"), "name:openat", "name comm pid", id="traced"),
    ],
)
async def test_a_filter_is_for_the_list_that_has_the_focus(to: tuple[str, ...], typed: str, fields: str) -> None:
    source = FakeSource(minute_of_calls() if to[:2] == ("tab", "tab") else minute())
    async with running(source) as (pilot, app):
        await pilot.press(*to)
        every = list_of(app).rows()
        assert len(every) > 1
        await pilot.press("slash", *typed)
        kept = filter_of_bar(app)
        query = kept.language.parse(typed)
        assert query is not None
        now = app.main.execs.lines.now
        wanted = [row for row in every if query.matches(row, now)]
        assert wanted
        await pilot.press("enter")
        await until(pilot, lambda: list_of(app).rows() == wanted)
        assert fields in said(app)


def filter_of_bar(app: EbpftopApp) -> AnyFilter:
    found = app.screen.query_one(FilterBar).row_filter
    assert found is not None
    return found


async def test_the_line_says_how_many_match_and_what_is_wrong() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        every = len(commands(app))
        await pilot.press("slash", *"state:exited")
        exited = len(commands(app))
        assert said(app).startswith(f" | {exited} of {every} | comm pid ppid parent user exit signal")
        await pilot.press(*" duration:>1")
        assert said(app).startswith(f"✗ duration:>1: add a unit: 1s | {exited} of {every}")
        assert len(commands(app)) == exited
        await pilot.press("s")
        assert not said(app).startswith("✗")
        assert len(commands(app)) < exited


async def test_tab_completes_and_goes_through_what_there_is() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        bar = app.main.query_one(FilterBar)
        await pilot.press("slash", *"com", "tab")
        assert bar.text == "comm:"
        await pilot.press(*"git s", "tab")
        assert bar.text == "comm:git signal:"
        await pilot.press("tab")
        assert bar.text == "comm:git state:"
        await pilot.press(*"fa", "tab")
        assert bar.text == "comm:git state:failed"
        assert app.main.pane is app.main.execs


async def test_up_recalls_what_was_typed_for_this_list() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        bar = app.main.query_one(FilterBar)
        await pilot.press("slash", *"git", "enter", "escape", "slash", *"state:failed", "enter", "escape")
        await pilot.press("slash", *"sl", "up")
        assert bar.text == "state:failed"
        await pilot.press("up", "up")
        assert bar.text == "git"
        assert commands(app) == ["git"]
        await pilot.press("down", "down")
        assert bar.text == "sl"
        await pilot.press("escape", "tab", "slash", "up")
        assert bar.text == ""


async def test_the_row_under_the_cursor_stays_when_the_filter_goes() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        lines = list_of(app)
        await pilot.press("k", "k", "k", "k")
        chosen = lines.selected()
        # Hidden meanwhile, and still the same behind it.
        await pilot.press("slash", *"git", "enter")
        assert lines.selected() is not chosen
        await pilot.press("escape")
        assert lines.selected() is chosen
        # Chosen among the matches: it stays where all rows are shown.
        await pilot.press("slash", *"state:failed", "enter", "g")
        failed = lines.selected()
        assert failed is not chosen
        await pilot.press("escape")
        assert lines.selected() is failed
        assert lines.cursor is not None
        assert 0 <= lines.cursor - lines.first - lines.scroll_offset.y < lines.page


async def test_the_row_of_a_table_stays_when_the_filter_goes() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("tab", "g", "j", "j")
        table = list_of(app)
        chosen = table.selected()
        assert chosen is not None
        await pilot.press("slash", *"user:ada,root,cy", "enter")
        assert table.end < 5
        await pilot.press("escape")
        assert table.end == 5
        assert table.selected() is chosen


async def test_n_goes_through_the_matches_and_on_when_the_filter_is_cleared() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        lines = list_of(app)
        await pilot.press("slash", *"state:exited", "enter")
        exited = lines.rows()
        assert len(exited) > 2, exited
        await pilot.press("g", "n")
        assert lines.selected() is exited[1]
        await pilot.press("N")
        assert lines.selected() is exited[0]
        await pilot.press("escape")
        assert len(lines.rows()) > len(exited)
        await pilot.press("n")
        assert lines.selected() is exited[1]
        await pilot.press("n")
        assert lines.selected() is exited[2]
        await pilot.press("N", "N", "N")
        assert lines.selected() is exited[0]
        assert any("above" in notification.message for notification in app._notifications)


async def test_n_without_a_filter_says_what_to_do() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("n")
        assert any("Nothing to search for" in notification.message for notification in app._notifications)


async def test_a_program_comes_to_match_because_it_runs_on() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 50, "sleep"))])
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"duration:>5s", "enter")
        assert commands(app) == []
        source.give(batch("execs", 9, ran(9, 51, "true")))
        await settle(pilot, source)
        assert commands(app) == ["sleep"]


async def test_esc_on_a_screen_of_calls_clears_the_filter_first() -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        await pilot.press("tab", "tab", "S")
        assert app.screen is not app.main
        every = list_of(app).end - list_of(app).first
        await pilot.press("slash", *"nothing-of-that", "enter")
        assert list_of(app).end == list_of(app).first
        await pilot.press("escape")
        assert app.screen is not app.main
        assert list_of(app).end - list_of(app).first == every
        await pilot.press("escape")
        assert app.screen is app.main


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
def test_a_filter_that_is_typed(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(minute()), size, "slash", *"comm:git", "space", *"duration:>1")


@pytest.mark.parametrize("size", [(80, 24), (120, 35)], ids=["80x24", "120x35"])
def test_a_list_of_which_nothing_matches(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(minute_of_calls()), size, "tab", "tab", "I", "slash", *"comm:nobody")


async def test_the_status_line_shows_the_filter_of_each_list() -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        main = app.main
        await pilot.press("slash", *"state:exited", "enter", "tab", "tab", "slash", *"name:openat", "enter")
        await until(pilot, lambda: status_filter(app) == "Execs /state:exited  /name:openat")
        main.set_focus(main.execs.lines)
        await until(pilot, lambda: status_filter(app) == "Syscalls /name:openat  /state:exited")
        await pilot.press("escape")
        await until(pilot, lambda: status_filter(app) == "Syscalls /name:openat")


def status_filter(app: EbpftopApp) -> str:
    return app.main.query_one(StatusBar).status.filter


async def test_the_filter_that_is_kept_is_the_whole() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("slash", *"uid:0 git", "enter")
        await until(pilot, lambda: app.main.filters.stack.filter.uids == (0,))
        assert app.main.typed_filter == "uid:0 git"
        app.main.set_focus(app.main.panes[1].lines)
        assert app.main.typed_filter == ""
