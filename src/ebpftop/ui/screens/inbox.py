"""What threads want done on the screen's thread: in their order, and with one wake-up for all that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from time import monotonic

from ebpftop.ui.textual_fixes.app_errors import surviving

SLICE_S = 0.02
"""So long it goes on before keys are checked."""


class Inbox:
    """Calls, oldest first. Any thread may add one.

    Textual has messages for that: each wakes its receiver, and passes all widgets above it before it is handled.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: Context, is_gone: Callable[[], bool] = lambda: False
    ) -> None:
        """Make all calls on the thread of *loop*, in *context*, where Textual finds the app; none once *is_gone*."""
        self._loop = loop
        self._context = context
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_woken = False
        self._is_gone = is_gone

    def put(self, do: Callable[[], None]) -> None:
        """Have *do* called."""
        self._waiting.append(do)
        if not self._is_woken:
            self._wake()

    def put_later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Have *do* called in *delay_s* seconds. Only the screen's thread may ask for that."""
        self._loop.call_later(delay_s, self._call, do, context=self._context)

    def _call(self, do: Callable[[], None]) -> None:
        if not self._is_gone():
            with surviving("what a thread or a timer asked for"):
                do()

    def _wake(self) -> None:
        self._is_woken = True
        with suppress(RuntimeError):  # the loop was closed: the app has ended
            self._loop.call_soon_threadsafe(self._work_off, context=self._context)

    def _work_off(self) -> None:
        # First: what is put from here on wakes again, or is found below.
        self._is_woken = False
        until_s = monotonic() + SLICE_S
        while self._waiting:
            self._call(self._waiting.popleft())
            if self._waiting and monotonic() >= until_s:
                self._wake()
                return
