"""Watches on the screen: bell, notice, marks, and what is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpftop.core.records import Record
from ebpftop.lifecycle.run_command import CommandRunner
from ebpftop.models.watch import compile_watch
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens import watching
from ebpftop.ui.screens.watching import WatchOptions
from ebpftop.ui.widgets.timeline_bar import TimelineBar
from tests.unit.recording_samples import story, write

from .conftest import settle, until
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
