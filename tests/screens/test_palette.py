"""What the command palette offers is ebpftop's own."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ebpftop.app import EbpftopApp
from ebpftop.screens.sheets import SheetScreen

from .conftest import settle
from .scene import FakeSource, Remembered, minute
from .test_screen_keys import until


async def run_command(app: EbpftopApp, title: str) -> None:
    commands = {command.title: command for command in app.get_system_commands(app.screen)}
    commands[title].callback()


async def test_keys_are_those_of_the_help_screen() -> None:
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await run_command(app, "Keys")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert not app.screen_stack[0].query("HelpPanel")


@pytest.mark.parametrize("in_the_way", [False, True])
async def test_a_screenshot_is_a_new_file_that_nobody_else_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_the_way: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ebpftop.screens.savings.screenshot_name", lambda *_: "same.svg")
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
        assert [notice.message for notice in app._notifications] == ["A recording has no probes to turn on or off"]
