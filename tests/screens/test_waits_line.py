"""The line of calls in flight below the table: Enter and clicks open what it names."""

from __future__ import annotations

from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.waits_line import WaitsLine
from ebpftop.ui.screens.syscall_lists import ProcessScreen, WaitingScreen

from .conftest import until
from .scene import FakeSource
from .syscall_scene import minute_of_calls
from .test_list_filters import running


async def test_enter_on_the_line_opens_the_list() -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        pane = app.main.query_one(SyscallsPane)
        app.main.set_focus(pane.table)
        await pilot.press("G", "down")
        assert pane.waits_line.has_focus
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        await pilot.press("escape")
        assert pane.waits_line.has_focus
        await pilot.press("up")
        assert pane.table.has_focus


async def test_a_click_opens_the_list_and_on_a_name_its_process() -> None:
    async with running(FakeSource(minute_of_calls())) as (pilot, app):
        line = app.main.query_one(WaitsLine)
        await pilot.click(line, offset=(3, 0))
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        await pilot.press("escape")
        text = "".join(span.text for span in line.spans)
        for name, pid in (("cron[640]", 640), ("server[4104", 4104)):
            at = text.find(name)
            if at < 0 or at >= line.content_size.width:
                continue
            await pilot.click(line, offset=(at + 3, 0))
            await until(pilot, lambda: isinstance(app.screen, ProcessScreen))
            assert app.screen.process[0] == pid  # type: ignore[attr-defined]
            await pilot.press("escape")
        assert "cron[640]" in text
