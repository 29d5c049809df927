"""Whose children the orphans of the tests' programs become: for a while those of the test run itself."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37  # include/uapi/linux/prctl.h

_libc = ctypes.CDLL(None)
_lock = threading.Lock()
_adopters: list[None] = []


def adopt() -> None:
    """Let this process have the orphans among its descendants, and wait for them. Each call needs one of `leave`."""
    with _lock:
        _adopters.append(None)
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def leave() -> None:
    """Let them go to whom they went before, as soon as nobody here wants them any more.

    Otherwise every later test would find them at a place where no user has them: children of the process that it asks
    ebpftop about, which stay for ever because nobody waits for them.
    """
    with _lock:
        _adopters.pop()
        if not _adopters:
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@contextmanager
def adopted() -> Iterator[None]:
    """Have the orphans while the body runs."""
    adopt()
    try:
        yield
    finally:
        leave()


def are_adopted() -> bool:
    """Tell whether orphans become children of this process."""
    answer = ctypes.c_int()
    _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)
