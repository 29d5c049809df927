"""A file system or a user database that never answers: the screen goes on, saves nothing by half, and ends."""

from __future__ import annotations

import asyncio
import os
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static

from ebpftop.ui import answers
from ebpftop.ui.answers import UNANSWERED_MAX, Unanswered, answer_to
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.save_dialog import SaveScreen

from .conftest import settle, until
from .scene import Remembered, minute

QUESTIONS = (
    *((os, name) for name in ("stat", "lstat", "access", "getcwd", "listdir", "scandir", "readlink", "statvfs")),
    *((os.path, name) for name in ("expanduser", "exists", "lexists", "isdir", "isfile", "realpath")),
    *((pwd, name) for name in ("getpwnam", "getpwuid", "getpwall")),
)


class Hanging:
    """Makes whatever asks the file system or the user database hang, and says who did so on the screen's thread."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.hangs = False
        self.on_screen: list[str] = []
        self.asked = 0

    def hang(self, name: str, asks: Any) -> Any:
        def hanging(*args: Any, **kwargs: Any) -> Any:
            if self.hangs:
                if threading.current_thread() is threading.main_thread():
                    self.on_screen.append(name)
                else:
                    self.asked += 1
                    assert self.go.wait(60)
            return asks(*args, **kwargs)

        return hanging


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hanging]:
    monkeypatch.chdir(tmp_path)  # where what is saved goes
    one = Hanging()
    monkeypatch.setattr(answers, "_unanswered", set())
    monkeypatch.setattr(answer_to, "__defaults__", (answers.PATIENCE_S,))
    for module, name in QUESTIONS:
        monkeypatch.setattr(module, name, one.hang(name, getattr(module, name)))
    yield one
    one.go.set()


def note(app: EbpftopApp) -> str:
    return str(app.screen.query_one(".save-note", Static).content)


@pytest.mark.parametrize("key", ["E", "ctrl+s"])
async def test_a_dialog_opens_and_says_that_nobody_answers_and_saves_once_it_does(
    key: str, hanging: Hanging, tmp_path: Path
) -> None:
    source = Remembered(minute())
    app = EbpftopApp(source)
    path = tmp_path / ("kept.csv" if key == "E" else "kept.jsonl.zst")
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        hanging.hangs = True
        await pilot.press(key)
        assert isinstance(app.screen, SaveScreen)
        assert "does not answer" in note(app)
        field = app.screen.query_one(Input)
        field.value = str(path)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: len(answers._unanswered) == 3)
        assert hanging.asked == 3
        await until(pilot, lambda: "nothing is saved" in note(app))
        assert hanging.on_screen == []
        hanging.hangs = False
        hanging.go.set()
        await pilot.pause(0.1)
        # What was asked in vain is answered by now: it saves nothing.
        assert not path.exists()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        assert path.stat().st_size > 100


async def test_two_enters_stay_apart_while_nobody_answers(
    hanging: Hanging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older file is replaced by the second Enter, which came after it was told that there is one."""
    monkeypatch.setattr(answer_to, "__defaults__", (30.0,))
    source = Remembered(minute())
    app = EbpftopApp(source)
    path = tmp_path / "kept.csv"
    path.write_text("older")
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("E")
        screen = app.screen
        assert isinstance(screen, SaveScreen)
        screen.query_one(Input).value = str(path)
        hanging.hangs = True
        pressing = asyncio.create_task(pilot.press("enter"))
        while not hanging.asked:
            await asyncio.sleep(0.01)
        assert screen.replacing == ""
        hanging.hangs = False
        hanging.go.set()
        await pressing
        assert "exists" in note(app)
        assert path.read_text() == "older"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        assert path.read_text() != "older"


async def test_no_key_asks_on_the_thread_of_the_screen(hanging: Hanging) -> None:
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        hanging.hangs = True
        for keys in (
            "E escape",
            "ctrl+s down escape",
            "D escape",
            "question_mark escape",
            "c escape",
            "k enter escape",
        ):
            await pilot.press(*keys.split())
        await pilot.press("tab", "enter", "escape", "tab", "enter", "escape", "tab", "enter", "escape")
        await pilot.press(
            "m", "slash", *"uid:0", "enter", "u", "U", "t", "y", "l", "ctrl+p", *"theme", "escape", "escape"
        )
        app._picture_screen()
        await pilot.pause()
        hanging.go.set()  # the loop of a test waits for its threads
        assert hanging.on_screen == []
        assert hanging.asked


async def test_questions_that_hang_are_bounded() -> None:
    go = threading.Event()
    before = threading.active_count()
    try:
        for _ in range(UNANSWERED_MAX + 5):
            with pytest.raises(Unanswered):
                await answer_to(lambda: go.wait(60), 0.01)
        assert threading.active_count() - before == UNANSWERED_MAX
    finally:
        go.set()
    while any(thread.name == "question" for thread in threading.enumerate()):
        await asyncio.sleep(0.01)
    assert await answer_to(lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        await answer_to(lambda: os.stat("/nonexistent"))


async def test_where_no_thread_can_start_that_is_said_with_its_remedy(
    survived_errors: list[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ulimit -u` is reached while the screen runs."""
    monkeypatch.chdir(tmp_path)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", refuse)
            await pilot.press("E")
            assert isinstance(app.screen, SaveScreen)
            assert "no further thread can be started; raise the limit" in note(app)
            await pilot.press("enter")
            assert "nothing is saved" in note(app)
            await pilot.press("escape")
            app.report_error(RuntimeError("can't start new thread"), "a worker")
        await until(pilot, lambda: len(app._notifications) == 1)
        (notice,) = app._notifications
        assert "raise the limit (ulimit -u" in notice.message
        assert "ebpftop itself" not in notice.title
        await pilot.press("E", "enter")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        assert list(tmp_path.iterdir())
    survived_errors.clear()
