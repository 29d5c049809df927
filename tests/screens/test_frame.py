"""Panes without boxes: a title, a header, rows; what a click on a title does."""

from __future__ import annotations

from functools import partial

import pytest
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.registry import PaneLayout
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.widgets.row_drawing import POINT
from ebpftop.ui.widgets.row_sliding import SLIDE

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


SMALL = [(60, 15), (69, 30), (120, 19), (40, 8)]


@pytest.mark.parametrize("size", SMALL, ids=str)
async def test_in_a_small_terminal_one_pane_and_tabs(size: tuple[int, int]) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        for probe in ("execs", "users", "syscalls", "trace", "execs"):
            await until(pilot, partial(is_alone, app, probe))
            await until(pilot, partial(fills, app, size[1] - 5))
            assert app.main.pane.probe == probe
            number = app.main.pane.number
            assert f"▸{number}" in lines_of(pilot)[1]
            assert not any("▸" in line for line in lines_of(pilot)[2:])
            await pilot.press("tab")


def is_alone(app: EbpftopApp, probe: str) -> bool:
    return shown(app) == [probe]


def fills(app: EbpftopApp, height: int) -> bool:
    """Whether the shown pane's rows have at least *height* lines: they have none until Textual has laid them out."""
    return app.main.pane.lines.region.height >= height


def shown(app: EbpftopApp) -> list[str]:
    return [pane.probe for pane in app.main.panes if pane.display]


async def test_tabs_say_what_they_count_and_are_clicked() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(60, 15)) as pilot:
        await settle(pilot, source)
        await until(pilot, lambda: "Trace 7" in lines_of(pilot)[1])
        tabs = lines_of(pilot)[1]
        assert tabs.rstrip() == "▸1 Execs 2✗   2 Users   3 Syscalls 4.7%✗   4 Trace 7"
        await pilot.click(offset=(tabs.index("Syscalls"), 1))
        await until(pilot, lambda: shown(app) == ["syscalls"])


async def test_a_tab_says_that_its_probe_is_off() -> None:
    source = FakeSource([*minute(), batch("trace", 61, probe_state("trace", "off"))])
    app = EbpftopApp(source)
    async with app.run_test(size=(60, 15)) as pilot:
        await settle(pilot, source)
        await until(pilot, lambda: "4○ Trace" in lines_of(pilot)[1])


async def test_a_terminal_that_is_too_small_says_what_is_needed_and_comes_back() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        for size in ((39, 24), (80, 7), (11, 1)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "".join(lines_of(pilot)).strip() == "needs 40x8")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "Exec log" in "".join(lines_of(pilot)[:2]))
        assert shown(app) == ["execs", "users", "syscalls", "trace"]
        await until(pilot, lambda: app.focused is app.main.execs.lines)


async def test_nothing_else_is_in_a_terminal_that_is_too_small() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("H", "space", "slash", "s")
        await until(pilot, lambda: "/s" in "".join(lines_of(pilot)))
        for size in ((300, 2), (39, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "".join(lines_of(pilot)).strip() == "needs 40x8")
        await pilot.resize_terminal(120, 35)
        await until(pilot, lambda: "/s" in "".join(lines_of(pilot)[-3:]))
        await pilot.press("h")
        await until(pilot, lambda: "/sh" in "".join(lines_of(pilot)[-3:]))


async def test_layouts_go_round_and_panes_hide() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        seen = []
        for _ in range(4):
            await pilot.press("L")
            await pilot.pause()
            seen.append(shown(app))
        every = ["execs", "users", "syscalls", "trace"]
        assert seen == [["execs", "trace"], ["execs", "syscalls"], ["execs", "users"], every]
        await pilot.press("tab", "x")
        await until(pilot, lambda: shown(app) == ["execs", "syscalls", "trace"])
        assert app.main.pane.probe == "execs"
        assert source.toggled == []
        app.main.show_pane(pane(app, "users"), shown=True)
        await until(pilot, lambda: shown(app) == every)
        assert app.main.pane_layout == PaneLayout()


async def test_the_last_pane_cannot_be_hidden_and_a_preset_shows_what_is_asked_for() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("x", "x", "x", "x", "x")
        await until(pilot, lambda: len(shown(app)) == 1)
        await pilot.press("L", "L", "L")
        app.main.show_pane(pane(app, "trace"), shown=True)
        await until(pilot, lambda: "trace" in shown(app))


async def test_a_pane_grows_and_shrinks() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        execs = pane(app, "execs")
        before = execs.region.height
        await pilot.press("right_curly_bracket")
        await until(pilot, lambda: execs.region.height > before)
        await pilot.press("left_curly_bracket", "left_curly_bracket")
        await until(pilot, lambda: execs.region.height < before)
        assert execs.lines.has_focus


MAKE = ("make", *(f"target-{n}" for n in range(20)))


async def test_a_long_command_scrolls_sideways_as_far_as_it_is_long() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 7000, *MAKE))])
    app = EbpftopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        lines = app.main.execs.log_lines
        assert "make target-0 target-1" in lines_of(pilot)[3]
        await pilot.press("right", "right")
        await until(pilot, lambda: lines.slid == 2 * SLIDE)
        assert "COMMAND ←16" in lines_of(pilot)[2]
        assert "make" not in lines_of(pilot)[3]
        await pilot.press(*["right"] * 60)
        await until(pilot, lambda: "target-19" in lines_of(pilot)[3])
        assert lines_of(pilot)[3].rstrip(" ▁▂▃▄▅▆▇█").endswith("target-19")
        await pilot.press(*["left"] * 60)
        await until(pilot, lambda: lines.slid == 0)
        assert "make target-0" in lines_of(pilot)[3]


async def test_the_wheel_with_shift_scrolls_sideways() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 7000, *MAKE))])
    app = EbpftopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        lines = app.main.execs.log_lines
        await pilot._post_mouse_events([MouseScrollDown], lines, offset=(30, 1), shift=True)
        await until(pilot, lambda: lines.slid == SLIDE)
        await pilot._post_mouse_events([MouseScrollUp], lines, offset=(30, 1), shift=True)
        await until(pilot, lambda: lines.slid == 0)


async def test_figures_of_a_wide_table_stand_near_their_names_and_every_second_row_is_tinted() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 40)) as pilot:
        await settle(pilot, source)
        await pilot.press("tab", "tab", "m")
        table = pane(app, "syscalls").lines
        await until(pilot, lambda: table.size.width > 190)
        rate = next(slot for slot in table.slots if slot.column.key == "rate")
        assert rate.x < 60
        styles = [next(iter(strip)).style for strip in table.render_lines(table.size.region)[1:7]]
        backs = [style.bgcolor for style in styles if style is not None]
        assert len(set(backs)) == 2
        assert backs[::2] == backs[:1] * 3
