"""A screen that is dismissed goes, whatever lies above it and however often that is asked for."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from textual.widgets import Input

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.save_dialog import Place, SaveScreen, Saving

from .conftest import until
from .scene import FakeSource, minute


async def test_a_dialog_that_is_done_below_another_screen_goes_with_it() -> None:
    app = EbpftopApp(FakeSource(minute()))
    written = threading.Event()

    def write(_path: str, _replace: bool) -> str:
        written.wait(30)
        return "saved"

    said: list[str | None] = []
    async with app.run_test(size=(120, 35)) as pilot:
        await app.push_screen(
            SaveScreen().fill([Saving("csv", "rows", "rows.csv", write)], "csv", Place()), said.append
        )
        app.screen.query_one(Input).value = str(Path("nowhere.csv"))
        await pilot.press("enter")
        app.action_command_palette()
        await pilot.pause()
        assert len(app.screen_stack) == 3
        written.set()
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
    assert said == ["saved"]


@pytest.mark.parametrize("key", ["question_mark", "c", "E", "ctrl+p", "exclamation_mark"])
async def test_a_screen_that_is_dismissed_twice_leaves_what_is_below(key: str) -> None:
    app = EbpftopApp(FakeSource(minute()))
    async with app.run_test(size=(120, 35)) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: len(app.screen_stack) == 2)
        screen = app.screen
        screen.dismiss()
        screen.dismiss()
        app.main.dismiss()
        await pilot.pause()
        await asyncio.sleep(0)
        assert app.screen_stack == [app.main]


@pytest.mark.parametrize("rounds", range(4))
@pytest.mark.parametrize("opening", ["command_palette", "change_theme", "columns", "save('csv')", "help"])
async def test_a_screen_that_is_dismissed_before_it_is_composed_goes_in_silence(opening: str, rounds: int) -> None:
    app = EbpftopApp(FakeSource(minute()))
    async with app.run_test(size=(120, 35)) as pilot:
        await pilot.pause()
        node = app.main if opening.startswith(("columns", "save")) else app
        await app.run_action(opening, node)
        for _ in range(rounds):
            await asyncio.sleep(0)
        app.screen.dismiss()
        await until(pilot, lambda: app.screen is app.main)
        await pilot.pause(0.05)
