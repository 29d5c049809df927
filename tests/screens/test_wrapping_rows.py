"""`w`: long commands, messages and calls go on in further lines. Keys do with such rows what they do with others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from ebpftop.core.source import Batch
from ebpftop.core.trace_records import Trace
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_drawing import POINT

from .conftest import Look, pane, settle, until
from .scene import START, FakeSource, batch, ran
from .test_folding import noisy

SIZE = (100, 30)


def long_command(n: int, targets: int = 24) -> tuple[str, ...]:
    return ("make", f"-C/src/{n}", *(f"target-{n}-{target}" for target in range(targets)))


def builds(count: int = 60, every: int = 3) -> list[Batch]:
    """Programs, of which each third has a command of several lines."""
    commands = (long_command(n) if n % every == 0 else ("true", f"{n}") for n in range(count))
    return [batch("execs", 1 + n / 10, ran(1 + n / 10, 7000 + n, *argv)) for n, argv in enumerate(commands)]


@asynccontextmanager
async def running(
    batches: list[Batch], size: tuple[int, int] = SIZE, *keys: str
) -> AsyncIterator[tuple[Pilot[Any], EbpftopApp, LogView[Any]]]:
    source = FakeSource(batches)
    app = EbpftopApp(source)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot, source)
        await pilot.press("m", *keys)
        await pilot.pause()
        yield pilot, app, app.main.execs.log_lines
    assert not app.return_code


def drawn(lines: LogView[Any]) -> list[str]:
    """What stands below the heading."""
    return [strip.text.rstrip() for strip in lines._lines(range(lines.size.height))[0]][lines.header_height :]


def on_line(lines: LogView[Any], position: int) -> int:
    """The line of the page at which a row begins."""
    return lines.line_of(position)


async def test_a_long_command_goes_on_below_and_is_cut_again() -> None:
    async with running(builds(3), SIZE) as (pilot, app, lines):
        assert not any("target-0-23" in text for text in drawn(lines))
        await pilot.press("w")
        text = " ".join(piece for line in drawn(lines) for piece in line.split())
        assert all(f"target-0-{n}" in text for n in range(24))
        assert app.wraps_rows
        first = next(at for at, line in enumerate(drawn(lines)) if "make" in line)
        column = drawn(lines)[first].index("make")
        assert not drawn(lines)[first + 1][:column].strip()
        await pilot.press("w")
        assert not any("target-0-23" in text for text in drawn(lines))
        assert len([text for text in drawn(lines) if text]) == 3


async def test_the_newest_row_is_followed_to_its_last_line() -> None:
    source = FakeSource(builds())
    app = EbpftopApp(source)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot, source)
        await pilot.press("w")
        lines = app.main.execs.log_lines
        for n in range(60, 66):
            source.give(batch("execs", 10 + n, ran(10 + n, 7000 + n, *long_command(n))))
            await settle(pilot, source)
            assert lines.follow
            assert drawn(lines)[-1].endswith(f"target-{n}-23")


async def test_a_filter_that_leaves_fewer_rows_than_were_scrolled_away_shows_them() -> None:
    async with running(builds(), SIZE, "t", "w", "G") as (pilot, app, _):
        lines = app.main.execs.lines
        await until(pilot, lambda: lines.end == 60 and lines.scroll_offset.y > 0)
        await pilot.press("slash", *"pid:7059", "enter")
        await until(pilot, lambda: lines.end == 1)
        assert lines.top == (lines.first, 0)
        assert lines.cursor == 0


@pytest.mark.parametrize("every", [1, 2, 7])
async def test_a_pane_of_another_size_follows_as_before_or_has_its_cursor_in_view(every: int) -> None:
    async with running(builds(60, every), (100, 50), "w") as (pilot, _, lines):
        for _ in range(4):
            await pilot.press("m")
            await pilot.pause()
            assert lines.follow
            assert lines.at_end
            assert lines.in_view.stop == 60
        await pilot.press("k", "k", "k")
        for _ in range(4):
            await pilot.press("m")
            await pilot.pause()
            assert lines.cursor in lines.in_view
            assert not lines.follow


async def test_the_row_under_the_cursor_stays_where_it_is_whatever_is_wrapped_or_arrives() -> None:
    source = FakeSource(builds())
    app = EbpftopApp(source)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot, source)
        lines = app.main.execs.log_lines
        await pilot.press("g", *"jjjjjjj")
        row, line = lines.selected(), on_line(lines, lines.cursor or 0)
        await pilot.press("w")
        assert lines.selected() is row
        assert on_line(lines, lines.cursor or 0) <= line
        line = on_line(lines, lines.cursor or 0)
        for n in range(60, 90):
            source.give(batch("execs", 10 + n, ran(10 + n, 7000 + n, *long_command(n))))
        await settle(pilot, source)
        assert lines.selected() is row
        assert on_line(lines, lines.cursor or 0) == line
        await pilot.press("w")
        assert lines.selected() is row
        assert lines.cursor in lines.in_view


async def test_every_row_is_reached_by_j_and_by_k_and_is_in_view_as_a_whole() -> None:
    async with running(builds(30), SIZE, "w", "g") as (pilot, _, lines):
        for key, order in (("j", range(30)), ("k", range(29, -1, -1))):
            for position in order:
                assert lines.cursor == position
                start, height = on_line(lines, position), lines.height_of(position)
                assert start >= 0
                assert start + height <= lines.page
                assert POINT in drawn(lines)[start]
                await pilot.press(key)


@pytest.mark.parametrize(("down", "up"), [("pagedown", "pageup"), ("ctrl+d", "ctrl+u")])
async def test_pages_are_counted_in_lines(down: str, up: str) -> None:
    async with running(builds(60), SIZE, "w", "g") as (pilot, _, lines):
        wanted = lines.page - 1 if down == "pagedown" else lines.page // 2
        seen = [lines.cursor or 0]
        while seen[-1] < 59:
            await pilot.press(down)
            at = lines.cursor or 0
            passed = sum(lines.height_of(one) for one in range(seen[-1], at))
            assert at == seen[-1] + 1 or passed <= wanted
            assert at == 59 or passed + lines.height_of(at) > wanted
            seen.append(at)
            assert len(seen) < 60
        for _ in seen:
            await pilot.press(up)
        assert lines.cursor == 0
        await pilot.press("G")
        assert lines.cursor == 59
        assert lines.at_end
        await pilot.press("g")
        assert lines.top == (0, 0)


async def test_a_click_on_any_line_of_a_row_is_on_that_row() -> None:
    async with running(builds(30), SIZE, "w", "g") as (pilot, _, lines):
        for y in range(lines.header_height, lines.size.height):
            expected = lines._drawn[y][0]
            await pilot.click(lines, offset=(40, y))
            assert lines.cursor == expected
            await pilot.press("g")


async def test_the_wheel_goes_line_by_line_to_both_ends() -> None:
    async with running(builds(30), SIZE, "w", "g") as (pilot, _, lines):
        step = round(pilot.app.scroll_sensitivity_y)
        await pilot._post_mouse_events([MouseScrollDown], lines, offset=(30, 3))
        assert lines.top == (0, step)
        await pilot._post_mouse_events([MouseScrollDown] * 200, lines, offset=(30, 3))
        assert lines.at_end
        assert lines.follow
        assert lines.in_view.stop == 30
        await pilot._post_mouse_events([MouseScrollUp], lines, offset=(30, 3))
        assert not lines.follow
        await pilot._post_mouse_events([MouseScrollUp] * 200, lines, offset=(30, 3))
        assert lines.top == (0, 0)


HUGE = ("sh", "-c", "x" * 60_000, "日本語" * 8_000, "end-of-it")


async def test_a_command_of_100_kb_wraps_and_all_of_it_can_be_seen() -> None:
    size = 140, 45
    batches = [batch("execs", n, ran(n, 7000 + n, *argv)) for n, argv in enumerate((("a",), HUGE, ("b",)), 1)]
    async with running(batches, size, "w", "g", "j") as (pilot, _, lines):
        assert lines.height_of(1) > 500
        assert "sh -c" in drawn(lines)[lines.line_of(1)]
        pages = 0
        while lines.cursor == 1 and not any("end-of-it" in text for text in drawn(lines)):
            await pilot.press("pagedown")
            pages += 1
        assert lines.cursor == 1
        assert pages == -(-(lines.height_of(1) - lines.page) // (lines.page - 1))
        await pilot.press("pagedown")
        assert lines.cursor == 2
        await pilot.press("k", *["pageup"] * (pages + 1))
        assert lines.cursor == 0
        await pilot.press("j", "j")
        assert lines.cursor == 2  # j and k go from row to row


async def test_only_rows_near_the_view_are_laid_out() -> None:
    count = 20_000
    rows = [ran(1 + n / 1000, n, *long_command(n)) for n in range(count)]
    async with running([batch("execs", 30, *rows)], SIZE) as (pilot, _, lines):
        asked: list[int] = []
        wrap = lines._wrap

        def counted(row: Any) -> Any:
            asked.append(row.exec.pid)
            return wrap(row)

        lines._wrap = counted  # type: ignore[method-assign]
        await pilot.press("w", "g", "pagedown", "pageup", "G", "k", "w")
        assert 0 < len(asked) < 400


async def test_filters_folding_other_orders_and_a_maximised_pane() -> None:
    async with running([*noisy(), *builds(6)], SIZE, "w") as (pilot, app, lines):
        assert lines.at_end
        await pilot.press("slash", *"target", "enter")
        await until(pilot, lambda: len(lines.rows()) == 2)
        assert sum(POINT in text for text in drawn(lines)) <= 1
        assert any("target-3-23" in text for text in drawn(lines))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: len(lines.rows()) > 2)
        await pilot.press(">")
        await until(pilot, lambda: lines.view is not app.main.execs.model.view)
        assert any(text for text in drawn(lines))
        await pilot.press("F", "t")
        assert app.main.execs.as_tree
        tree = app.main.execs.lines
        assert tree.wraps
        assert any(tree.height_of(at) > 1 for at in range(tree.end))


async def test_messages_and_lists_made_later_wrap_too() -> None:
    message = " ".join(f"word{n}" for n in range(60))
    batches = [batch("trace", 1, Trace(time=START, cpu=1, pid=70, tid=70, task="x", message=message))]
    async with running([*builds(2), *batches], SIZE, "m", "w") as (_, app, _lines):
        lines = pane(app, "trace").lines
        assert "word59" in " ".join(drawn(lines))  # type: ignore[arg-type]
        later: LogView[Any] = LogView(app.main.execs.model.view, lines.columns)
        await app.main.mount(later)
        assert later.wraps


async def test_if_nothing_is_long_the_key_says_so() -> None:
    async with running([batch("execs", 1, ran(1, 7000, "true"))], SIZE, "w") as (pilot, app, _):
        await until(pilot, lambda: any("None is in view" in one.message for one in app._notifications))


async def test_a_row_that_cannot_be_wrapped_says_so(survived_errors: list[BaseException]) -> None:
    async with running(builds(3), SIZE) as (pilot, _, lines):

        def fail(row: Any) -> Any:
            raise ValueError("no such text")

        lines._wrap = fail  # type: ignore[method-assign]
        await pilot.press("w")
        assert all("cannot be drawn: Value" in text for text in drawn(lines)[:3])
    survived_errors.clear()


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35), (200, 50)])
def test_wrapped_rows_look_right(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(builds(9)), size, "w", "G", "k", "k")
