"""Whose thread a number names, and whether /proc's numbers are those of the kernel's events."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from ebpftop.lifecycle import helpers
from ebpftop.lifecycle.leftovers import FIRST_PID_NAMESPACE, Owner


@cache
def in_first_pid_namespace() -> bool:
    """Return whether our pids are the kernel's: in another pid namespace they mean other processes."""
    return Path("/proc/self/ns/pid").stat().st_ino == FIRST_PID_NAMESPACE


def sees_all() -> bool:
    """Return whether /proc shows every process, by the same number as in the kernel's events.

    It does not in a pid namespace, nor if it hides the processes of others (proc(5), hidepid).
    """
    return in_first_pid_namespace() and os.path.exists("/proc/1/stat") and os.access("/proc/1/stat", os.R_OK)


def own_pids() -> tuple[int, ...]:
    """Return the pids of ebpftop and its helpers as in the kernel's events; none if those are not known.

    In another pid namespace our own numbers are those of processes that have nothing to do with us.
    """
    return (os.getpid(), *helpers.pids) if in_first_pid_namespace() else ()


def has_ended(owner: Owner) -> bool:
    """Return whether that process has ended. False if it cannot be known: it is in another pid namespace.

    From the first namespace all are seen: by their namespace, and their number in it (proc(5), NSpid).
    """
    if owner.pid_namespace == Owner.of_this_process().pid_namespace:
        try:
            os.kill(owner.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's
            pass
        return False
    if not sees_all():
        return False
    return not any(_may_be(owner, Path("/proc", entry)) for entry in os.listdir("/proc") if entry.isdigit())


def _may_be(owner: Owner, process: Path) -> bool:
    try:
        status = (process / "status").read_bytes()
        numbers = [line.split()[1:] for line in status.splitlines() if line.startswith(b"NSpid:")]
        if not any(int(each[-1]) == owner.pid for each in numbers):
            return False
        return (process / "ns/pid").stat().st_ino == owner.pid_namespace
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:  # it may not be read
        return True


def process_of_thread(tid: int) -> int | None:
    """Return the pid of the process that the thread *tid* belongs to; None if there is no such thread."""
    try:
        status = Path("/proc", str(tid), "status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith(b"Tgid:"):
            return int(line.split()[1])
    return None


def stat_fields(stat: bytes) -> tuple[bytes, list[bytes]]:
    """Return comm and the fields from the third on of /proc/PID/stat: comm may hold blanks and parentheses."""
    before, _, after = stat.rpartition(b") ")
    return before.partition(b" (")[2], after.split()
