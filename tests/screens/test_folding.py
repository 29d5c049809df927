"""Folded rows of the exec log: what Enter, z and e do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.pilot import Pilot

from ebpftop.core.printed import GREETING
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.export import to_csv
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.title import joined
from ebpftop.ui.panes.trace import TracePane
from ebpftop.ui.screens.details import SheetScreen

from .conftest import Look, until
from .scene import FakeSource, batch, ended, minute, probe_state, ran
from .test_screen_keys import running

FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin")


def searched(at: float, pid: int, *argv: str, found: bool) -> Sequence[Record]:
    """Attempts in PATH, then perhaps the program, and its end."""
    tried = [
        ran(at, pid, *argv, file=f"{folder}/{argv[0]}", ret=-2, error="ENOENT", start_ns=pid, pcomm="make")
        for folder in FOLDERS
    ]
    program = ran(at, pid, *argv, start_ns=pid, pcomm="make", uid=1000)
    return (*tried, program, ended(program, 0.128)) if found else (*tried, ended(program, 0.002, 127))


def noisy() -> list[Batch]:
    """A search that found its program, one that did not, and a program that was started again and again."""
    repeats: list[Record] = []
    for i in range(214):
        program = ran(20.996 + i * 0.001, 6000 + i, "true", "--case", str(i), uid=1000, pcomm="run-tests", ppid=950)
        repeats += [program, ended(program, 0.0011)]
    killed = ran(21.3, 7000, "convert", "upload.png", "thumb.webp", uid=33, pcomm="php-fpm", ppid=820)
    return [
        batch("execs", 0, probe_state("execs", "on")),
        batch("execs", 20.8, *searched(20.68, 5001, "as", "--64", "-o", "src/cart.o", found=True)),
        batch("execs", 21.25, *repeats),
        batch("execs", 21.3, *searched(21.26, 5002, "pg_dump", "shop", found=False), killed),
        batch("execs", 51.4, ended(killed, 30, None, "SIGKILL"), ran(51.4, 7001, "sleep", "9", uid=33, ppid=820)),
    ]


def texts(app: EbpftopApp) -> list[str]:
    lines = app.main.query_one(ExecsPane).log_lines
    return [strip.text.rstrip() for strip in lines._lines(range(lines.size.height))[0]]


def shows(app: EbpftopApp, *pieces: str) -> bool:
    return all(any(piece in text for text in texts(app)) for piece in pieces)


async def first_row(pilot: Pilot[int], app: EbpftopApp, row: int) -> None:
    execs = app.main.query_one(ExecsPane)
    await until(pilot, lambda: len(execs.model.view) == 5)
    await pilot.press("g", *("j",) * row)


async def test_enter_opens_a_folded_row_and_z_folds_it_again() -> None:
    async with running(FakeSource(noisy()), (120, 35)) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await first_row(pilot, app, 1)
        assert shows(app, "×214 run-tests true --case …", "~1.1ms exit 0")
        await pilot.press("enter")
        await until(pilot, lambda: len(execs.model.view) == 218)
        selected = execs.log_lines.selected()
        assert selected is not None
        assert selected.exec.pid == 6000
        assert not execs.log_lines.follow
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        assert isinstance(app.screen, SheetScreen)
        assert app.screen.details.title == "true (6001)"
        await pilot.press("escape", "z")
        await until(pilot, lambda: len(execs.model.view) == 5)
        selected = execs.log_lines.selected()
        assert selected is not None
        assert selected.exec.pid == 6000


async def test_enter_on_a_path_search_shows_its_attempts() -> None:
    async with running(FakeSource(noisy()), (120, 35)) as (pilot, app):
        await first_row(pilot, app, 0)
        assert shows(app, "as --64 -o src/cart.o ✗3 in PATH", "pg_dump shop ✗3 in PATH, not found")
        await pilot.press("enter")
        await until(pilot, lambda: shows(app, *(f"{folder}/as --64" for folder in FOLDERS)))
        assert not shows(app, "as --64 -o src/cart.o ✗3 in PATH")


async def test_e_shows_failures_folded_all_only_none() -> None:
    async with running(FakeSource(noisy()), (120, 35)) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await first_row(pilot, app, 0)
        assert joined(execs.title_counts()) == "1.0/s · 5 shown · 1 failed · folded 213 repeats, 2 PATH searches"
        for title in (
            "223 shown · 6 failed · failures: all",
            "6 shown · 6 failed · failures: only",
            "4 shown · folded 213 repeats · failures: none",
            "5 shown · 1 failed · folded 213 repeats, 2 PATH searches",
        ):
            await pilot.press("e")
            await until(pilot, lambda title=title: joined(execs.title_counts()) == f"1.0/s · {title}")  # type: ignore[misc]


async def test_an_export_has_every_row_and_says_how_many_the_screen_folds() -> None:
    async with running(FakeSource(noisy()), (120, 35)) as (pilot, app):
        await first_row(pilot, app, 0)
        shown = app.main.query_one(ExecsPane).rows_shown()
        assert len(shown) == 223
        assert shown.counted == "223 rows (218 folded on the screen)"
        assert replace(shown, folded=None).counted == "223 rows"
        pid = shown.headers.index("pid")
        assert [row[pid] for row in shown][4:8] == [6000, 6001, 6002, 6003]
        assert shown.headers[-1] == "folded"
        seen = [row.exec.pid for row in app.main.execs.log_lines.rows()]
        assert [row[pid] for row in shown if not row[-1]] == seen
        assert "true" in to_csv(shown.headers, shown).splitlines()[6].split(",")
        await pilot.press("e")
        await until(pilot, lambda: len(app.main.execs.model.view) == 223)
        assert not any(row[-1] for row in app.main.execs.rows_shown())


async def test_what_is_typed_finds_a_folded_row() -> None:
    async with running(FakeSource(noisy()), (120, 35)) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await first_row(pilot, app, 0)
        await pilot.press("slash", *'"--case 77"', "enter")
        await until(pilot, lambda: len(execs.model.view) == 1)
        assert shows(app, "6077 run-tests true --case 77")


def test_signal_before_noise(looks_the_same: Look) -> None:
    assert looks_the_same(FakeSource(noisy()), (80, 24))


def test_signal_before_noise_in_a_wide_terminal(looks_the_same: Look) -> None:
    assert looks_the_same(FakeSource([*minute(), *noisy()[1:]]), (120, 35))


async def test_our_own_greetings_are_one_line_that_enter_opens() -> None:
    async with running(FakeSource(minute()), (120, 35)) as (pilot, app):
        trace = app.main.query_one(TracePane)
        await until(pilot, lambda: trace.model.view.hidden)
        everything = len(trace.model.view.all_rows())
        hidden = trace.model.view.hidden
        assert "ours folded" in joined(trace.title_counts())
        await pilot.press("tab", "tab", "tab", "G")
        row = next(row for row in trace.model.view.rows() if row.message == GREETING)
        trace.log_lines.go_to(trace.model.view.rows().index(row) + trace.model.view.first)
        text = "".join(span.text for column in trace.log_lines.columns for span in column.cell(row, 0.0))
        assert f"×{hidden + 1}" in text
        assert f"{GREETING}  in {len(trace.model.view.tasks)} programs (" in text
        await pilot.press("enter")
        await until(pilot, lambda: len(trace.model.view) == everything)
        await pilot.press("z")
        await until(pilot, lambda: len(trace.model.view) == everything - hidden)
        assert len(trace.rows_shown()) == everything
