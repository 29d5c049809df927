"""Text whose width terminals disagree about: what is beside it stays where it is."""

from __future__ import annotations

from typing import Any

import pyte
import pytest
from textual.screen import Screen

from ebpftop.ui.app import EbpftopApp

from .conftest import settle
from .scene import Remembered, batch, minute, ran

HINDI = "\u092e\u0947\u0930\u0940\u0915\u093f\u0924\u093e\u092c\u0947\u0902"
SKIN = "\U0001f44d\U0001f3fb" * 4
HEXAGRAMS = "\u2630\u2631" * 3


@pytest.fixture(params=[1, 2], ids=["narrow", "wide"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pyte.Screen:
    """A terminal that gives each of these characters so many cells."""
    screen = pyte.Screen(160, 45)
    stream = pyte.Stream(screen)
    monkeypatch.setattr("pyte.screens.wcwidth", lambda c: request.param if c in HINDI + SKIN + HEXAGRAMS else 1)
    screen.reset_mode(7, private=True)
    display = EbpftopApp._display

    def noted(app: EbpftopApp, of: Screen[Any], update: Any) -> None:
        if not app._batch_count and update is not None:
            stream.feed(update.render_segments(app.console).replace("\n", "\r\n"))
        display(app, of, update)

    monkeypatch.setattr(EbpftopApp, "_display", noted)
    return screen


@pytest.mark.parametrize("argument", [HINDI, SKIN, HEXAGRAMS], ids=["Hindi", "skin", "hexagrams"])
async def test_a_row_of_it_leaves_what_is_beside_it_as_it_is(terminal: pyte.Screen, argument: str) -> None:
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(terminal.columns, terminal.lines)) as pilot:
        await settle(pilot, source)
        for at in range(3):
            source.give(batch("execs", 61 + at, ran(61 + at, 9000 + at, "prog", argument, "x" * 90)))
            await settle(pilot, source)
            await pilot.pause(0.1)
            check(terminal, app)
        await pilot.press("question_mark", "escape")  # whole frames too, and a picture of what is below
        await settle(pilot, source)
        await pilot.pause(0.1)
        check(terminal, app)


def check(terminal: pyte.Screen, app: EbpftopApp) -> None:
    """Compare what is right of the exec log's rows."""
    rows = app.main.execs.region
    drawn = app.screen._compositor.render_strips()
    assert any(set(HINDI + SKIN + HEXAGRAMS) & set(strip.text) for strip in drawn)
    for y in range(rows.y, rows.bottom):
        shown = "".join(terminal.buffer[y][x].data for x in range(rows.right, terminal.columns))
        assert shown == drawn[y].crop(rows.right).text
