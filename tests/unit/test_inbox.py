"""What threads want done on the screen's thread is done in their order, and keys get their turn meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial

import pytest

from ebpftop.ui.screens import inbox
from ebpftop.ui.screens.inbox import Inbox

_WHERE: ContextVar[str] = ContextVar("_WHERE")


def run(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop do all that waits."""
    loop.call_later(0.05, loop.stop)
    loop.run_forever()


def test_calls_of_threads_are_made_in_the_order_of_each_and_none_is_left_out() -> None:
    loop = asyncio.new_event_loop()
    done: list[tuple[int, int]] = []
    calls = Inbox(loop, copy_context())

    def ask(thread: int) -> None:
        for number in range(2000):
            calls.put(partial(done.append, (thread, number)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        run(loop)
    run(loop)
    loop.close()
    assert all([n for t, n in done if t == thread] == list(range(2000)) for thread in range(4))


def test_one_wake_up_is_for_all_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    wakes: list[None] = []
    wake = loop.call_soon_threadsafe

    def counted(do: Callable[[], None], *, context: Context) -> asyncio.Handle:
        wakes.append(None)
        return wake(do, context=context)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    done: list[int] = []
    calls = Inbox(loop, copy_context())
    for number in range(100):
        calls.put(partial(done.append, number))
    run(loop)
    calls.put(partial(done.append, 100))
    run(loop)
    loop.close()
    assert done == list(range(101))
    assert len(wakes) == 2


def test_others_get_their_turn_while_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "SLICE_S", 0.0)
    loop = asyncio.new_event_loop()
    done: list[str] = []
    calls = Inbox(loop, copy_context())
    calls.put(lambda: done.append(f"batch, after {loop.call_soon(done.append, 'key') and len(done)}"))
    calls.put(partial(done.append, "batch"))
    calls.put(partial(done.append, "batch"))
    run(loop)
    loop.close()
    assert done == ["batch, after 0", "key", "batch", "batch"]


def test_calls_are_made_in_the_context_that_was_given() -> None:
    loop = asyncio.new_event_loop()
    _WHERE.set("the screen's")
    calls = Inbox(loop, copy_context())
    _WHERE.set("another's")
    seen: list[str] = []
    calls.put(lambda: seen.append(_WHERE.get()))
    calls.put_later(0.01, lambda: seen.append(_WHERE.get()))
    run(loop)
    loop.close()
    assert seen == ["the screen's"] * 2


def test_nothing_is_called_once_the_screen_is_gone_nor_does_a_closed_loop_matter() -> None:
    loop = asyncio.new_event_loop()
    done: list[int] = []
    calls = Inbox(loop, copy_context(), lambda: True)
    calls.put(partial(done.append, 1))
    calls.put_later(0.01, partial(done.append, 2))
    run(loop)
    loop.close()
    calls.put(partial(done.append, 3))
    assert done == []
