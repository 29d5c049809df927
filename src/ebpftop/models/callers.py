"""Which process makes which call: the callers of a call, and the calls of a process, from one reading.

The kernel keeps the busiest pairs of process and call, and a reading holds the busiest of these. The rest is shown as
the difference to the exact totals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ebpftop.core.records import ProcessCalls, Syscalls
from ebpftop.models.baseline import Baseline, CallKey, ProcessKey, Sum


@dataclass(frozen=True)
class Caller:
    """A process that makes a call; `pid` is None for all that are not listed individually."""

    pid: int | None
    comm: str
    count: int
    errors: int
    start: int = 0


@dataclass(frozen=True)
class CallOf:
    """A call of a process; `key` is None for all that are not listed individually."""

    key: CallKey | None
    name: str
    count: int
    errors: int


def callers(
    reading: Syscalls | None,
    key: CallKey,
    zero: Baseline | None = None,
    matches: Callable[[ProcessCalls], bool | None] = lambda _: True,
) -> list[Caller]:
    """Return the callers of a call since *zero*: the busiest first, and one entry for all others at the end.

    Of the busiest only those that *matches* accepts.
    """
    if reading is None:
        return []
    found, left_out = [], Sum()
    # Until it is known what the pairs were at *zero*, nobody is listed.
    for p in reading.processes if zero is None or zero.callers is not None else ():
        if (p.abi, p.nr) == key:
            process = p.pid, p.start_ns
            made = Sum(p.count, p.errors).since(zero.pair(process, key) if zero else Sum())
            if not matches(p):
                left_out = Sum(left_out.count + made.count, left_out.errors + made.errors)
            elif made.count:
                found.append(Caller(p.pid, p.comm, made.count, made.errors, p.start_ns))
    found.sort(key=lambda caller: (-caller.count, caller.pid or 0))
    row = next((row for row in reading.rows if (row.abi, row.nr) == key), None)
    if row is not None:
        before = zero.rows.get(key) if zero else None
        total = Sum(row.count, row.errors).since(Sum(before.count, before.errors) if before else Sum())
        # The kernel's maps are read one after the other, so the totals may be a few calls behind.
        others = total.count - left_out.count - sum(caller.count for caller in found)
        failed = total.errors - left_out.errors - sum(caller.errors for caller in found)
        if others > 0:
            found.append(Caller(None, "others", others, max(0, failed)))
    return found


def calls_of(reading: Syscalls | None, process: ProcessKey, zero: Baseline | None = None) -> list[CallOf]:
    """Return the calls of a process since *zero*: the busiest first, and one entry for all others at the end."""
    if reading is None or (zero is not None and zero.callers is None):
        return []
    found = []
    for p in reading.processes:
        if (p.pid, p.start_ns) == process:
            key = p.abi, p.nr
            made = Sum(p.count, p.errors).since(zero.pair(process, key) if zero else Sum())
            if made.count:
                found.append(CallOf(key, p.name, made.count, made.errors))
    found.sort(key=lambda call: (-call.count, call.name))
    total = next((total for total in reading.process_totals if (total.pid, total.start_ns) == process), None)
    if total is not None:
        all_made = Sum(total.count, total.errors).since(zero.process(process) if zero else Sum())
        others = all_made.count - sum(call.count for call in found)
        if others > 0:
            failed = all_made.errors - sum(call.errors for call in found)
            found.append(CallOf(None, "others", others, max(0, failed)))
    return found


def comm_of(reading: Syscalls | None, process: ProcessKey) -> str:
    """Return the name of a process, empty if it is not known."""
    return next((p.comm for p in reading.processes if (p.pid, p.start_ns) == process), "") if reading else ""


def process_of(reading: Syscalls | None, pid: int) -> ProcessKey:
    """Return the process that has *pid* now: the last one that got it."""
    totals = reading.process_totals if reading else ()
    return pid, max((total.start_ns for total in totals if total.pid == pid), default=0)
