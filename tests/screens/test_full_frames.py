"""A dialog above a screen that has no lines yet."""

from __future__ import annotations

import re

from textual._compositor import Compositor

from ebpftop.ui.app import EbpftopApp

from .conftest import settle
from .scene import FakeSource, minute


async def test_a_dialog_is_drawn_although_what_lies_below_it_has_no_lines_yet() -> None:
    app = EbpftopApp(source := FakeSource(minute()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        await pilot.press("c")
        await pilot.pause()
        app.screen.refresh()
        below, app.main._compositor = app.main._compositor, Compositor()
        update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
        app.main._compositor = below
        assert update is not None
        drawn = update.render_segments(app.console)  # type: ignore[union-attr]
    assert re.findall(r"\x1b\[(\d+);1H", drawn) == [str(line) for line in range(1, 25)]
    assert "Columns" in drawn
