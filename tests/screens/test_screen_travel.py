"""Freezing, looking back, and what a recording does when it plays."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Header
from ebpftop.core.source import Source
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.filters.stack import user_level
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.title import joined
from ebpftop.ui.panes.trace import TracePane
from ebpftop.ui.screens.save_dialog import SaveScreen
from ebpftop.ui.widgets.heat_band import HeatBand
from ebpftop.ui.widgets.heatmap import LABELS
from ebpftop.ui.widgets.status_bar import Status, StatusBar
from ebpftop.ui.widgets.timeline_bar import TimelineBar
from tests.unit.recording_samples import START as STORY_START
from tests.unit.recording_samples import play, story, write

from .conftest import Look, settle, until
from .scene import START, FakeSource, Remembered, batch, minute, ran

SIZES = pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])


@asynccontextmanager
async def running(source: Source, size: tuple[int, int] = (120, 35)) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        if isinstance(source, Remembered):
            await settle(pilot, source)
        yield pilot, app
    assert not app.return_code


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[ReplaySource]:
    """A recorded minute that is played as fast as it goes."""
    source = ReplaySource(str(write(tmp_path / "story.jsonl.zst", list(story(60)))), speed=0)
    yield source
    source.close()


def execs(app: EbpftopApp) -> ExecsPane:
    return app.main.execs


def status(app: EbpftopApp) -> Status:
    return app.main.query_one(StatusBar).status


def status_text(app: EbpftopApp) -> str:
    return app.main.query_one(StatusBar).render_line(0).text


async def press(pilot: Pilot[int], app: EbpftopApp, *keys: str) -> None:
    """Press keys, and wait for the moment that they lead to."""
    await pilot.press(*keys)
    await until(pilot, lambda: not app.main.playback.seeking)
    await pilot.pause()


def commands(app: EbpftopApp) -> list[str]:
    """The programs of the log, also those that are folded."""
    return [row.exec.comm for row in execs(app).model.view.all_rows()]


# Live.


async def test_left_freezes_and_shows_a_second_ago_and_l_is_back_without_a_loss() -> None:
    source = Remembered(minute())
    async with running(source) as (pilot, app):
        everything = commands(app)
        await press(pilot, app, "comma")
        assert app.main.playback.paused
        assert app.main.playback.moment == START + 59
        assert app.main.playback.shown_time == START + 59
        assert status(app).paused == ("13:00:59", "1s behind", "still collecting")
        assert "PAUSED 13:00:59, 1s behind, still collecting" in status_text(app)
        source.give(batch("execs", 61, ran(61, 5000, "late")))
        await settle(pilot, source)
        assert "late" not in commands(app)
        await press(pilot, app, "l")
        assert not app.main.playback.paused
        assert commands(app) == [*everything, "late"]
        assert status(app).paused == ()


async def test_every_pane_shows_the_moment_as_it_was() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        main = app.main
        lost = main.playback.overview.total_lost
        assert lost
        fullest = main.playback.overview.fullest["execs"].share
        for _ in range(3):
            await press(pilot, app, "left_square_bracket")
        assert main.playback.moment == START
        assert commands(app) == []
        for _ in range(8):
            await press(pilot, app, "full_stop")
        assert main.playback.moment == START + 8
        assert commands(app) == [r.exec.comm for r in (execs(app).model.ring.slice(0, 99))]
        assert len(commands(app)) == 10
        assert [row.exec.time for row in execs(app).model.ring.slice(0, 99)][-1] <= START + 8
        assert main.playback.overview.total_lost == 0
        assert not main.playback.overview.fullest
        await press(pilot, app, "t")
        assert {b.process.pid for b in execs(app).tree_lines._rows} >= {1, 640, 700, 812, 900, 4104}
        await press(pilot, app, "l")
        assert main.playback.overview.total_lost == lost
        assert main.playback.overview.fullest["execs"].share == fullest


async def test_space_freezes_and_goes_on_live_also_from_the_past() -> None:
    source = Remembered(minute())
    async with running(source) as (pilot, app):
        await pilot.press("space")
        assert "PAUSED 13:01:00, still collecting" in status_text(app)
        assert app.main.query_one(TimelineBar).display
        source.give(batch("execs", 61, ran(61, 5000, "late")))
        await settle(pilot, source)
        assert "late" not in commands(app)
        await press(pilot, app, "comma")
        await press(pilot, app, "space")
        assert commands(app)[-1] == "late"
        assert "PAUSED" not in status_text(app)
        assert app.main.query_one(TimelineBar).display


async def test_the_timeline_takes_the_mouse_to_the_moment_under_it() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("space")
        await until(pilot, lambda: app.main.query_one(TimelineBar).moments.rates)
        bar = app.main.query_one(TimelineBar)
        left = bar.place(START)
        await pilot.click(bar, offset=(left + bar.buckets // 2, 0))
        await until(pilot, lambda: not app.main.playback.seeking)
        assert app.main.playback.moment is not None
        assert abs(app.main.playback.moment - (START + 30)) < 1
        assert bar.column(app.main.playback.moment) == bar.buckets // 2
        # Held down and moved, it selects a span, from right to left too; tests/screens/test_changed.py has more.
        await pilot.mouse_down(bar, offset=(left + 30, 0))
        await pilot.hover(bar, offset=(left + 10, 0))
        await pilot.mouse_up(bar, offset=(left + 10, 0))
        await until(pilot, lambda: not app.main.playback.seeking)
        box = app.main.playback.box
        assert box is not None
        assert bar.column(box.begin + 0.01) == 10
        assert bar.column(box.end - 0.01) == 30
        await pilot.hover(bar, offset=(80, 1))
        assert app.main.playback.box == box


async def test_a_filter_holds_in_the_past_and_what_is_typed_there_holds_live() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await press(pilot, app, "slash", *"ada", "enter")
        narrowed = commands(app)
        await press(pilot, app, "comma")
        assert commands(app) == narrowed
        await press(pilot, app, "slash", "home", "!", "enter")
        others = commands(app)
        assert not set(others) & set(narrowed)
        await press(pilot, app, "l")
        assert commands(app) == others


async def test_the_history_says_its_span_its_use_and_its_bound() -> None:
    async with running(Remembered(minute()), (160, 40)) as (pilot, app):
        await pilot.press("space")
        await pilot.pause()
        assert status(app).history.startswith("history: 60s")
        assert status(app).history.endswith("/56 MiB")


async def test_without_a_memory_one_cannot_look_back_and_is_told() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("comma")
        assert app.main.playback.moment is None
        assert any("no history to go back" in n.message for n in app._notifications)


def under_the_cursor(app: EbpftopApp) -> str:
    row = execs(app).log_lines.selected()
    return row.exec.comm if row else ""


async def test_the_cursor_stays_on_its_row_from_moment_to_moment() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        lines = execs(app).log_lines
        await pilot.press("k", "k", "k", "k")
        chosen = under_the_cursor(app)
        assert chosen
        selected = lines.selected()
        assert selected is not None
        height = (lines.cursor or 0) - lines.first - lines.scroll_offset.y
        for key in ("comma", "comma", "full_stop", "l", "space", "left_square_bracket"):
            await press(pilot, app, key)
            if key == "left_square_bracket":
                break
            row = lines.selected()
            assert row is not None
            assert row.exec == selected.exec
            assert (lines.cursor or 0) - lines.first - lines.scroll_offset.y == height
        # A minute ago nothing had started yet; a minute on it is there again, and so is the cursor.
        assert lines.selected() is None
        await press(pilot, app, "right_square_bracket")
        assert under_the_cursor(app) == chosen
        # Whoever follows the newest row goes on to follow it.
        await press(pilot, app, "F")
        await press(pilot, app, "comma")
        assert lines.follow


async def test_the_cursor_stays_on_its_row_where_a_filter_holds() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await press(pilot, app, "slash", *"ada", "enter")
        await pilot.press("k", "k")
        chosen = under_the_cursor(app)
        assert chosen
        await press(pilot, app, "comma")
        assert under_the_cursor(app) == chosen
        await press(pilot, app, "l")
        assert under_the_cursor(app) == chosen


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 50)], ids=["80x24", "120x35", "200x50"])
async def test_paused_covers_no_pane_and_leaves_none_without_rows(size: tuple[int, int]) -> None:
    async with running(Remembered(minute()), size) as (pilot, app):
        await press(pilot, app, "comma")
        assert "PAUSED" in status_text(app)
        bar = app.main.query_one(TimelineBar).region
        assert bar.height == 1
        assert not any(bar.overlaps(pane.region) for pane in app.main.shown_panes)
        assert all(pane.lines.page > 1 for pane in app.main.shown_panes)


async def test_what_comes_while_held_records_are_let_go_is_shown_behind_them() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        main = app.main
        pane = next(pane for pane in main.panes if isinstance(pane, TracePane))
        main.action_pause()
        line = Trace(time=START + 100, cpu=0, pid=1, task="x", message="")
        held = [msgspec.structs.replace(line, message=str(number)) for number in range(8)]
        for record in held:
            main.playback.take(pane, batch("trace", 100, *[record] * 1000))
        main.action_pause()
        assert main.playback.held, "they do not go all at once"
        main.playback.take(pane, batch("trace", 101, msgspec.structs.replace(line, message="newest")))
        await until(pilot, lambda: not main.playback.held)
        log = pane.model
        told = [log.view[at].message for at in range(log.view.first, log.view.end)]
    assert [word for word, _ in itertools.groupby(told)][-9:] == [*map(str, range(8)), "newest"]


async def test_a_title_says_which_rows_are_left_if_older_ones_were_evicted() -> None:
    """A count alone would say that all of them can be scrolled to."""
    async with running(Remembered(minute())) as (_, app):
        rings = {pane: pane.model.ring for pane in app.main.panes if hasattr(pane.model, "ring")}
        kept = {pane: ring for pane, ring in rings.items() if ring.end}
        assert len(kept) >= 2
        for pane, ring in kept.items():
            assert "newest" not in joined(pane.title_counts())
            ring.capacity = 1
            ring.append(ring[ring.first])
            assert f"newest 1 of {ring.end} " in joined(pane.title_counts())


async def test_counting_anew_holds_in_the_past_from_where_it_began() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        pane = next(pane for pane in app.main.panes if isinstance(pane, SyscallsPane))

        def counted() -> int:
            return sum(call.count(last=False) for call in pane.model.calls.values())

        await pilot.press("tab", "tab")
        late = counted()
        await press(pilot, app, "comma")
        early = counted()
        assert 0 < early < late
        await pilot.press("Z")
        assert counted() == 0
        await press(pilot, app, "l")
        assert counted() == late - early
        await press(pilot, app, "comma")
        assert counted() == 0
        await pilot.press("Z")
        assert counted() == early
        # Begun later, it says nothing of what came before.
        await press(pilot, app, "l")
        await pilot.press("Z")
        assert counted() == 0
        await press(pilot, app, "comma")
        assert counted() == early
        await press(pilot, app, "l")
        assert counted() == 0


async def test_what_is_counted_from_a_filter_on_is_so_at_every_moment() -> None:
    source = Remembered(minute())
    async with running(source) as (pilot, app):
        pane = next(pane for pane in app.main.panes if isinstance(pane, SyscallsPane))
        app.main.filters.push(user_level(0, "root"))
        await until(pilot, lambda: app.main.playback.view_filter.kernel_filter_since < float("inf"))
        latest = pane.model.latest
        assert latest is not None
        decided = app.main.playback.view_filter.kernel_filter_since - START
        for later in (1, 2, 3):
            rows = tuple(msgspec.structs.replace(row, count=row.count + 5 * later) for row in latest.rows)
            reading = msgspec.structs.replace(latest, time=START + decided + later, rows=rows)
            source.give(batch("syscalls", decided + later, reading))
        await settle(pilot, source)

        def counted() -> set[int]:
            return {call.count(last=False) for call in pane.model.calls.values()}

        assert counted() == {10}
        for keys, counts in (("comma", {5}), ("comma", {0}), ("full_stop", {5}), ("l", {10})):
            await press(pilot, app, keys)
            assert counted() == counts, keys


async def test_what_is_set_in_the_kernel_while_looking_back_is_set_now_and_said_to_be() -> None:
    source = Remembered(minute())
    async with running(source) as (pilot, app):
        await press(pilot, app, "comma")
        pane = app.main.panes[3]
        await pilot.press("4")
        await until(pilot, lambda: not pane.busy)
        assert any("is toggled now; the screen shows the past" in n.message for n in app._notifications)
        assert pane.state == "on"
        syscalls = app.main.panes[2]
        assert isinstance(syscalls, SyscallsPane)
        await pilot.press("tab", "tab", "j", "T", "T")
        await until(
            pilot, lambda: any("from now on; the screen shows the past" in n.message for n in app._notifications)
        )
        call = syscalls.table.selected()
        assert call is not None
        assert syscalls.model.handler(call) != "trace"


# Recordings.


async def test_a_recording_that_ended_says_so_and_can_be_looked_at_anywhere(recording: ReplaySource) -> None:
    async with running(recording) as (pilot, app):
        await until(pilot, lambda: recording.finished)
        await until(pilot, lambda: status(app).mode == "recording ended")
        await until(pilot, lambda: any("has ended" in n.message for n in app._notifications))
        assert app.main.query_one(TimelineBar).display
        shown = len(commands(app))
        assert shown == 1200
        recording.speed = 1.0
        await press(pilot, app, "space", "left_square_bracket")
        await until(pilot, lambda: len(commands(app)) < 30)
        assert app.main.playback.moment == STORY_START
        await press(pilot, app, "l", "space")
        assert len(commands(app)) == shown


async def test_space_plays_on_from_the_moment_looked_at_with_nothing_twice(recording: ReplaySource) -> None:
    async with running(recording) as (pilot, app):
        await until(pilot, lambda: len(commands(app)) == 1200)
        everything = commands(app)
        await press(pilot, app, "space", *["comma"] * 10)
        assert 950 < len(commands(app)) < 1050
        await pilot.press("space")
        await until(pilot, lambda: len(commands(app)) == 1200)
        assert commands(app) == everything
        assert app.main.playback.moment is None


async def test_a_recording_that_plays_jumps_and_plays_on(recording: ReplaySource) -> None:
    async with running(recording) as (pilot, app):
        await until(pilot, lambda: len(commands(app)) == 1200)
        recording.speed = 1.0
        await press(pilot, app, "left_square_bracket")
        await until(pilot, lambda: app.main.playback.moment is None)
        assert not app.main.playback.paused
        assert recording.position < STORY_START + 30
        await until(pilot, lambda: 20 < len(commands(app)) < 600)
        assert app.main.playback.shown_time < STORY_START + 30


async def test_plus_and_minus_change_the_speed_of_a_recording(recording: ReplaySource) -> None:
    async with running(recording) as (pilot, app):
        recording.speed = 1.0
        await pilot.press("plus")
        assert recording.speed == 2.0
        await pilot.press("minus", "minus")
        assert recording.speed == 0.5
        assert status(app).mode in ("recording 0.5x", "recording ended")
        assert app.main.interval_s == 1.0


# Saving.


async def saved(pilot: Pilot[int], app: EbpftopApp, name: str) -> None:
    """Type a name into the dialog, and wait until it has closed."""
    assert isinstance(app.screen, SaveScreen)
    app.screen.query_one(Input).value = name
    await pilot.press("enter")
    await until(pilot, lambda: not isinstance(app.screen, SaveScreen))


async def test_ctrl_s_saves_what_is_kept_so_that_replay_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl.zst"
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("ctrl+s")
        await saved(pilot, app, str(path))
        await until(pilot, lambda: any(f"records in {path}" in n.message for n in app._notifications))
    records, source = play(path)
    given = [r for b in minute() for r in b.records if not isinstance(r, Header)]
    assert sorted(map(repr, records)) == sorted(map(repr, given))
    assert source.damage.report() == []


async def test_a_filter_narrows_what_is_saved_also_by_how_programs_ended(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("slash", *"SIGKILL", "enter")
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, SaveScreen)
        assert "only /SIGKILL" in app.screen.choice.about
        await saved(pilot, app, str(path))
    records, _ = play(path)
    assert [r.comm for r in records if isinstance(r, Exec)] == ["python3"]
    assert not [r for r in records if isinstance(r, Syscalls)]
    assert {row.uid for r in records if isinstance(r, Users) for row in r.rows} <= {12345}


async def test_what_is_saved_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with running(Remembered(minute())) as (pilot, app):
        for key, name in (("ctrl+s", "a.jsonl"), ("E", "b.csv")):
            await pilot.press(key)
            await saved(pilot, app, str(tmp_path / name))
    for name in ("a.jsonl", "b.csv"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_an_older_file_is_replaced_only_by_a_second_enter_and_a_link_never(tmp_path: Path) -> None:
    old, target, link = tmp_path / "old.csv", tmp_path / "target", tmp_path / "link.csv"
    old.write_text("old")
    target.write_text("precious")
    link.symlink_to(target)
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("E")
        screen = app.screen
        assert isinstance(screen, SaveScreen)
        screen.query_one(Input).value = str(link)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: "not a regular file" in str(screen.query_one(".save-note", Static).content))
        assert target.read_text() == "precious"
        # The second time another name was typed in between: that it exists has to be told anew.
        for name in (old, tmp_path / "new.csv", old):
            screen.query_one(Input).value = str(name)
            await pilot.pause()
            if name == old:
                await pilot.press("enter")
                await until(pilot, lambda: "exists" in str(screen.query_one(".save-note", Static).content))
                assert old.read_text() == "old"
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, SaveScreen))
        assert old.read_text().startswith("time,")


@pytest.mark.parametrize("tabs", range(4), ids=["execs", "users", "syscalls", "trace"])
async def test_any_pane_is_exported_as_exactly_its_rows(tmp_path: Path, tabs: int) -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press(*["tab"] * tabs)
        shown = app.main.pane
        headers, rows = shown.rows_shown().headers, list(shown.rows_shown())
        hidden = shown.model.view.hidden if isinstance(shown, TracePane) else 0
        assert len(rows) == shown.lines.end - shown.lines.first + hidden > 0
        await pilot.press("E")
        await saved(pilot, app, str(tmp_path / "rows.csv"))
        await pilot.press("E", "down")
        await saved(pilot, app, str(tmp_path / "rows.json"))
    with open(tmp_path / "rows.csv", newline="") as file:
        assert next(csv.reader(file)) == headers
    told = json.loads((tmp_path / "rows.json").read_text())
    assert [list(row.values()) for row in told] == rows


async def test_an_export_has_the_rows_that_a_filter_leaves_in_the_order_shown(tmp_path: Path) -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("slash", *"ada", "enter", "E")
        await saved(pilot, app, str(tmp_path / "rows.json"))
        told = json.loads((tmp_path / "rows.json").read_text())
        view = execs(app).model.view
        assert [row["pid"] for row in told] == [view[i].exec.pid for i in range(view.first, view.end)]
        assert {row["user"] for row in told} == {"ada"}
        assert told[0]["duration_s"] == 0.0031
        # The name decides between the two.
        app.main.query_one(SyscallsPane).table.sort_by("count")
        await pilot.press("tab", "tab", "E")
        await saved(pilot, app, str(tmp_path / "calls.json"))
        counts = [row["count"] for row in json.loads((tmp_path / "calls.json").read_text())]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] == 96422


# How it looks.


@SIZES
def test_looking_back(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(Remembered(minute()), size, *["comma"] * 5)


@SIZES
def test_saving(looks_the_same: Look, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert looks_the_same(Remembered(minute()), size, "ctrl+s")


# The timeline.


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 50)], ids=["80x24", "120x35", "200x50"])
async def test_the_timeline_is_there_live_with_its_ends_and_its_scale(size: tuple[int, int]) -> None:
    async with running(Remembered(minute()), size) as (pilot, app):
        bar = app.main.query_one(TimelineBar)
        await until(pilot, lambda: len(bar.moments.rates) == bar.buckets and any(bar.moments.rates))
        text = bar.render_line(0).text
        assert len(text) == size[0]
        assert "13:00:00 " in text
        assert " 13:01:00" in text
        assert "≤" in text
        assert ("60s" in text) == (size[0] >= 100)
        assert "┃" not in text
        await pilot.press("comma")
        assert "┃" in bar.render_line(0).text


@pytest.mark.parametrize("size", [(60, 15), (120, 19)], ids=["60x15", "120x19"])
async def test_a_small_terminal_has_no_timeline_in_a_recording_either(
    recording: ReplaySource, size: tuple[int, int]
) -> None:
    async with running(recording, size) as (pilot, app):
        await until(pilot, lambda: recording.finished)
        assert not app.main.query_one(TimelineBar).display
        await pilot.press("space")
        assert "PAUSED" in status_text(app)


async def test_after_a_resize_the_timeline_has_its_new_width_before_its_rates_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Remembered(minute())
    async with running(source) as (pilot, app):
        bar = app.main.query_one(TimelineBar)
        await until(pilot, lambda: len(bar.moments.rates) == bar.buckets)
        asked: list[int] = []
        monkeypatch.setattr(app.main.playback, "ask_rates", asked.append)
        await pilot.resize_terminal(180, 35)
        await until(pilot, lambda: bar.size.width == 180)
        await until(pilot, lambda: asked)
        assert asked[-1] == bar.buckets
        left = bar.place(START)
        bars = bar.render_line(0).text[left : left + bar.buckets]
        assert bars[-20:].strip(), "the old rates, stretched"


async def test_columns_of_the_heat_map_stand_above_those_of_the_timeline() -> None:
    async with running(Remembered(minute())) as (pilot, app):
        await pilot.press("H")
        heat, bar = app.main.query_one(HeatBand), app.main.query_one(TimelineBar)
        await until(pilot, lambda: heat.heat is not None and bar.margin)
        assert heat.heat is not None
        assert bar.buckets == len(heat.heat.columns)
        for second in (0, 17, 59):
            column = heat.column_at(START + second)
            assert column is not None
            assert bar.place(START + second) == column + LABELS
        await pilot.press("H")
        await until(pilot, lambda: not bar.margin)
