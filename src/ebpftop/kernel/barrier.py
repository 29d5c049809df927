"""Wait for the BPF programs that are running at this moment."""

from __future__ import annotations

import ctypes
import platform
import time

_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}[platform.machine()]
_MEMBARRIER_GLOBAL = 1
_LONGER_THAN_ANY_PROGRAM_S = 0.1

_libc = ctypes.CDLL(None, use_errno=True)


def wait_for_programs() -> None:
    """Wait until every program that began before now has ended: membarrier(2) ends with synchronize_rcu()."""
    if _libc.syscall(_SYS_MEMBARRIER, _MEMBARRIER_GLOBAL, 0, 0) < 0:
        time.sleep(_LONGER_THAN_ANY_PROGRAM_S)  # nohz_full CPUs refuse it
