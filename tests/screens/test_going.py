"""From a row to its process, its parent, its children, its calls and its user; and back by Esc."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets._toast import Toast

from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import ProcessTotal, Syscalls, UserCalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.spec import Filter
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.children import ChildrenScreen
from ebpftop.ui.screens.copy_as import CopyScreen
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.go_to import GoScreen
from ebpftop.ui.screens.going import PLACES
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import ProcessScreen, TracedScreen, WaitingScreen
from ebpftop.ui.screens.tail_call_table import TableScreen
from ebpftop.ui.screens.trace_question import TraceScreen
from ebpftop.ui.screens.watch_list import WatchScreen
from ebpftop.ui.widgets.action_line import ActionLine

from .conftest import Look, settle, until
from .scene import START, FakeSource, batch, before, ended, ran
from .syscall_scene import minute_of_calls
from .test_screen_keys import running

INIT = before(1, 0, "init")
MAKE = ran(1, 500, "make", "-j4", ppid=1, uid=1000)
CC = ran(2, 501, "cc", "-c", "main.c", ppid=500, uid=1000)
AS = ran(3, 502, "as", "main.s", ppid=501, uid=1000)


def family(*more: Record) -> list[Batch]:
    rows = (UserRow(uid=1000, user="ada", execs=3, failed=0, last="as"),)
    return [batch("execs", 4, INIT, MAKE, CC, AS, *more), batch("users", 4, Users(time=START + 4, rows=rows))]


def title(app: EbpftopApp) -> str:
    screen = app.screen
    assert isinstance(screen, SheetScreen)
    return screen.details.title


def said(app: EbpftopApp) -> str:
    return "\n".join(notification.message for notification in app._notifications)


def labels(app: EbpftopApp) -> list[str]:
    return [action.label for action in app.screen.query_one(ActionLine).actions]


async def choose(pilot: Pilot[int], app: EbpftopApp, label: str) -> None:
    at = labels(app).index(label)
    await pilot.press(*["tab"] * at, "enter")
    await pilot.pause()


async def test_from_details_to_the_parent_and_its_parent_and_back() -> None:
    source = FakeSource(family())
    async with running(source) as (pilot, app):
        log = app.main.execs.log_lines
        await pilot.press("G", "enter")
        cursor = log.cursor
        assert title(app) == "as (502)"
        assert labels(app) == [
            *("Only this process", "Process", "Parent", "Children", "Syscalls", "Why it waits", "Traced calls"),
            *("User", "Tree", "Trace", "Watch", "Only this user", "Copy as"),
        ]
        await choose(pilot, app, "Parent")
        assert title(app) == "cc (501)"
        assert "Process" not in labels(app)
        await choose(pilot, app, "Parent")
        assert title(app) == "make (500)"
        await choose(pilot, app, "User")
        assert title(app) == "ada"
        await pilot.press("escape")
        assert title(app) == "make (500)"
        await pilot.press("escape", "escape")
        assert title(app) == "as (502)"
        await pilot.press("escape")
        assert isinstance(app.screen, MainScreen)
        assert log.cursor == cursor
        assert not source.filters


async def test_children_open_as_a_tree_and_lead_further() -> None:
    async with running(FakeSource(family(ended(AS, 0.5)))) as (pilot, app):
        await pilot.press("g", "enter")
        assert title(app) == "make (500)"
        await choose(pilot, app, "Children")
        children = app.screen
        assert isinstance(children, ChildrenScreen)
        shown = [children.table.row(at).process.comm for at in range(children.table.end)]
        assert shown == ["make", "cc", "as"]
        assert "make (500) and what it started · 2 processes, 1 running" in children._title.text
        await pilot.press("j", "j", "enter")
        assert title(app) == "cc (501)"
        await pilot.press("escape")
        assert app.screen is children
        assert isinstance(app.screen, ChildrenScreen)
        assert app.screen.table.cursor == 1
        await pilot.press("escape")
        assert title(app) == "make (500)"


async def test_the_sheet_that_was_gone_to_is_where_it_was_scrolled_to() -> None:
    program = ran(5, 600, "prog", *map(str, range(200)), ppid=500)
    async with running(FakeSource(family(program))) as (pilot, app):
        await pilot.press("G", "enter", "G")
        sheet = app.screen
        assert isinstance(sheet, SheetScreen)
        top = sheet._box.scroll_offset.y
        assert top > 50
        await choose(pilot, app, "Parent")
        assert title(app) == "make (500)"
        assert sheet._box.scroll_offset.y == 0
        await pilot.press("escape")
        await until(pilot, lambda: sheet._box.scroll_offset.y == top)


async def test_a_menu_leads_from_any_row() -> None:
    line = Trace(time=START + 3.5, cpu=0, pid=502, task="as", message="hello")
    source = FakeSource([*family(), batch("trace", 4, line), *minute_of_calls(5)])
    async with running(source) as (pilot, app):
        await pilot.press("G", "o")
        assert isinstance(app.screen, GoScreen)
        await pilot.press("j", "enter")
        assert title(app) == "cc (501)"
        await pilot.press("escape", "tab", "tab", "tab", "k", "o", "enter")
        assert title(app) == "as (502)"
        await pilot.press("escape", "shift+tab", "I", "j", "o")
        assert isinstance(app.screen, GoScreen)
        await pilot.press("j", "j", "j", "enter")
        assert isinstance(app.screen, ProcessScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, WaitingScreen)


async def test_traced_calls_are_narrowed_to_the_process() -> None:
    server = ran(1, 4104, "server", ppid=1)
    source = FakeSource([*family(server), *minute_of_calls(60)])
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"server", "enter", "g", "enter")
        await choose(pilot, app, "Traced calls")
        screen = app.screen
        assert isinstance(screen, TracedScreen)
        query = screen.log_lines.traced_filter.query
        assert query is not None
        assert query.text == "pid:4104"
        assert len(screen.log_lines.view) == 3
        await pilot.press("escape", "escape")  # the filter, the list
        assert title(app) == "server (4104)"
        await pilot.press("escape")
        # What was filtered is still so.
        assert app.main.execs.filter_text == "/server"


async def test_the_callers_of_a_call_lead_to_their_processes() -> None:
    server = before(4104, 1, "server")
    source = FakeSource([batch("execs", 1, INIT, server), *minute_of_calls(5)])
    async with running(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        await until(pilot, lambda: screen.callers.end > 0)
        await pilot.press("j")
        assert screen.subject is not None
        assert (screen.subject.pid, screen.subject.start_ns) == (4104, 4104 * 1000)


async def test_where_nothing_is_that_is_said_and_no_other_process_is_shown() -> None:
    vim = ran(9, 500, "vim", ppid=1)
    source = FakeSource([*family(), batch("execs", 10, ended(MAKE, 5), vim)])
    async with running(source) as (pilot, app):
        await pilot.press("g", "enter")
        assert title(app) == "make (500)"
        await choose(pilot, app, "Process")
        assert title(app) == "make (500)"
        assert "Pid 500 is vim by now; the process of this row is not known any more" in said(app)
        app.clear_notifications()
        await pilot.press("t")
        assert isinstance(app.screen, MainScreen)
        tree = app.main.execs.tree_lines
        chosen = tree.selected()
        assert chosen is None or chosen.process.comm != "vim"
        assert "Pid 500 is vim by now" in said(app)


async def test_a_process_that_ended_long_ago_is_not_in_the_tree_and_that_is_said() -> None:
    source = FakeSource([*family(ended(AS, 0.5)), batch("execs", 30, ran(30, 900, "ls", ppid=1))])
    async with running(source) as (pilot, app):
        await pilot.press("g", "j", "j", "t")
        assert "as (502) has ended, and is not in the tree any more" in said(app)


async def test_a_row_about_no_process_offers_nothing() -> None:
    async with running(FakeSource([*family(), *minute_of_calls(3)])) as (pilot, app):
        await pilot.press("tab", "tab", "j", "o")
        assert isinstance(app.screen, MainScreen)
        assert "This row is not about a process" in said(app)


async def test_the_palette_has_each_place_of_the_row_under_the_cursor() -> None:
    async with running(FakeSource(family())) as (pilot, app):
        titles = {command.title for command in app.commands()}
        assert not any(title.startswith("Go to ") for title in titles if title != "Go to")
        await pilot.press("G")
        commands = {command.title: command for command in app.commands()}
        assert {f"Go to {place.label.lower()}" for place in PLACES.values()} <= set(commands)
        assert commands["Go to parent"].about.endswith("as (502)")
        commands["Go to parent"].callback()
        await pilot.pause()
        assert title(app) == "cc (501)"


async def test_keys_of_a_sheet_do_what_its_actions_do() -> None:
    source = FakeSource(family())
    async with running(source) as (pilot, app):
        await pilot.press("G", "enter", "a")
        watch = app.screen
        assert isinstance(watch, WatchScreen)
        assert "this process ends (as 502)" in [offer.words for offer in watch.offers]
        await pilot.press("escape", "C")
        copies = app.screen
        assert isinstance(copies, CopyScreen)
        assert copies.title_text == "as (502)"
        assert "sudo ebpftop --comm as" in [line.text for line in copies.lines]
        await pilot.press("escape", "T")
        assert isinstance(app.screen, TraceScreen)
        await pilot.press("escape", "o")
        assert isinstance(app.screen, GoScreen)
        await pilot.press("escape")
        assert title(app) == "as (502)"
        await choose(pilot, app, "Copy as")
        assert isinstance(app.screen, CopyScreen)
        await pilot.press("escape", "u")
        assert isinstance(app.screen, MainScreen)
        await until(pilot, lambda: source.filters == [Filter(uids=(1000,))])


async def test_the_sheet_of_a_user_offers_what_makes_sense_there() -> None:
    source = FakeSource(family())
    async with running(source) as (pilot, app):
        await pilot.press("G", "enter")
        await choose(pilot, app, "User")
        assert labels(app) == ["Only this user", "Watch", "Copy as"]
        await pilot.press("o", "t", "T")
        assert title(app) == "ada"
        await pilot.press("C")
        copies = app.screen
        assert isinstance(copies, CopyScreen)
        assert "sudo ebpftop --uid 1000" in [line.text for line in copies.lines]
        await pilot.press("escape", "u")
        await until(pilot, lambda: source.filters == [Filter(uids=(1000,))])


async def test_the_details_of_a_call_are_copied_and_watched() -> None:
    async with running(FakeSource([*family(), *minute_of_calls(5)])) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter")
        screen = app.screen
        assert isinstance(screen, SyscallScreen)
        call = screen.call.row.name
        await pilot.press("C")
        copies = app.screen
        assert isinstance(copies, CopyScreen)
        assert copies.title_text == call
        assert any(line.text.endswith(f"--trace {call}") for line in copies.lines)
        await pilot.press("escape", "a")
        watch = app.screen
        assert isinstance(watch, WatchScreen)
        assert f"a {call} has not returned after 10 s" in [offer.words for offer in watch.offers]
        await pilot.press("escape", "escape", "s", "j", "C")
        copies = app.screen
        assert isinstance(copies, CopyScreen)
        slot = app.screen_stack[-2]
        assert isinstance(slot, TableScreen)
        assert copies.title_text == slot.topic[1] != ""


@pytest.mark.parametrize("width", [60, 120])
async def test_a_notice_leaves_the_actions_free(width: int) -> None:
    source = FakeSource(family())
    app = EbpftopApp(source)
    async with app.run_test(size=(width, 30), notifications=True) as pilot:
        await settle(pilot, source)
        await pilot.press("G", "enter", "y")
        await until(pilot, lambda: bool(app.screen.query(Toast)))
        await pilot.pause()
        line = app.screen.query_one(ActionLine)
        assert all(toast.region.bottom == line.region.y for toast in app.screen.query(Toast))


async def test_a_sheet_follows_the_width_of_the_terminal() -> None:
    async with running(FakeSource(family(ended(AS, 0.5))), size=(120, 30)) as (pilot, app):
        await pilot.press("G", "enter")
        sheet = app.screen
        assert isinstance(sheet, SheetScreen)
        assert "FAULTS" in sheet._shown.plain
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: "FAULTS" not in sheet._shown.plain)


async def test_details_say_how_long_the_calls_of_a_process_and_of_a_user_took() -> None:
    users = UserCalls(uid=1000, count=9, errors=0, total_ns=4_000_000_000, max_ns=2_000_000_000)
    total = ProcessTotal(pid=502, comm="as", count=7, errors=2, start_ns=AS.start_ns, total_ns=3_000_000_000, max_ns=1)
    reading = Syscalls(time=START + 4, rows=(), process_totals=(total,), users=(users,))
    async with running(FakeSource([*family(), batch("syscalls", 4, reading)])) as (pilot, app):
        await pilot.press("G", "enter")
        sheet = app.screen
        assert isinstance(sheet, SheetScreen)
        assert "CALLS     7 calls, 2 failed · 3.0s in them" in sheet._shown.plain
        await choose(pilot, app, "User")
        assert "9 calls · 4.0s in them, waiting included, the longest 2.0s" in sheet._shown.plain


async def test_a_click_on_an_action_does_it() -> None:
    async with running(FakeSource(family())) as (pilot, app):
        await pilot.press("G", "enter")
        line = app.screen.query_one(ActionLine)
        y, x, _ = line.places(line.content_size.width)[labels(app).index("Parent")]
        await pilot.click(ActionLine, offset=(x + 2, y))
        await pilot.pause()
        assert title(app) == "cc (501)"


async def test_sheets_do_not_pile_up_without_end() -> None:
    async with running(FakeSource([*family(), *minute_of_calls(3)])) as (pilot, app):
        await pilot.press("G")
        subject = app.main.execs.subject(app.main.execs.lines.selected())  # type: ignore[arg-type]
        for _ in range(40):
            app.main.going.go("calls", subject)
        await pilot.pause()
        assert len(app.screen_stack) < 20
        assert "Go back first" in said(app)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
@pytest.mark.parametrize(
    "keys", [("G", "enter"), ("G", "o"), ("g", "o", "j", "j", "enter")], ids=["exec", "menu", "down"]
)
def test_what_it_looks_like(looks_the_same: Look, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    assert looks_the_same(FakeSource(family(ended(AS, 0.5))), size, *keys)
