"""Watches on the screen: bell, notice, marks, and what is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ebpftop.core.records import Probe, Record, Trace
from ebpftop.lifecycle.run_command import CommandRunner
from ebpftop.models.opens import Open
from ebpftop.models.watch import compile_watch
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens import watching
from ebpftop.ui.screens.copy_as import CopyScreen
from ebpftop.ui.screens.save_dialog import SaveScreen
from ebpftop.ui.screens.watch_list import WatchScreen
from ebpftop.ui.screens.watching import WatchOptions
from ebpftop.ui.widgets.timeline_bar import TimelineBar
from tests.unit.recording_samples import story, write

from .conftest import Look, settle, until
from .scene import START, Remembered, batch, ended, minute, ran

BELLS: list[int] = []
CRASH = 'exit.signal == "SIGSEGV" && exit.comm == "boom"'


def app_with(source: Remembered | ReplaySource, monkeypatch: pytest.MonkeyPatch, **more: object) -> EbpftopApp:
    options = WatchOptions([compile_watch(CRASH)], **more)  # type: ignore[arg-type]
    app = EbpftopApp(source, watch_options=options)
    BELLS.clear()
    monkeypatch.setattr(app, "bell", lambda: BELLS.append(1))
    return app


def notices(app: EbpftopApp) -> list[str]:
    return [f"{notice.title}: {notice.message}" for notice in app._notifications]


def crash(second: float, pid: int = 5000) -> list[Record]:
    program = ran(second, pid, "/usr/bin/boom")
    return [program, ended(program, 0.5, code=None, signal="SIGSEGV")]


async def test_a_match_rings_the_bell_shows_a_notice_and_marks_the_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Remembered(minute())
    app = app_with(source, monkeypatch)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        assert (BELLS, notices(app)) == ([], [])
        source.give(batch("execs", 61, *crash(60.5)))
        await until(pilot, lambda: notices(app))
        assert notices(app) == [f"◆ {CRASH}: boom[5000] ended: SIGSEGV after 500ms"]
        assert BELLS == [1]
        await pilot.press("space")
        await until(pilot, lambda: app.main.query_one(TimelineBar).moments.marks)
        text = app.main.query_one(TimelineBar)
        await until(pilot, lambda: "1 mark" in text.render_line(0).text)
        assert text.moments.marks == (START + 61.0,)


async def test_many_matches_are_one_bell_and_one_notice_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Remembered(minute())
    app = app_with(source, monkeypatch)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        many = [record for pid in range(5000, 5100) for record in crash(60, pid)]
        source.give(batch("execs", 61, *many))
        await until(pilot, lambda: notices(app))
        assert "99 more matched" in notices(app)[0]
        source.give(batch("execs", 62, *crash(61)))
        await settle(pilot, source)
        assert len(notices(app)) == 1
        assert BELLS == [1]
        monkeypatch.setattr(watching, "NOTICE_EVERY_S", 0.0)
        app.main.watching.pulse()
        await until(pilot, lambda: len(notices(app)) == 2)


async def test_a_recording_is_marked_as_a_whole_and_rings_no_bell(tmp_path: Path) -> None:
    source = ReplaySource(str(write(tmp_path / "story.jsonl.zst", list(story(60)))), speed=1)
    app = EbpftopApp(source, watch_options=WatchOptions([compile_watch("exit.code != null")]))
    async with app.run_test(size=(120, 35)) as pilot:
        bar = app.main.query_one(TimelineBar)
        # What has not been played yet is marked too.
        await until(pilot, lambda: bar.moments.marks and max(bar.moments.marks) > bar.moments.present + 10)
        assert "◆" in bar.render_line(1).text
    source.close()


async def test_a_command_of_the_screen_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    source = Remembered(minute())
    runner = CommandRunner(f"sh -c 'echo $EBPFTOP_SIGNAL > {out}'", 10.0, output_fd=None)
    app = app_with(source, monkeypatch, runner=runner)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        source.give(batch("execs", 61, *crash(60)))
        await until(pilot, lambda: out.exists() and out.read_text())
    assert out.read_text() == "SIGSEGV\n"


# The keys.

SIZES = pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])


@SIZES
def test_the_list_of_watches(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(Remembered(minute()), size, "k", "a", "enter", "up", "up")


@SIZES
def test_an_expression_that_is_wrong(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(Remembered(minute()), size, "a", *'exit.cod == "x"', "enter")


@SIZES
def test_the_lines_that_can_be_copied(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(Remembered(minute()), size, "k", "C", "j")


@asynccontextmanager
async def running(size: tuple[int, int] = (120, 35)) -> AsyncIterator[tuple[Pilot[int], EbpftopApp, Remembered]]:
    source = Remembered(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        yield pilot, app, source


def watched(app: EbpftopApp) -> list[str]:
    return [watch.label for watch in app.main.watching.watches.watches]


async def test_a_row_is_watched_for_and_no_longer() -> None:
    async with running() as (pilot, app, _):
        await pilot.press("k", "a", "enter")
        await until(pilot, lambda: watched(app))
        assert watched(app)[0].startswith(("exit.comm", "exec.", "exit.pid"))
        await pilot.press("delete")
        await until(pilot, lambda: not watched(app))
        await pilot.press("escape")
        assert app.screen is app.main


async def test_an_expression_is_typed_and_matches() -> None:
    async with running() as (pilot, app, source):
        await pilot.press("a", *'exit.sig == "x"', "enter")
        assert isinstance(app.screen, WatchScreen)
        await until(pilot, lambda: "did you mean signal" in str(app.screen.query_one(Static).render()))
        assert watched(app) == []
        await pilot.press("end", "ctrl+u", *'exit.comm=="boom"', "enter")
        await until(pilot, lambda: watched(app) == ['exit.comm=="boom"'])
        await pilot.press("escape")
        source.give(batch("execs", 61, *crash(60)))
        await until(pilot, lambda: notices(app))
        # Enter on it shows the moment.
        await pilot.press("a", "enter")
        await until(pilot, lambda: app.main.playback.moment is not None)
        assert app.main.playback.moment == pytest.approx(START + 60.5, abs=1)


async def test_what_is_typed_as_filter_is_watched_for() -> None:
    async with running() as (pilot, app, source):
        await pilot.press("slash", *"b.om", "enter", "a", "enter")
        await until(pilot, lambda: watched(app) == ["programs that match /b.om"])
        await pilot.press("escape")
        source.give(batch("execs", 61, ran(60, 5000, "/usr/bin/other"), *crash(60)))
        await until(pilot, lambda: notices(app))
        assert app.main.watching.watches.watches[0].count == 1


async def test_the_filter_of_the_trace_log_is_watched_for_too() -> None:
    async with running() as (pilot, app, source):
        app.main.set_focus(app.main.panes[3].lines)
        await pilot.press("slash", *"needle", "enter", "a", "enter")
        await until(pilot, lambda: watched(app) == ["lines that match /needle"])
        line = Trace(time=START + 61, cpu=0, pid=5, task="sh", message="a needle")
        source.give(batch("trace", 61, line))
        await until(pilot, lambda: notices(app))


async def test_a_line_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (pilot, app, _):
        copied: list[str] = []
        monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
        await pilot.press("C")
        await until(pilot, lambda: "Choose a row first" in "".join(notices(app)))
        await pilot.press("k", "C", "j", "enter")
        await until(pilot, lambda: copied)
        assert copied[0].startswith("sudo ebpftop --comm ")
        await pilot.press("u")
        await pilot.press("C", "k", "enter")
        await until(pilot, lambda: len(copied) == 2)
        assert copied[1].startswith("sudo ebpftop stream --uid ")


@pytest.mark.parametrize("pane", range(5))
async def test_every_pane_offers_something_for_its_row(pane: int) -> None:
    async with running((160, 45)) as (pilot, app, source):
        pressed = Open(
            time=START + 61, pid=5, tid=5, uid=0, user="root", comm="cat", call="openat", dirfd=None, path="/etc/x",
            flags="O_RDONLY", ret=3, error=None, ns=5,
        )  # fmt: skip
        source.give(batch("opens", 61, Probe(time=START, probe="opens", state="on", via="x", reason=None), pressed))
        await settle(pilot, source)
        app.main.set_focus(app.main.panes[pane].lines)
        await pilot.press("k", "C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        assert len(app.screen.lines) > 2  # type: ignore[attr-defined]
        await pilot.press("escape", "a")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        assert len(app.screen.offers) > 1  # type: ignore[attr-defined]


async def test_the_tree_has_lines_too() -> None:
    async with running() as (pilot, app, _):
        await pilot.press("t", "j", "C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        assert any(line.tool == "strace" for line in app.screen.lines)  # type: ignore[attr-defined]


async def test_a_report_is_saved(tmp_path: Path) -> None:
    async with running() as (pilot, app, _):
        await pilot.press("ctrl+s", "up")
        screen = app.screen
        assert isinstance(screen, SaveScreen)
        assert screen.choice.kind == "report"
        screen.query_one(Input).value = str(tmp_path / "r.txt")
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "r.txt").exists() and app.screen is app.main)
    told = (tmp_path / "r.txt").read_text()
    assert told.startswith("ebpftop report of web1\n")
    for heading in ("Attached", "Lost", "Events", "System calls"):
        assert f"\n{heading}\n---" in told
    assert "failures first" in told


async def test_the_heads_of_an_export_say_the_unit() -> None:
    async with running() as (_, app, _source):
        heads = {pane.probe: pane.rows_shown().headers for pane in app.main.panes}
    assert {"time", "duration_s"} <= set(heads["execs"])
    assert {"execs_per_s", "calls_per_s"} <= set(heads["users"])
    assert {"time_ns", "p50_ns", "p99_ns", "max_ns", "calls_per_s"} <= set(heads["syscalls"])
    assert "latency_ns" in heads["opens"]
