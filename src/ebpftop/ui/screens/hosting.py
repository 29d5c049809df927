"""What the controllers of the main screen ask of it that any screen could do: threads, timers and messages.

See `Host`, `FilterHost` and `WatchHost` in the modules of the controllers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import copy_context

from textual.screen import Screen

from ebpftop.ui.screens.inbox import Inbox
from ebpftop.ui.screens.over import OverScreen
from ebpftop.ui.screens.playback import Group
from ebpftop.ui.textual_fixes.frame_pace import one_frame


class HostScreen(Screen[None]):
    """A screen that calls what is posted to it, in order, until it is gone."""

    _inbox: Inbox

    def open_inbox(self) -> None:
        """Begin to call what is posted, in the context of the caller. Call it before there are other threads."""
        self._inbox = Inbox(asyncio.get_running_loop(), copy_context(), lambda: self.is_ending)

    def post(self, do: Callable[[], None]) -> None:
        self._inbox.put(do)

    def call_soon(self, do: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(self.call_later, do)

    def call_after(self, delay_s: float, do: Callable[[], None]) -> None:
        self._inbox.put_later(delay_s, do)

    def one_frame(self) -> AbstractContextManager[None]:
        return one_frame(self)

    # The state of the screen.

    @property
    def is_covered(self) -> bool:
        return not self.is_active

    @property
    def is_hidden(self) -> bool:
        above = self.app.screen_stack[1:]
        return any(isinstance(screen, OverScreen) and screen.is_opaque for screen in above)

    @property
    def is_ending(self) -> bool:
        return self._closing or self._closed or self._pruning or not self.app.is_running

    @property
    def keys_waiting(self) -> int:
        waiting: int = getattr(self.app, "keys_waiting", 0)
        return waiting

    # Threads.

    def run_in_thread(self, group: Group, work: Callable[[], None]) -> None:
        self.run_worker(work, group=group, thread=True, exit_on_error=False)

    def run_filtering(self, work: Callable[[], None]) -> None:
        self.run_worker(work, group="filter", thread=True)

    def run_feeding(self, work: Callable[[], None]) -> None:
        self.run_worker(work, group="feed", thread=True, exit_on_error=False)

    def search_in_thread(self, search: Callable[[], None]) -> None:
        self.run_worker(search, group="marks", thread=True, exit_on_error=False)

    # Messages.

    def notify_of(self, message: str, *, title: str = "", is_warning: bool = False) -> None:
        self.app.notify(message, title=title, severity="warning" if is_warning else "information")

    def notify_of_error(self, error: Exception, title: str) -> None:
        self.app.notify(str(error), title=title, severity="error")

    def ring_bell(self) -> None:
        self.app.bell()
