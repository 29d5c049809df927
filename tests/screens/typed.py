"""What typing led to, and an app in a terminal of its own that tells it.

`main` runs the screen on recorded records. On SIGUSR1 it writes its state as a line of JSON to descriptor 3, once all
that was typed has taken place; on SIGUSR2 it goes back to where it began, and says so there.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
from collections.abc import Awaitable, Callable

from textual.events import Key
from textual.message import Message
from textual.widgets import Input

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.textual_fixes import terminal_driver
from ebpftop.ui.textual_fixes.key_parser import KeyParser
from ebpftop.ui.textual_fixes.terminal_driver import TerminalDriver
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.row_view import RowView

from .scene import FakeSource, minute


def state(app: EbpftopApp) -> dict[str, object]:
    """Return all that keys can change."""
    main, source = app.main, app.source
    assert isinstance(source, FakeSource)
    return {
        "screens": [type(screen).__name__ for screen in app.screen_stack],
        "focus": None if app.focused is None else f"{type(app.focused).__name__} {app.focused.id}",
        "inputs": [field.value for screen in app.screen_stack for field in screen.query(Input) if field.value],
        "pane": main.pane.probe,
        "maximised": [pane.probe for pane in main.panes if pane.has_class("-max")],
        "tree": main.execs.as_tree,
        "filter": [main.filters.stack.breadcrumb, main.execs.filter_text],
        "paused": main.playback.paused,
        "interval": main.interval_s,
        "probes": [source.toggled.count(probe) % 2 for probe in source.probes],
        "ends": app._exit,
    }


async def settled(app: EbpftopApp) -> None:
    """Wait until what was typed has taken place."""
    calm = 0
    while calm < 3 and not app._exit:
        calm = calm + 1 if app._settling is None and app._settled and not any(p.busy for p in app.main.panes) else 0
        await asyncio.sleep(0.002)


async def reset(app: EbpftopApp) -> None:
    """Go back to how the screen began."""
    main, source = app.main, app.source
    assert isinstance(source, FakeSource)
    while len(app.screen_stack) > 1:
        app.post_message(Key("escape", None))
        await settled(app)
    main._maximise(None)
    if main.execs.as_tree:
        main.execs.toggle_tree()
    while main.filters.pop():
        pass
    for lines in main.query(RowView):
        if lines.row_filter is not None:
            lines.row_filter.clear()
            lines.row_filter.recent.clear()
    main.query_one(FilterBar).close()
    for pane in main.panes:
        pane.lines.cursor = None
    main.execs.log_lines.follow = True
    if main.playback.paused:
        main.action_present()
    source.toggled.clear()
    main.set_focus(main.execs.lines)
    await settled(app)


def _unread() -> int:
    """Return how many bytes of what was typed the app has not read."""
    count = array.array("i", [0])
    fcntl.ioctl(sys.__stdin__, termios.FIONREAD, count)  # type: ignore[arg-type]  # there is one
    return count[0]


class _Rounds(KeyParser):
    """Counts the rounds of the thread that reads keys."""

    ended = 0

    def tick(self) -> list[Message]:
        _Rounds.ended += 1
        return super().tick()


async def _tell(app: EbpftopApp, first: Callable[[EbpftopApp], Awaitable[None]]) -> None:
    while not app.is_running or _unread():
        await asyncio.sleep(0.01)
    # What was read is a message only when the thread that read it ticks, which it may do late on a busy machine.
    driver, rounds = app._driver, _Rounds.ended
    assert isinstance(driver, TerminalDriver)
    os.eventfd_write(driver.exit_event.fileno(), 1)  # it sleeps until there is something
    while _Rounds.ended == rounds or driver._sent != driver._posted:
        await asyncio.sleep(0.002)
    driver.exit_event.clear()
    await first(app)
    os.write(3, json.dumps(state(app)).encode() + b"\n")


async def _run() -> None:
    vars(terminal_driver)["KeyParser"] = _Rounds  # the one that the driver makes
    app = EbpftopApp(FakeSource(minute()))
    loop = asyncio.get_running_loop()
    telling: list[asyncio.Task[None]] = []

    def tell(first: Callable[[EbpftopApp], Awaitable[None]]) -> None:
        telling.append(loop.create_task(_tell(app, first)))

    loop.add_signal_handler(signal.SIGUSR1, tell, settled)
    loop.add_signal_handler(signal.SIGUSR2, tell, reset)
    tell(settled)
    await app.run_async()


def main() -> None:
    """Run the app."""
    asyncio.run(_run())
