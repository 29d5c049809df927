"""The known processes and their parents: those that ran before, that started since, and that ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ebpftop.core.memory_budget import scaled
from ebpftop.core.process_records import TICK_NS, Exec, Exit, Process
from ebpftop.core.record_memory import texts
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.models.bounded import Bounded

MAX_RUNNING = 32_768
MAX_BYTES = 4 << 20
ENDED_KEPT = 20_000
ENDED_BYTES = 2 << 20
"""Bounds on the ended processes that are kept to find whose an event was."""

_KNOWN_BYTES = 400
_KTHREADD = 2  # it and init (1) have no parent

UNKNOWN_PID = -1
"""The parent of a process that no record reported."""

LINEAGE_MAX = 4096
"""Ancestors of a process that are remembered, or up to twice as many."""


class Lineage:
    """From whom a process descends: the parent it was born to, which it keeps when that ends and another adopts it.

    The kernel's filter follows forks, so it keeps this parent too. Links stay when ancestors are evicted.
    """

    __slots__ = ("_answer", "_depth", "parent", "pid", "ppid", "start_ns")

    def __init__(self, pid: int, start_ns: int, ppid: int) -> None:
        self.pid = pid
        self.start_ns = start_ns
        self.ppid = ppid
        self.parent: Lineage | None = None
        self._depth = 0
        self._answer: tuple[tuple[int, ...], bool] | None = None

    def link(self, parent: Lineage) -> None:
        """Note that *parent* is the parent. If there are too many ancestors, the eldest are dropped."""
        self.parent = parent
        self._depth = parent._depth + 1
        if self._depth >= 2 * LINEAGE_MAX:
            eldest: Lineage = self
            for _ in range(LINEAGE_MAX):
                if eldest.parent is None:
                    break
                eldest = eldest.parent
            eldest.parent = None
            self._depth = LINEAGE_MAX

    def has_ancestor(self, other: Lineage) -> bool:
        """Return whether *other* is this process, or one that it descends from."""
        one: Lineage | None = self
        while one is not None and one is not other:
            one = one.parent
        return one is not None

    def descends(self, pids: tuple[int, ...], parent_of: Callable[[Lineage], Lineage | None]) -> bool | None:
        """Return whether this is a process of *pids* or descends from one; None if an ancestor is not known yet.

        *parent_of* looks for a missing parent.
        """
        asked: list[Lineage] = []
        found = whole = False
        one: Lineage | None = self
        while one is not None:
            if one._answer is not None and one._answer[0] == pids:
                found, whole = one._answer[1], True
                break
            asked.append(one)
            found = one.pid in pids or one.ppid in pids
            whole = found or 0 <= one.ppid <= _KTHREADD
            if whole:
                break
            one = one.parent or parent_of(one)
            whole = one is None and asked[-1].ppid == 0
        if whole:
            answer = (pids, found)
            for one in asked:
                one._answer = answer
        return found if whole else None


class ProcessInfo:
    """One process: what it runs, and how it ended if it did. Times are Unix seconds."""

    __slots__ = (
        *("argv", "comm", "ended", "ending", "execs", "file", "pid", "ppid", "since", "start_ns", "uid", "user"),
        *("argv_cut", "bytes_used", "cgroup", "container", "lineage", "matched", "reported"),
    )

    def __init__(self, record: Exec | Process | Exit) -> None:
        self.execs = 0
        self.ended: float | None = None
        self.ending: Exit | None = None
        self.pid = record.pid
        self.start_ns = record.start_ns
        self.lineage = Lineage(record.pid, record.start_ns, record.ppid)
        self.cgroup = ""
        self.container: str | None = None
        self.run(record)

    def run(self, record: Exec | Process | Exit) -> None:
        """Set what the process runs now, or ran at its end, from *record*."""
        self.ppid = record.ppid
        self.uid = record.uid
        self.comm = record.comm
        self.user, self.argv = (None, ()) if isinstance(record, Exit) else (record.user, record.argv)
        self.argv_cut = isinstance(record, Exec) and record.truncated
        self.file = record.file if isinstance(record, Exec) else ""
        self.since = record.time if isinstance(record, Exec) else None
        self.reported = record.time
        self.matched = record.matched if isinstance(record, Process) else True
        if isinstance(record, Exec):
            self.cgroup, self.container = record.cgroup, record.container
        # About the memory that it takes.
        self.bytes_used = _KNOWN_BYTES + texts(self.argv) + len(self.file) + len(self.cgroup)

    def is_same_process(self, start_ns: int) -> bool:
        """Return whether this is the process that started at *start_ns* (since boot; 0 is unknown).

        /proc knows only the clock tick of a start.
        """
        return not start_ns or same_start(self.start_ns, start_ns)


def same_start(one_ns: int, other_ns: int) -> bool:
    """Return whether two starts may be the same one: of either only the clock tick may be known."""
    if one_ns % TICK_NS and other_ns % TICK_NS:
        return one_ns == other_ns
    return one_ns // TICK_NS == other_ns // TICK_NS


class Processes:
    """Every known process, by pid: all running ones, the *keep* that ended last, and some that only forked.

    No real machine has more than `MAX_RUNNING`, or more than `MAX_BYTES` of arguments: then the oldest are evicted.
    Several models may share one table (`ebpftop.models.base.share_processes`), if all learn of processes by `feed`.
    """

    def __init__(self, keep: int = 2000, ended_bytes: int = MAX_BYTES // 4) -> None:
        self.running: Bounded[int, ProcessInfo] = Bounded(MAX_RUNNING, scaled(MAX_BYTES))
        self.ended: Bounded[int, ProcessInfo] = Bounded(keep, scaled(ended_bytes))
        self._forked: Bounded[int, ProcessInfo] = Bounded(keep, scaled(ended_bytes))
        self._fed: Batch | None = None
        self._found: tuple[ProcessInfo | None, ...] = ()

    def feed(self, batch: Batch) -> Sequence[ProcessInfo | None]:
        """Note the records of *batch*, and return for each what `note` does.

        However many models share this table, each batch is noted once. It must not be fed again after a later one.
        """
        if batch is not self._fed:
            self._fed, self._found = batch, tuple(map(self.note, batch.records))
        return self._found

    def note(self, record: Record) -> ProcessInfo | None:
        """Learn from *record* if it is about a process; return the process. None: it is not, or ends an unknown one."""
        match record:
            case Exit():
                return self.exited(record)
            case Exec() if record.ret < 0:
                return self.failed(record)
            case Exec() | Process():
                return self.started(record)
            case _:
                return None

    def started(self, record: Exec | Process) -> ProcessInfo:
        """Note that a process runs a new program."""
        known = self.running.get(record.pid)
        if known is not None and known.is_same_process(record.start_ns):
            if isinstance(record, Process) and (record.comm == known.comm or record.argv == known.argv):
                # The same program as before; an exec record has more details than /proc.
                known.reported, known.ppid, known.uid, known.user = record.time, record.ppid, record.uid, record.user
                known.matched = record.matched
                return known
            known.run(record)
            if record.start_ns % TICK_NS:
                known.start_ns = record.start_ns
            # Not put again: the process keeps its age.
            self.running.resize(record.pid, known.bytes_used)
        else:
            if known is not None:
                # Its end was never seen (lost, or the probe was off), but its pid belongs to another process now.
                self._mark_exited(known, record.time)
            self.ended.drop(record.pid)
            known = self._new(record)
            self.running.put(record.pid, known, known.bytes_used)
        if isinstance(record, Exec):
            known.execs += 1
        return known

    def failed(self, record: Exec) -> ProcessInfo:
        """Note that a process failed to run a program. It may only have forked: then no other record reports it."""
        known = self.running.get(record.pid)
        if known is None or not known.is_same_process(record.start_ns):
            known = self._new(record)
            self._forked.put(record.pid, known, known.bytes_used)
        else:
            known.uid, known.user = record.uid, record.user
            known.cgroup, known.container = record.cgroup, record.container
        return known

    def _new(self, record: Exec | Process | Exit) -> ProcessInfo:
        known = ProcessInfo(record)
        forked = self._forked.drop(record.pid)
        if forked is not None and forked.is_same_process(record.start_ns):
            known.lineage = forked.lineage
        elif (parent := self._parent_of(known.lineage)) is not None:
            known.lineage.link(parent)
        return known

    def exited(self, record: Exit) -> ProcessInfo | None:
        """Note that a process ended; return None if it was not known."""
        known = self.running.get(record.pid)
        if known is None or not known.is_same_process(record.start_ns):
            other = self.owner(record.pid)
            if other is None or not other.is_same_process(record.start_ns):
                # It only forked, and was too short-lived to be reported: its end shows whose child it was.
                other = self._new(record)
                self._forked.put(record.pid, other, other.bytes_used)
            if other.ended is None:
                other.ending, other.ended = record, record.time
            return None
        known.ending = record
        self._mark_exited(known, record.time)
        return known

    def get(self, pid: int) -> ProcessInfo | None:
        return self.running.get(pid) or self.ended.get(pid)

    def owner(self, pid: int) -> ProcessInfo | None:
        """Return the newest process with *pid*, also one that only forked, or failed to run a program."""
        return self._forked.get(pid) or self.get(pid)

    def descends(self, lineage: Lineage, pids: tuple[int, ...]) -> bool | None:
        """Return whether a process is one of *pids*, or descends from one, also if those between have ended.

        None if that is not known yet: an ancestor was not reported so far.
        """
        return lineage.descends(pids, self._link_parent)

    def _parent_of(self, lineage: Lineage) -> Lineage | None:
        known = self.owner(lineage.ppid) if lineage.ppid else None
        return known.lineage if known is not None and may_be_parent(known, lineage.start_ns) else None

    def _link_parent(self, lineage: Lineage) -> Lineage | None:
        parent = self._parent_of(lineage)
        if parent is not None and parent.has_ancestor(lineage):
            # In a damaged recording, processes may be each other's ancestors.
            lineage.ppid, parent = 0, None
        lineage.parent = parent
        return parent

    def ancestors(self, ppid: int, start_ns: int) -> list[ProcessInfo]:
        """Return the parent *ppid* of a process that started at *start_ns* (since boot), then its parent, up to pid 1.

        The list ends early if an ancestor is not known, or is younger than its child: then its pid was reused.
        """
        found: list[ProcessInfo] = []
        seen: set[int] = set()
        while ppid and ppid not in seen:
            seen.add(ppid)
            known = self.get(ppid)
            if known is None or not may_be_parent(known, start_ns):
                break
            found.append(known)
            ppid, start_ns = known.ppid, known.start_ns or start_ns
        return found

    def _mark_exited(self, known: ProcessInfo, time: float) -> None:
        known.ended = time
        self.running.drop(known.pid)
        self.ended.put(known.pid, known, known.bytes_used)


def may_be_parent(known: ProcessInfo, start_ns: int) -> bool:
    """Return whether *known* is old enough to be the parent of what started at *start_ns*; else its pid was reused.

    Of either start only the clock tick may be known.
    """
    return not start_ns or known.start_ns // TICK_NS <= start_ns // TICK_NS
