"""The screen of why processes wait: what it shows, when its probe is on, where it leads, and its past."""

from __future__ import annotations

from unittest.mock import patch

import msgspec
import pytest
from textual.pilot import Pilot

from ebpftop.core.state_records import ProcessStates, Waker
from ebpftop.core.syscall_records import Awaited, InFlight, Syscalls
from ebpftop.filters.spec import Filter
from ebpftop.filters.stack import FilterLevel
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.chain_lines import ChainLine
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.waits import WaitsScreen

from .conftest import Look, settle, until
from .scene import START, FakeSource, Remembered, batch, minute, probe_state
from .test_screen_keys import running
from .wait_scene import S, reading, readings, with_waits

SIZES = pytest.mark.parametrize("size", [(60, 15), (80, 24), (160, 45)], ids=lambda size: "x".join(map(str, size)))


@SIZES
def test_why_processes_wait(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_waits(), size, "W", "j", "j", "j", "j", "j", "j")


def test_one_process(looks_the_same: Look) -> None:
    assert looks_the_same(with_waits(), (100, 40), "W", "j", "j", "j", "j", "j", "j", "enter")


def shown(app: EbpftopApp) -> str:
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def screen(app: EbpftopApp) -> WaitsScreen:
    assert isinstance(app.screen, WaitsScreen)
    return app.screen


def selected(app: EbpftopApp) -> int | None:
    waiter = screen(app).table.selected()
    return None if waiter is None else waiter.row.pid


async def seen(pilot: Pilot[int], words: str) -> None:
    assert isinstance(pilot.app, EbpftopApp)
    app = pilot.app
    await until(pilot, lambda: words in shown(app))


async def opened(pilot: Pilot[int], app: EbpftopApp) -> None:
    await pilot.press("W")
    await until(pilot, lambda: isinstance(app.screen, WaitsScreen))
    await seen(pilot, "blocked 212")


async def test_the_probe_is_on_while_the_screen_is_open_and_its_process_is_asked_about() -> None:
    source = FakeSource(minute())
    source.toggled.append("states")
    async with running(source) as (pilot, app):
        await pilot.press("W")
        await until(pilot, lambda: source.toggled[1:] == ["states"])
        source.give(*(batch("states", at, reading(at)) for at in (61, 62)))
        await seen(pilot, "blocked 212")
        assert source.watched_pid == screen(app).table.rows()[0].row.pid
        source.give(batch("states", 63, probe_state("states", "off")))
        await seen(pilot, "detached")
        source.give(batch("states", 64, probe_state("states", "on")))
        await pilot.press("escape")
        await until(pilot, lambda: source.toggled[1:] == ["states", "states"])
        assert source.watched_pid is None


async def test_what_hangs_comes_before_what_is_there_to_wait() -> None:
    async with running(with_waits()) as (pilot, app):
        await opened(pilot, app)
        assert [waiter.row.comm for waiter in screen(app).table.rows()][:2] == ["rsync", "systemd"]
        assert "CPU: 1.4 wanted per CPU" in shown(app)


async def test_a_key_a_click_and_enter_on_the_chain_go_to_who_ends_the_wait() -> None:
    async with running(with_waits(), (120, 35)) as (pilot, app):
        await opened(pilot, app)
        screen(app).choose(815)
        await seen(pilot, "lock 0x7f2c10 ← php-fpm 812  3.0s")
        await pilot.press("b")
        assert selected(app) == 812
        await seen(pilot, "read fd 7 → tcp 10.0.0.7:5432  4.2s  woken by softirq, 3 times")
        await pilot.press("b")
        await until(pilot, lambda: any("Nobody is known" in one.message for one in app._notifications))
        await pilot.press("slash", *"comm:make", "enter")
        screen(app).choose(18687)
        await pilot.click(app.screen.query_one(ChainLine), offset=(5, 0))
        assert selected(app) == 18690, "the filter that hides it is cleared"
        screen(app).choose(815)
        app.screen.set_focus(app.screen.query_one(ChainLine))
        await pilot.press("enter")
        assert selected(app) == 812
        assert app.screen.focused is screen(app).table


async def test_who_woke_it_is_gone_to_if_nobody_is_known_to_hold_it() -> None:
    def woken(pid: int, by: int) -> ProcessStates:
        (row,) = (row for row in reading(61).rows if row.pid == pid)
        waker = Waker(pid=by, comm="x", context=None, count=9)
        return msgspec.structs.replace(row, wakers=(waker,), wakeups=9)

    changed = {pid: woken(pid, by) for pid, by in ((640, 900), (815, 1), (1, 4242))}
    now = msgspec.structs.replace(reading(61), rows=tuple(changed.get(row.pid, row) for row in reading(61).rows))
    source = FakeSource([*minute(), *readings(), batch("states", 61, now)])
    async with running(source, (120, 35)) as (pilot, app):
        await opened(pilot, app)
        assert screen(app).details_of(screen(app).waits.find(812)).copies == "read tcp 10.0.0.7:5432"
        for start, end in ((640, 900), (815, 812)):
            screen(app).choose(start)
            await pilot.press("b")
            assert selected(app) == end
        screen(app).choose(4242)
        assert screen(app)._asked_pid == 4242, "it may come"
        screen(app).choose(1)
        with patch.object(WaitsScreen, "go") as go:
            await pilot.press("b")
        assert [call.args[1].pid for call in go.call_args_list] == [4242], "it is not listed"


async def test_the_key_opens_the_threads_of_a_process_that_waits_for_one_of_its_own() -> None:
    held = InFlight(
        pid=815,
        tid=815,
        comm="php-fpm",
        abi="x86_64",
        nr=202,
        name="futex",
        ns=5 * S,
        lock="0x7f2c10",
        awaited=(Awaited(pid=816, comm="worker"),),
    )
    scene = [*minute(), *readings(), batch("syscalls", 60, Syscalls(time=START + 60, rows=(), in_flight=(held,)))]
    async with running(FakeSource(scene), (120, 35)) as (pilot, app):
        await opened(pilot, app)
        screen(app).choose(815)
        await seen(pilot, "lock 0x7f2c10 ← worker 816")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await seen(pilot, "Why php-fpm 815 waits")


async def test_keys_are_about_the_process_of_the_chain_before_a_row_is_chosen() -> None:
    async with running(with_waits(), (120, 35)) as (pilot, app):
        await opened(pilot, app)
        await pilot.press("slash", *"comm:make", "enter")
        await seen(pilot, "make 18687 wait4")
        assert screen(app).table.selected() is None
        await pilot.press("T")
        await seen(pilot, "all:pid=18687")


async def test_from_any_row_of_a_process_its_wait_can_be_reached() -> None:
    to_it = ("o", "j", "j", "j", "j", "enter")
    async with running(with_waits(), (120, 35)) as (pilot, app):
        await pilot.press("j", *to_it)
        await seen(pilot, "blocked 212")
        asked = app.main.subject
        assert asked is not None
        assert screen(app)._asked_pid == asked.pid, "it has no row here yet"
        screen(app).choose(812)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await pilot.press("k", *to_it)
        await until(pilot, lambda: isinstance(app.screen, WaitsScreen))
        assert selected(app) == 812
        screen(app)._asked_pid = 815
        screen(app).show()  # as a reading does in which it has come
        assert selected(app) == 815
        await pilot.press("k")
        screen(app).show()
        assert selected(app) not in (None, 815), "the cursor is put there once"


async def test_the_filter_has_fields() -> None:
    async with running(with_waits(), (120, 35)) as (pilot, app):
        await opened(pilot, app)
        for typed, pids in (
            ("on:lock*", {815}),
            ("by:cc1", {18687}),
            ("kernel:tcp_*", {812}),
            ("state:uninterruptible", {900}),
            ("queued:>30%", {18690}),
        ):
            await pilot.press("slash", *typed, "enter")
            assert {waiter.row.pid for waiter in screen(app).table.rows()} == pids, typed
            assert "1 of 7 shown" in screen(app).title_parts()
            await pilot.press("escape")


async def test_the_filter_of_all_panes_holds_in_a_recording_too() -> None:
    source = FakeSource([*minute(), *readings()], live=False)
    async with running(source, (120, 35)) as (pilot, app):
        await opened(pilot, app)
        app.main.filters.push(FilterLevel("php-fpm", Filter(comms=("php-*",))))
        await until(pilot, lambda: {one.row.pid for one in screen(app).table.rows()} == {812, 815})


async def test_without_the_calls_it_says_what_is_missing() -> None:
    source = FakeSource([one for one in (*minute(), *readings()) if one.probe != "syscalls"])
    async with running(source) as (pilot, app):
        await opened(pilot, app)
        await seen(pilot, "3, on the main screen, attaches what says what calls wait for")


async def test_a_recording_without_it_says_how_to_make_one() -> None:
    async with running(FakeSource(minute(), live=False), (60, 15)) as (pilot, _):
        await pilot.press("W")
        await seen(pilot, "ebpftop record FILE --probes execs,states")


async def test_time_stands_still_and_goes_back() -> None:
    source = Remembered([*minute(), *readings()])
    async with running(source, (80, 24)) as (pilot, app):  # type: ignore[arg-type]  # it is one
        await opened(pilot, app)
        await pilot.press("space")
        await seen(pilot, "PAUSED 13:01:00")
        source.give(batch("states", 61, reading(61)))
        await settle(pilot, source)
        await pilot.press(*["comma"] * 8)
        await seen(pilot, "PAUSED 13:00:52")
        assert "rsync" in shown(app)
        await pilot.press("l")
        await seen(pilot, "13:01:01")


async def test_rows_are_saved_with_the_units_in_their_names_and_in_the_report() -> None:
    async with running(with_waits()) as (pilot, app):
        await opened(pilot, app)
        from ebpftop.ui.export import to_csv

        rows = screen(app).exported()
        head, first = to_csv(rows.headers, rows).splitlines()[:2]
        assert head == "comm,pid,running_cpus,queued_threads,blocked_share,seconds,most_on,threads,wakeups"
        assert first == "rsync,900,0.0,0.0,1.0,bbbbbbbbbb,write,1,0"
        assert list(app.main.saving.rows_of_feeds()) == ["Why it waits"]


async def test_a_reading_without_a_row_is_not_taken_for_none() -> None:
    source = FakeSource(minute())
    source.toggled.append("states")
    async with running(source) as (pilot, app):
        await pilot.press("W")
        await until(pilot, lambda: isinstance(app.screen, WaitsScreen))
        await seen(pilot, "reading …")
        source.give(batch("states", 61, msgspec.structs.replace(reading(61), rows=())))
        await seen(pilot, "This reading has no row")


@pytest.mark.usefixtures("made_in_advance")
async def test_it_may_be_arranged_before_it_was_ever_opened() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await until(pilot, lambda: ready(app, WaitsScreen).is_mounted)
        made = ready(app, WaitsScreen)
        made.table.post_message(made.table.Arranged())
        await pilot.press("W")
        await until(pilot, lambda: app.screen is made)
