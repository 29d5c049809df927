"""The programs of a recording as they start and end, each with its process, and that with its parent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from ebpftop.conversion.input import ns
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Record
from ebpftop.models.processes import same_start

DEEPEST = 100
"""Generations of processes. One that is deeper begins a tree of its own: each may be the child of the one before."""
_MOST = 65_536
"""Processes that run. Beyond that, those that did nothing for longest are taken for ended: their ends may be lost."""
_LATE_NS = 5 * 10**9
"""Records of other probes may name a process that has ended so long ago."""


@dataclass(slots=True, eq=False)
class Program:
    """What a process runs: since *begin_ns* (Unix) a program that it executed, or what it had when it was first seen.

    `start`: the record that says so, if there is one. `was_there`: it ran before the recording began. `forked`: it is
    what the parent of the process ran.
    """

    process: TreeProcess
    comm: str
    begin_ns: int
    start: Exec | Process | None = None
    was_there: bool = False
    forked: bool = False
    parent: Program | None = None
    """What the parent ran when the process was first seen."""


@dataclass(slots=True, eq=False)
class TreeProcess:
    """A process: (`pid`, `start_ns`) identify it, 0 is an unknown start. `parent`: None if nothing is known of it."""

    pid: int
    start_ns: int
    parent: TreeProcess | None
    depth: int = 0
    program: Program = field(init=False)
    ended_ns: int | None = None
    children: dict[int, TreeProcess] = field(default_factory=dict)
    """Those that run."""


@dataclass(frozen=True, slots=True)
class Began:
    """A program began to run."""

    program: Program


@dataclass(frozen=True, slots=True)
class Ended:
    """A program does not run any more since *end_ns*. Its process ended (*exit*, None: not seen) or runs *next*."""

    program: Program
    end_ns: int
    exit: Exit | None = None
    next: Exec | None = None
    is_cut: bool = False
    """The recording ended before."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A process called execve in vain."""

    process: TreeProcess
    exec: Exec


Change = Began | Ended | Failed


class ExecTree:
    """Follows records in their order. *begin_ns* is when the recording began, *boot_offset_ns* as in `input`."""

    def __init__(self, begin_ns: int, boot_offset_ns: int) -> None:
        self._begin_ns = self._now_ns = begin_ns
        self._offset_ns = boot_offset_ns
        self._processes: dict[int, TreeProcess] = {}
        self._ended: deque[TreeProcess] = deque()
        self._changes: list[Change] = []

    def follow(self, record: Record) -> list[Change]:
        """Return what *record* changes, in the order of time."""
        if isinstance(record, (Exec, Exit, Process)):
            self._now_ns = max(self._now_ns, ns(record.time))
            self._forget()
        if isinstance(record, Exec):
            self._execute(record)
        elif isinstance(record, Exit):
            self._exit(record)
        elif isinstance(record, Process):
            self._see(record)
        return self._take()

    def process(self, pid: int, comm: str) -> tuple[TreeProcess, list[Change]]:
        """Return the process that a record of another probe names, and what that changes: it may be new."""
        known = self._processes.get(pid)
        if known is None:
            known = self._add(pid, 0, None, comm)
        return known, self._take()

    def finish(self, end_ns: int) -> Iterator[Ended]:
        """Yield the ends of all that runs: the recording ends."""
        for process in [*self._processes.values()]:
            if process.ended_ns is None:
                process.ended_ns = max(end_ns, process.program.begin_ns)
                yield Ended(process.program, process.ended_ns, is_cut=True)

    def _take(self) -> list[Change]:
        changes, self._changes = self._changes, []
        return changes

    def _execute(self, record: Exec) -> None:
        at_ns = max(ns(record.time), self._begin_ns)
        process = self._known(record.pid, record.start_ns)
        if process is not None and process.parent is None:
            self._adopt(process, self._parent(record.ppid, record.pcomm))
        if record.ret < 0:
            if process is None:
                process = self._add(record.pid, record.start_ns, self._parent(record.ppid, record.pcomm), record.comm)
            self._changes.append(Failed(process, record))
            return
        if process is None:
            process = self._insert(record.pid, record.start_ns, self._parent(record.ppid, record.pcomm))
            above = process.parent.program if process.parent else None
        elif process.program.start is record:
            return
        else:
            process.start_ns = record.start_ns or process.start_ns
            at_ns = max(at_ns, process.program.begin_ns)
            above = process.program.parent
            self._changes.append(Ended(process.program, at_ns, next=record))
        was_there = ns(record.time) < self._begin_ns
        process.program = Program(process, record.comm, at_ns, record, was_there, parent=above)
        self._changes.append(Began(process.program))

    def _exit(self, record: Exit) -> None:
        process = self._known(record.pid, record.start_ns)
        if process is None:
            if not record.forked and record.duration_s is None:
                return  # what is known of it is that it ended
            process = self._add(record.pid, record.start_ns, self._parent(record.ppid, ""), record.comm)
            process.program.forked = record.forked
        elif process.parent is None:
            self._adopt(process, self._parent(record.ppid, ""))
        self._end(process, max(ns(record.time), process.program.begin_ns), record)

    def _see(self, record: Process) -> None:
        known = self._known(record.pid, record.start_ns)
        if known is not None:
            if known.program.start is None:
                known.program.start = record
            return
        self._add(record.pid, record.start_ns, self._processes.get(record.ppid), record.comm, record)

    def _known(self, pid: int, start_ns: int) -> TreeProcess | None:
        """Return the process, if it is known. One with the same pid and another start has ended meanwhile."""
        known = self._processes.get(pid)
        if known is None or known.ended_ns is not None:
            return None
        if start_ns and known.start_ns and not same_start(known.start_ns, start_ns):
            self._end(known, max(self._now_ns, known.program.begin_ns), None)
            return None
        self._keep(known)
        return known

    def _parent(self, pid: int, comm: str) -> TreeProcess | None:
        """Return a parent, which is added if something is known of it."""
        known = self._processes.get(pid)
        if known is None and pid > 0 and comm:
            known = self._add(pid, 0, None, comm)
        return known

    def _add(
        self, pid: int, start_ns: int, parent: TreeProcess | None, comm: str, start: Process | None = None
    ) -> TreeProcess:
        """Add a process of which no exec was seen: it runs since it started, or since the recording began."""
        process = self._insert(pid, start_ns, parent)
        above = process.parent.program if process.parent else None
        # A start that is only known to the clock tick is rounded down. One that is not known was seen by nobody.
        begin_ns = max(start_ns + self._offset_ns if start_ns else self._now_ns, self._begin_ns)
        was_there = not start_ns or begin_ns == self._begin_ns
        program = process.program = Program(process, comm, begin_ns, start, was_there, not was_there, above)
        self._changes.append(Began(program))
        return process

    def _insert(self, pid: int, start_ns: int, parent: TreeProcess | None) -> TreeProcess:
        """Insert a new process behind its parent; its program has to be set."""
        if parent is not None and parent.depth >= DEEPEST:
            parent = None
        process = TreeProcess(pid, start_ns, parent, parent.depth + 1 if parent else 0)
        if parent is not None:
            parent.children[pid] = process
            self._keep(parent)
        self._processes.pop(pid, None)
        self._processes[pid] = process
        if len(self._processes) > _MOST:
            oldest = self._processes.pop(next(iter(self._processes)))
            if oldest.ended_ns is None:
                self._end(oldest, max(self._now_ns, oldest.program.begin_ns), None)
        return process

    def _keep(self, process: TreeProcess) -> None:
        """Put a process at the end of those that did something."""
        if self._processes.get(process.pid) is process:
            del self._processes[process.pid]
            self._processes[process.pid] = process

    def _adopt(self, process: TreeProcess, parent: TreeProcess | None) -> None:
        """Give a process of which only children, or calls, were seen its parent."""
        if parent is None:
            return
        above = [*islice(_above(parent), DEEPEST + 1)]
        if len(above) <= DEEPEST and process not in above:
            process.parent, process.depth = parent, parent.depth + 1
            process.program.parent = parent.program
            parent.children[process.pid] = process

    def _end(self, process: TreeProcess, end_ns: int, record: Exit | None) -> None:
        process.ended_ns = end_ns
        self._ended.append(process)
        self._changes.append(Ended(process.program, end_ns, record))
        if process.parent is not None and process.parent.children.get(process.pid) is process:
            del process.parent.children[process.pid]

    def _forget(self) -> None:
        """Forget the processes that ended long ago."""
        while self._ended and (self._ended[0].ended_ns or 0) < self._now_ns - _LATE_NS:
            process = self._ended.popleft()
            if self._processes.get(process.pid) is process:
                del self._processes[process.pid]


def _above(process: TreeProcess | None) -> Iterator[TreeProcess]:
    while process is not None:
        yield process
        process = process.parent
