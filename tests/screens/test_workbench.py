"""The workbench: a file of one's own, its bytecode, maps and output; its states; what moves together; its past."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from ebpftop.core.records import Fullest
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.workbench import WorkbenchScreen

from . import load_scene as scene
from .conftest import Look, settle, until
from .load_scene import with_load
from .scene import START, FakeSource, Remembered, batch, minute, probe_state
from .test_screen_keys import running

SIZES = pytest.mark.parametrize(
    "size", [(60, 15), (80, 24), (120, 35), (200, 50)], ids=lambda size: "x".join(map(str, size))
)


def shown(app: EbpftopApp) -> str:
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def screen(app: EbpftopApp) -> WorkbenchScreen:
    assert isinstance(app.screen, WorkbenchScreen)
    return app.screen


async def seen(pilot: Pilot[int], words: str) -> None:
    assert isinstance(pilot.app, EbpftopApp)
    app = pilot.app
    await until(pilot, lambda: words in shown(app))


async def rested(pilot: Pilot[int]) -> None:
    """Wait until the workbench shows what has come: it looks for that four times a second."""
    assert isinstance(pilot.app, EbpftopApp)
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen) and screen(app)._shown == screen(app).state())
    await pilot.pause()


def typing(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Return what presses *keys* when the workbench shows all."""

    async def press(pilot: Pilot[Any]) -> None:
        await rested(pilot)
        await pilot.press(*keys)
        if isinstance(pilot.app.screen, WorkbenchScreen):
            await rested(pilot)

    return press


@asynccontextmanager
async def working(
    source: FakeSource, size: tuple[int, int] = (120, 35)
) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    """Run the app, which begins with the workbench."""
    async with running(source, size) as (pilot, app):
        await rested(pilot)
        yield pilot, app


# How it looks.


@SIZES
def test_a_counter(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_load(scene.counter()), size, before=typing("j", "j", "j", "j"))


@SIZES
def test_what_the_verifier_says_stands_below_its_line(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_load(scene.failing()), size, before=typing())


@pytest.mark.parametrize("size", [(60, 15), (120, 35)], ids=lambda size: "x".join(map(str, size)))
def test_what_is_about_no_line_stays_in_view(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_load(scene.failing_as_a_whole()), size, before=typing("G"))


@pytest.mark.parametrize("size", [(80, 24), (120, 35)], ids=lambda size: "x".join(map(str, size)))
def test_a_buffer(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_load(scene.buffer()), size, before=typing("shift+tab", "k"))


def test_slots_of_a_prog_array(looks_the_same: Look) -> None:
    assert looks_the_same(with_load(scene.tail()), (120, 35), before=typing("tab", "tab"))


def test_a_histogram_is_drawn(looks_the_same: Look) -> None:
    assert looks_the_same(with_load(scene.tail()), (120, 35), before=typing("tab", "tab", "v"))


def test_lines_that_ran_are_lit_up(looks_the_same: Look) -> None:
    assert looks_the_same(with_load(scene.counter(with_lines=True)), (120, 35), before=typing("j", "j", "j", "j"))


def test_light_colours(looks_the_same: Look) -> None:
    assert looks_the_same(with_load(scene.failing()), (120, 35), before=typing(), theme="light")


# Its states.


async def test_without_a_file_it_says_how_to_load_one() -> None:
    async with working(with_load([]), (80, 24)) as (pilot, _):
        await seen(pilot, "ebpftop load FILE.c")


async def test_a_recording_without_one_says_how_to_make_it() -> None:
    async with running(with_load([], live=False), (80, 24)) as (pilot, _):
        await pilot.press("B")
        await seen(pilot, "ebpftop record FILE --load FILE.c")


async def test_a_first_load_that_failed_has_nothing_that_runs() -> None:
    from msgspec.structs import replace

    first = replace(scene.FAILED, programs=(), maps=(), running=None, generation=0, diagnostics=(scene.TYPO,))
    tried = replace(first, programs=(replace(scene.HELLO, id=None, attached=(), via=None, reason="refused"),))
    for record in (first, tried):
        async with working(with_load([batch("load", 2, probe_state("load", "on"), record)])) as (pilot, app):
            await seen(pilot, "did not load · none runs yet")
            assert "nothing runs yet" in shown(app)
            assert "did you mean" in shown(app)
            assert "xlated" not in shown(app)


async def test_what_was_lost_stands_in_the_title_of_the_output() -> None:
    async with working(with_load(scene.buffer())) as (pilot, _):
        await seen(pilot, "lost 4 ring")


async def test_nothing_of_a_file_reaches_the_terminal_raw() -> None:
    async with working(with_load(scene.buffer())) as (pilot, app):
        await seen(pilot, "\\x1b[2Jred")
        assert "\x1b" not in shown(app)


# What moves together.


async def test_a_line_and_its_instructions_move_together() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        await pilot.press("j", "j", "j", "j")
        bench = screen(app)
        assert bench.line == 11
        row = bench.code.selected()
        assert row is not None
        assert (row.line, row.text) == (11, "n = counter_table.lookup(&uid);")
        await pilot.press("tab", *["j"] * 6)
        assert bench.line == 12
        line = bench.source.selected()
        assert line is not None
        assert line.number == 12
        await pilot.press("G")
        assert bench.source.line_at_cursor() == 14


async def test_what_was_counted_of_lines_goes_with_what_counted_it() -> None:
    from msgspec.structs import replace

    source = with_load(scene.counter(with_lines=True))
    async with working(source) as (pilot, app):
        await pilot.press("j", "j", "j", "j")
        assert "line 11 ran 3.0/s" in shown(app)
        source.give(batch("load", 61, replace(scene.LOADED, time=START + 61, generation=2)))
        await until(pilot, lambda: "line 11 ran" not in shown(app))
        assert "●" not in shown(app)


async def test_the_bytecode_can_be_that_of_the_processor() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        await pilot.press("tab")
        assert "*(u64 *)(r10 - 8) = r0" in shown(app)
        await pilot.press("v")
        await seen(pilot, "mov qword ptr [rbp - 8], rax")
        await pilot.press("V")
        await seen(pilot, "*(u64 *)(r10 - 8) = r0")


async def test_e_goes_to_the_error_from_anywhere_and_v_shows_the_whole_log() -> None:
    async with working(with_load(scene.failing())) as (pilot, app):
        await pilot.press("g", "tab", "tab", "e")
        bench = screen(app)
        assert bench.front == 0
        assert bench.source.line_at_cursor() == 12
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert "All that verifier said: 212 lines" in shown(app)


async def test_the_cursor_goes_to_the_error_when_the_file_is_saved() -> None:
    source = with_load(scene.counter(49))
    async with working(source) as (pilot, app):
        await pilot.press("g")
        source.give(batch("load", 50, scene.FAILED))
        await seen(pilot, "R0 invalid mem access")
        assert screen(app).source.line_at_cursor() == 12
        assert "1000 ann" in shown(app), "the last good one runs on"


async def test_a_warning_stands_below_its_line_too_and_the_file_runs() -> None:
    from msgspec.structs import replace

    unknown = replace(scene.TYPO, severity="warning", line=4, message="no such meaning: usr", meaning="", suggestion="")
    async with working(with_load([batch("load", 2, replace(scene.LOADED, diagnostics=(unknown,)))])) as (pilot, app):
        assert "no such meaning: usr" in shown(app)
        assert "1 warning" in shown(app)
        assert "did not load" not in shown(app)
        assert screen(app).line == 7
        await pilot.press("e")
        assert screen(app).line == 4


async def test_enter_explains_a_line() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        await pilot.press("j", "j", "j", "j", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert "call bpf_map_lookup_elem" in shown(app)


async def test_the_first_line_of_a_program_says_where_it_is_attached_and_why_not_elsewhere() -> None:
    from msgspec.structs import replace

    attempts = probe_state("load", "on").attempts
    loaded = replace(scene.LOADED, programs=(replace(scene.HELLO, attempts=attempts),))
    async with working(with_load([batch("load", 2, loaded), batch("load", 3, scene.runs(3, "hello"))])) as (pilot, app):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        for words in ("raw_tracepoint:sys_enter  raw tracepoint", "kprobes are not in this kernel", "asked for"):
            assert words in shown(app)


# Maps and output.


async def test_each_map_keeps_how_it_was_sorted_and_filtered() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        await pilot.press("tab", "tab", "slash", *"key:ann", "enter")
        maps = screen(app).maps
        assert maps.end == 1
        await pilot.press("v")
        assert screen(app).map_name == "config"
        assert maps.end == 1
        assert "hi, ann" in shown(app)
        await pilot.press("v")
        assert maps.end == 1
        await pilot.press("escape")
        assert maps.end == 4
        await pilot.press("less_than_sign")
        assert maps.sort_key == "key"


async def test_the_output_is_filtered_by_the_fields_of_the_struct() -> None:
    async with working(with_load(scene.buffer())) as (pilot, app):
        await pilot.press("shift+tab", "slash", *"delay:>50us uid:ann", "enter")
        await seen(pilot, "1 of 5 events")
        assert "git" in shown(app)
        await pilot.press("escape", "v")
        await seen(pilot, "sent 4101")
        assert "of another" not in shown(app)


async def test_an_event_leads_to_its_fields() -> None:
    async with working(with_load(scene.buffer())) as (pilot, app):
        await pilot.press("shift+tab", "k", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert "u64 1200" in shown(app)


async def test_rows_are_exported_as_numbers() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        await pilot.press("tab", "tab")
        from ebpftop.ui.export import to_csv

        rows = screen(app).exported()
        assert to_csv(rows.headers, rows).splitlines()[:2] == ["key,value,per_s", "1000,117,7.0"]


# Time.


async def test_time_stands_still_goes_back_and_on() -> None:
    source = Remembered([*minute(), *scene.failing()], scene.PROBES)
    async with running(source) as (pilot, app):  # type: ignore[arg-type]  # it is one
        await seen(pilot, "did not load")
        await pilot.press("space", *["comma"] * 12)
        await seen(pilot, "PAUSED 13:00:48")
        assert "did not load" not in shown(app)
        assert "hello at raw_tracepoint:sys_enter" in shown(app)
        await pilot.press("l")
        await seen(pilot, "did not load")


async def test_nothing_is_drawn_again_unless_something_came() -> None:
    source = with_load(scene.counter())
    async with working(source) as (pilot, app):
        await seen(pilot, "1000 ann")
        bench = screen(app)
        before = [strip for lines in (bench.source, bench.maps) for _, strip in lines._strips.values()]
        source.give(batch("execs", 61, Fullest(time=START + 61, probe="execs", share=0.5, size=1 << 20)))
        await settle(pilot, source)
        await pilot.pause(0.3)
        after = [strip for lines in (bench.source, bench.maps) for _, strip in lines._strips.values()]
        assert all(one is other for one, other in zip(before, after, strict=True))


# Keys, sizes.


async def test_tab_goes_round_and_m_shows_one_pane_alone() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        bench = screen(app)
        assert [bool(pane.display) for pane in bench.panes] == [True, True, True, False, True]
        await pilot.press("tab", "tab", "m")
        assert [bool(pane.display) for pane in bench.panes] == [False, False, True, False, False]
        await pilot.press("tab")
        assert [bool(pane.display) for pane in bench.panes] == [False, False, False, False, True]
        await pilot.press("m", "tab")
        assert [bool(pane.display) for pane in bench.panes] == [True, True, True, False, True]
        assert bench.front == 0
        await pilot.press("B")
        assert app.screen is app.main


async def test_a_wide_terminal_has_room_for_a_second_map() -> None:
    async with working(with_load(scene.counter()), (200, 50)) as (pilot, app):
        bench = screen(app)
        assert "hi, ann" in shown(app)
        assert "1000 ann" in shown(app)
        await pilot.press("tab", "tab", "tab")
        assert bench.second.has_focus
        await pilot.resize_terminal(120, 35)
        await pilot.pause()
        assert bench.maps.has_focus
        assert "hi, ann" not in shown(app)


async def test_it_is_resized_at_any_moment() -> None:
    async with working(with_load(scene.failing())) as (pilot, app):
        await pilot.press("tab", "tab")
        for size in ((80, 24), (40, 8), (200, 50), (60, 15), (120, 35)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert screen(app).pane.lines.has_focus
            assert "counter.c" in shown(app)


async def test_another_file_takes_the_place_of_the_first() -> None:
    source = with_load(scene.counter(50))
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab")
        await seen(pilot, "1000 ann")
        source.give(*scene.tail(61))
        await seen(pilot, "hello_exec")
        assert "execve" in shown(app)
        assert "counter_table" not in shown(app)


async def test_a_source_that_runs_a_file_begins_with_it() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        assert screen(app).label == "Workbench"
        await pilot.press("escape")
        assert app.screen is app.main
        await pilot.press("B")
        assert screen(app).pane.lines.has_focus


async def test_a_recording_begins_with_the_panes_unless_asked() -> None:
    source = with_load(scene.counter(), live=False)
    async with running(source) as (pilot, app):
        assert app.screen is app.main
        await pilot.press("B")
        await seen(pilot, "1000 ann")
    asked = EbpftopApp(with_load(scene.counter(), live=False), workbench=True)
    async with asked.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "1000 ann" in shown(asked))


def test_tabs_of_a_source_take_half_the_room() -> None:
    from msgspec.structs import replace

    from ebpftop.models.load_source import rows_of

    lines = ("int f(void *ctx)", "{", " " * 8 + "int *n = g();", " " * 16 + "(*n)++;", "}")
    wrong = replace(scene.REFUSED, line=4, column=18)
    rows = rows_of(replace(scene.FAILED, source=lines, diagnostics=(wrong,)), 80)
    assert [row.text for row in rows[:4]] == [*lines[:2], " " * 4 + "int *n = g();", " " * 8 + "(*n)++;"]
    assert rows[4].text.index("^") == rows[3].text.index("*")
    assert rows_of(replace(scene.LOADED, source=(*lines, "  x")), 80)[2].text == lines[2]


def test_a_caret_stands_under_its_place_behind_wide_characters_and_tabs() -> None:
    from msgspec.structs import replace
    from rich.cells import cell_len

    from ebpftop.models.load_source import rows_of

    line = '    send("日本語 \\u200b é", nothing);'
    for source in (line, " " * 4 + line):
        wrong = replace(scene.TYPO, line=1, column=source.index("nothing") + 1)
        tried = replace(scene.FAILED, source=(source,), diagnostics=(wrong,))
        shown, said = (row.text for row in rows_of(tried, 120, cell_len)[:2])
        assert cell_len(said[: said.index("^")]) == cell_len(shown[: shown.index("nothing")])
        assert said.count("^") == len("nothing")


async def test_what_is_about_no_line_goes_when_it_is_mended() -> None:
    whole = scene.failing_as_a_whole()
    source = with_load(whole[:51])
    async with working(source) as (pilot, app):
        await seen(pilot, "not compiled within 5 s")
        assert "✗ it was" in shown(app)
        assert "there is no own.h" in shown(app), "beside its line"
        await pilot.press("e", "e")
        assert screen(app).source.line_at_cursor() == 2
        source.give(batch("load", 51, scene.LOADED))
        await until(pilot, lambda: "not compiled" not in shown(app))
        assert not screen(app).source_pane.whole.display


KEYS = (
    *("j", "k", "g", "G", "pagedown", "pageup", "left", "right", "up", "down", "home", "end"),
    *("tab", "shift+tab", "tab", "m", "v", "V", "e", "w", "r", "less_than_sign", "greater_than_sign", "F"),
    *("enter", "escape", "escape", "slash", "1", "a", "colon", "c", "y", "E", "question_mark", "A", "delete", "R"),
    *("space", "comma", "full_stop", "left_square_bracket", "right_square_bracket", "l", "B", "n", "N", "C", "o"),
)
SCENES = (scene.counter, scene.failing, scene.buffer, scene.tail, scene.failing_as_a_whole)


@pytest.mark.parametrize("seed", range(5))
async def test_random_keys_sizes_and_files_do_no_harm(seed: int) -> None:
    chance = random.Random(seed)
    source = Remembered([*minute(), *SCENES[seed]()], scene.PROBES)
    async with running(source) as (pilot, app):  # type: ignore[arg-type]  # it is one
        for step in range(120):
            await pilot.press(chance.choice(KEYS))
            if step % 17 == 0:
                await pilot.resize_terminal(*chance.choice(((120, 35), (80, 24), (60, 15), (40, 8), (200, 50))))
            if step % 29 == 0:
                source.give(*(one for one in SCENES[chance.randrange(5)]() if one.records))
        await pilot.resize_terminal(120, 35)
        for _ in range(12):
            await pilot.press("escape")
        assert app.is_running
        if app.screen is app.main:
            await pilot.press("l", "B")
        await until(pilot, lambda: ".c" in shown(app))
