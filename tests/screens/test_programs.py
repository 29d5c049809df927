"""The screen of all eBPF programs: what it shows, when its probe is on, and that it goes through time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from ebpftop.core.records import Fullest
from ebpftop.core.source import SourceError
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.programs import ProgramsScreen

from .conftest import Look, settle, until
from .program_scene import reading, readings, with_programs
from .scene import START, FakeSource, Remembered, batch, minute, probe_state, ran
from .test_screen_keys import running

SIZES = pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=lambda size: "x".join(map(str, size)))


@SIZES
def test_all_programs(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_programs(), size, "P", "j")


def test_one_program(looks_the_same: Look) -> None:
    assert looks_the_same(with_programs(), (120, 50), "P", "j", "j", "enter")


def shown(app: EbpftopApp) -> str:
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def screen(app: EbpftopApp) -> ProgramsScreen:
    assert isinstance(app.screen, ProgramsScreen)
    return app.screen


def off() -> FakeSource:
    """A live source whose probe is off until somebody looks."""
    source = FakeSource(minute())
    source.toggled.append("programs")
    return source


async def seen(pilot: Pilot[int], words: str) -> None:
    assert isinstance(pilot.app, EbpftopApp)
    app = pilot.app
    await until(pilot, lambda: words in shown(app))


def is_polled(app: EbpftopApp) -> Callable[[], bool]:
    return lambda: app.main.programs._is_polling


async def test_the_probe_is_on_while_the_screen_is_open_and_only_then() -> None:
    source = off()
    async with running(source) as (pilot, app):
        assert not is_polled(app)(), "nothing runs for what nobody looks at"
        await pilot.press("P")
        await until(pilot, lambda: source.toggled[1:] == ["programs"])
        source.give(batch("programs", 61, reading(61)), batch("programs", 62, reading(62)))
        await seen(pilot, "ours (*) 0.13%")
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await pilot.press("escape")
        assert source.toggled[1:] == ["programs"], "a sheet above it is still of it"
        await pilot.press("escape")
        await until(pilot, lambda: source.toggled[1:] == ["programs", "programs"])
        await until(pilot, lambda: not is_polled(app)())
        assert app.main.playback.overview.probes["programs"].state == "off"
        await pilot.press("P")
        await until(pilot, lambda: source.toggled[1:] == ["programs", "programs", "programs"])


async def test_a_probe_that_was_on_stays_on() -> None:
    source = with_programs()
    async with running(source) as (pilot, app):
        await pilot.press("P")
        await seen(pilot, "stats on")
        await pilot.press("P")
        await until(pilot, lambda: app.screen is app.main)
        await settle(pilot, source)
        assert source.toggled == []
        assert is_polled(app)()


async def test_keys_faster_than_the_kernel_leave_it_as_the_last_one_wants() -> None:
    source = off()
    source.turning.clear()
    async with running(source) as (pilot, app):
        await pilot.press("P", "escape", "P", "escape")
        source.turning.set()
        await until(pilot, lambda: app.main.programs.doing == "" and not is_polled(app)())
        assert source.toggled.count("programs") % 2 == 1


async def test_what_hinders_it_is_said() -> None:
    source = off()
    source.refuses = SourceError("no memory is left", "try again")
    async with running(source) as (pilot, app):
        await pilot.press("P")
        await seen(pilot, "no memory is left; try again")
        source.refuses = None
        await pilot.press("escape", "P")
        await until(pilot, lambda: source.toggled[1:] == ["programs"])
        failed = probe_state("programs", "failed", 61, reason="listing them is refused: EPERM", remedy="run it as root")
        source.give(batch("programs", 61, failed))
        await seen(pilot, "listing them is refused: EPERM")
        assert "run it as root" in shown(app)


async def test_a_recording_without_programs_says_how_to_make_one() -> None:
    source = FakeSource(minute(), live=False)
    async with running(source, (60, 15)) as (pilot, _):
        await pilot.press("P")
        await seen(pilot, "ebpftop record FILE --probes execs,programs")


async def test_a_kernel_without_statistics_shows_what_there_is() -> None:
    source = FakeSource([*minute(), *(batch("programs", at, reading(at, stats=None)) for at in (58, 59, 60))])
    async with running(source, (80, 24)) as (pilot, app):
        await pilot.press("P")
        await seen(pilot, "the kernel does not count runs")
        assert "no run statistics" in shown(app)
        assert "biolat" in shown(app)


async def test_time_stands_still_goes_back_and_on() -> None:
    source = Remembered([*minute(), *readings()])
    async with running(source, (80, 24)) as (pilot, app):  # type: ignore[arg-type]  # it is one
        await pilot.press("P")
        await seen(pilot, "profile")
        assert "stats on  13:01:00" in shown(app)
        await pilot.press("space")
        await seen(pilot, "PAUSED 13:01:00")
        source.give(batch("programs", 61, reading(61)))
        await settle(pilot, source)
        await pilot.press(*["comma"] * 8)
        await seen(pilot, "PAUSED 13:00:52")
        await until(pilot, lambda: "profile" not in shown(app))
        assert "cil_from_netdev" in shown(app)
        await pilot.press("l")
        await seen(pilot, "stats on  13:01:01")
        assert "profile" in shown(app)


async def test_a_step_back_starts_from_what_is_shown_here() -> None:
    source = Remembered(minute())
    async with running(source, (80, 24)) as (pilot, app):  # type: ignore[arg-type]  # it is one
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, ProgramsScreen))
        source.give(*readings(70))
        await settle(pilot, source)
        await pilot.press("comma")
        await seen(pilot, "PAUSED 13:01:09")


@pytest.mark.usefixtures("made_in_advance")
@pytest.mark.usefixtures("made_in_advance")
async def test_the_order_and_the_filter() -> None:
    source = with_programs()
    async with running(source) as (pilot, app):
        await until(pilot, lambda: app.is_screen_installed("ProgramsScreen"))
        await pilot.press("P", "less_than_sign", "less_than_sign")
        table = screen(app).table
        assert [program.row.name for program in table.rows()[:2]] in (["on_enter", "on_exit"], ["on_exit", "on_enter"])
        await pilot.press("slash", *"own:yes", "enter")
        await seen(pilot, "3 of 8 loaded")
        await pilot.press("escape")
        assert screen(app).table.end == 9, "Esc clears the filter first"
        await pilot.press("escape", "P")
        assert screen(app).table.sort_key == "runs", "it is as it was left"


async def test_nothing_is_drawn_again_unless_something_came() -> None:
    source = with_programs()
    async with running(source) as (pilot, app):
        await pilot.press("P")
        await seen(pilot, "stats on")
        before = [strip for _, strip in screen(app).table._strips.values()]
        source.give(batch("execs", 61, Fullest(time=START + 61, probe="execs", share=0.5, size=1 << 20)))
        await settle(pilot, source)
        await pilot.pause(0.3)
        after = [strip for _, strip in screen(app).table._strips.values()]
        assert len(before) == len(after)
        assert all(one is other for one, other in zip(before, after, strict=True))


async def test_rows_are_saved_with_the_units_in_their_names_and_in_the_report() -> None:
    async with running(with_programs()) as (pilot, app):
        await pilot.press("P")
        await seen(pilot, "stats on")
        from ebpftop.ui.export import to_csv
        from ebpftop.ui.panes.bpf_columns import exported

        shown_rows = exported(screen(app).table)
        head, first = to_csv(shown_rows.headers, shown_rows).splitlines()[:2]
        assert head.startswith("id,type,name,held_by,attached,runs_per_s,ns_per_run,cpu_share,misses,map_bytes,insns")
        assert first.startswith("214,tracepoint,biolat,bpftrace,block:block_rq_issue,4412.0,880")
        await pilot.press("E")
        await seen(pilot, "the 9 rows of Programs")
        assert list(app.main.saving.rows_of_feeds()) == ["Programs"]


async def test_panes_that_froze_below_it_show_what_came_until_then() -> None:
    source = with_programs()
    async with running(source) as (pilot, app):
        await pilot.press("P")
        await seen(pilot, "stats on")
        source.give(batch("execs", 61, ran(61, 4200, "came-meanwhile", uid=1000)))
        await settle(pilot, source)
        await pilot.press("space", "escape")
        await until(pilot, lambda: app.screen is app.main)
        await seen(pilot, "came-meanwhile")
        assert "PAUSED" in shown(app)
