"""What pane 2 puts together: users, units, containers, cgroups, programs, errnos; and the probe that it needs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from ebpftop.filters.spec import Filter
from ebpftop.settings.rows import VIEW
from ebpftop.settings.store import load
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.copy_as import CopyScreen
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.save_dialog import SaveScreen

from .conftest import Look, settle, until
from .group_scene import WEB, cgroups, reading, readings, with_groups
from .scene import FakeSource, Remembered, batch, minute
from .test_screen_keys import running


@pytest.mark.parametrize(
    ("size", "keys"),
    [
        ((80, 24), ("tab", "v", "m")),
        ((80, 24), ("tab", "v", "v", "j")),
        ((120, 35), ("tab", "v", "v", "v")),
        ((200, 50), ("tab", "v", "v", "v", "v")),
        ((60, 15), ("tab", "V")),
    ],
    ids=["units", "containers", "cgroups", "programs", "errnos"],
)
def test_a_view(looks_the_same: Look, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    assert looks_the_same(with_groups(), size, *keys)


def test_details_of_a_unit(looks_the_same: Look) -> None:
    assert looks_the_same(with_groups(), (80, 24), "tab", "v", "j", "enter")


def pane(app: EbpftopApp) -> UsersPane:
    return app.main.query_one(UsersPane)


def off() -> FakeSource:
    """A live source whose probe is off until somebody looks."""
    source = FakeSource(minute())
    source.toggled.append("cgroups")
    return source


async def test_a_view_that_attaches_a_probe_beside_one_that_is_off_says_so() -> None:
    source = off()
    source.toggled.append("users")
    async with running(source) as (pilot, app):
        await pilot.press("v")
        await until(pilot, lambda: any("attach a probe of their own" in one.message for one in app._notifications))


def said(app: EbpftopApp) -> str:
    return "\n".join(span.text for span in pane(app).lines.message)


async def chosen(pilot: Pilot[int], app: EbpftopApp, *names: str) -> None:
    """Put the cursor on the row of one of these names in pane 2."""
    app.main.set_focus(pane(app).lines)
    rows = pane(app).lines.rows()
    pane(app).lines.go_to(next(at for at, row in enumerate(rows) if row.name in names))
    await pilot.pause()


async def test_the_probe_is_on_while_a_view_of_it_is_shown_and_only_then() -> None:
    source = off()
    async with running(source) as (pilot, app):
        feed = app.main.groups
        await pilot.press("v")
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"])
        source.give(reading(61), reading(62))
        await settle(pilot, source)
        await until(pilot, lambda: pane(app).lines.end == 6)
        await pilot.press("v", "v", "v")
        assert source.toggled[1:] == ["cgroups"], "four views have one probe"
        await pilot.press("v")
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] * 2)
        await until(pilot, lambda: not feed._is_polling)
        assert pane(app).label == "Errnos"
        await pilot.press("V")
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] * 3)
        app.main.go_to_pane(pane(app))
        await pilot.press("x")
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] * 4)


async def test_the_key_of_the_pane_toggles_what_it_shows() -> None:
    source = off()
    async with running(source) as (pilot, app):
        await pilot.press("v")
        source.give(reading(61))
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] and app.main.groups.doing == "")
        await pilot.press("2")
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] * 2)
        await until(pilot, lambda: pane(app).state == "off")
        await pilot.press("2")
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] * 3)
        await pilot.press("V", "2")
        await until(pilot, lambda: source.toggled[-1] == "users")


async def test_without_containers_it_says_so_and_what_there_is() -> None:
    source = FakeSource(
        [*minute(), batch("cgroups", 60, msgspec.structs.replace(cgroups(60), rows=cgroups(60).rows[:2]))]
    )
    async with running(source) as (pilot, app):
        await pilot.press("v", "v")
        await until(pilot, lambda: "No process is in a container." in said(app))
        assert "Units has 1, Cgroups has 2: v shows the next" in said(app)


async def test_a_recording_without_them_says_how_to_make_one() -> None:
    async with running(FakeSource(minute(), live=False)) as (pilot, app):
        await pilot.press("v")
        await until(pilot, lambda: "ebpftop record FILE --probes execs,users,syscalls,cgroups" in said(app))


@pytest.mark.parametrize(
    ("view", "name", "wanted"),
    [
        ("units", "cron.service", Filter(cgroups=("/system.slice/cron.service",))),
        ("containers", "shop_web_1", Filter(containers=(WEB[:12],))),
        ("programs", "cc1", Filter(comms=("cc1",))),
    ],
)
async def test_a_row_filters_all_panes(view: str, name: str, wanted: Filter) -> None:
    source = with_groups()
    async with running(source) as (pilot, app):
        app.main.views.choose(view)
        await chosen(pilot, app, name)
        await pilot.press("u")
        await until(pilot, lambda: source.filters == [wanted])
        await pilot.press("u")
        await until(pilot, lambda: source.filters == [wanted, Filter()])
        await chosen(pilot, app, name)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await pilot.press("enter")
        await until(pilot, lambda: source.filters == [wanted, Filter(), wanted])
        assert app.screen is app.main
        await pilot.press("escape")
        await until(pilot, lambda: source.filters[-1] == Filter())


async def test_an_errno_is_found_in_both_lists() -> None:
    async with running(with_groups()) as (pilot, app):
        app.main.views.choose("errnos")
        await chosen(pilot, app, "EAGAIN")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main)
        assert app.main.query_one(ExecsPane).filter_text == "/ret:EAGAIN"
        calls = app.main.query_one(SyscallsPane).table
        assert calls.row_filter is not None
        assert calls.row_filter.text == "errno:EAGAIN"
        assert 0 < calls.end < len(calls.unfiltered)
        await pilot.press("escape", "escape")
        assert calls.end == len(calls.unfiltered)


async def test_a_row_is_copied_as_a_seccomp_profile() -> None:
    async with running(with_groups()) as (pilot, app):
        app.main.views.choose("units")
        await chosen(pilot, app, "cron.service")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        await pilot.press("end", "enter")
        await until(pilot, lambda: app.screen is app.main)
        made = json.loads(app.clipboard)["syscalls"][0]
        assert made["names"] == ["brk", "lseek", "mmap", "mprotect", "munmap", "read", "write"]
        assert "7 system calls of the unit cron.service" in made["comment"]
        assert "May be missing: calls of another ABI" in made["comment"]


async def test_a_user_has_a_profile_once_the_groups_were_counted() -> None:
    source = off()
    async with running(source) as (pilot, app):
        await chosen(pilot, app, "ada")
        ada = pane(app).lines.selected()
        assert ada is not None
        assert pane(app).calls_seen(ada) is None
        await pilot.press("v")
        source.give(reading(61))
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"] and pane(app).lines.end > 0)
        await pilot.press("V")
        await until(pilot, lambda: app.main.views.model.is_off)
        seen = pane(app).calls_seen(ada)
        assert seen is not None
        assert (len(seen.named), seen.of, seen.doubts) == (7, "the user ada", ("the probe is off now",))


async def test_tabs_of_the_title_choose() -> None:
    async with running(with_groups(), (200, 50)) as (pilot, app):
        at = pane(app).title_text.index("programs")
        region = pane(app).region
        await pilot.click(offset=(region.x + at, region.y))
        await until(pilot, lambda: pane(app).label == "Programs")
        assert "users·units·containers·cgroups·Programs·errnos" in pane(app).title_text


async def test_time_goes_back() -> None:
    source = Remembered([*minute(), *readings()])
    async with running(source) as (pilot, app):  # type: ignore[arg-type]  # it is one
        await pilot.press("v", "space", *["comma"] * 10)
        await until(pilot, lambda: app.main.playback.is_past and not app.main.playback.seeking)
        web = next(group for group in app.main.views.model.groups("units") if group.name == "session-4.scope")
        assert web.total.execs == 27 * 50
        assert [row.total.execs for row in pane(app).lines.rows() if row.name == "session-4.scope"] == [27 * 50]
        await pilot.press("l")
        await until(pilot, lambda: not app.main.playback.is_past)
        assert [row.total.execs for row in pane(app).lines.rows() if row.name == "session-4.scope"] == [27 * 60]


async def test_the_view_is_kept() -> None:
    source = off()
    settings = load("")
    settings.change(VIEW.path, "cgroups")
    app = EbpftopApp(source, settings=settings)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        assert pane(app).label == "Cgroups"
        await until(pilot, lambda: source.toggled[1:] == ["cgroups"])
        await pilot.press("v")
        assert dict(app.kept._shown())[VIEW.path] == "programs"


async def test_a_profile_is_saved_under_any_name(tmp_path: Path) -> None:
    async with running(with_groups()) as (pilot, app):
        app.main.views.choose("programs")
        await chosen(pilot, app, "sh")
        await app.main.action_save("seccomp")
        await until(pilot, lambda: isinstance(app.screen, SaveScreen) and bool(app.screen.query(Input)))
        app.screen.query_one(Input).value = str(tmp_path / "sh.json")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main)
        made = json.loads((tmp_path / "sh.json").read_text())
        assert "of the program sh" in made["syscalls"][0]["comment"]
