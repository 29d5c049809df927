"""The exec log in other orders than that of time, by keys and by clicks on headings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.exec_log_view import ExecLogView

from .conftest import Look, settle, until
from .scene import FakeSource, batch, ended, minute, ran
from .test_folding import noisy


@asynccontextmanager
async def running(source: FakeSource) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        yield pilot, app
    assert not app.return_code


def lines_of(app: EbpftopApp) -> ExecLogView:
    return app.main.execs.exec_lines


def commands(app: EbpftopApp) -> list[str]:
    return [row.exec.comm for row in lines_of(app).rows()]


def drawn(app: EbpftopApp) -> list[str]:
    lines = lines_of(app)
    return [strip.text.rstrip() for strip in lines._lines(range(lines.size.height))[0]]


async def test_keys_go_through_the_orders_and_back_to_time() -> None:
    async with running(FakeSource(noisy())) as (pilot, app):
        by_time = commands(app)
        await pilot.press(">")
        await until(pilot, lambda: len(commands(app)) > 200)
        assert commands(app)[0] == "convert"
        assert "longest first" in app.main.execs.subtitle()
        assert not lines_of(app).follow
        await pilot.press(">")
        await until(pilot, lambda: sorted(commands(app)) == ["convert", "pg_dump"])
        await pilot.press(">")
        await until(pilot, lambda: commands(app)[:1] == ["true"])
        assert any("×214" in text for text in drawn(app))
        assert len(commands(app)) == 5
        await pilot.press(">")
        await until(pilot, lambda: commands(app) == by_time)
        assert lines_of(app).follow


@pytest.mark.parametrize("key", ["F", "escape"])
async def test_one_key_goes_back_to_the_order_of_time(key: str) -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        by_time = commands(app)
        await pilot.press(">")
        await until(pilot, lambda: commands(app) != by_time)
        await pilot.press(key)
        await until(pilot, lambda: commands(app) == by_time)
        assert lines_of(app).order == "time"
        assert lines_of(app).follow


async def test_a_click_on_a_heading_orders_and_another_reverses() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        lines = lines_of(app)
        slot = next(slot for slot in lines.slots if slot.column.key == "duration")
        await pilot.click(lines, offset=(slot.x + 2, 0))
        await until(pilot, lambda: lines.rows() and not lines.view.in_time_order)
        longest = lines.rows()
        assert "▼DUR" in drawn(app)[0]
        await pilot.click(lines, offset=(slot.x + 2, 0))
        await until(pilot, lambda: lines.rows() and lines.rows()[0] is longest[-1])
        assert "▲DUR" in drawn(app)[0]
        await pilot.press("r")
        await until(pilot, lambda: lines.rows() == longest)


async def test_the_filter_chooses_what_is_ordered_and_the_cursor_keeps_its_row() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 50, "sleep"), ran(1.5, 51, "vi"), ran(2, 52, "sleep"))])
    async with running(source) as (pilot, app):
        await pilot.press(">")
        await until(pilot, lambda: commands(app) == ["sleep", "vi", "sleep"])
        await pilot.press("slash", *"sleep", "enter")
        await until(pilot, lambda: commands(app) == ["sleep", "sleep"])
        await pilot.press("g", "j")
        chosen = lines_of(app).selected()
        assert chosen is not None
        assert chosen.exec.pid == 52
        first = ran(1, 50, "sleep")
        source.give(batch("execs", 9, ended(first, 0.5), ran(9, 53, "true")))
        await settle(pilot, source)
        await until(pilot, lambda: [row.exec.pid for row in lines_of(app).rows()] == [52, 50])
        assert lines_of(app).selected() is chosen


async def test_the_order_of_failures_says_that_there_is_none() -> None:
    async with running(FakeSource([batch("execs", 1, ran(1, 50, "sleep"))])) as (pilot, app):
        await pilot.press(">", ">")
        await until(pilot, lambda: lines_of(app).order == "failing")
        assert app.main.execs.message_if_empty() == "None of the programs shown failed."


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
def test_what_starts_most_often(looks_the_same: Look, size: tuple[int, int]) -> None:
    async def ranked(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, EbpftopApp)
        await until(pilot, lambda: commands(app)[:1] == ["true"])

    assert looks_the_same(FakeSource(noisy()), size, "<", before=ranked)
