"""Notices: one about a thing, and words where a key finds nothing."""

from __future__ import annotations

from textual.notifications import Notification

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.column_picker import ColumnsScreen

from .conftest import pane, settle, until
from .scene import FakeSource, minute


def shown(app: EbpftopApp) -> list[str]:
    notices: list[Notification] = list(app._notifications)
    return [notice.message for notice in notices]


async def test_a_notice_about_the_same_thing_replaces_the_last_one() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, source)
        await pilot.press("L", "L", "L", "L")
        assert len([text for text in shown(app) if text.startswith("Layout")]) == 1
        app.notify("Nothing is folded here")
        app.notify("Nothing is folded here")
        app.notify("Something else")
        await pilot.pause()
        assert shown(app).count("Nothing is folded here") == 1
        assert "Something else" in shown(app)
        for problem in ("one", "another"):
            app.notify(f"settings: {problem}", severity="warning")
        await pilot.pause()
        assert [text for text in shown(app) if text.startswith("settings")] == ["settings: one", "settings: another"]


async def test_a_handler_that_is_set_while_the_probe_is_off_says_so() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, source)
        syscalls = pane(app, "syscalls")
        assert isinstance(syscalls, SyscallsPane)
        call = syscalls.table.rows()[0]
        syscalls.handle(call, "ignore")
        await until(pilot, lambda: any("the kernel ignores it" in text for text in shown(app)))
        assert not any("once it is attached" in text for text in shown(app))
        await pilot.press("3")
        await until(pilot, lambda: syscalls.state == "off")
        syscalls.handle(call, "ignore")
        await until(pilot, lambda: any("once it is attached" in text for text in shown(app)))


async def test_a_table_keeps_the_column_that_names_its_rows() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, source)
        for probe, name in (("users", "user"), ("syscalls", "name")):
            lines = pane(app, probe).lines
            app.main.set_focus(lines)
            await pilot.press("c")
            assert isinstance(app.screen, ColumnsScreen)
            app.screen._options.highlighted = [column.key for column in lines.columns].index(name)
            await pilot.press("space")
            assert name not in lines.hidden
            assert any("it stays" in text for text in shown(app))
            await pilot.press("escape")
            lines.hidden = frozenset({name})  # as settings may ask for it
            lines.rearrange()
            assert name in [slot.column.key for slot in lines.slots]
