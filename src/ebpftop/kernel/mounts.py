"""A mount table of one's own: what is mounted there, the rest of the machine never sees, and it ends with its owner."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)

_T = TypeVar("_T")


def leave_shared_mounts() -> bool:
    """Give the calling thread, and the threads that it starts from now on, a mount table of its own; False if refused.

    That takes a working directory of its own with it (unshare(2), CLONE_NEWNS implies CLONE_FS).
    """
    if _libc.unshare(_CLONE_NEWNS) != 0:
        return False
    # Slave: mounts that the machine makes later still come in, ours do not go out.
    return bool(_libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None) == 0)


def mount(kind: str, place: Path) -> bool:
    """Mount a file system that needs no device; False if refused."""
    return bool(_libc.mount(kind.encode(), bytes(place), kind.encode(), 0, None) == 0)


def call_with_file_over(place: Path, file: Path, work: Callable[[], _T]) -> _T:
    """Call *work* in a thread for which *file* lies over *place*, or as the machine is where that is refused.

    No other thread notices; the mount and the table that it is in end with the thread.
    """

    def aside() -> _T:
        if leave_shared_mounts():
            _libc.mount(os.fsencode(file), os.fsencode(place), None, _MS_BIND, None)
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix="own-mounts") as thread:
        return thread.submit(aside).result()
