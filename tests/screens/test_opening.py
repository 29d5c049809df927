"""Screens above the main screen open with two frames: what they show, then what is below; the line of keys."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from rich.cells import cell_len
from textual._styles_cache import StylesCache
from textual.app import App
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from ebpftop.core.source import SourceError
from ebpftop.ui.app import COLLECT_EVERY, EbpftopApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.opened import MADE_IN_ADVANCE
from ebpftop.ui.screens.over import LayoutOnResize, OverScreen
from ebpftop.ui.screens.ready import ReadyScreen, prepare
from ebpftop.ui.screens.save_dialog import SaveScreen
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.sheet import Details, Sheet

from .conftest import settle
from .scene import FakeSource, batch, minute, ran


@pytest.fixture(autouse=True)
def _at_once(made_in_advance: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebpftop.ui.screens.over.BELOW_S", 0.001)


@asynccontextmanager
async def ready(source: FakeSource, size: tuple[int, int] = (120, 35)) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    """The app once it has made the screens that it fills later."""
    app = EbpftopApp(source)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot, source)
        while not all(
            app.is_screen_installed(kind.__name__) and app.get_screen(kind.__name__).is_mounted
            for kind in MADE_IN_ADVANCE
        ):
            assert app.is_running, "the app crashed"
            await pilot.pause()
        yield pilot, app
    assert not app.return_code


def text_of(app: App[Any]) -> str:
    """What is on the terminal."""
    screen = app.screen
    update = screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return "".join(segment.text for segment in app.console.render(update)) if update is not None else ""


def cells(frame: str) -> int:
    """How many cells a frame draws."""
    return cell_len(re.sub(r"\x1b\[\d+;\d+H|\n", "", frame))


async def test_help_is_rendered_before_it_is_asked_for_and_but_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[None] = []
    render_line = StylesCache.render_line

    def noted(cache: StylesCache, *args: Any) -> Strip:
        rendered.append(None)
        return render_line(cache, *args)

    async with ready(FakeSource(minute())) as (pilot, app):
        screen = app.get_screen("HelpScreen")
        await pilot.pause()
        caches = {widget._styles_cache for widget in (*screen.query(Widget), *screen.query(ScrollBar))}
        monkeypatch.setattr(
            StylesCache,
            "render_line",
            lambda cache, *args: noted(cache, *args) if cache in caches else render_line(cache, *args),
        )
        for _ in range(3):
            await pilot.press("question_mark")
            await pilot.pause()
            assert app.screen is screen
            assert "Every program that starts" in text_of(app)
            await pilot.press("escape")
        # The line of keys at its foot.
        assert len(rendered) < 5


async def test_what_was_to_be_made_in_advance_is_let_be_once_the_app_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    async with ready(FakeSource(minute())) as (_, app):
        stack = app._screen_stacks[app.current_mode]
        ended = stack[:]
        monkeypatch.setattr(ReadyScreen, "_refresh_layout", lambda screen, *_: drawn.append(screen))
        monkeypatch.setattr(OverScreen, "render_ahead", drawn.append)
        stack.clear()
        try:
            prepare(app, [HelpScreen])
            for kind in MADE_IN_ADVANCE:
                screen = app.get_screen(kind.__name__)
                assert isinstance(screen, ReadyScreen)
                screen._lay_out_ahead()
                screen.on_screen_suspend()
                if isinstance(screen, HelpScreen):
                    screen._fill_ahead()
        finally:
            stack.extend(ended)
            monkeypatch.undo()
    assert not drawn


@pytest.mark.parametrize("covered", [(), ("c",)], ids=["main", "dialog"])
async def test_after_a_resize_what_opens_is_drawn_with_all_that_is_below(
    covered: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(FakeSource(minute())) as (pilot, app):
        await pilot.press(*covered)
        await pilot.pause()
        with frames_of(app, monkeypatch) as frames:
            for screen in app.screen_stack:
                assert isinstance(screen, LayoutOnResize)
                screen.drawn_size = Size(80, 24)
            app.action_diagnostics()
            await pilot.pause()
        above = [words for screen, words in frames if issubclass(screen, SheetScreen)]
        assert "Probe execs" in above[0]
        assert cells(above[0]) == 120 * 35


Frame = tuple[type[Screen[Any]], str]


@contextmanager
def frames_of(app: EbpftopApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Frame]]:
    """Every frame that is drawn: of which screen, and its text."""
    frames: list[Frame] = []
    display = EbpftopApp._display

    def noted(self: EbpftopApp, screen: Screen[Any], update: Any) -> None:
        if update is not None:
            frames.append((type(screen), "".join(segment.text for segment in app.console.render(update))))
        display(self, screen, update)

    with monkeypatch.context() as patch:
        patch.setattr(EbpftopApp, "_display", noted)
        yield frames


OPENINGS = [
    (("question_mark",), "Every program that starts"),
    (("exclamation_mark",), "Probe execs"),
    (("E",), "csv"),
    (("c",), "Columns"),
    (("k", "enter"), "y Copy"),
    (("tab", "tab", "enter"), "handler"),
    (("tab", "tab", "I"), "FOR"),
]


@pytest.mark.parametrize(("keys", "text"), OPENINGS, ids=["".join(keys) for keys, _ in OPENINGS])
async def test_a_screen_opens_with_a_frame_of_what_it_shows_and_one_of_all(
    keys: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(FakeSource(minute())) as (pilot, app):
        await pilot.press(*keys[:-1])
        for again in (False, True):
            await pilot.pause()
            with frames_of(app, monkeypatch) as frames:
                await pilot.press(keys[-1])
                # What is below is drawn again a little later, if anything asked for it.
                await pilot.pause()
            # On the way a cursor may have moved on the screen below.
            above = [words for screen, words in frames if screen is not MainScreen]
            assert text in above[0]
            assert isinstance(app.screen, OverScreen)
            covers_all = app.screen.is_opaque
            assert (cells(above[0]) < 120 * 35) is not covers_all
            # A list that gets another size than it had before is drawn once more.
            assert len(above) == (1 if covers_all else 2) or not again
            assert not again or (text in above[-1] and cells(above[-1]) == 120 * 35)
            await pilot.press("escape")
            assert isinstance(app.screen, MainScreen)


async def test_a_sheet_is_filled_anew_each_time() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 9, "sh", "-c", "true", file="/bin/sh"))])
    async with ready(source) as (pilot, app):
        await pilot.press("exclamation_mark")
        screen = app.screen
        assert screen is app.get_screen("SheetScreen")
        await pilot.press("G")
        assert "Next, previous" not in text_of(app)
        await pilot.press("escape", "k", "enter")
        assert app.screen is app.get_screen("SheetScreen")
        assert "/bin/sh" in text_of(app)
        assert "Next, previous" in text_of(app)
        await pilot.press("escape", "exclamation_mark")
        await pilot.pause()
        assert app.screen is screen
        assert "Probe execs" in text_of(app)
        assert screen.query_one(".sheet").scroll_offset.y == 0
        await pilot.press("escape", "question_mark", "escape", "question_mark")
        assert app.screen is app.get_screen("HelpScreen")
        assert "Every program that starts" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, MainScreen)
        assert isinstance(screen, SheetScreen)
        assert screen.details.title == "", "what it showed is held while it is closed"


async def test_a_sheet_over_a_sheet_and_one_before_any_is_ready_have_a_screen_of_their_own() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        app.push_screen(SheetScreen().fill(Details("one", Sheet)))
        await pilot.pause()
        app.action_diagnostics()
        await pilot.pause()
        app.action_help()
        await pilot.pause()
        app.action_diagnostics()
        await pilot.pause()
        assert len(set(app.screen_stack)) == len(app.screen_stack) == 5
        await pilot.press("escape", "escape", "escape", "escape")
        assert isinstance(app.screen, MainScreen)


async def test_what_is_below_goes_on_and_has_the_size_of_the_terminal() -> None:
    source = FakeSource(minute())
    async with ready(source) as (pilot, app):
        await pilot.press("c")
        assert isinstance(app.screen, OverScreen)
        assert "still-going-on" not in text_of(app)
        source.give(batch("execs", 70, *(ran(70, 900 + i, "still-going-on") for i in range(20))))
        await settle(pilot, source)
        await pilot.pause()
        assert "still-going-on" in text_of(app)
        await pilot.resize_terminal(150, 40)
        await pilot.pause()
        assert {screen.size for screen in app.screen_stack} == {app.size}
        before = text_of(app)
        await pilot.press("escape")
        app.theme = "light"
        await pilot.press("c")
        await pilot.pause()
        assert len(text_of(app)) == len(before)


async def test_a_click_on_a_key_presses_it() -> None:
    async with ready(FakeSource(minute())) as (pilot, app):
        line = app.screen.query_one(KeyLine)
        key = next(key for key in line._keys or () if key.about == "Help")
        await pilot.hover(KeyLine, offset=(key.x, 0))
        assert line.pointed == key.key
        assert line.tooltip == "What is shown, and every key"
        await pilot.click(KeyLine, offset=(key.end, 0))
        assert isinstance(app.screen, MainScreen), "between two keys is none"
        await pilot.click(KeyLine, offset=(key.x, 0))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize("width", [40, 44, 60, 80, 100, 160])
async def test_keys_that_do_not_fit_are_left_out_from_the_middle(width: int) -> None:
    async with ready(FakeSource(minute()), (width, 24)) as (pilot, app):
        for key, ends in (("", "? Help  q Quit"), ("question_mark", ""), ("escape", "? Help  q Quit")):
            if key:
                await pilot.press(key)
                await pilot.pause()
            line = re.sub("\x1b[^H]*H", "", text_of(app).splitlines()[-1])
            assert line.endswith(ends)
            assert len(line) == width
        assert line.startswith("⏎ Details  / Filter")
        placed = app.screen.query_one(KeyLine)._keys or ()
        assert all(left.end < right.x for left, right in pairwise(placed) if right.about)
        before = app.screen
        await pilot.click(KeyLine, offset=(width - 9, 0))
        await pilot.pause()
        assert app.screen is not before


@pytest.mark.parametrize(
    "keys", [("E",), ("c",), ("tab", "tab", "enter"), ("tab", "tab", "I"), ("exclamation_mark",)], ids="".join
)
async def test_what_is_opened_again_is_as_new_and_is_not_made_anew(keys: tuple[str, ...]) -> None:
    async with ready(FakeSource(minute())) as (pilot, app):
        await pilot.press(*keys)
        await pilot.pause()
        screen, first = app.screen, text_of(app)
        assert screen in {app.get_screen(kind.__name__) for kind in MADE_IN_ADVANCE}
        # Leave traces: a sort order, a cursor, a scroll position, a name, a choice.
        traces = ("right", "x", "less_than_sign", "r", "pagedown") if keys != ("c",) else ()  # these it is there for
        await pilot.press("down", *traces, "escape")
        app.clear_notifications()  # keys of other screens say where they work
        await pilot.pause()
        assert isinstance(app.screen, MainScreen)
        await pilot.press(*keys[-1:])
        await pilot.pause()
        assert app.screen is screen
        assert text_of(app) == first
        await pilot.press("escape")


async def test_a_save_that_outlives_its_dialog_says_so_and_leaves_the_next_dialog_alone() -> None:
    go = threading.Event()

    def write(path: str, replace: bool) -> str:
        assert go.wait(30)
        return "written late"

    async with ready(FakeSource(minute())) as (pilot, app):
        await pilot.press("E")
        screen = app.screen
        assert isinstance(screen, SaveScreen)
        screen.choices = [replace(choice, write=write) for choice in screen.choices]
        screen.query_one(Input).value = "/nonexistent/x.csv"
        await pilot.press("enter", "escape")
        await pilot.press("E")
        assert app.screen is screen
        go.set()
        while not any("written late" in notice.message for notice in app._notifications):
            await pilot.pause()
        assert app.screen is screen


async def test_an_error_of_saving_is_shown_with_its_remedy() -> None:
    def write(path: str, replace: bool) -> str:
        raise SourceError("the disk is full", "make room")

    async with ready(FakeSource(minute())) as (pilot, app):
        await pilot.press("E")
        screen = app.screen
        assert isinstance(screen, SaveScreen)
        screen.choices = [replace(choice, write=write) for choice in screen.choices]
        screen.query_one(Input).value = "/nonexistent/x.csv"
        await pilot.press("enter")
        while "the disk is full; make room" not in text_of(app):
            await pilot.pause()


# ---- The first picture ----


async def test_widgets_get_their_styles_once_before_the_first_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[MainScreen] = []
    update = MainScreen.update_node_styles

    def count(screen: MainScreen, animate: bool = True) -> None:
        again.append(screen)
        update(screen, animate)

    monkeypatch.setattr(MainScreen, "update_node_styles", count)
    async with ready(FakeSource(minute())):
        assert again == []


async def test_garbage_is_collected_from_the_first_picture_on() -> None:
    usual = gc.get_threshold()
    gc.disable()
    try:
        async with ready(FakeSource(minute())):
            assert gc.isenabled()
            gc.collect()
            before = [one["collections"] for one in gc.get_stats()]
            pairs = [(number, bytes(8)) for number in range(16_384)]  # as many as one reading has at most
            assert [one["collections"] for one in gc.get_stats()] == before, "it does not search the logs for garbage"
            del pairs
            for _ in range(2 * COLLECT_EVERY):
                ring: list[object] = []
                ring.append(ring)
            assert gc.get_stats()[0]["collections"] > before[0]
    finally:
        gc.set_threshold(*usual)
        gc.enable()


async def test_memory_that_was_freed_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[bool] = []
    monkeypatch.setattr("ebpftop.ui.app._GIVE_BACK_EVERY_S", 0.25)  # more often, a slow machine would never rest
    monkeypatch.setattr("ebpftop.lifecycle.malloc.give_back", lambda: given_back.append(True))
    async with ready(FakeSource(minute())):
        while len(given_back) < 3:
            await asyncio.sleep(0.02)
