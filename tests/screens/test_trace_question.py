"""`T` asks which calls to trace, and when: answered by keys and the mouse, refused with a reason, stopped, undone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from ebpftop.core.records import Lost
from ebpftop.core.source import SourceError
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import TracedScreen
from ebpftop.ui.screens.trace_question import TraceScreen
from ebpftop.ui.screens.traced_lines import _call
from ebpftop.ui.screens.traced_sheet import strace_line
from ebpftop.ui.widgets.keyline import KeyLine

from .conftest import Look, until
from .scene import START, FakeSource, batch, minute
from .syscall_scene import minute_of_calls, traced
from .test_screen_keys import running

HERE = ("tab", "tab")
READ = (*HERE, "j")


def asks(app: EbpftopApp) -> TraceScreen:
    screen = app.screen
    assert isinstance(screen, TraceScreen)
    return screen


def line(app: EbpftopApp) -> str:
    return asks(app)._line.value


def note(app: EbpftopApp) -> str:
    return str(asks(app).query_one(".question-note", Static).render())


async def on_main(pilot: Pilot[Any], app: EbpftopApp) -> None:
    await until(pilot, lambda: isinstance(app.screen, MainScreen))


@pytest.mark.parametrize(("size", "keys"), [((80, 24), ("e",)), ((60, 15), ())], ids=["80x24", "60x15"])
def test_the_question(looks_the_same: Look, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    assert looks_the_same(FakeSource(minute_of_calls()), size, *HERE, "j", "j", "j", "T", *keys)


async def test_one_key_answers_and_what_has_a_value_lets_it_be_changed_first() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press(*READ, "T")
        assert line(app) == "read"
        assert note(app) == "each read. Enter traces it"
        await pilot.press("s", *"1s")
        assert line(app) == "read:>1s", "the value was selected"
        await pilot.press("enter")
        await on_main(pilot, app)
        await pilot.press("T", "f")
        await on_main(pilot, app)
        assert [conditions for _, _, conditions in source.handled] == [(">1s",), ("failed",)]
        pane = app.main.query_one(SyscallsPane)
        assert pane.asked.text(pane.abis) == "x86_64:openat,read:failed"


async def test_T_twice_traces_all_and_T_twice_more_stops_that() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press(*READ, "T", "T")
        await on_main(pilot, app)
        await pilot.press("T")
        assert note(app).startswith("Stops it; traced on: x86_64:openat")
        await pilot.press("T")
        await on_main(pilot, app)
        assert source.handled == [(3, "trace", ()), (3, "count", ())]
        app.action_undo_asked()
        await until(pilot, lambda: source.handled[2:] == [(3, "trace", ())])


async def test_what_is_typed_is_understood_or_refused_while_one_types() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press(*READ, "T", "tab")
        asks(app)._calls.value = ""
        await pilot.press(*"%net,nope")
        assert "no system call 'nope'" in note(app)
        await pilot.press("enter")
        assert isinstance(app.screen, TraceScreen), "it is not accepted"
        await pilot.press(*["backspace"] * 5, "tab")
        assert line(app) == "%net"
        await pilot.press(*":EACCES")
        assert "that returns EACCES" in note(app)
        await pilot.press("enter")
        await on_main(pilot, app)
        assert [conditions for _, _, conditions in source.handled] == [("EACCES",)]


async def test_a_click_chooses_like_the_key() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press(*READ, "T")
        await pilot.click(OptionList, offset=(4, 3))
        await until(pilot, lambda: isinstance(app.focused, Input))
        assert line(app) == "read:ENOENT"
        await pilot.click(OptionList, offset=(4, 1))
        await on_main(pilot, app)
        assert source.handled == [(3, "trace", ("failed",))]


async def test_what_the_kernel_refuses_is_said_where_it_was_asked_and_nothing_is_lost() -> None:
    source = FakeSource(minute())
    source.refuses = SourceError("pid=4112: no such process", "choose one that runs")
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press("k", "T")
        assert line(app).startswith("all:pid=")
        await pilot.press("enter")
        await until(pilot, lambda: "no such process; choose one that runs" in note(app))
        assert line(app).startswith("all:pid="), "what was typed is still there"
        assert not app.main.query_one(SyscallsPane).asked.of(("x86_64", 0))[1]
        source.refuses = None
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TracedScreen))


async def test_a_process_is_traced_whole_and_its_calls_are_listed() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source, (100, 30)) as (pilot, app):
        await pilot.press(*HERE, "I", "j", "T")
        assert line(app) == "all:pid=4104"
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, TracedScreen))
        screen = app.screen
        assert isinstance(screen, TracedScreen)
        assert screen.title_text().endswith("so far): x86_64:openat, all:pid=4104")
        assert screen.log_lines.traced_filter.text == "under:4104", "openat of others is traced too"
        asked = len(source.handled)
        await pilot.press("x")
        await until(pilot, lambda: "none is asked for" in screen.title_text())
        await until(pilot, lambda: len(source.handled) > asked)
        assert {handler for _, handler, _ in source.handled[asked:]} == {"count"}
        assert any("Undo" in note.message for note in app._notifications)
        await pilot.press("escape", "g", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        sheet = app.screen
        assert isinstance(sheet, SheetScreen)
        assert '"/etc/hosts"' in str(sheet.details.sheet().content())
        assert sheet.details.copies == 'openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 7 <0.000003>'


async def test_in_the_details_of_a_call_it_asks_about_the_list_with_the_focus() -> None:
    async with running(FakeSource(minute_of_calls()), (120, 40)) as (pilot, app):
        await pilot.press(*HERE, "j", "j", "j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        await until(pilot, lambda: screen.paths.end == 3)
        for rows, expected in (
            (screen.failures, "openat:ENOENT"),
            (screen.paths, "openat:/etc/hosts"),
            (screen.callers, "openat:pid=4104"),
        ):
            screen.set_focus(rows)
            await pilot.press("j", "T", "j", "k")
            await pilot.press({"ENOENT": "e", "hosts": "p"}.get(expected.rpartition("/")[2].rpartition(":")[2], "P"))
            assert line(app) == expected
            await pilot.press("escape")


async def test_a_recording_cannot_be_traced_and_says_so() -> None:
    source = FakeSource(minute_of_calls(), live=False)
    source.refuses = SourceError("a recording's system calls cannot be ignored or traced any more")
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press(*READ, "T")
        await until(pilot, lambda: any("cannot be ignored or traced" in n.message for n in app._notifications))
        assert isinstance(app.screen, MainScreen)


def test_a_result_in_words_stands_where_it_has_room() -> None:
    call = replace(traced(1.0, "/etc/hosts", 7, None, 900), result="7</etc/hosts>")
    assert "".join(span.text for span in _call(call, 0)).endswith("O_RDONLY|O_CLOEXEC) = 7</etc/hosts>")
    assert strace_line(call).endswith(") = 7</etc/hosts> <0.000001>")
    short = replace(call, result="7<pipe>")
    assert "".join(span.text for span in _call(short, 0)).endswith("O_CLOEXEC)")


async def test_the_list_of_traced_calls_says_what_is_missing_from_it() -> None:
    lost = batch("syscalls", 60, Lost(time=START + 60, probe="syscalls", where="rate", count=1300))
    source = FakeSource([*minute_of_calls(), lost])
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press(*HERE)
        await until(pilot, lambda: "T Trace" in str(app.screen.query_one(KeyLine).render_line(0).text))
        await pilot.press("S")
        await until(pilot, lambda: isinstance(app.screen, TracedScreen))
        screen = app.screen
        assert isinstance(screen, TracedScreen)
        await until(pilot, lambda: "so far, lost 1300 rate): " in screen.title_text())
