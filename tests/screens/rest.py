"""A pilot that waits for what is due, not for time: while a message, a callback, a frame or a thread is on its way.

Textual's own sleeps 20 ms, again and again until the process has taken no CPU time meanwhile, and that three times for
each key. On a busy machine it is too short: a thread that does not get the processor takes no time either.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import pytest
from textual import events
from textual.app import App
from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.message_pump import MessagePump
from textual.pilot import Pilot

PATIENCE_S = 30.0
"""No screen is at work for longer."""

HANGS_S = 10.0
"""After that a thread is taken to hang. A test that lets one hang on purpose waits less for it: `threads_hang`."""

FRAME_S = 0.001
"""The time between two frames: those that are due are drawn at once."""

NEAR_S = 0.01
"""What a timer does so soon is waited for: a search begins 5 ms after a key. Clocks of the app have longer periods."""

ROUND_S = 0.0005
"""So long threads have the processor before they are looked at again."""

_in_threads: WeakKeyDictionary[asyncio.Future[Any], list[int]] = WeakKeyDictionary()
"""What threads of a pool are at, or have not begun yet: the identity of the thread, once it has begun."""

_of_others: WeakSet[threading.Thread] = WeakSet()
"""The threads that earlier tests have left: they may hang until those are forgotten."""

_run_in_executor = asyncio.BaseEventLoop.run_in_executor


def _noted(loop: asyncio.BaseEventLoop, executor: Any, do: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    thread: list[int] = []

    def begun() -> Any:
        thread.append(threading.get_ident())
        return do(*arguments)

    future: asyncio.Future[Any] = _run_in_executor(loop, executor, begun)
    _in_threads[future] = thread
    return future


def _waits(frame: FrameType | None) -> bool:
    """Whether a thread waits for another one, for a queue or for a time, and was not woken yet."""
    if frame is None or frame.f_code is not threading.Condition.wait.__code__:
        return False
    names = frame.f_locals
    return "waiter" in names and names["waiter"] in names["self"]._waiters


def _threads_rest(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether all that was begun in threads is done, or waits."""
    begun = [thread for future, thread in list(_in_threads.items()) if future.get_loop() is loop and not future.done()]
    asking = [[one.ident] for one in threading.enumerate() if one.name == "question" and one not in _of_others]
    if not begun and not asking:
        return True
    frames = sys._current_frames()
    return all(thread and _waits(frames.get(thread[0] or 0)) for thread in begun + asking)


def _frame_is_due(app: App[Any]) -> bool:
    for screen in app._screen_stack:
        timer = vars(screen).get("_Screen__update_timer")  # by its name in the class, it would be made
        if timer is not None and timer._task is not None and timer._active.is_set():
            return True
    return False


def _handling(app: App[Any]) -> MessagePump | None:
    """The first widget that is at a message: it may wait for an answer meanwhile."""
    top = app._screen_stack[-1:]
    for pump in (app, *(widget for screen in top for widget in screen.walk_children(with_self=True))):
        if pump._running and not pump._closing and not pump._message_queue.ready_event._waiters:
            return pump
    return None


async def rest(app: App[Any]) -> None:
    """Wait until nothing happens any more without a clock, a key, or something that comes from outside.

    Raises AssertionError if it does not come to rest, with what it was seen at.
    """
    loop: Any = asyncio.get_running_loop()
    until_s = monotonic() + PATIENCE_S
    hangs_s: float | None = None
    seen: Counter[str] = Counter()
    while monotonic() < until_s:
        await asyncio.sleep(0)
        if loop._ready:  # what is left of this turn, and what it has caused
            seen["callbacks"] += 1
            continue
        if app._exit:  # what waits is dropped
            return
        due_s = loop._scheduled[0].when() - loop.time() if loop._scheduled else NEAR_S
        if due_s < NEAR_S:
            seen["timers"] += 1
            await asyncio.sleep(max(0.0, due_s))
        elif _frame_is_due(app):
            seen["frames"] += 1
            await asyncio.sleep(FRAME_S)
        elif at_work := _handling(app):
            seen[f"a message of {at_work!r}"] += 1
            await asyncio.sleep(ROUND_S)
        elif not _threads_rest(loop):
            seen["threads"] += 1
            hangs_s = hangs_s or monotonic() + HANGS_S
            if monotonic() > hangs_s:
                return
            await asyncio.sleep(ROUND_S)
        elif not loop._ready:  # a thread may just have asked for something
            return
    raise AssertionError(f"no rest in {PATIENCE_S:g} s: {seen.most_common(5)}")


class RestingPilot(Pilot[Any]):
    """Waits until the app rests."""

    async def press(self, *keys: str) -> None:
        for key in keys:
            self._type(key)
            await rest(self.app)

    def _type(self, key: str) -> None:
        """Send what Textual makes of a key."""
        driver = self.app._driver
        assert driver is not None
        if len(key) == 1 and not key.isalnum():
            key = _character_to_key(key)
        try:
            character: str | None = unicodedata.lookup(_get_unicode_name_from_key(REPLACED_KEYS.get(key, key)))
        except KeyError:
            character = key if len(key) == 1 else None
        event = events.Key(key, character)
        event.set_sender(self.app)
        driver.send_message(event)

    async def pause(self, delay: float | None = None) -> None:
        if delay:
            await asyncio.sleep(delay)
        await rest(self.app)

    async def _wait_for_screen(self, timeout: float = 30.0) -> bool:
        await rest(self.app)
        return True

    async def wait_for_animation(self) -> None:
        await rest(self.app)

    async def wait_for_scheduled_animations(self) -> None:
        await rest(self.app)

    async def exit(self, result: Any) -> None:
        await rest(self.app)
        self.app.exit(result)


_parsed: dict[tuple[tuple[str, str], ...], LRUCache[Any, Any]] = {}
"""The rules of all stylesheets, for each set of colours."""


class SharingStylesheet(Stylesheet):
    """What one app has parsed, the next one need not parse."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._share()

    def set_variables(self, variables: dict[str, str]) -> None:
        self._parse_cache = LRUCache(1)  # Textual clears it: not the one that is shared
        super().set_variables(variables)
        self._share()

    def _share(self) -> None:
        self._parse_cache = _parsed.setdefault(tuple(sorted(self._variables.items())), LRUCache(1024))


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the apps of a test wait, and parse, like this."""
    _of_others.update(threading.enumerate())
    monkeypatch.setattr("textual.pilot.Pilot", RestingPilot)
    monkeypatch.setattr("textual.screen.UPDATE_PERIOD", FRAME_S)
    monkeypatch.setattr("textual.app.Stylesheet", SharingStylesheet)
    monkeypatch.setattr("textual.css.stylesheet.Stylesheet", SharingStylesheet)  # other colours: all is parsed again
    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", _noted)
