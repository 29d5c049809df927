"""Saving where the folder in which ebpftop was started has been deleted."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.save_dialog import SaveScreen

from .conftest import settle, until
from .scene import Remembered, minute


@pytest.fixture
def no_folder(tmp_path: Path) -> Iterator[None]:
    before = os.getcwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    yield
    os.chdir(before)


def note(app: EbpftopApp) -> str:
    return str(app.screen.query_one(".save-note", Static).content)


@pytest.mark.parametrize("key", ["E", "ctrl+s"])
@pytest.mark.usefixtures("no_folder")
async def test_the_dialog_says_what_is_wrong_and_saves_to_an_absolute_path(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(nobody.pw_uid))
    monkeypatch.setenv("SUDO_GID", str(nobody.pw_gid))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert not os.path.exists(nobody.pw_dir)
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press(key)
        assert isinstance(app.screen, SaveScreen)
        assert "no longer exists" in note(app)
        field = app.screen.query_one(Input)
        assert field.value.startswith(f"{tmp_path}/ebpftop-web1-")
        await pilot.press("down", "up")
        assert field.value.startswith(f"{tmp_path}/ebpftop-web1-")

        suffix = ".csv" if key == "E" else ".jsonl.zst"
        field.value = f"relative{suffix}"
        await pilot.press("enter")
        assert "give an absolute path" in note(app)

        field.value = str(tmp_path / f"kept{suffix}")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        assert (tmp_path / f"kept{suffix}").stat().st_size > 100


async def test_a_folder_whose_name_holds_escapes_is_said_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x\x1b]0;A\a"
    folder.mkdir()
    monkeypatch.chdir(folder)
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        await pilot.press("E")
        assert "\\x1b]0;A\\x07" in note(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        await until(pilot, lambda: app._notifications)
        assert not any("\x1b" in n.message for n in app._notifications)
        assert "\x1b" not in "".join(strip.text for strip in app.screen._compositor.render_strips())


async def test_a_tilde_is_the_home_folder_of_the_user_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(nobody.pw_uid))
    monkeypatch.setenv("HOME", "/nowhere/of/root")
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("E")
        app.screen.query_one(Input).value = "~/no/such/folder.csv"
        await pilot.press("enter")
        await until(pilot, lambda: "cannot create" in note(app))
        assert f"cannot create {nobody.pw_dir}/no/such/folder.csv" in note(app)
