"""One filter for all panes: put together by keys, put into the source, lifted by Esc."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot
from textual.widgets import Label

from ebpftop.core.source import FilterUnsupported, SourceError
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.spec import Filter
from ebpftop.filters.stack import user_level
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import Look, settle, until
from .scene import START, FakeSource, batch, minute, ran

EVERYTHING = Filter()


@asynccontextmanager
async def running(source: FakeSource, given: Filter | None = None) -> AsyncIterator[tuple[Pilot[int], EbpftopApp]]:
    app = EbpftopApp(source, initial_filter=given)
    async with app.run_test(size=(140, 45)) as pilot:
        await settle(pilot, source)
        yield pilot, app
    assert not app.return_code


def state_filter(app: EbpftopApp) -> str:
    return app.main.query_one(StatusBar).status.filter


def uids_shown(app: EbpftopApp) -> set[int]:
    view = app.main.query_one(ExecsPane).model.view
    return {view[i].exec.uid for i in range(view.first, view.end)}


def users_shown(app: EbpftopApp) -> list[str]:
    table = app.main.query_one(UsersPane).table
    return [table.row(i).name for i in range(table.end)]


async def test_u_on_a_user_narrows_kernel_and_all_panes_and_esc_lifts_it() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press("tab", "j")
        chosen = app.main.query_one(UsersPane).table.selected()
        assert chosen is not None
        await pilot.press("u")
        await until(pilot, lambda: source.filters == [Filter(uids=(chosen.row.uid,))])
        assert uids_shown(app) == {chosen.row.uid}
        assert users_shown(app) == [chosen.name]
        assert state_filter(app) == chosen.name
        await pilot.press("escape")
        await until(pilot, lambda: source.filters[-1] == EVERYTHING)
        assert len(users_shown(app)) == 5
        assert state_filter(app) == ""


async def test_steps_add_up_and_esc_takes_back_one_at_a_time() -> None:
    source = FakeSource(minute())
    async with running(source, Filter(comms=("sh*",), hide_self=False)) as (pilot, app):
        assert state_filter(app) == "--comm sh*"
        await pilot.press("k", "u")
        row = app.main.query_one(ExecsPane).model.view_filter.filter
        await until(pilot, lambda: len(source.filters) == 1)
        assert source.filters[0] == Filter(comms=("sh*",), uids=row.uids, hide_self=False)
        assert state_filter(app).startswith("--comm sh* ")
        await pilot.press("escape")
        await until(pilot, lambda: source.filters[-1] == Filter(comms=("sh*",), hide_self=False))
        await pilot.press("escape")
        await until(pilot, lambda: source.filters[-1] == Filter(hide_self=False))
        await pilot.press("escape")
        await pilot.pause(0.2)
        assert len(source.filters) == 3


async def test_enter_on_a_process_then_enter_narrows_to_it_and_its_descendants() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        # The tree: init, cron, sshd, "sshd: ada" and so on.
        await pilot.press("t", "j", "j", "j", "enter")
        screen = app.screen
        assert isinstance(screen, SheetScreen)
        step = screen.details.narrows() if screen.details.narrows else None
        pids = step.filter.pids if step else ()
        await pilot.press("enter")
        await until(pilot, lambda: source.filters == [Filter(pids=pids)])
        assert len(pids) == 1
        assert str(pids[0]) in state_filter(app)


async def test_the_tree_has_only_what_the_filter_takes() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        tree = app.main.execs.tree_lines
        await pilot.press("t")
        assert {tree.row(i).process.comm for i in range(tree.end)} >= {"init", "cron"}
        assert len({tree.row(i).process.uid for i in range(tree.end)}) > 1
        app.main.filters.push(user_level(1000, "ada"))
        await until(pilot, lambda: app.main.playback.view_filter.kernel_filter_since < float("inf"))
        await pilot.pause()
        assert {tree.row(i).process.uid for i in range(tree.end)} == {1000}
        await pilot.press("t", "t")
        assert {tree.row(i).process.uid for i in range(tree.end)} == {1000}


async def test_what_started_before_is_narrowed_by_its_ancestors() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await pilot.press("slash", *"pid:640", "enter")
        await until(pilot, lambda: source.filters == [Filter(pids=(640,))])
        view = execs.model.view
        # logrotate is cron's child; false and xargs are logrotate's.
        assert [view[i].exec.comm for i in range(view.first, view.end)] == ["logrotate", "false", "xargs"]


async def test_the_id_of_a_thread_means_its_process_and_that_is_said() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"pid:643", "enter")
        await until(pilot, lambda: source.filters == [Filter(pids=(640,))])
        assert "pid 640" in state_filter(app)
        assert "643" not in state_filter(app)
        assert "643 is a thread of process 640" in [notification.message for notification in app._notifications]


async def test_what_the_kernel_let_through_is_shown_whoever_started_it() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        execs = app.main.query_one(ExecsPane)
        await pilot.press("slash", *"pid:640", "enter")
        await until(pilot, lambda: execs.model.view_filter.kernel_filter_since < 1e12)
        late = execs.model.view_filter.kernel_filter_since - START + 1
        # Its parent forked without exec, so nothing here knows that it descends from 640.
        source.give(batch("execs", late, ran(late, 5001, "grandchild", ppid=5000)))
        await settle(pilot, source)
        view = execs.model.view
        assert view[view.end - 1].exec.comm == "grandchild"


async def test_terms_for_the_kernel_and_an_expression_can_be_typed_together() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"uid:1000 comm:g* grep", "enter")
        await until(pilot, lambda: source.filters == [Filter(uids=(1000,), comms=("g*",))])
        view = app.main.query_one(ExecsPane).model.view
        await until(pilot, lambda: [view[i].exec.comm for i in range(view.first, view.end)] == ["grep"])
        assert "uid 1000 comm g*" in state_filter(app)
        assert state_filter(app).endswith("/grep")
        await pilot.press("escape")
        assert state_filter(app) == "uid 1000 comm g*"
        await pilot.press("escape")
        await until(pilot, lambda: source.filters[-1] == EVERYTHING)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("duration:>1", "✗ duration:>1: add a unit: 1s"),
        ("conm:git", "✗ conm: is searched as text; the field is comm"),
        ("tru(e", "✗ a ( is not closed"),
        ("uid:7", "Enter: uid 7, in all panes"),
    ],
)
async def test_what_is_said_of_what_is_typed_stays_while_programs_start(typed: str, said: str) -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        note = app.main.query_one(".filter-note", Label)
        await pilot.press("slash", *typed)
        await until(pilot, lambda: str(note.content).startswith(said))
        ended = app.main.query_one(ExecsPane).model.ring.end
        source.give(batch("execs", 90, ran(90, 5001, "true")))
        await until(pilot, lambda: app.main.query_one(ExecsPane).model.ring.end > ended)
        await settle(pilot, source)
        assert str(note.content).startswith(said)


async def test_the_kernel_is_named_where_it_decides() -> None:
    source = FakeSource(minute())
    source.reads_all = True
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"uid:7")
        await until(
            pilot,
            lambda: str(app.main.query_one(".filter-note", Label).content) == "Enter: uid 7, decided in the kernel",
        )


async def test_container_of_a_row() -> None:
    source = FakeSource([batch("execs", 1, ran(1, 77, "web", container="8f3a0c11d2e4"))])
    async with running(source) as (pilot, app):
        await pilot.press("k", "U")
        await until(pilot, lambda: source.filters == [Filter(containers=("8f3a0c11d2e4",))])
        assert state_filter(app) == "container 8f3a0c11d2e4"


async def test_a_filter_that_is_refused_is_taken_back_and_said() -> None:
    source = FakeSource(minute())
    source.refuses_filter = SourceError("there is no process 640", "see what runs with `ps -e`")
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"pid:640", "enter")
        await until(pilot, lambda: any("no process 640" in n.message for n in app._notifications))
        await until(pilot, lambda: state_filter(app) == "")
        assert len(uids_shown(app)) > 1


class Breaking(FakeSource):
    """Breaks when a filter names a process."""

    def set_filter(self, wanted: Filter) -> float:
        if wanted.pids:
            raise RuntimeError("a mistake of ours")
        return super().set_filter(wanted)


async def test_a_filter_whose_setting_breaks_is_not_shown_as_if_it_held(survived_errors: list[BaseException]) -> None:
    source = Breaking(minute())
    async with running(source) as (pilot, app):
        await pilot.press("slash", *"uid:1000", "enter")
        await until(pilot, lambda: source.filters == [Filter(uids=(1000,))])
        await pilot.press("slash", *"pid:640", "enter")
        await until(pilot, lambda: len(survived_errors) == 1)
        survived_errors.clear()
        await until(pilot, lambda: state_filter(app) == "uid 1000")
        # How far the one that broke had come, nobody knows: so what is shown is set again.
        await until(pilot, lambda: source.filters == [Filter(uids=(1000,))] * 2)


async def test_a_recording_is_narrowed_in_what_it_shows() -> None:
    source = FakeSource(minute(), live=False)
    source.refuses_filter = FilterUnsupported("a recording holds what was recorded")
    async with running(source) as (pilot, app):
        await pilot.press("tab", "j", "u")
        assert len(users_shown(app)) == 1
        assert len(uids_shown(app)) == 1
        await pilot.pause(0.2)
        assert state_filter(app) != ""
        assert not app._notifications


async def test_users_count_anew_from_the_moment_that_the_kernel_narrowed() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        users = app.main.query_one(UsersPane)
        await pilot.press("slash", *"comm:make", "enter")
        await until(pilot, lambda: users.model._reset < 1e12)
        at = users.model._reset - START + 1
        root = UserRow(uid=0, user="root", execs=5000, failed=10)
        source.give(batch("users", at, Users(time=START + at, rows=(root,))))
        await settle(pilot, source)
        assert users.model.execs == 0
        more = UserRow(uid=0, user="root", execs=5003, failed=11, last="make")
        source.give(batch("users", at + 1, Users(time=START + at + 1, rows=(more,))))
        await settle(pilot, source)
        shown = users.model.users[0].row
        assert (shown.execs, shown.failed, users.model.users[0].rate) == (3, 1, 3)
        assert "since" in users.subtitle()


async def test_enter_on_a_user_opens_everything_about_it() -> None:
    source = FakeSource(minute())
    async with running(source) as (pilot, app):
        users = app.main.query_one(UsersPane)
        await pilot.press("tab", "j")
        while (row := users.table.selected()) is not None and row.name != "ada":
            await pilot.press("j")
        await pilot.press("enter")
        screen = app.screen
        assert isinstance(screen, SheetScreen)
        text = screen.details.sheet().content().plain
        for expected in ("Programs (", "git", "Failures (1", "EACCES", "Processes (", "sleep"):
            assert expected in text, text
        await pilot.press("escape")
        assert not source.filters


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
def test_users_alone_with_containers_and_the_rest(looks_the_same: Look, size: tuple[int, int]) -> None:
    rows = (
        UserRow(uid=0, user="root", execs=812, failed=3, last="logrotate"),
        UserRow(uid=100000, user=None, execs=44, failed=0, last="nginx", ns_uid=0, userns=4026532512),
        UserRow(uid=100033, user=None, execs=7, failed=7, last="", ns_uid=33, userns=4026532512),
        UserRow(uid=0xFFFFFFFF, user="other", execs=19022, failed=120),
    )
    more = tuple(
        UserRow(
            uid=r.uid, user=r.user, execs=r.execs * 2, failed=r.failed, last=r.last, ns_uid=r.ns_uid, userns=r.userns
        )
        for r in rows
    )
    first = batch("users", 1, Users(time=START + 1, rows=rows))
    second = batch("users", 2, Users(time=START + 2, rows=more))
    assert looks_the_same(FakeSource([*minute()[:6], first, second]), size, "tab", "m")


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
def test_details_of_a_user(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(minute()), size, "tab", "g", "j", "enter")


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)], ids=["60x15", "80x24", "120x35"])
def test_narrowed_to_a_user(looks_the_same: Look, size: tuple[int, int]) -> None:
    source = FakeSource(minute(), live=False)
    source.refuses_filter = FilterUnsupported("a recording holds what was recorded")
    assert looks_the_same(source, size, "tab", "g", "j", "u")


async def test_a_container_that_has_vanished_is_told_of_and_the_filter_stays() -> None:
    gone = ran(1, 9, "sh", container="gone-lxc")
    source = FakeSource([batch("execs", 1, gone)])
    source.refuses_filter = SourceError("no cgroup belongs to a container gone-lxc", "or use --pid")
    async with running(source) as (pilot, app):
        await pilot.press("k", "U")
        await until(pilot, lambda: any("no cgroup belongs" in n.message for n in app._notifications))
        await until(pilot, lambda: not app.main.filters.stack.filter)
        app.clear_notifications()
        await pilot.press("k", "U")
        await until(pilot, lambda: any("no cgroup belongs" in n.message for n in app._notifications))
        assert len(app.main.execs.model.view) == 1
