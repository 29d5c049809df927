"""What the command palette offers is ebpftop's own, and what Enter runs is what matches what is typed."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual import events
from textual._callback import invoke
from textual.binding import Binding
from textual.command import Hits
from textual.widgets import OptionList

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.key_actions import Command
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.palette import Commands, Palette, ThemeChoices, score_of
from ebpftop.ui.screens.syscall_lists import WaitingScreen
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_view import RowView

from .conftest import settle, until
from .scene import EVERY_CHANNEL, FakeSource, Remembered, minute
from .test_no_markup import HOSTILE
from .typed import settled


async def run_command(app: EbpftopApp, title: str) -> None:
    commands = {command.title: command for command in app.commands()}
    await invoke(commands[title].callback)


async def test_keys_are_those_of_the_help_screen() -> None:
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await run_command(app, "Help")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert not app.screen_stack[0].query("HelpPanel")


@pytest.mark.parametrize("in_the_way", [False, True])
async def test_a_screenshot_is_a_new_file_that_nobody_else_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_the_way: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ebpftop.ui.screens.save_actions.screenshot_name", lambda *_: "same.svg")
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        await run_command(app, "Screenshot")
        await until(pilot, lambda: app._notifications)
        (path,) = tmp_path.iterdir()
        assert path.suffix == ".svg"
        assert "Exec" in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        if in_the_way:
            path.unlink()
            path.symlink_to(tmp_path / "precious")
            app.clear_notifications()
            await run_command(app, "Screenshot")
            await until(pilot, lambda: any("exists" in n.message for n in app._notifications))
            assert not (tmp_path / "precious").exists()


async def test_a_probe_of_a_recording_is_not_turned_but_said_to_be_none() -> None:
    source = FakeSource(minute(), live=False)
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await run_command(app, "Probe execs")
        await pilot.pause(0.1)
        assert [notice.message for notice in app._notifications] == ["A recording has no probes to toggle"]


async def type_at_once(app: EbpftopApp, keys: str) -> None:
    """Type *keys* as fast as a paste, which they are not, and wait until all have taken place."""
    names = {"\x10": "ctrl+p", "\r": "enter", "\x1b": "escape", "\n": "down", "\x7f": "backspace", " ": "space"}
    for key in keys:
        app.post_message(events.Key(names.get(key, key), key))
    while app._message_queue.qsize():
        await asyncio.sleep(0.01)
    await settled(app)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the palette's commands that were run."""
    titles: list[str] = []
    offered = EbpftopApp.commands

    def recorded(app: EbpftopApp) -> Iterator[Command]:
        for command in offered(app):
            yield command._replace(callback=partial(titles.append, command.title))

    monkeypatch.setattr(EbpftopApp, "commands", recorded)
    return titles


@pytest.fixture(params=[0.0, 0.1])
def search_s(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long each search takes, as on a machine that is busy."""
    for provider in (Commands, ThemeChoices):
        for name in ("search", "discover"):
            monkeypatch.setattr(provider, name, _slow(getattr(provider, name), request.param))


def _slow(search: Callable[..., Hits], seconds: float) -> Callable[..., Hits]:
    async def slow(*args: object) -> Hits:
        await asyncio.sleep(seconds)
        async for hit in search(*args):
            yield hit

    return slow


@pytest.mark.usefixtures("search_s")
@pytest.mark.parametrize(
    ("keys", "titles"),
    [
        ("\x10quit\r", ["Quit"]),
        ("\x10help\r", ["Help"]),
        ("\x10pau\r", ["Pause"]),
        ("\x10zzz\r", []),
        ("\x10ily<\r", []),
        ("\x10q\x7fhelp\r", ["Help"]),
        ("\x10quitx\r\x7f\r", ["Quit"]),
        ("\x10export\n\r", ["Export as JSON"]),
        ("\x10\r", ["Details"]),
        ("\x10zzz\r\x1b\x10help\r", ["Help"]),
    ],
)
async def test_enter_runs_what_matches_what_is_typed_however_fast(ran: list[str], keys: str, titles: list[str]) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await type_at_once(app, keys)
        await pilot.pause()
        assert ran == titles
        assert isinstance(app.screen, Palette) == (not titles)


@pytest.mark.usefixtures("search_s")
async def test_enter_chooses_the_theme_that_is_typed_however_fast() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        app.action_change_theme()
        await type_at_once(app, "light\r")
        await until(pilot, lambda: app.theme_choice == app.theme == "light")


@pytest.mark.usefixtures("search_s")
async def test_what_is_typed_behind_enter_goes_to_the_screen_that_it_leads_to() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await type_at_once(app, "\x10help\r\x1bm")
        assert len(app.screen_stack) == 1
        assert app.main.has_class("-maximised")


async def test_it_offers_every_action_that_has_a_key_with_that_key_and_each_title_once() -> None:
    source = FakeSource(minute(), probes=EVERY_CHANNEL)
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        commands = list(app.commands())
        titles = [command.title for command in commands]
        assert len(set(titles)) == len(titles)
        for title in ("Quit", "Help", "Screenshot", "Theme", "Diagnostics", "Settings", "Tree"):
            assert titles.count(title) == 1
        keys = {key for command in commands for key in command.key.split(" ")}
        owners: list[type[Any]] = [*EbpftopApp.__mro__, *MainScreen.__mro__, LogView, RowView]
        owners += panes().classes.values()
        for owner in owners:
            if owner.__module__.startswith("ebpftop."):
                for binding in owner.__dict__.get("BINDINGS", ()):
                    for key in binding.key.split(","):
                        assert app.get_key_display(Binding(key.strip(), "")) in keys, binding
        assert {command.title: command.key for command in commands}["Probe users"] == "2"


async def test_a_command_of_another_pane_goes_there() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await type_at_once(app, "\x10in flight\r")
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        assert app.main.pane.probe == "syscalls"


async def test_the_list_shows_the_keys() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await type_at_once(app, "\x10diagn")
        options = app.screen.query_one(OptionList)
        line = str(options.get_option_at_index(0).prompt)
        assert line.split("  ")[0] == "Diagnostics"
        assert line.endswith("  !")
        assert cell_len(line) < 120


async def test_it_begins_with_what_is_used_most_on_the_list_in_focus_and_ends_with_moves(ran: list[str]) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("tab", "tab")

        async def offered() -> list[str]:
            return [hit.text or "" async for hit in Commands(app.screen).discover()]

        assert (await offered())[:6] == [
            "Details",
            "Filter",
            "Tree",
            *(f"Syscalls: {n}" for n in ("Ignore", "Total/last", "In flight")),
        ]
        assert "Trace" in (await offered())[:20]
        assert "Down" in (await offered())[-20:]
        # What was run from it comes before the others of its kind.
        await type_at_once(app, "\x10copy as\r")
        assert ran == ["Copy as"]
        assert (await offered())[:2] == ["Copy as", "Details"]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("pau", ["Pause"]),
        ("F", ["Follow", "Filter"]),
        ("fold", ["Fold", "Exec log: Fold", "Folder", "Unfold"]),
        ("in fl", ["Syscalls: In flight", "Pin flags"]),
        ("sgl", ["Segfault log"]),
        ("lower", ["Shrink"]),
        ("zz", []),
    ],
)
def test_exact_beginnings_come_first(query: str, titles: list[str]) -> None:
    commands = [
        *(Command(title, "", print) for title in ("Unfold", "Segfault log", "Pin flags", "Pause", "Filter", "Folder")),
        *(Command(title, "", print) for title in ("Fold", "Exec log: Fold", "Syscalls: In flight")),
        Command("Follow", "", print, "F"),
        Command("Shrink", "A lower pane", print),
    ]
    scores = {command.title: score_of(query, command)[0] for command in commands}
    found = sorted((title for title in scores if scores[title]), key=lambda title: -scores[title])
    assert found[: len(titles)] == titles


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_filter_in_it_is_no_markup(text: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        app.main.type_filter(f'comm:x "{text}')
        await settle(pilot, source)
        await type_at_once(app, "\x10keep this filter")
        options = app.screen.query_one(OptionList)
        await until(pilot, lambda: options.option_count)
        assert text in str(options.get_option_at_index(0).prompt)
