"""Wait for the BPF programs that are running at this moment; order what is read of memory that they write."""

from __future__ import annotations

import ctypes
import mmap
import platform
import threading
import time

_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}[platform.machine()]
_MEMBARRIER_GLOBAL = 1
_LONGER_THAN_ANY_PROGRAM_S = 0.1

_libc = ctypes.CDLL(None, use_errno=True)
_fence = threading.Lock()


def wait_for_programs() -> None:
    """Wait until every program that began before now has ended: membarrier(2) ends with synchronize_rcu()."""
    if _libc.syscall(_SYS_MEMBARRIER, _MEMBARRIER_GLOBAL, 0, 0) < 0:
        time.sleep(_LONGER_THAN_ANY_PROGRAM_S)  # nohz_full CPUs refuse it


def fence() -> None:
    """Let no access to shared memory from before the call happen after one from behind it, on any processor.

    Of two times that a lock is taken, nothing moves from before the first release to behind the second acquisition.
    x86 keeps the order of what its readers do anyway; ARM does not.
    """
    for _ in range(2):
        with _fence:
            pass


def shared_words(memory: mmap.mmap) -> memoryview:
    """Return shared memory as 64-bit words, each read or written at once. Release it before *memory* is closed.

    `struct.pack_into` clears a number before it writes it: the kernel, on another processor, would see 0 meanwhile.
    """
    return memoryview(memory).cast("Q")
