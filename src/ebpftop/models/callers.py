"""Which process makes which call: the callers of a call, and the calls of a process, from one reading.

The kernel keeps the busiest pairs of process and call, and a reading holds the busiest of these. The rest is shown as
the difference to the exact totals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ebpftop.core.syscall_records import ProcessCalls, Syscalls
from ebpftop.models.baseline import Baseline, CallKey, ProcessKey, Sum
from ebpftop.models.processes import same_start


@dataclass(frozen=True)
class Caller:
    """A process that makes a call; `pid` is None for all that are not listed individually."""

    pid: int | None
    comm: str
    count: int
    errors: int
    start: int = 0
    total_ns: int | None = None
    max_ns: int | None = None
    """The time of those that have returned, and the longest; None: unknown."""


@dataclass(frozen=True)
class CallOf:
    """A call of a process; `key` is None for all that are not listed individually."""

    key: CallKey | None
    name: str
    count: int
    errors: int
    total_ns: int | None = None
    max_ns: int | None = None


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
    found: list[Caller] = []
    left_out: list[Sum] = []
    # Until it is known what the pairs were at *zero*, nobody is listed.
    for p in reading.processes if zero is None or zero.callers is not None else ():
        if (p.abi, p.nr) == key:
            process = p.pid, p.start_ns
            made = Sum.of(p).since(zero.pair(process, key) if zero else Sum())
            if not matches(p):
                left_out.append(made)
            elif made.count:
                found.append(Caller(p.pid, p.comm, made.count, made.errors, p.start_ns, made.total_ns, made.max_ns))
    found.sort(key=lambda caller: (-caller.count, caller.pid or 0))
    row = next((row for row in reading.rows if (row.abi, row.nr) == key), None)
    if row is not None:
        others = _less(Sum.of(row).since(Sum.of(zero.rows.get(key)) if zero else Sum()), (*found, *left_out))
        if others.count > 0:
            found.append(Caller(None, "others", others.count, others.errors, total_ns=others.total_ns))
    return found


def calls_of(reading: Syscalls | None, process: ProcessKey, zero: Baseline | None = None) -> list[CallOf]:
    """Return the calls of a process since *zero*: the busiest first, and one entry for all others at the end."""
    if reading is None or (zero is not None and zero.callers is None):
        return []
    found = []
    for p in reading.processes:
        if (p.pid, p.start_ns) == process:
            key = p.abi, p.nr
            made = Sum.of(p).since(zero.pair(process, key) if zero else Sum())
            if made.count:
                found.append(CallOf(key, p.name, made.count, made.errors, made.total_ns, made.max_ns))
    found.sort(key=lambda call: (-call.count, call.name))
    total = next((total for total in reading.process_totals if (total.pid, total.start_ns) == process), None)
    if total is not None:
        others = _less(Sum.of(total).since(zero.process(process) if zero else Sum()), found)
        if others.count > 0:
            found.append(CallOf(None, "others", others.count, others.errors, others.total_ns))
    return found


def total_of(reading: Syscalls | None, pid: int, start_ns: int, zero: Baseline | None = None) -> Sum | None:
    """Return all calls of a process since *zero* together; None if it is not among those that are listed."""
    for total in reading.process_totals if reading is not None else ():
        if total.pid == pid and same_start(total.start_ns, start_ns):
            return Sum.of(total).since(zero.process((pid, total.start_ns)) if zero else Sum())
    return None


def _less(whole: Sum, parts: Sequence[Caller | CallOf | Sum]) -> Sum:
    """Return what is left of *whole*: nothing is known of the longest call in it.

    The kernel's maps are read one after the other, so the whole may be a few calls behind.
    """
    times = [part.total_ns for part in parts if part.total_ns is not None]
    total_ns = None
    if whole.total_ns and len(times) == len(parts):
        total_ns = max(0, whole.total_ns - sum(times))
    return Sum(
        whole.count - sum(part.count for part in parts),
        max(0, whole.errors - sum(part.errors for part in parts)),
        total_ns,
        None,
    )


def comm_of(reading: Syscalls | None, process: ProcessKey) -> str:
    """Return the name of a process, that of one that has only waited so far, too; empty if it is not known."""
    if reading is None:
        return ""
    named = (p.comm for p in reading.processes if (p.pid, p.start_ns) == process)
    return next(named, "") or next((call.comm for call in reading.in_flight if call.pid == call.tid == process[0]), "")


def process_of(reading: Syscalls | None, pid: int) -> ProcessKey:
    """Return the process that has *pid* now: the last one that got it."""
    totals = reading.process_totals if reading else ()
    return pid, max((total.start_ns for total in totals if total.pid == pid), default=0)
