"""No key that the help lists is silent: where it does nothing, it says where it works."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen

from . import load_scene
from .conftest import settle, until
from .scene import FakeSource, minute
from .test_own_programs import Loaded, text
from .test_screen_keys import running


def notices(app: EbpftopApp) -> str:
    return "\n".join(notice.message for notice in app._notifications)


async def pressed(pilot: Pilot[int], app: EbpftopApp, key: str) -> str:
    """Press *key*, and return what is said then."""
    app.clear_notifications()
    await pilot.press(key)
    await pilot.pause()
    return notices(app)


SCREENS = {
    "W": ("W",),
    "P": ("P",),
    "B": ("B",),
    "details": ("enter",),
    "a call": ("tab", "tab", "enter"),
    "calls in flight": ("tab", "tab", "I"),
    "tail calls": ("tab", "tab", "s"),
}


@pytest.mark.parametrize("opens", SCREENS.values(), ids=SCREENS)
async def test_keys_of_the_main_screen_say_so_on_those_above_it(opens: tuple[str, ...]) -> None:
    source = FakeSource([*minute(), *load_scene.counter()], live=False, probes=load_scene.PROBES)
    async with running(source, (120, 35)) as (pilot, app):
        await settle(pilot, source)
        await pilot.press(*opens)
        await until(pilot, lambda: app.screen is not app.main)
        above = app.screen
        for key, words in {"H": "Heat", "O": "Graphs", "M": "Mark", "K": "Kernel side", "F": "", "S": ""}.items():
            said = await pressed(pilot, app, key)
            assert app.screen is above
            if key in above.active_bindings:
                continue
            assert " works " in said, (key, said)
            assert words in said
        assert "works on the main screen: Esc leads there" in await pressed(pilot, app, "H")


async def test_keys_of_another_pane_say_which_one() -> None:
    async with running(FakeSource(minute()), (120, 35)) as (pilot, app):
        assert await pressed(pilot, app, "I") == "I: In flight works in pane 3 Syscalls"
        assert "on Workbench (B)" in await pressed(pilot, app, "A")
        await pilot.press("tab")
        assert "in pane 1 Exec" in await pressed(pilot, app, "e")
        assert "in logs" in await pressed(pilot, app, "F")
        # A key that nothing has remains one.
        assert await pressed(pilot, app, "Q") == ""


async def test_a_key_that_was_given_to_something_else_is_not_taken_for_the_old_one() -> None:
    async with running(FakeSource(minute()), (120, 35)) as (pilot, app):
        app.set_keymap({"syscalls.I": "J"})
        assert await pressed(pilot, app, "I") == ""
        assert await pressed(pilot, app, "J") == "J: In flight works in pane 3 Syscalls"


async def test_diagnostics_and_losses_open_on_every_screen_and_their_key_closes_them() -> None:
    async with running(FakeSource(minute()), (120, 35)) as (pilot, app):
        await pilot.press("P")
        programs = app.screen
        for key, title in (("exclamation_mark", "Diagnostics"), ("X", "Lost")):
            await pilot.press(key)
            assert isinstance(app.screen, SheetScreen)
            assert app.screen.details.title == title
            await pilot.press(key)
            assert app.screen is programs


@pytest.mark.parametrize(("at", "label"), enumerate(("Exec log", "Users", "Syscalls", "Trace log")))
async def test_k_shows_the_programs_of_the_pane(at: int, label: str) -> None:
    async with running(Loaded(minute()), (120, 35)) as (pilot, app):
        await pilot.press(*["tab"] * at, "K")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert isinstance(app.screen, SheetScreen)
        assert app.screen.details.title == f"{label}: its probe"
        if label == "Users":
            await until(pilot, lambda: "Programs of bpf/users.c (1)" in text(app))
