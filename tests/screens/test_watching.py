"""Watches on the screen: bell, notice, marks, and what is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from ebpftop.core.format import clock_text
from ebpftop.core.records import Probe, Record
from ebpftop.core.trace_records import Trace
from ebpftop.lifecycle.run_command import CommandRunner
from ebpftop.models.opens import Open
from ebpftop.models.watch import compile_watch
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens import watching
from ebpftop.ui.screens.copy_as import CopyScreen
from ebpftop.ui.screens.graph import GraphPlot, GraphScreen
from ebpftop.ui.screens.save_dialog import SaveScreen
from ebpftop.ui.screens.watch_list import WatchScreen
from ebpftop.ui.screens.watching import WatchOptions
from ebpftop.ui.widgets.graphs import Graphs
from ebpftop.ui.widgets.heat_band import HeatBand
from ebpftop.ui.widgets.heatmap import LABELS
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
        await until(pilot, lambda: "◆1 mark" in text.render_line(0).text)
        assert text.moments.marks == (START + 61.0,)


async def marked(pilot: Pilot[int], app: EbpftopApp, source: Remembered) -> None:
    """Let three programs crash, and wait for their marks."""
    await settle(pilot, source)
    source.give(*(batch("execs", second, *crash(second - 0.5)) for second in (10, 30, 50)))
    await until(pilot, lambda: len(app.main.query_one(TimelineBar).moments.marks) == 3)
    await pilot.pause()


async def test_marks_stand_on_timeline_graphs_and_heat_map_in_the_same_place_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Remembered(minute())
    app = app_with(source, monkeypatch)
    async with app.run_test(size=(120, 46)) as pilot:
        await marked(pilot, app, source)
        bar = app.main.query_one(TimelineBar)
        assert not app.main.playback.paused
        places = [at for at, sign in enumerate(bar.render_line(0).text) if sign == "◆"]
        assert places[:3] == [bar.place(START + second) for second in (10, 30, 50)]
        graphs = app.main.query_one(Graphs)
        drawn = "".join(graphs.render_line(y).text for y in range(graphs.size.height))
        assert drawn.count("◆") == 3 * len(graphs.wanted)
        await pilot.press("H")
        heat = app.main.query_one(HeatBand)
        await until(pilot, lambda: heat.heat is not None)
        axis = heat.render_line(heat.size.height - 2).text
        await until(pilot, lambda: bar.margin)
        below = [at for at, sign in enumerate(bar.render_line(0).text) if sign == "◆"]
        assert [at for at, sign in enumerate(axis) if sign == "◆"] == below
        assert [at - LABELS for at in below] == sorted(heat.marked)


async def test_keys_go_from_mark_to_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Remembered(minute())
    app = app_with(source, monkeypatch)
    async with app.run_test(size=(120, 35)) as pilot:
        await marked(pilot, app, source)

        async def go(key: str) -> float | None:
            await pilot.press(key)
            await until(pilot, lambda: not app.main.playback.seeking)
            return app.main.playback.moment

        moments = [await go(key) for key in "((()))"]
        assert moments == [START + second for second in (50, 30, 10, 30, 50, 50)]
        assert any("No mark after this moment" in notice for notice in notices(app))
        # What a mark stands for is said.
        assert f"◆ {clock_text(START + 30)}: boom[5000] ended: SIGSEGV after 500ms" in notices(app)
        app.main.graphs.open("execs")
        await until(pilot, lambda: isinstance(app.screen, GraphScreen) and list(app.screen.query(GraphPlot)))
        plot = app.screen.query_one(GraphPlot)
        await until(pilot, lambda: plot.size.width > LABELS and "◆" in plot.render_line(plot.size.height - 2).text)
        await pilot.press("left_parenthesis", "left_parenthesis", "enter")
        await until(pilot, lambda: app.screen is app.main and not app.main.playback.seeking)
        moment = app.main.playback.moment
        assert moment is not None
        assert abs(moment - (START + 30)) < 1


async def test_more_marks_than_bars_leave_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Remembered(minute())
    app = app_with(source, monkeypatch)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        app.main.watching.watches.mark({START + at / 4: "" for at in range(240)})
        app.main.describe_marks()
        bar = app.main.query_one(TimelineBar)
        text = bar.render_line(0).text
        assert "◆240 marks" in text
        assert text.count("◆") == 1


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
        (watch,) = app.main.watching.watches.watches
        assert watch.last == max(bar.moments.marks)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        listed = str(app.screen.query_one(OptionList).get_option_at_index(0).prompt)
        assert f"last {clock_text(watch.last)}: job" in listed
        assert "ended: exit 0" in listed
        assert "0 matches" not in listed
        await pilot.press("escape")
        assert "◆" in bar.render_line(0).text
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
        await until(pilot, lambda: "Choose a row (j" in "".join(notices(app)))
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
