"""Who makes which call: the processes behind a call, and the calls of a process, out of one reading.

The kernel keeps the busiest pairs of process and call, and a reading holds the busiest of these. What is missing is
told as the difference to totals that are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebpftop.models.syscalls import CallKey
from ebpftop.records import Syscalls


@dataclass(frozen=True)
class Caller:
    """A process behind a call; `pid` is None for all that are not told apart."""

    pid: int | None
    comm: str
    count: int
    errors: int


@dataclass(frozen=True)
class CallOf:
    """A call of a process; `key` is None for all that are not told apart."""

    key: CallKey | None
    name: str
    count: int
    errors: int


def callers(reading: Syscalls | None, key: CallKey) -> list[Caller]:
    """Return who makes a call, the busiest first, and the others in one line at the end."""
    if reading is None:
        return []
    found = [Caller(p.pid, p.comm, p.count, p.errors) for p in reading.processes if (p.abi, p.nr) == key]
    found.sort(key=lambda caller: (-caller.count, caller.pid or 0))
    total = next((row for row in reading.rows if (row.abi, row.nr) == key), None)
    if total is not None:
        # Read one after another, the totals may be a few calls behind.
        others = total.count - sum(caller.count for caller in found)
        failed = total.errors - sum(caller.errors for caller in found)
        if others > 0:
            found.append(Caller(None, "others", others, max(0, failed)))
    return found


def calls_of(reading: Syscalls | None, pid: int) -> list[CallOf]:
    """Return which calls a process makes, the busiest first, and those not told apart in one line at the end."""
    if reading is None:
        return []
    found = [CallOf((p.abi, p.nr), p.name, p.count, p.errors) for p in reading.processes if p.pid == pid]
    found.sort(key=lambda call: (-call.count, call.name))
    total = next((process for process in reading.process_totals if process.pid == pid), None)
    if total is not None:
        others = total.count - sum(call.count for call in found)
        if others > 0:
            found.append(CallOf(None, "others", others, max(0, total.errors - sum(call.errors for call in found))))
    return found


def comm_of(reading: Syscalls | None, pid: int) -> str:
    """Return the name of a process as far as it is known."""
    return next((p.comm for p in reading.processes if p.pid == pid), "") if reading else ""
