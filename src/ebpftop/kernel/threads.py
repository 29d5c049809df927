"""Whose thread a number names, and whether /proc's numbers are those of the kernel's events."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from ebpftop import helpers

_INIT_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


@cache
def in_first_pid_namespace() -> bool:
    """Tell whether our pids are the kernel's: in another pid namespace they mean other processes."""
    return Path("/proc/self/ns/pid").stat().st_ino == _INIT_PID_NAMESPACE


def sees_all() -> bool:
    """Tell whether /proc shows every process, by the number that the kernel's events give it.

    It does not in a pid namespace, nor where it hides what belongs to others (proc(5), hidepid).
    """
    return in_first_pid_namespace() and os.path.exists("/proc/1/stat") and os.access("/proc/1/stat", os.R_OK)


def own_pids() -> tuple[int, ...]:
    """Return the pids of ebpftop and its helpers as the kernel's events have them; none where those are not known.

    In another pid namespace our own numbers are those of processes that have nothing to do with us.
    """
    return (os.getpid(), *helpers.pids) if in_first_pid_namespace() else ()


def process_of_thread(tid: int) -> int | None:
    """Return the pid of the process that the thread *tid* belongs to; None where there is no such thread."""
    try:
        status = Path("/proc", str(tid), "status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith(b"Tgid:"):
            return int(line.split()[1])
    return None
