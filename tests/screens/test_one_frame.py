"""What changes together is drawn in one frame, at once, and without a message for each widget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual import messages
from textual.pilot import Pilot
from textual.screen import Screen

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.textual_fixes import frame_pace
from ebpftop.ui.textual_fixes.frame_pace import one_frame

from .conftest import settle, until
from .scene import FakeSource, minute


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Pilot[int], EbpftopApp, list[str]]]:
    """The screen, and from now on a list of its frames and of the messages that ask for one."""
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await until(pilot, lambda: not app.main._dirty_widgets)
        seen: list[str] = []
        display, update = EbpftopApp._display, messages.Update.__init__

        def displayed(app: EbpftopApp, screen: Screen[Any], frame: Any) -> None:
            seen.append("frame")
            display(app, screen, frame)

        def asked(message: messages.Update, *args: Any) -> None:
            seen.append("message")
            update(message, *args)

        monkeypatch.setattr(EbpftopApp, "_display", displayed)
        monkeypatch.setattr(messages.Update, "__init__", asked)
        yield pilot, app, seen


async def test_changes_of_many_widgets_are_one_frame_and_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (_, app, seen):
        with one_frame(app.main):
            for pane in app.main.shown_panes:
                pane.lines.redraw()
                pane.lines.refresh()
                pane.refresh()
            assert seen == []
        assert seen == ["frame"]
        with one_frame(app.main):
            pass
        assert seen == ["frame"]


async def test_what_is_enclosed_too_early_for_a_frame_is_drawn_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (pilot, app, seen):
        monkeypatch.setattr(frame_pace._pace, "is_due", lambda *_, **__: False)
        with one_frame(app.main):
            app.main.execs.lines.refresh()
        await asyncio.sleep(0.1)  # the pilot would wait for the frame
        assert seen == []
        assert app.main._dirty_widgets
        monkeypatch.undo()
        await until(pilot, lambda: not app.main._dirty_widgets)


async def test_a_hidden_widget_that_changed_is_drawn_when_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as (pilot, app, _):
        app.main.execs.display = False
        await until(pilot, lambda: app.main.execs not in app.main._compositor.visible_widgets)
        with one_frame(app.main):
            app.main.execs.lines.refresh()
        app.main.execs.display = True
        await until(pilot, lambda: app.main.execs.lines in app.main._compositor.visible_widgets)
