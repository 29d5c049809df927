"""Calls that may never return: to a network file system, or a directory server. The screen waits half a second.

Each runs in a thread of its own, which does not delay the end of the process: asyncio and Textual wait for theirs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ebpftop.lifecycle.limit_errors import explain

PATIENCE_S = 0.5

UNANSWERED_MAX = 8
"""At most so many threads may hang. After that, a call counts as unanswered at once."""

_unanswered: set[threading.Thread] = set()

Answer = TypeVar("Answer")


class Unanswered(Exception):
    """There was no answer in time, or no thread for the call; the text says which.

    A late answer is ignored.
    """

    def __init__(self, reason: str = "The file system or the user database does not answer") -> None:
        super().__init__(reason)


async def answer_to(ask: Callable[[], Answer], patience_s: float = PATIENCE_S) -> Answer:
    """Return what *ask* returns, or raise what it raises; Unanswered after *patience_s* seconds.

    *ask* must change nothing: it may still run long after the caller has stopped waiting.
    """
    _unanswered.intersection_update(threading.enumerate())
    if len(_unanswered) >= UNANSWERED_MAX:
        raise Unanswered
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def hand_over(answer: Answer | None, error: Exception | None) -> None:
        if answered.done():
            return
        if error is None:
            answered.set_result(answer)  # type: ignore[arg-type]  # None only if that is the answer
        else:
            answered.set_exception(error)

    def work() -> None:
        answer, error = None, None
        try:
            answer = ask()
        except Exception as raised:  # noqa: BLE001  # for whoever asked
            error = raised
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(hand_over, answer, error)

    thread = threading.Thread(target=work, name="question", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads are allowed
        raise Unanswered(str(explain(error) or error)) from None
    try:
        return await asyncio.wait_for(answered, patience_s)
    except asyncio.TimeoutError:
        _unanswered.add(thread)
        raise Unanswered from None
