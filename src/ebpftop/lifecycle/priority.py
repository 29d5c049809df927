"""Which thread gets a processor first on an overloaded machine: that of the screen, then the collectors.

sched(7): if the kernel groups threads by session (autogroup), nice values count only among the threads of one session.
The session has its own nice value, in /proc/PID/autogroup. So both are set. A lower value needs CAP_SYS_NICE.

A nice value does not help a thread that waits for Python's lock. A thread that has held it for the switch interval has
to release it, and then waits until the other thread has acquired it. A collector acquires it when it gets a processor,
much later. So the screen's thread releases it only when it has nothing to do, see `keep_lock`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebpftop.lifecycle.process import process

if TYPE_CHECKING:
    import asyncio

SCREEN_NICE = -10
"""Nice value of the screen's thread, and of its session: half of a CPU beside fifteen busy processes."""

ASKS_AFTER_S = 0.001
"""How long the screen's thread waits for a collector before it requests Python's lock."""
KEEPS_S = 0.1
"""How long it may keep the lock while a collector waits: more than a key and its frame take."""

_AUTOGROUP = Path("/proc/self/autogroup")

_collectors_nice: int | None = None


def stand_back() -> None:
    """Set the nice value of the calling thread to that of the start of the process: it inherited the screen's."""
    if _collectors_nice is not None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _collectors_nice)


def keep_lock(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Let the thread of *loop* keep Python's lock while it works, and get it soon after it has waited.

    Return a function that undoes this.
    """
    selector: Any = getattr(loop, "_selector", None)
    if selector is None:  # not a loop of the standard library
        return lambda: None
    select, before_s = selector.select, sys.getswitchinterval()

    def select_and_keep(timeout: float | None = None) -> Any:
        sys.setswitchinterval(ASKS_AFTER_S)
        try:
            return select(timeout)
        finally:
            sys.setswitchinterval(KEEPS_S)

    def end() -> None:
        selector.select = select
        sys.setswitchinterval(before_s)

    selector.select = select_and_keep
    return end


@contextmanager
def screen_first() -> Iterator[None]:
    """Prefer the calling thread and the session, if that is allowed. At the end the session gets its own value back.

    Threads that the calling one starts inherit its value: see `stand_back`.
    """
    global _collectors_nice  # noqa: PLW0603  # one process, one screen
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    try:
        os.setpriority(os.PRIO_PROCESS, thread, min(before, SCREEN_NICE))
    except OSError:
        yield
        return
    _collectors_nice = before
    # Opened now: later we are another user, who does not own the file (kernel/capabilities.py).
    session_fd = _open_session()
    session_before = None if session_fd is None else _session_nice(session_fd)
    if session_fd is not None and session_before is not None:
        process.session_had(session_before)
        _set_session_nice(session_fd, min(session_before, SCREEN_NICE))

    def restore() -> None:
        # If it is too early for another value (session.py), or this code does not run, the guard restores it.
        if session_fd is not None and session_before is not None and _set_session_nice(session_fd, session_before):
            process.session_is_restored()

    try:
        with process.undone_at_last(restore):
            yield
    finally:
        _collectors_nice = None
        restore()
        if session_fd is not None:
            os.close(session_fd)
        # Never refused: any process may set a higher value.
        os.setpriority(os.PRIO_PROCESS, thread, before)


def _open_session() -> int | None:
    """Open the file with the nice value of this session's group; None if the kernel has no such groups."""
    try:
        return os.open(_AUTOGROUP, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None


def _session_nice(session_fd: int) -> int | None:
    found = re.search(rb"nice (-?\d+)", os.pread(session_fd, 100, 0))
    return int(found[1]) if found else None


def _set_session_nice(session_fd: int, nice: int) -> bool:
    try:
        os.write(session_fd, str(nice).encode())
    except OSError:
        return False
    return True
