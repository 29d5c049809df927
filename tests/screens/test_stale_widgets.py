"""What reaches a widget that was in the last frame, and is no more."""

from __future__ import annotations

import pytest
from textual import events
from textual.dom import NoScreen
from textual.geometry import Offset
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.widgets.keyline import KeyLine

from .conftest import until
from .scene import FakeSource, minute


async def test_a_press_on_a_widget_that_has_gone_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = EbpftopApp(FakeSource(minute()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        gone = Static("gone")
        monkeypatch.setattr(app.screen._compositor, "get_widget_and_offset_at", lambda x, y: (gone, Offset(0, 0)))
        app.screen._forward_event(events.MouseDown(None, 5, 5, 0, 0, 1, False, False, False, screen_x=5, screen_y=5))
        assert app.screen._select_state is None


def click(widget: Widget) -> events.Click:
    return events.Click(widget, 1, 1, 0, 0, 1, False, False, False, 1, 1)


async def hand(app: EbpftopApp, widget: Widget, message: Message) -> None:
    """Hand a message to a widget as its own loop would, which has ended where the widget has gone."""
    with app._context(), widget._context():
        await widget._dispatch_message(message)


@pytest.mark.parametrize("opening", ["question_mark", "c", "E", "ctrl+p"])
async def test_what_still_reaches_a_widget_that_has_gone_is_no_error(opening: str) -> None:
    app = EbpftopApp(FakeSource(minute()))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.notify("gone with the screen")
        await pilot.press(opening)
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.pause()
        widgets = list(app.screen.walk_children(Widget))
        app.screen.dismiss()
        await until(pilot, lambda: app.screen is app.main)
        await pilot.pause()
        gone = [widget for widget in widgets if not widget.is_attached]
        assert gone or opening == "question_mark"  # that screen is made in advance, and stays
        for widget in gone:
            await hand(app, widget, click(widget))
            await hand(app, widget, events.Mount())
            await hand(app, widget, events.Timer(Timer(widget, 1), 0, 0, lambda asked=widget: asked.screen))


async def test_what_a_widget_that_has_gone_had_asked_the_app_to_call_is_no_error() -> None:
    app = EbpftopApp(FakeSource(minute()))
    async with app.run_test(size=(80, 24)) as pilot:
        widget = Static("soon gone")
        await app.main.mount(widget)
        await widget.remove()
        asked: list[Widget] = []

        def ask() -> None:
            asked.append(widget)
            assert widget.screen

        app.call_later(ask)
        await until(pilot, lambda: asked)
        await pilot.pause()


async def test_a_widget_that_is_there_and_asks_for_the_screen_of_another_is_an_error(
    survived_errors: list[BaseException],
) -> None:
    app = EbpftopApp(FakeSource(minute()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        there = app.screen.query_one(KeyLine)
        await hand(app, there, events.Timer(Timer(there, 1), 0, 0, lambda: Static("never there").screen))
        assert [type(error.__context__) for error in survived_errors] == [NoScreen]
        survived_errors.clear()
