"""A press of the mouse where a widget was in the last frame, and is no more."""

from __future__ import annotations

import pytest
from textual import events
from textual.geometry import Offset
from textual.widgets import Static

from ebpftop.app import EbpftopApp

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
