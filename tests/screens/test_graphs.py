"""The graphs above the panes, and one of them alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.geometry import Region
from textual.pilot import Pilot

from ebpftop.core.user_records import UserRow, Users
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.title import joined
from ebpftop.ui.screens.graph import GraphPlot, GraphScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.graphs import Graphs

from .conftest import Look, pane, settle, until
from .scene import START, FakeSource, Remembered, batch, minute, ran
from .test_screen_travel import press, running


def graphs(app: EbpftopApp) -> Graphs:
    return app.main.query_one(Graphs)


async def opened(pilot: Pilot[int], app: EbpftopApp) -> GraphPlot:
    """Wait until one graph is shown alone."""
    await until(pilot, lambda: isinstance(app.screen, GraphScreen) and list(app.screen.query(GraphPlot)))
    plot = app.screen.query_one(GraphPlot)
    await until(pilot, lambda: plot.size.width > 8 and plot._lines)
    return plot


def text(widget: Graphs | GraphPlot) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.size.height)]


@pytest.mark.parametrize("size", [(80, 30), (120, 35), (200, 50)], ids=["80x30", "120x35", "200x50"])
def test_graphs_above_the_panes(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(Remembered(minute()), size)


@pytest.mark.parametrize("size", [(60, 15), (120, 35)], ids=["60x15", "120x35"])
def test_one_graph_alone(looks_the_same: Look, size: tuple[int, int]) -> None:
    async def open_one(pilot: Pilot[int]) -> None:
        assert isinstance(pilot.app, EbpftopApp)
        pilot.app.main.graphs.open("execs")
        await opened(pilot, pilot.app)
        await pilot.press("left", "left", "left")

    assert looks_the_same(Remembered(minute()), size, before=open_one)


@pytest.mark.parametrize(("height", "lines"), [(29, 0), (30, 2), (44, 2), (45, 4)])
async def test_they_take_as_many_lines_as_the_terminal_has_room_for(height: int, lines: int) -> None:
    async with running(Remembered(minute()), (120, height)) as (pilot, app):
        assert graphs(app).display == (lines > 0)
        assert not lines or graphs(app).size.height == lines
        await pilot.resize_terminal(120, 50)
        await until(pilot, lambda: graphs(app).size.height == 4)
        await pilot.resize_terminal(120, 20)
        await until(pilot, lambda: not graphs(app).display)


async def test_each_says_its_name_what_it_is_now_and_its_scale() -> None:
    async with running(Remembered(minute())) as (_, app):
        words = text(graphs(app))[0]
        assert words.split()[:3] == ["execs/s", "27", "≤41"]
        assert "lost 17" in words
        assert "own cost" in words


async def test_their_figure_is_that_of_the_title_also_within_a_second() -> None:
    rows = (UserRow(uid=0, user="root", execs=1000, failed=0), UserRow(uid=0, user="root", execs=1020, failed=0))
    readings = [
        batch("users", at, Users(time=START + at, rows=(row,))) for at, row in zip((62.2, 62.7), rows, strict=True)
    ]
    source = Remembered([*minute(), *readings])
    async with running(source) as (_, app):
        assert joined(pane(app, "users").title_counts()).startswith("40/s")
        assert text(graphs(app))[0].split()[:2] == ["execs/s", "40"]


async def test_one_key_hides_them_and_shows_them_again() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("O")
        await until(pilot, lambda: not graphs(app).display)
        await pilot.press("O")
        await until(pilot, lambda: graphs(app).display)


async def test_in_a_low_terminal_the_key_opens_one_alone() -> None:
    async with running(Remembered(minute()), (80, 24)) as (pilot, app):
        await pilot.press("O")
        await opened(pilot, app)
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))


async def test_without_a_history_the_key_says_so() -> None:
    async with running(FakeSource(minute()), (80, 24)) as (pilot, app):
        await pilot.press("O")
        await pilot.pause()
        assert isinstance(app.screen, MainScreen)
        assert any("no history" in note.message for note in app._notifications)


async def test_a_click_opens_the_graph_under_it_and_escape_is_back() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.click(Graphs, offset=(40, 1))
        plot = await opened(pilot, app)
        assert "syscalls/s" in text(plot)[0]
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))


async def test_tab_leads_to_them_and_the_arrows_choose() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("shift+tab")
        assert app.focused is graphs(app)
        await pilot.press("right", "right", "right", "right", "enter")
        plot = await opened(pilot, app)
        assert "p99 of calls" in text(plot)[0]
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        await pilot.press("tab")
        assert app.main.pane is app.main.panes[0]


@pytest.mark.parametrize("width", [1, 2, 5])
async def test_they_can_have_the_focus_in_no_room(width: int) -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("shift+tab")
        found = graphs(app)
        empty = tuple(replace(one, columns=()) for one in found._graphs)
        await pilot.resize_terminal(width, 40)
        found.show(empty, (0.0, 0.0))
        assert len(found._lines) == max(1, found.size.height - 1) + 1


async def test_enter_on_a_column_shows_its_moment_in_all_panes() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        app.main.graphs.open("execs")
        await opened(pilot, app)
        await pilot.press("home", "enter")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        await until(pilot, lambda: not app.main.playback.seeking)
        assert app.main.playback.moment == pytest.approx(START, abs=1)


async def test_the_other_graphs_are_a_key_away() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        app.main.graphs.open("cost")
        plot = await opened(pilot, app)
        await pilot.press("tab")
        assert "execs/s" in text(plot)[0]
        await pilot.press("shift+tab")
        assert "own cost" in text(plot)[0]


async def test_looking_back_they_say_what_was_then() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await press(pilot, app, "left_square_bracket", *["full_stop"] * 20)
        at = app.main.playback.moment
        assert at == START + 20
        series = app.main.graphs._series
        assert series is not None
        rate = series.at("execs", at)
        assert rate is not None
        assert text(graphs(app))[0].split()[1] == f"{rate:.0f}"
        # The whole span, as below on the timeline, and the column of the moment stands out.
        columns = len(graphs(app)._graphs[0].columns)
        assert graphs(app)._graphs[0].at == columns * 20 // 60


async def test_only_lines_that_changed_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Remembered(minute())
    async with running(source) as (pilot, app):
        drawn: list[tuple[Region, ...]] = []
        widget = graphs(app)
        refresh = widget.refresh

        def note(*regions: Region, **more: bool) -> Graphs:
            drawn.append(regions)
            return refresh(*regions, **more)

        monkeypatch.setattr(widget, "refresh", note)
        widget.show(widget._graphs, widget._span)
        assert drawn == []
        source.give(batch("execs", 60.2, ran(60.2, 5000, "late")))
        await settle(pilot, source)
        assert all(region.height == 1 for regions in drawn for region in regions)


async def test_the_mouse_above_a_column_says_its_time_and_value() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.hover(Graphs, offset=(1, 1))
        await until(pilot, lambda: graphs(app).tooltip)
        assert str(graphs(app).tooltip).startswith("13:00:0")
        assert "execs/s" in str(graphs(app).tooltip)
