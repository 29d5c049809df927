"""Values of maps, keys and slots are written from the workbench, and what refuses them is said."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from ebpftop.core.source import Batch, SourceError
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.bench_edits import hint_of, split_entry

from . import load_scene as scene
from .conftest import Look, until
from .load_scene import with_load
from .scene import FakeSource, batch, minute
from .test_workbench import screen, seen, shown, typing, working


class Editable(FakeSource):
    """A source whose file can be changed: it remembers what it was asked for."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        super().__init__([*minute(), *batches], probes=scene.PROBES)
        self.asked: list[tuple[object, ...]] = []
        self.refusal: SourceError | None = None
        self.answers = threading.Event()
        """While it is clear, what is asked for is not done yet."""
        self.answers.set()

    def _do(self, *asked: object) -> None:
        self.answers.wait(30)
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(asked)

    def write_map(self, name: str, key: str, value: str, field: str = "") -> None:
        self._do("write", name, key, value, field)

    def delete_key(self, name: str, key: str) -> None:
        self._do("delete", name, key)

    def set_slot(self, name: str, index: str, program: str | None) -> None:
        self._do("slot", name, index, program)

    def count_lines(self, on: bool) -> None:
        self._do("lines", on)


def notices(app: EbpftopApp) -> str:
    return "\n".join(notice.message for notice in app._notifications)


def typed(app: EbpftopApp) -> str:
    return screen(app).editor.query_one(Input).value


async def test_enter_sets_a_value() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter")
        assert "counter_table[1000 ann] =" in shown(app)
        assert typed(app) == "117"
        await pilot.press(*"42", "enter")
        await until(pilot, lambda: source.asked == [("write", "counter_table", "1000", "42", "")])
        await until(pilot, lambda: not screen(app).editor.is_open)
        assert screen(app).maps.has_focus
        await seen(pilot, "counter_table[1000 ann] = 42   written")


async def test_each_field_of_a_struct_can_be_set() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "v", "j", "enter")
        assert "config[1000 ann].message =" in shown(app)
        await pilot.press("down")
        assert "config[1000 ann].times =" in shown(app)
        assert typed(app) == "3"
        await pilot.press(*"4", "enter")
        await until(pilot, lambda: source.asked == [("write", "config", "1000", "4", "times")])


async def test_what_refuses_a_value_stands_beside_it() -> None:
    source = Editable(scene.counter())
    source.refusal = SourceError("300 is too large", "u8 goes to 255")
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter", *"300", "enter")
        await seen(pilot, "300 is too large; u8 goes to 255")
        assert typed(app) == "300"
        await pilot.press("backspace")
        assert "300 is too large" not in shown(app)
        await pilot.press("escape")
        assert not screen(app).editor.is_open
        assert screen(app).maps.has_focus


async def test_an_esc_behind_the_enter_that_wrote_does_not_close_the_workbench() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter", *"42", "enter")
        await until(pilot, lambda: not screen(app).editor.is_open)
        await pilot.press("escape")
        assert shown(app).startswith(" counter.c")
        assert screen(app).maps.selected() is None
        await pilot.press("escape")
        assert app.screen is app.main


async def test_esc_drops_the_selection_of_a_map_first() -> None:
    async with working(Editable(scene.counter())) as (pilot, app):
        await pilot.press("tab", "tab", "j")
        assert screen(app).maps.selected() is not None
        await pilot.press("escape")
        assert screen(app).maps.selected() is None
        await pilot.press("escape")
        assert app.screen is app.main


@pytest.mark.parametrize("pane", ["source", "maps"])
async def test_on_80_columns_the_footer_has_the_keys_of_the_pane(pane: str) -> None:
    async with working(Editable(scene.failing()), (80, 24)) as (pilot, app):
        if pane == "source":
            assert {"e Error", "R Runs"} <= {*shown(app).splitlines()[-1].split("  ")}
        else:
            await pilot.press("tab", "tab", "j")
            assert {"⏎ Set", "A Add"} <= {*shown(app).splitlines()[-1].split("  ")}


async def test_what_was_answered_in_the_line_is_no_toast_elsewhere() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        await pilot.press("R")
        await seen(pilot, "Lines are counted by")
        await pilot.press("B")
        await until(pilot, lambda: app.screen is app.main)
        await until(pilot, lambda: not len(app._notifications))


async def test_the_main_screen_says_that_a_save_did_not_load() -> None:
    async with working(with_load(scene.failing())) as (pilot, _):
        await pilot.press("B")
        await seen(pilot, "✗ counter.c did not load")


async def test_e_says_that_it_is_not_known_yet() -> None:
    tried = replace(scene.LOADED, state="compiling")
    async with working(with_load([*scene.counter(49), batch("load", 50, tried)])) as (pilot, _):
        await pilot.press("e")
        await seen(pilot, "Not known yet: still compiling …")


async def test_tab_completes_the_last_word() -> None:
    source = Editable(scene.tail())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "A", *"openat = ign", "tab")
        assert typed(app) == "openat = ignore"
        await pilot.press(*"xy", "tab")
        assert typed(app) == "openat = ignorexy"


async def test_esc_leaves_it_as_it_was() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter", "9", "q", "escape")
        assert source.asked == []
        assert shown(app).startswith(" counter.c")


async def test_a_key_is_added_and_removed() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "v", "A")
        await seen(pilot, "config: new  KEY = VALUE")
        await pilot.press(*"0 = message=hello times=2", "enter")
        await until(pilot, lambda: source.asked == [("write", "config", "0", "message=hello times=2", "")])
        await until(pilot, lambda: screen(app).maps.has_focus)
        await seen(pilot, "config: 0 = message=hello times=2   written")
        await pilot.press("j")
        assert "Del Remove" in shown(app)
        await pilot.press("delete")
        await until(pilot, lambda: source.asked[1:] == [("delete", "config", "1000")])
        await seen(pilot, "config[1000] is removed")


async def test_a_slot_gets_a_program_by_name() -> None:
    source = Editable(scene.tail())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "A")
        await pilot.press(*"openat = hello_exec", "enter")
        await until(pilot, lambda: source.asked == [("slot", "syscalls", "openat", "hello_exec")])
        await until(pilot, lambda: screen(app).maps.has_focus)
        await pilot.press("j", "enter")
        assert typed(app) == "hello_exec"
        await pilot.press("tab", "enter")
        await until(pilot, lambda: source.asked[1:] == [("slot", "syscalls", "59", "ignore")])
        await until(pilot, lambda: screen(app).maps.has_focus)
        await pilot.press("delete")
        await until(pilot, lambda: source.asked[2:] == [("slot", "syscalls", "59", None)])


async def test_lines_are_counted_if_that_is_asked_for() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("R")
        await until(pilot, lambda: source.asked == [("lines", True)])
        assert "R stops it" in notices(app)
        await pilot.press("R")
        await until(pilot, lambda: source.asked[1:] == [("lines", False)])


async def test_a_recording_cannot_be_written() -> None:
    async with working(scene.with_load(scene.counter())) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter")
        assert "This is a recording" in notices(app)


async def test_time_that_stands_still_cannot_be_written() -> None:
    source = Editable(scene.counter())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "space", "enter")
        assert "Time stands still" in notices(app)
        assert not screen(app).editor.is_open


async def test_the_screen_goes_on_while_a_value_is_written() -> None:
    source = Editable(scene.counter(59))
    source.answers.clear()
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter", "1", "enter")
        source.give(batch("load", 60, scene.counted(60)))
        await seen(pilot, "117")
        assert source.asked == []
        await pilot.press("escape", "tab")
        source.answers.set()
        await until(pilot, lambda: len(source.asked) == 1)
        assert screen(app).output.has_focus


def test_the_line_of_an_edit(looks_the_same: Look) -> None:
    assert looks_the_same(Editable(scene.counter()), (100, 24), before=typing("tab", "tab", "v", "j", "enter"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0 = 5", ("0", "5")),
        ("0=5", ("0", "5")),
        ("0 5", ("0", "5")),
        ("uid=0 failed=1 = count=5", ("uid=0 failed=1", "count=5")),
        ("uid=0 failed=1  count=5", ("uid=0 failed=1", "count=5")),
        ("openat = hello", ("openat", "hello")),
        ("openat", ("openat", "")),
        ("", ("", "")),
    ],
)
def test_a_key_and_its_value_are_told_apart(text: str, parts: tuple[str, str]) -> None:
    assert split_entry(text) == parts


def test_a_hint_says_what_fits() -> None:
    assert hint_of(replace(scene.U32, type="u8", size=1)) == "u8: 0 to 255"
    assert hint_of(scene.U64) == "u64"
    assert hint_of(scene.MESSAGE.fields[0]) == "char[12]: up to 11 bytes"
