"""What one does with system calls on the screen, and how that looks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from ebpftop.core.source import SourceError, WatchedList
from ebpftop.core.syscall_records import Syscalls
from ebpftop.filters.spec import Filter
from ebpftop.models.filter_match import ViewFilter
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.title import joined
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.syscall_details import PATHS_HINT, SyscallScreen
from ebpftop.ui.screens.syscall_lists import ProcessScreen, TracedScreen, WaitingScreen
from ebpftop.ui.screens.tail_call_table import TableScreen
from ebpftop.ui.widgets.heatmap import TicksMap

from .conftest import Look, until
from .scene import START, FakeSource, batch
from .syscall_scene import minute_of_calls, reading, traced
from .test_screen_keys import running

SIZES = pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
HERE = ("tab", "tab")


@SIZES
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(("m", "j"), id="pane"),
        pytest.param(("m", "Z", "v"), id="last"),
        pytest.param(("j", "enter"), id="read"),
        pytest.param(("j", "j", "j", "enter"), id="traced-openat"),
        pytest.param(("j", "enter", "j", "enter"), id="process"),
        pytest.param(("I",), id="waiting"),
        pytest.param(("s",), id="table"),
        pytest.param(("S",), id="traced"),
    ],
)
def test_system_calls(looks_the_same: Look, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    assert looks_the_same(FakeSource(minute_of_calls()), size, *HERE, *keys)


@SIZES
def test_a_call_that_is_no_longer_traced(looks_the_same: Look, size: tuple[int, int]) -> None:
    async def answered(pilot: Pilot[Any]) -> None:
        # The request is made once the question has closed, and the screen shows it a quarter of a second later.
        await until(pilot, lambda: isinstance(pilot.app.screen, SyscallScreen))
        screen = pilot.app.screen
        assert isinstance(screen, SyscallScreen)
        await until(pilot, lambda: "handler: count" in str(screen.facts.content))
        await until(pilot, lambda: any("Not traced any more" in n.message for n in pilot.app._notifications))

    keys = (*HERE, "j", "j", "j", "enter", "T", "T")
    assert looks_the_same(FakeSource(minute_of_calls()), size, *keys, before=answered)


def test_a_call_in_the_light_theme(looks_the_same: Look) -> None:
    assert looks_the_same(FakeSource(minute_of_calls()), (120, 35), *HERE, "j", "enter", theme="light")


async def test_i_and_T_steer_the_table_and_show_it_before_the_next_reading() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        pane = app.main.query_one(SyscallsPane)
        await pilot.press(*HERE, "j", "i")
        await until(pilot, lambda: source.handlers == [("x86_64", 0, "ignore")])
        read = pane.model.calls["x86_64", 0]
        assert pane.model.handler(read) == "ignore"
        assert [span.style for span in pane._call(read, 0)] == ["struck"]
        await pilot.press("i")
        await until(pilot, lambda: source.handlers[1:] == [("x86_64", 0, "count")])
        # A notice about the same call replaces the one before.
        await until(pilot, lambda: [n.message[:22] for n in app._notifications] == ["read: counted, as usua"])
        await pilot.press("T", "f")
        await until(pilot, lambda: source.handled[2:] == [(3, "trace", ("failed",))])
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        assert pane.model.handler(read) == "trace"
        assert [span.text for span in pane._call(read, 0)] == ["read", ":failed"]
        # Two readings later the kernel's word counts.
        source.give(reading(61), reading(62))
        await until(pilot, lambda: pane.model.handler(read) == "count")


async def test_what_a_source_refuses_is_told_and_not_shown_as_done() -> None:
    source = FakeSource(minute_of_calls())
    source.refuses = SourceError("a recording's system calls cannot be ignored", "watch the live kernel")
    async with running(source) as (pilot, app):
        pane = app.main.query_one(SyscallsPane)
        await pilot.press(*HERE, "j", "i")
        await until(pilot, lambda: any("cannot be ignored" in n.message for n in app._notifications))
        assert pane.model.handler(pane.model.calls["x86_64", 0]) == "count"


async def test_Z_counts_from_zero_and_back() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        pane = app.main.query_one(SyscallsPane)
        read = pane.model.calls["x86_64", 0]
        await pilot.press(*HERE, "Z")
        assert read.count(last=False) == 0
        assert read.quantile(0.5, last=False) is None
        source.give(reading(61))
        await until(pilot, lambda: read.count(last=False) == 800)
        assert not joined(pane.title_counts()).startswith("14 ")
        assert "1600 in all" in joined(pane.title_counts())
        assert re.fullmatch(r"since \d\d:\d\d:\d\d, Z", pane.subtitle())
        await pilot.press("Z")
        assert read.count(last=False) == 61 * 800


async def test_Z_begins_anew_for_processes_errors_and_latencies_too() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        table = app.main.query_one(SyscallsPane).table
        await pilot.press(*HERE, "Z")
        left = {table.row(i).row.name for i in range(table.end)}
        assert left == {"rt_sigaction", "openat"}, "of those not called since, only what is ignored or traced is left"
        source.give(reading(61), latest := reading(62))
        await until(pilot, lambda: table.end > 2 and app.main.query_one(SyscallsPane).model.latest in latest.records)
        await pilot.press("j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        await until(pilot, lambda: screen.callers.end == 4)
        callers = [screen.callers.row(i) for i in range(4)]
        assert [(c.comm, c.count) for c in callers] == [("server", 960), ("cron", 400), ("bash", 160), ("others", 80)]
        failed = {screen.failures.row(i).name: screen.failures.row(i).count for i in range(screen.failures.end)}
        assert failed == {"ENOENT": 38, "EAGAIN": 2}
        assert sum(screen.buckets.row(i).calls for i in range(screen.buckets.end)) < 2 * 800
        assert len(screen.query_one(TicksMap)._ticks) == 2
        await pilot.press("enter")
        process = app.screen
        assert isinstance(process, ProcessScreen)
        await until(pilot, lambda: process.table.end > 0)
        assert {process.table.row(i).name: process.table.row(i).count for i in range(3)}["read"] == 960
        assert re.search(r"since \d\d:\d\d:\d\d, Z", process.title_text())


async def test_all_is_counted_anew_when_the_filter_changes_and_the_pane_says_so() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        pane = app.main.query_one(SyscallsPane)
        read = pane.model.calls["x86_64", 0]
        app.main.playback.apply_filter(ViewFilter(Filter(uids=(1000,)), START + 60.5))
        assert pane.subtitle() == "unfiltered", "the newest reading was made before"
        source.give(reading(61), reading(62))
        await until(pilot, lambda: read.count(last=False) == 800)
        assert re.fullmatch(r"since \d\d:\d\d:\d\d, the filter", pane.subtitle())
        assert pane.model.families["exec"] == 4
        await pilot.press(*HERE, "Z")
        assert read.count(last=False) == 0
        await pilot.press("Z")
        assert read.count(last=False) == 800, "Z goes back to what this filter let through, not beyond"
        app.main.playback.apply_filter(ViewFilter(Filter(), START + 62.5))
        source.give(reading(63), reading(65))
        await until(pilot, lambda: read.count(last=False) == 1600)
        assert pane.subtitle().endswith("the filter"), "totals of before would mix what two filters let through"


@pytest.mark.parametrize("column", ["rate", "count", "spent", "errors", "failed", "p99", "max"])
async def test_the_table_sorts_by_every_figure(column: str) -> None:
    async with running(FakeSource(minute_of_calls()), (200, 50)) as (_pilot, app):
        table = app.main.query_one(SyscallsPane).table
        table.sort_by(column) if table.sort_key != column else None
        chosen = next(c for c in table.columns if c.key == column)
        assert chosen.sort is not None
        values = [chosen.sort(table.row(i)) for i in range(table.end)]
        assert values == sorted(values, reverse=True)
        assert values[0] != values[-1]


async def test_what_an_old_recording_does_not_know_of_failed_calls_is_not_drawn_as_none() -> None:
    last = reading(61).records[0]
    assert isinstance(last, Syscalls)
    old = tuple(replace(row, failed_histogram_ns=()) for row in last.rows)
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        await until(pilot, lambda: screen.buckets.end > 0)
        assert screen.buckets.scales == {}, "the title of the column has both"
        source.give(batch("syscalls", 61, replace(last, rows=old)))
        await until(pilot, lambda: screen.buckets.scales == {"bar": "█ all"})


async def test_enter_leads_from_a_call_to_its_processes_to_their_calls_and_esc_back() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        await until(pilot, lambda: screen.callers.end == 4)
        callers = [screen.callers.row(i) for i in range(4)]
        assert [(c.pid, c.count) for c in callers] == [(4104, 28800), (640, 12000), (900, 4800), (None, 2400)]
        await pilot.press("j", "enter")
        process = app.screen
        assert isinstance(process, ProcessScreen)
        await until(pilot, lambda: process.table.end > 0)
        assert process.process == (4104, 4_104_000)
        calls = {process.table.row(i).name: process.table.row(i).count for i in range(process.table.end)}
        assert calls["read"] == 28800
        assert calls["others"] == 12
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, MainScreen)


async def test_the_source_is_asked_for_callers_while_they_are_shown() -> None:
    source = FakeSource(minute_of_calls())
    callers: frozenset[WatchedList] = frozenset(("callers",))
    waits: frozenset[WatchedList] = frozenset(("waits",))
    async with running(source) as (pilot, _app):
        await pilot.press(*HERE, "I")
        await pilot.press("escape", "j")
        assert source.watched == [waits, frozenset()], "calls in flight are in every reading, what all wait for is not"
        source.watched.clear()
        await pilot.press("enter")
        await until(pilot, lambda: source.watched[-1:] == [callers])
        await pilot.press("j", "enter")
        await pilot.press("escape")
        await until(pilot, lambda: len(source.watched) >= 3)
        assert set(source.watched) == {callers, callers | waits}, "the call below is still shown"
        await pilot.press("escape")
        await until(pilot, lambda: source.watched[-1:] == [frozenset()])


async def test_enter_leads_from_a_thread_that_hangs_to_the_calls_of_its_process() -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        await pilot.press(*HERE, "I")
        waiting = app.screen
        assert isinstance(waiting, WaitingScreen)
        await until(pilot, lambda: waiting.table.end == 3)
        assert [waiting.table.row(i).name for i in range(3)] == ["read", "getrandom", "wait4"]
        assert [waiting.table.row(i).running for i in range(3)] == [False, True, False]
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, ProcessScreen) and app.screen.process[0] == 4104)


async def test_a_process_that_has_only_waited_so_far_says_in_what() -> None:
    (record,) = reading(60).records
    assert isinstance(record, Syscalls)
    waiting = replace(record, processes=(), process_totals=())
    async with running(FakeSource([*minute_of_calls(0), batch("syscalls", 60, waiting)])) as (pilot, app):
        await pilot.press(*HERE, "I", "G", "enter")
        screen = app.screen
        assert isinstance(screen, ProcessScreen)
        assert screen.title_text().startswith("bash [900]")
        assert "none has returned: bash[900] wait4" in "".join(span.text for span in screen.table.message)


async def test_an_open_call_follows_every_reading() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        heat = screen.query_one(TicksMap)
        await until(pilot, lambda: len(heat._ticks) == 59)
        source.give(reading(61))
        await until(pilot, lambda: len(heat._ticks) == 60)
        await until(pilot, lambda: "48,800" in str(screen.query_one(".call-facts", Static).render()))


async def test_the_heat_map_says_what_is_in_a_cell() -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        await pilot.press(*HERE, "j", "enter")
        heat = app.screen.query_one(TicksMap)
        await until(pilot, lambda: heat.heat is not None)
        assert heat.heat is not None
        # It fills its width, however many readings there are, and says what its glyphs stand for.
        assert len(heat.heat.columns) == heat.size.width - 7
        assert heat.render_line(0).text.endswith("calls in a cell: · 1 ░ 4 ▒ 16 ▓ 64 █ 256")
        app.screen.set_focus(heat)
        await pilot.press("left", "left", "up")
        assert heat.column == len(heat.heat.columns) - 2
        assert heat.row is not None
        said = heat.render_line(0).text
        assert said.startswith("13:00:5")
        assert f": {heat.heat.counts[heat.column][heat.row]} calls; p99 " in said
        assert heat.render_line(heat.size.height - 1).text.count("┃") == 1
        await pilot.hover(TicksMap, offset=(20, 4))
        await until(pilot, lambda: heat.tooltip)
        assert "to" in str(heat.tooltip)


def opened(screen: Screen[object]) -> SyscallScreen:
    assert isinstance(screen, SyscallScreen)
    return screen


def facts(screen: SyscallScreen) -> str:
    return str(screen.query_one(".call-facts", Static).render())


async def test_the_details_of_a_call_say_which_paths_it_was_traced_with() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source, (140, 45)) as (pilot, app):
        await pilot.press(*HERE, "j", "j", "j", "enter")
        screen = opened(app.screen)
        await until(pilot, lambda: screen.paths.end == 3)
        paths = [(screen.paths.row(i).path, screen.paths.row(i).calls, screen.paths.row(i).failed) for i in range(3)]
        assert paths == [("/etc/hosts", 1, 0), ("/etc/nonexistent", 1, 1), ("/run/fifo", 1, 0)]
        errors = [screen.failures.row(i) for i in range(2)]
        assert [error.name for error in errors] == ["ENOENT", "EAGAIN"]
        (most,) = (column for column in screen.failures.columns if column.key == "path")
        assert most.fill is not None
        assert [most.fill(error, 30)[0].text for error in errors] == ["/etc/nonexistent", "–"]
        source.give(reading(61), batch("syscalls", 61, *[traced(60.5, "/etc/hosts", 7, None, 900)] * 2))
        await until(pilot, lambda: screen.paths.row(0).calls == 3)
        assert PATHS_HINT not in facts(screen)


async def test_a_call_without_paths_has_no_list_of_them() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "enter")
        screen = opened(app.screen)
        await until(pilot, lambda: screen.callers.end == 4)
        assert PATHS_HINT not in facts(screen)
        await pilot.press("T", "T")
        await until(pilot, lambda: app.screen is screen)
        assert source.handlers == [("i386", 3, "trace"), ("x32", 0, "trace"), ("x86_64", 0, "trace")]
        await until(pilot, lambda: "traced: all" in facts(screen))
        assert not screen.paths.display
        assert "path" in screen.failures.hidden
        assert screen.traced.display


async def test_T_in_the_details_of_a_call_traces_it_and_the_list_fills() -> None:
    *readings, _ = minute_of_calls()
    source = FakeSource(readings)
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "j", "j", "enter")
        screen = opened(app.screen)
        await pilot.press("T", "T")
        await until(pilot, lambda: app.screen is screen)
        assert source.handlers == [("x86_64", 257, "count")]
        await until(pilot, lambda: "handler: count" in facts(screen))
        assert PATHS_HINT in facts(screen)
        assert not screen.paths.display
        assert not screen.traced.display
        await pilot.press("T", "a")
        await until(pilot, lambda: app.screen is screen)
        assert source.handled[1:] == [(3, "trace", ())]
        await until(pilot, lambda: "traced: all" in facts(screen))
        assert PATHS_HINT not in facts(screen)
        assert screen.paths.message[0].text == "no traced call yet"
        source.give(batch("syscalls", 60, traced(59.5, "/etc/hosts", 7, None, 3120)))
        await until(pilot, lambda: screen.paths.end == 1)
        assert (len(screen.traced.view), screen.traced.message) == (1, [])


async def test_a_recording_cannot_be_traced_and_does_not_offer_it() -> None:
    async with running(FakeSource(minute_of_calls()[:-1], live=False)) as (pilot, app):
        await pilot.press(*HERE, *["j"] * 6, "enter")
        screen = opened(app.screen)
        assert screen.call.row.name == "execve"
        assert "handler: exec" in facts(screen)
        assert PATHS_HINT not in facts(screen)


async def test_the_details_of_a_call_have_no_traced_calls_of_another() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "j", "j", "enter")
        screen = opened(app.screen)
        await until(pilot, lambda: len(screen.traced.view) == 3)
        for name in ("write", "read"):
            await pilot.press("escape", "k", "enter")
            await until(pilot, lambda: isinstance(app.screen, SyscallScreen))
            screen = opened(app.screen)
            assert screen.call.row.name == name
            assert len(screen.traced.view) == 0


async def test_i_in_the_details_of_a_call_ignores_it() -> None:
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        await pilot.press(*HERE, "j", "enter", "i")
        await until(pilot, lambda: source.handlers == [("x86_64", 0, "ignore")])
        assert "handler: ignore" in facts(opened(app.screen))


@pytest.mark.parametrize(("key", "kind"), [("I", WaitingScreen), ("s", TableScreen), ("S", TracedScreen)])
async def test_lists_open_and_close(key: str, kind: type) -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        await pilot.press(*HERE, key)
        await until(pilot, lambda: isinstance(app.screen, kind))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))


async def test_a_storm_draws_no_more_than_a_calm() -> None:
    """The pane draws as often as it is read, whatever the counts are."""
    source = FakeSource(minute_of_calls())
    async with running(source) as (pilot, app):
        pane = app.main.query_one(SyscallsPane)
        before, readings = pane.table._reading, pane.model.readings
        source.give(reading(61), reading(1_000_000))
        await until(pilot, lambda: pane.model.readings > readings)
        assert pane.table._reading <= before + 2
