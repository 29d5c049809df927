"""Private mounts: the rest of the machine never sees them, and they end with their owner."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000

# include/uapi/asm-generic/unistd.h and x86's table have the same numbers; C libraries have the functions only lately.
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
# include/uapi/linux/mount.h
_FSOPEN_CLOEXEC, _FSMOUNT_CLOEXEC = 1, 1
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6
_MOUNT_ATTR_NOSUID_NODEV_NOEXEC = 2 | 4 | 8

_libc = ctypes.CDLL(None, use_errno=True)

_T = TypeVar("_T")


def leave_shared_mounts() -> bool:
    """Give the calling thread, and the threads that it starts from now on, a mount table of its own; False if refused.

    They get a working directory of their own too (unshare(2), CLONE_NEWNS implies CLONE_FS).
    """
    if _libc.unshare(_CLONE_NEWNS) != 0:
        return False
    # Slave: mounts that the machine makes later still come in, ours do not go out.
    return bool(_libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None) == 0)


def mount(kind: str, place: Path) -> bool:
    """Mount a file system that needs no device; False if refused."""
    return bool(_libc.mount(kind.encode(), bytes(place), kind.encode(), 0, None) == 0)


def open_private_folder() -> int | None:
    """Return a descriptor of an empty folder in memory that has no name anywhere; None if refused (Linux 5.2, root).

    Its content can only be reached with the descriptor, by /proc/self/fd/N. It ends with the descriptor.
    """
    context = _libc.syscall(_SYS_FSOPEN, b"tmpfs", _FSOPEN_CLOEXEC)
    if context < 0:
        return None
    try:
        if _libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_SET_STRING, b"mode", b"0755", 0) != 0:
            return None
        if _libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0) != 0:
            return None
        folder = int(_libc.syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, _MOUNT_ATTR_NOSUID_NODEV_NOEXEC))
        return folder if folder >= 0 else None
    finally:
        os.close(context)


def lay_over(place: Path, file: Path) -> bool:
    """Let *file* lie over *place* for the calling thread, and the threads that it starts from now on; False if refused.

    They get a mount table and a working directory of their own, which end with them.
    """
    if not leave_shared_mounts():
        return False
    return bool(_libc.mount(os.fsencode(file), os.fsencode(place), None, _MS_BIND, None) == 0)


def call_with_file_over(place: Path, file: Path, work: Callable[[], _T]) -> _T:
    """Call *work* in a thread for which *file* lies over *place*; if that is refused, call it without.

    Other threads are not affected, even if *work* changes the working directory. The mount and its mount table end with
    the thread.
    """

    def aside() -> _T:
        if not lay_over(place, file):
            _libc.unshare(_CLONE_FS)  # a working directory of its own needs no privilege
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix="own-mounts") as thread:
        return thread.submit(aside).result()
