"""What keys do."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from ebpftop.core.record_memory import weight
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, SourceError
from ebpftop.models.held import RECORDS_MAX
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.polling import FRAME_RECORDS, PIECE_RECORDS
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.column_picker import ColumnsScreen
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.intake import FEED_SLICE_S
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.settings import SettingsScreen
from ebpftop.ui.widgets.manual import ManualView
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import pane, settle, until
from .scene import FakeSource, batch, ended, execs, minute, probe_state, ran


@asynccontextmanager
async def running(
    source: FakeSource, size: tuple[int, int] = (120, 35)
) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        yield pilot, app
    assert not app.return_code


def execs_pane(app: EbpftopApp) -> ExecsPane:
    return app.main.query_one(ExecsPane)


@pytest.mark.parametrize("key", ["W", "P", "D", "exclamation_mark", "c"])
async def test_settings_open_from_a_screen_above_too(key: str) -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press(key)
        above = app.screen
        await pilot.press("f2")
        assert isinstance(app.screen, SettingsScreen)
        await pilot.press("escape")
        assert app.screen is above


@pytest.mark.parametrize(("key", "probe"), [("1", "execs"), ("2", "users"), ("3", "syscalls"), ("4", "trace")])
async def test_digit_turns_its_probe_off_and_on_again(key: str, probe: ProbeName) -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press(key)
        await until(pilot, lambda: source.toggled == [probe])
        await until(pilot, lambda: pane(app, probe).state == "off")
        await pilot.press(key)
        await until(pilot, lambda: pane(app, probe).state == "on")
        assert source.toggled == [probe, probe]


async def test_keys_that_come_all_at_once_each_find_what_the_one_before_did() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        for key in ("tab", "tab", "m"):
            app.post_message(Key(key, None))
        await until(pilot, lambda: app.main.has_class("-maximised"))
        assert app.main.pane is app.main.panes[2]
        for _ in range(2):
            app.post_message(Key("tab", None))
        await until(pilot, lambda: app.main.pane is app.main.panes[0])


async def test_a_toggle_that_fails_is_told_and_hurts_nothing() -> None:
    source = FakeSource(minute())
    source.refuses = SourceError("the map is gone", "start again")
    async with running(source) as (pilot, app):
        await pilot.press("2")
        await until(pilot, lambda: any("the map is gone" in n.message for n in app._notifications))
        await until(pilot, lambda: pane(app, "users").state == "on")
        assert any("the map is gone" in line for line in app.journal)


async def test_a_worker_that_fails_says_so_in_its_pane_and_in_the_journal() -> None:
    source = FakeSource(minute())
    source.breaks["trace"] = RuntimeError("pipe burst")
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: pane(app, "trace").state == "failed")
        assert any("pipe burst" in text for text, _ in pane(app, "trace").lines.message)
        await until(pilot, lambda: any("pipe burst" in line for line in app.journal))
        await until(pilot, lambda: execs_pane(app).model.execs > 0)
        await pilot.press("4")
        await until(pilot, lambda: pane(app, "trace").lines.end > 0)
        assert pane(app, "trace").state == "on"


async def test_the_way_back_says_so_where_there_is_none() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("l")
        assert [n.message for n in app._notifications] == ["This is live already"]
        app.clear_notifications()
        await pilot.press("space", "l")
        assert not app.main.playback.paused
        assert not [n.message for n in app._notifications if "already" in n.message]


async def test_pause_freezes_what_is_shown_while_collection_goes_on() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        shown = execs_pane(app).model.ring.end
        await pilot.press("space")
        source.give(batch("execs", 61, ran(61, 5000, "late")))
        await settle(pilot, source)
        assert execs_pane(app).model.ring.end == shown
        assert execs_pane(app).lines.now == app.main.playback.overview.time - 1
        assert app.main.query_one(StatusBar).status.paused
        await pilot.press("p")
        assert execs_pane(app).model.ring.end == shown + 1
        assert not app.main.query_one(StatusBar).status.paused


async def test_a_toggle_shows_while_paused() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press("space", "4")
        await until(pilot, lambda: pane(app, "trace").state == "off")


async def test_a_long_pause_keeps_memory_bounded_and_loses_no_count() -> None:
    source = FakeSource()
    async with running(source) as (pilot, app):
        await pilot.press("space")
        program = ran(1, 7, "x")
        quarter = RECORDS_MAX // 4
        for i in range(5):
            source.give(batch("execs", i, *(program,) * quarter))
        await until(pilot, lambda: app.main.playback.held.weight + execs_pane(app).model.execs == 5 * quarter)
        assert app.main.playback.held.weight <= RECORDS_MAX
        assert app.main.playback.held.has_overflowed
        await pilot.press("space")
        await until(pilot, lambda: execs_pane(app).model.execs == 5 * quarter)
        assert not app.main.playback.held.has_overflowed


async def test_a_long_pause_shows_no_more_than_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()
    program = ran(1, 7, "x")
    monkeypatch.setattr("ebpftop.models.held.BYTES_MAX", 20 * weight(program))
    async with running(source) as (pilot, app):
        await pilot.press("space")
        for i in range(50):
            source.give(batch("execs", i, program))
        await settle(pilot, source)
        assert (len(app.main.playback.held), execs_pane(app).model.execs) == (20, 30)
        await pilot.press("space")
        await until(pilot, lambda: not app.main.playback.held)
        assert (app.main.playback.held.bytes, execs_pane(app).model.execs) == (0, 50)


def counting_turns(app: EbpftopApp, feed_s: float = 0.0) -> Counter[int]:
    """Count the records that the exec log is fed in each turn of the event loop; a batch takes *feed_s* and more."""
    turns: Counter[int] = Counter()
    turn = 0
    loop: Any = asyncio.get_running_loop()
    run_once, feed = loop._run_once, execs_pane(app).feed

    def count_turn() -> None:
        nonlocal turn
        turn += 1
        run_once()

    def count_and_feed(batch: Batch) -> None:
        turns[turn] += len(batch.records)
        time.sleep(feed_s)
        feed(batch)

    loop._run_once = count_turn
    execs_pane(app).feed = count_and_feed  # type: ignore[method-assign]
    return turns


async def test_what_comes_at_once_is_taken_in_so_much_at_a_time_that_keys_come_between() -> None:
    """A recording of one moment is one batch, and a long pause ends with all that was held back."""
    source = FakeSource()
    program = ran(1, 7, "x")
    async with running(source) as (pilot, app):
        turns = counting_turns(app)
        source.give(batch("execs", 1, *(program,) * 20_000))
        await until(pilot, lambda: execs_pane(app).model.execs == 20_000)
        await pilot.press("space")
        source.give(batch("execs", 2, *(program,) * 20_000))
        await until(pilot, lambda: app.main.playback.held.weight == 20_000)
        await pilot.press("space")
        source.give(batch("execs", 3, program))
        await until(pilot, lambda: execs_pane(app).model.execs == 40_001)
    assert max(turns.values()) <= 2 * FRAME_RECORDS


async def test_what_takes_long_to_take_in_leaves_turns_to_keys_after_each_piece() -> None:
    """A machine may give ebpftop so little of its time that what came in one frame takes seconds."""
    source = FakeSource()
    async with running(source) as (pilot, app):
        turns = counting_turns(app, feed_s=2 * FEED_SLICE_S)
        source.give(batch("execs", 1, *(ran(1, 7, "x"),) * (10 * PIECE_RECORDS)))
        await until(pilot, lambda: execs_pane(app).model.execs == 10 * PIECE_RECORDS)
    assert max(turns.values()) == PIECE_RECORDS


@pytest.mark.parametrize(
    "layers", [("slash", "a"), ("t",), ("m",), ("k",), ("enter",), ("question_mark",), ("space",), ()]
)
async def test_escape_goes_back_and_never_quits(layers: tuple[str, ...]) -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press(*layers)
        await pilot.press("escape", "escape", "escape")
        assert app.is_running
        assert isinstance(app.screen, MainScreen)
        assert not app.main.has_class("-maximised")
        assert execs_pane(app).typed_query is None
        assert not execs_pane(app).model.view_filter
        assert not execs_pane(app).as_tree


async def test_tab_walks_the_panes_and_takes_the_maximised_one_along() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        order = []
        for _ in range(4):
            order.append(app.main.pane.probe)
            await pilot.press("tab")
        assert order == ["execs", "users", "syscalls", "trace"]
        await pilot.press("m", "shift+tab")
        assert app.main.pane.probe == "trace"
        assert [p.probe for p in app.main.query(Pane) if p.display and p.size] == ["trace"]


async def test_plus_and_minus_set_the_interval() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press("plus", "plus", "minus", "minus", "minus")
        assert source.intervals == [2.0, 5.0, 2.0, 1.0, 0.5]
        assert app.main.query_one(StatusBar).status.interval_s == 0.5


async def test_log_follows_until_scrolled_away_and_then_stands_still() -> None:
    source = FakeSource([batch("execs", 1, *(ran(1, i, f"p{i}") for i in range(100)))])
    async with running(source) as (pilot, app):
        log = execs_pane(app).log_lines
        assert log.at_end
        await pilot.press("pageup", "pageup")
        seen = log.selected()
        top = log.first + log.scroll_offset.y
        source.give(batch("execs", 2, *(ran(2, i, f"q{i}") for i in range(50))))
        await settle(pilot, source)
        assert not log.follow
        assert log.selected() is seen
        assert log.first + log.scroll_offset.y == top
        await pilot.press("F")
        assert log.follow
        assert log.at_end


async def test_scrolled_away_stays_on_its_rows_when_the_ring_drops_others() -> None:
    source = FakeSource()
    async with running(source) as (pilot, app):
        model = execs_pane(app).model
        model.ring.capacity = 200
        source.give(batch("execs", 1, *(ran(1, i, f"p{i}") for i in range(200))))
        await settle(pilot, source)
        log = execs_pane(app).log_lines
        await pilot.press("pageup", "pageup", "pageup")
        seen, y = log.selected(), log.first + log.scroll_offset.y
        source.give(batch("execs", 2, *(ran(2, i, f"q{i}") for i in range(60))))
        await settle(pilot, source)
        assert log.first == 60
        assert log.selected() is seen
        assert log.first + log.scroll_offset.y == y


async def test_filter_takes_effect_while_typed_and_invalid_keeps_the_last_good() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        everything = len(execs_pane(app).model.view)
        await pilot.press("slash", *"git")
        assert len(execs_pane(app).model.view) == 1
        await pilot.press("(")
        assert execs_pane(app).log_filter.error
        assert len(execs_pane(app).model.view) == 1
        await pilot.press("backspace", "enter")
        assert not execs_pane(app).log_filter.error
        assert app.main.query_one(StatusBar).status.filter == "/git"
        await pilot.press("slash", "home", "!")
        assert len(execs_pane(app).model.view) == everything - 1
        await pilot.press("escape")
        assert len(execs_pane(app).model.view) == everything
        assert app.main.query_one(Input).value == ""


async def test_what_is_typed_right_after_slash_goes_into_the_filter() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        for key in ("slash", *"sl/eep12q"):
            app.post_message(events.Key("slash" if key == "/" else key, "/" if key == "slash" else key))
        await until(pilot, lambda: app.main.query_one(Input).value == "sl/eep12q")
        assert not app.main.playback.paused
        assert app.is_running


async def test_filter_finds_a_row_by_how_it_ends_later() -> None:
    program = ran(1, 4000, "sleeper")
    source = FakeSource([batch("execs", 1, program)])
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"SIGKILL")
        assert len(execs_pane(app).model.view) == 0
        source.give(batch("execs", 3, ended(program, 2, None, "SIGKILL")))
        await settle(pilot, source)
        assert len(execs_pane(app).model.view) == 1


async def test_u_narrows_to_the_user_of_the_row_and_back() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        everything = len(execs_pane(app).model.view)
        await pilot.press("k", "u")
        view = execs_pane(app).model.view
        assert 0 < len(view) < everything
        assert {view[i].exec.uid for i in range(view.first, view.end)} == {0}
        await pilot.press("u")
        assert len(view) == everything


async def test_u_on_a_user_narrows_the_exec_log() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("tab", "j")
        user = app.main.query_one(UsersPane).table.selected()
        assert user is not None
        await pilot.press("u")
        assert execs_pane(app).model.view_filter.filter.uids == (user.row.uid,)


async def test_sort_keys_and_header_clicks_sort_and_the_cursor_stays_on_its_row() -> None:
    async with running(FakeSource(minute()), (200, 50)) as (pilot, app):
        table = app.main.query_one(SyscallsPane).table
        await pilot.press("tab", "tab", "j", "j")
        chosen = table.selected()
        await pilot.press("greater_than_sign")
        assert table.sort_key == "spent"
        await pilot.press("less_than_sign", "r")
        assert table.sort_key == "rate"
        assert table.reversed
        assert table.selected() is chosen
        rates = [table.row(i).rate for i in range(table.end)]
        assert rates == sorted(rates)
        await pilot.click(table, offset=(2, 0))
        assert table.sort_key == "name"
        assert [table.row(i).row.name for i in range(3)] == ["clock_nanosleep", "close", "epoll_wait"]


async def test_a_terminal_that_becomes_smaller_keeps_the_column_that_it_is_sorted_by() -> None:
    async with running(FakeSource(minute()), (200, 50)) as (pilot, app):
        table = app.main.query_one(SyscallsPane).table
        table.sort_by("max")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: [slot.column.key for slot in table.slots][-1] == "max")
        assert "p50" not in [slot.column.key for slot in table.slots], "there is no room for all"


async def test_v_switches_syscalls_between_total_and_last_reading() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        syscalls = app.main.query_one(SyscallsPane)
        await pilot.press("tab", "tab", "v")
        assert syscalls.last
        call = syscalls.model.calls["x86_64", 0]
        assert call.count(last=True) == 48211
        assert call.count(last=False) == 96422


async def test_enter_opens_details_and_y_sends_them_and_in_the_list_the_command_line() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 9, "sh", "-c", "echo $HOME; true"))])
    async with running(source) as (pilot, app):
        await pilot.press("k", "enter")
        assert isinstance(app.screen, SheetScreen)
        await pilot.press("y")
        assert "\n COMMAND" not in app.clipboard
        assert "\nCOMMAND   sh -c 'echo $HOME; true'\n" in app.clipboard
        assert app.clipboard.startswith("● exec 9 sh")
        assert any(n.message == "Sheet sent to the terminal's clipboard" for n in app._notifications)
        await pilot.press("escape", "y")
        assert app.clipboard == "sh -c 'echo $HOME; true'"
        assert isinstance(app.screen, MainScreen)


async def test_columns_are_chosen_and_widened() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        log = execs_pane(app).log_lines
        await pilot.press("c")
        assert isinstance(app.screen, ColumnsScreen)
        await pilot.press("space", "j", "right", "right", "escape")
        assert "time" in log.hidden
        assert next((s.column.key, s.width) for s in log.slots) == ("duration", 10)


async def test_diagnostics_show_the_log_that_bcc_wrote(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"libbpf: failed\x1b[2J\n")
    source = FakeSource([batch("execs", 0, probe_state("execs", "on"))])
    app = EbpftopApp(source, log_path=path)
    async with app.run_test(size=(120, 60)) as pilot:
        await settle(pilot, source)
        await pilot.press("exclamation_mark")
        screen = app.screen
        assert isinstance(screen, SheetScreen)
        text = screen.details.sheet().content().plain
        assert "libbpf: failed\\x1b[2J" in text
        assert "load refused: EPERM" in text


async def test_thousands_of_events_arrive_whole() -> None:
    source = FakeSource(batch("execs", i, *(ran(i, 10_000 + j, f"p{j}") for j in range(100))) for i in range(1, 201))
    async with running(source) as (_pilot, app):
        assert execs_pane(app).model.execs == 20_000


async def test_q_quits_and_ctrl_c_exits_with_130() -> None:
    for key, status in (("q", None), ("ctrl+c", 130)):
        source = FakeSource(execs())
        app = EbpftopApp(source)
        async with app.run_test() as pilot:
            await settle(pilot, source)
            await pilot.press(key)
            await asyncio.sleep(0)
        assert app.return_value == status


@pytest.mark.parametrize(
    "argv",
    [("prog", "x" * 2_000_000), ("prog", *["argument"] * 200_000), ("prog", *[""] * 500_000), ("word " * 400_000,)],
    ids=["one", "many", "empty", "words"],
)
async def test_of_two_megabytes_of_arguments_a_bounded_part_is_laid_out_and_the_rest_is_told(
    argv: tuple[str, ...],
) -> None:
    source = FakeSource([batch("execs", 1, ran(1, 9, *argv, file="/bin/prog", comm="prog"))])
    async with running(source) as (pilot, app):
        await pilot.press("k", "enter")
        screen = app.screen
        assert isinstance(screen, SheetScreen)
        text = screen.details.sheet().content().plain
        assert len(text) < 50_000
        assert "more characters" in text
        assert screen.details.copies == shlex.join(argv)
        await pilot.press("G", "g", "j", "escape")
        assert isinstance(app.screen, MainScreen)


async def test_j_and_k_move_in_details_by_a_line() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 9, "prog", *map(str, range(20_000)), file="/bin/prog"))])
    async with running(source) as (pilot, app):
        await pilot.press("k", "enter")
        screen = app.screen
        assert isinstance(screen, SheetScreen)
        last = screen._box.max_scroll_y
        assert last > 3
        for keys, line in (("jj", 2), ("k", 1), ("kkk", 0), ("G", last), ("j", last), ("k", last - 1), ("g", 0)):
            await pilot.press(*keys)
            assert screen._box.scroll_offset.y == line, keys


async def test_half_pages_move_by_half_of_what_is_in_view() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        lines = execs_pane(app).log_lines
        await pilot.press("g")
        await pilot.press("ctrl+d")
        assert lines.cursor == lines.first + lines.page // 2
        await pilot.press("ctrl+u")
        assert lines.cursor == lines.first


async def test_a_digit_asks_nothing_and_offers_to_undo_it() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        await pilot.press("2")
        await until(pilot, lambda: pane(app, "users").state == "off")
        await until(pilot, lambda: app.screen.query("Toast"))
        toast = app.screen.query_one("Toast")
        assert "Users: probe detached, nothing of it is left in the kernel. Undo (or 2)" in str(toast.render())
        row = next(y for y in range(toast.size.height + 2) if "Undo" in text_at(app, toast.region.y + y))
        x = text_at(app, toast.region.y + row).index("Undo")
        await pilot.click(offset=(x, toast.region.y + row))
        await until(pilot, lambda: pane(app, "users").state == "on")
        assert source.toggled == ["users", "users"]


async def test_a_toggle_that_failed_offers_nothing_to_undo() -> None:
    source = FakeSource(minute())
    source.refuses = SourceError("the map is gone", "start again")
    async with running(source) as (pilot, app):
        await pilot.press("2")
        await until(pilot, lambda: any("the map is gone" in n.message for n in app._notifications))
        await pilot.pause()
        assert not any("Undo" in n.message for n in app._notifications)


def text_at(app: EbpftopApp, y: int) -> str:
    return app.screen._compositor.render_strips()[y].text


@pytest.mark.parametrize("keys", [("k", "k"), ("tab", "tab", "tab", "k"), ("k", "k", "enter")], ids=" ".join)
async def test_t_shows_the_process_of_the_row_in_the_tree_from_wherever_it_is(keys: tuple[str, ...]) -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press(*keys)
        if len(app.screen_stack) > 1:
            assert isinstance(app.screen, SheetScreen)
            wanted = app.screen.subject.pid if app.screen.subject else None
        else:
            row = app.main.pane.lines.selected()
            subject = app.main.pane.subject(row)
            assert subject is not None
            wanted = subject.pid
        await pilot.press("t")
        assert len(app.screen_stack) == 1
        execs = execs_pane(app)
        assert execs.as_tree
        assert execs.tree_lines.has_focus
        if wanted in [branch.process.pid for branch in execs.tree_lines.rows()]:
            branch = execs.tree_lines.selected()
            assert branch is not None
            assert branch.process.pid == wanted
        await pilot.press("t")
        assert not execs.as_tree


async def test_the_help_of_a_sheet_opens_above_it_at_what_it_is() -> None:
    async with running(FakeSource(minute())) as (pilot, app):
        await pilot.press("tab", "tab", "I", "question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        assert app.screen.query_one(ManualView).section.title == "Calls in flight"
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, MainScreen)
