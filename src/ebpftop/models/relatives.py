"""From what a row says of a process to that process and its parent; never to another one that has the pid now."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.models.baseline import ProcessKey
from ebpftop.models.callers import process_of
from ebpftop.models.processes import Processes, ProcessInfo, may_be_parent, same_start
from ebpftop.models.subject import Subject

SLACK_S = 1.0
"""How far the estimate of when a process started may be off; no pid is used again within it."""


class NowhereError(Exception):
    """There is nothing to go to; the text says why."""


class AnotherError(NowhereError):
    """The pid belongs to another process now."""


def process(processes: Processes, subject: Subject) -> ProcessInfo:
    """Return the process that *subject* is about."""
    pid = subject.pid
    if pid is None:
        raise NowhereError("This row is not about a process")
    if pid == 0:
        raise NowhereError("Pid 0 is the kernel while a CPU is idle: no process")
    known = [one for one in (processes.get(pid), processes.owner(pid)) if one is not None]
    if not known:
        raise NowhereError(f"Nothing is known of pid {pid}: neither its exec nor its end was seen")
    if subject.start_ns:
        for one in known:
            if one.is_same_process(subject.start_ns):
                return one
        raise AnotherError(f"Pid {pid} is {known[0].comm} by now; the process of this row is not known any more")
    return _at(processes, known[0], subject)


def _at(processes: Processes, known: ProcessInfo, subject: Subject) -> ProcessInfo:
    """Return *known*, if it had its pid at the time of *subject*, which does not say when its process started."""
    if subject.time is None:
        return known
    if known.ended is not None and known.ended + SLACK_S < subject.time:
        raise AnotherError(f"Pid {known.pid} was {known.comm}, which had ended by then; who had it next is not known")
    started = started_s(processes, known)
    if started is not None and started - SLACK_S > subject.time:
        raise AnotherError(f"Pid {known.pid} is {known.comm} by now, which started later; who had it then is not known")
    return known


def started_s(processes: Processes, known: ProcessInfo) -> float | None:
    """Return when a process started (Unix seconds), at the latest; None if that is not known.

    Records have its start since boot. The machine booted no later than any process, seen at some time, says.
    """
    if not known.start_ns:
        return None
    seen: Iterable[ProcessInfo] = (*processes.running.values(), *processes.ended.values(), known)
    return min(one.reported - one.start_ns / 1e9 for one in seen if one.start_ns) + known.start_ns / 1e9


def parent(processes: Processes, subject: Subject) -> ProcessInfo:
    """Return the process that started the one that *subject* is about."""
    ppid, start_ns, name = subject.ppid, subject.start_ns, subject.comm
    if ppid is None or not start_ns:
        known = process(processes, subject)
        ppid, start_ns, name = known.ppid, known.start_ns, known.comm
    if not ppid:
        raise NowhereError(f"{name} has no parent: the kernel started it")
    if found := processes.ancestors(ppid, start_ns):
        return found[0]
    other = processes.owner(ppid)
    if other is None:
        raise NowhereError(f"Nothing is known of its parent, pid {ppid}: it forked without exec, or was not seen")
    if may_be_parent(other, start_ns):
        return other
    raise AnotherError(f"Pid {ppid} is {other.comm} by now; the parent has ended, and is not known any more")


def caller(processes: Processes, reading: Syscalls | None, subject: Subject) -> ProcessKey:
    """Return the process as the counters of system calls know it."""
    if reading is None:
        raise NowhereError("No system calls were counted")
    start_ns = subject.start_ns
    try:
        start_ns = start_ns or process(processes, subject).start_ns
    except AnotherError:
        raise
    except NowhereError:
        if not subject.pid:
            raise
    assert subject.pid is not None
    if not start_ns:
        return process_of(reading, subject.pid)
    counted = (total.start_ns for total in reading.process_totals if total.pid == subject.pid)
    return subject.pid, next((start for start in counted if same_start(start, start_ns)), start_ns)


def others_traced(processes: Processes, traced: Iterable[Syscall], subject: Subject) -> str:
    """Return words for traced calls with the pid of *subject* that another process made; empty if there are none."""
    known = process(processes, subject)
    started = started_s(processes, known) or 0.0
    for call in traced:
        if call.pid == known.pid:
            if call.time < started - SLACK_S:
                return f"Those from before {known.comm} started are another process's: it had pid {known.pid} then"
            if known.ended is not None and call.time > known.ended + SLACK_S:
                return f"Those from after {known.comm} ended are another process's: it has pid {known.pid} now"
    return ""
