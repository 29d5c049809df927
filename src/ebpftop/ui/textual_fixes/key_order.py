"""Keys in their order: each is handled only after the one before has had its effect, however fast they come.

Textual reads a key from the terminal, sends it to the focused widget, and reads the next one, while the first is still
on its way from the widget to its binding. If that opens a screen or moves the focus, it happens too late for the keys
typed after it. Here keys, pastes and mouse events wait until the one before has had its effect.

One key may overtake others: the one that quits, if all keys before it only move on the screen that closes anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import ClassVar

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.message_pump import MessagePump
from textual.screen import Screen

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""No key waits longer for the one before. On an overloaded machine a screen takes seconds to open."""

_ROUNDS = 5
"""Rounds of messages that count as caused by the key; later ones have other causes."""


class OrderedKeysApp(App[int]):
    """An app in which no key overtakes the effect of the key before it."""

    MOVES: ClassVar[frozenset[str]] = frozenset()
    """Actions that only change what is shown, and leave the focus where the quit key still quits."""

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self._waiting: deque[events.Event] = deque()
        self._settling: asyncio.Task[None] | None = None
        self._struck: MessagePump = self
        self._last: tuple[events.Event, ...] = ()  # the one in progress, if any
        self.pressed_s = float("-inf")
        """When the last key or mouse event was handled, on the monotonic clock."""

    @property
    def keys_waiting(self) -> int:
        """How many keys and other messages were not handled yet. Any thread may ask."""
        return len(self._waiting) + self._message_queue.qsize()

    @property
    def keys_behind(self) -> bool:
        """Whether a key waits for the one before it."""
        return bool(self._waiting)

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, (events.InputEvent, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
        elif self._settling is None and (isinstance(event, events.MouseMove) or self._settled):
            await self._strike(event)
        elif self._quits_whatever_waits(event):
            self._waiting.clear()
            await self.run_action("quit")
        else:
            self._waiting.append(event)
            if self._settling is None:
                self._settling = asyncio.create_task(self._settle())

    async def _strike(self, event: events.Event) -> None:
        self.pressed_s = monotonic()
        self._struck = self.focused or self.screen
        self._last = (event,)
        await super().on_event(event)

    def _quits_whatever_waits(self, event: events.Event) -> bool:
        """Return whether *event* would quit after all that waits, so that it may quit now."""
        if not isinstance(event, events.Key) or not self._screen_stack:
            return False
        if self.focused is not None and self.focused.check_consume_key(event.key, event.character):
            return False  # it is typed into something
        actions = {key: active.binding.action for key, active in self.screen.active_bindings.items()}
        return actions.get(event.key) in ("quit", "app.quit") and all(
            isinstance(one, (events.MouseMove, events.MouseScrollDown, events.MouseScrollUp))
            or (isinstance(one, events.Key) and actions.get(one.key, "").partition("(")[0] in self.MOVES)
            for one in (*self._last, *self._waiting)
        )

    async def _strike_next(self) -> None:
        """Handle the key that has waited longest; those after it keep waiting."""
        try:
            await self._strike(self._waiting.popleft())
        finally:
            self._settling = asyncio.create_task(self._settle()) if self._waiting else None

    async def _settle(self) -> None:
        """Wait until the last key has had its effect, then handle the next one."""
        try:
            await asyncio.wait_for(self._work_off(), PATIENCE_S)
        except asyncio.TimeoutError:
            log.warning("a key waited %g s for the one before", PATIENCE_S)
        finally:
            if not self.call_later(self._strike_next):
                # The app ends: nothing is typed any more.
                self._waiting.clear()
                self._settling = None

    async def _work_off(self) -> None:
        for _ in range(_ROUNDS):
            for pump in self._concerned():
                await _work_off(pump)
            if self._settled:
                return

    def _concerned(self) -> list[MessagePump]:
        """The widget that got the last key, the focused one, and their parents, in the order that a key travels."""
        top = [self.focused, self.screen] if self._screen_stack else []
        pumps: dict[MessagePump, None] = {}
        for start in (self._struck, *top):
            pump: MessagePump | None = start
            while pump is not None and pump is not self:
                pumps[pump] = None
                pump = pump._parent
        return [*sorted(pumps, key=lambda pump: isinstance(pump, Screen)), self]

    @property
    def _settled(self) -> bool:
        """Whether nothing that the last key may have caused is still in progress."""
        return all(
            pump._message_queue.empty() and not pump._next_callbacks and pump._is_mounted
            for pump in self._concerned()
            if not (pump._closing or pump._closed)
        )


async def _work_off(pump: MessagePump) -> None:
    """Wait until a widget has handled all messages that it has now, or is closed."""
    done = asyncio.Event()
    if not pump.call_later(done.set):
        return
    waiting = asyncio.ensure_future(done.wait())
    ends = [waiting, *([pump._task] if pump._task is not None else [])]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
