"""No exception of the screen's own code ends the app, or the widget in which it happens."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.reactive import reactive
from textual.validation import Function
from textual.widgets import Input, Static

from ebpftop.core.user_records import Users
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.columns import Column
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import pane, settle, until
from .scene import FakeSource, batch, minute, ran


class Boom(Exception):
    """What a test makes happen."""


def fails(*_: Any, **__: Any) -> Any:
    raise Boom("boom \x1b[2J [@click=app.quit]here[/]")


class Unmade(SheetScreen):
    """A screen that cannot be made."""

    compose = fails


class Unfilled(SheetScreen):
    """A screen that cannot be filled."""

    show_filled = fails


class Fragile(Static):
    """A widget in which everything can fail."""

    number = reactive(0)
    drawing_fails = False
    drawn = 0

    def render_line(self, y: int) -> Any:
        self.drawn += 1
        return fails() if self.drawing_fails else super().render_line(y)

    def validate_number(self, number: int) -> int:
        return number if number < 10 else fails()

    def watch_number(self, number: int) -> None:
        if number == 5:
            fails()

    def on_click(self) -> None:
        fails()

    def action_fail(self) -> None:
        fails()


async def _in_handler(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    await pilot.click(widget)


async def _in_action(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    app.call_later(app.run_action, "fail", widget)


async def _in_timer(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.set_timer(0.01, fails)


async def _in_interval(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.set_interval(0.1, fails)


async def _in_call_later(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.call_later(fails)


async def _in_call_next(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.call_next(fails)


async def _in_call_after_refresh(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.call_after_refresh(fails)


async def _in_thread_worker(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.run_worker(fails, thread=True)


async def _in_worker(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    async def work() -> None:
        fails()

    widget.run_worker(work())


async def _in_call_from_thread(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.run_worker(lambda: app.call_from_thread(fails), thread=True)


async def _in_thread(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    threading.Thread(target=fails).start()


async def _in_task(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    async def work() -> None:
        fails()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    del task
    gc.collect()


async def _in_loop_callback(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    asyncio.get_running_loop().call_soon(fails)


async def _in_finaliser(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    class Final:
        __del__ = fails

    Final()


async def _in_validator(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    await pilot.press("slash")
    app.main.query_one(Input).validators.append(Function(fails))
    await pilot.press("a")
    app.main.query_one(Input).validators.clear()
    await pilot.press("escape")


async def _in_reactive_validator(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.call_later(setattr, widget, "number", 11)


async def _in_watcher(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.call_later(setattr, widget, "number", 5)


async def _in_drawing(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    widget.drawing_fails = True
    widget.refresh()


async def _in_composing_a_screen(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    app.push_screen(Unmade().fill(Details("broken", Sheet)))


async def _in_filling_a_screen(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    app.push_screen(Unfilled().fill(Details("broken", Sheet)))


async def _in_result_of_a_screen(app: EbpftopApp, pilot: Pilot[int], widget: Fragile) -> None:
    app.push_screen(SheetScreen().fill(Details("whole", Sheet)), fails)
    await pilot.pause()
    await pilot.press("escape")


async def test_the_key_that_an_error_names_shows_it(survived_errors: list[BaseException]) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        widget = Fragile("fragile", id="fragile")
        await app.main.mount(widget, before=0)
        await until(pilot, lambda: widget.drawn)
        await _in_drawing(app, pilot, widget)
        key = app.main.active_bindings["exclamation_mark"].binding.key_display
        told = f"{key} shows what happened"
        await until(pilot, lambda: any(told in notice.message for notice in app._notifications))
        await until(pilot, lambda: any(told in strip.text for strip in app.screen._compositor.render_strips()))
        survived_errors.clear()
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))


KINDS: dict[str, Callable[[EbpftopApp, Pilot[int], Fragile], Awaitable[None]]] = {
    name.removeprefix("_in_"): value for name, value in list(globals().items()) if name.startswith("_in_")
}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exception_is_told_once_and_the_screen_and_the_widget_go_on(
    kind: str, survived_errors: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        widget = Fragile("fragile", id="fragile")
        await app.main.mount(widget, before=0)
        await until(pilot, lambda: widget.drawn)  # until then a click would miss it
        await KINDS[kind](app, pilot, widget)
        await until(pilot, lambda: survived_errors)
        assert [type(error) for error in survived_errors] == [Boom]
        survived_errors.clear()

        # The widget goes on: it hears messages, and runs callbacks.
        heard: list[bool] = []
        widget.call_later(heard.append, True)
        await until(pilot, lambda: heard)
        assert widget.is_running

        # So does the screen: keys, and what comes in.
        assert isinstance(app.screen, MainScreen)
        source.give(batch("execs", 61, ran(61, 5000, "late")))
        await settle(pilot, source)
        log = pane(app, "execs").lines
        assert log.row(log.end - 1).exec.argv == ("late",)
        await pilot.press("exclamation_mark")
        assert isinstance(app.screen, SheetScreen)
        text = app.screen.details.sheet().content().plain
        assert "Boom: boom \\x1b[2J" in text
        assert "Traceback" in text
        assert "\x1b" not in text
        told = [n for n in app._notifications if "Boom" in n.message]
        assert len(told) == 1
    assert not app.return_code
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_widget_that_keeps_failing_when_drawn_says_so_and_is_not_drawn_without_end(
    survived_errors: list[BaseException],
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        widget = Fragile("fragile")
        await app.main.mount(widget, before=0)
        await pilot.pause()
        widget.drawing_fails = True
        widget.refresh()
        await pilot.pause()
        before = widget.drawn
        await pilot.pause(0.5)
        assert widget.drawn - before < 20
        assert "cannot be drawn: Boom" in app.main._compositor.render_strips()[widget.region.y].text
        widget.drawing_fails = False
        widget.refresh()
        await pilot.pause()
        assert "fragile" in app.main._compositor.render_strips()[widget.region.y].text
    survived_errors.clear()


@pytest.mark.parametrize("probe", ["execs", "users", "syscalls", "trace"])
async def test_a_row_that_cannot_be_drawn_says_so_in_its_place(
    probe: str, survived_errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        lines = pane(app, probe).lines
        lines.columns = (Column("bad", "BAD", 10, fails), *lines.columns[1:])
        lines.rearrange()
        await until(pilot, lambda: survived_errors)
        strips = lines.render_lines(lines.size.region)
        assert strips[0].text.strip().startswith("BAD") is bool(lines.header_height)
        assert any("cannot be drawn: Boom" in strip.text for strip in strips[lines.header_height :])
        await pilot.press("j", "k")
        assert app.is_running
    survived_errors.clear()


async def test_what_one_pane_cannot_take_in_the_others_still_show(
    survived_errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        monkeypatch.setattr(app.main.query_one(UsersPane).model, "feed", fails)
        for at in range(61, 70):
            source.give(batch("execs", at, ran(at, 5000 + at, "late")), batch("users", at, Users(time=at, rows=())))
        await settle(pilot, source)
        execs = app.main.query_one(ExecsPane)
        assert execs.model.view[execs.model.view.end - 1].exec.pid == 5069
    assert {type(error) for error in survived_errors} == {Boom}
    survived_errors.clear()


async def test_a_pane_that_cannot_show_hurts_no_other(
    survived_errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        for broken in (ExecsPane, UsersPane):
            monkeypatch.setattr(app.main.query_one(broken), "show", fails)
        monkeypatch.setattr(RowView, "style_of", fails)
        monkeypatch.setattr(StatusBar, "spans", fails)
        source.give(batch("execs", 61, ran(61, 5000, "late")), batch("users", 61))
        await settle(pilot, source)
        await until(pilot, lambda: survived_errors)
        await pilot.press("tab", "m", "m", "question_mark", "escape")
        assert app.is_running
        assert app.main.pane.probe == "users"
    survived_errors.clear()


async def test_an_error_that_repeats_is_logged_once_with_its_traceback_and_then_counted(
    survived_errors: list[BaseException],
) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        for _ in range(25):
            app.main.call_later(fails)
        await until(pilot, lambda: any("10 times" in line for line in app.journal))
        assert sum("Traceback" in line for line in app.journal) == 1
        assert sum("Boom" in n.message for n in app._notifications) == 1
    survived_errors.clear()


def test_an_error_before_the_first_frame_ends_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MainScreen, "compose", fails)

    async def run() -> EbpftopApp:
        app = EbpftopApp(FakeSource())
        with pytest.raises(Boom):
            async with app.run_test():
                pass
        return app

    assert asyncio.run(run()).return_code == 1
