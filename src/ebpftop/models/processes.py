"""The known processes and their parents: those that ran before, that started since, and that ended."""

from __future__ import annotations

from ebpftop.core.record_memory import texts
from ebpftop.core.records import TICK_NS, Exec, Exit, Process
from ebpftop.models.bounded import Bounded

MAX_RUNNING = 32_768
MAX_BYTES = 8 << 20
_KNOWN_BYTES = 300


class ProcessInfo:
    """One process: what it runs, and how it ended if it did. Times are Unix seconds."""

    __slots__ = (
        *("argv", "comm", "ended", "ending", "execs", "file", "pid", "ppid", "since", "start_ns", "uid", "user"),
        *("bytes_used", "cgroup", "container", "told", "matched"),
    )

    def __init__(self, record: Exec | Process) -> None:
        self.execs = 0
        self.ended: float | None = None
        self.ending: Exit | None = None
        self.pid = record.pid
        self.start_ns = record.start_ns
        self.run(record)

    def run(self, record: Exec | Process) -> None:
        """Set what the process runs now, from *record*."""
        self.ppid = record.ppid
        self.uid = record.uid
        self.user = record.user
        self.comm = record.comm
        self.argv = record.argv
        # About the memory that it takes.
        self.bytes_used = _KNOWN_BYTES + texts(self.argv)
        self.file = record.file if isinstance(record, Exec) else ""
        self.since = record.time if isinstance(record, Exec) else None
        self.told = record.time
        self.matched = isinstance(record, Exec) or record.matched
        self.cgroup, self.container = (record.cgroup, record.container) if isinstance(record, Exec) else ("", None)

    def is_same_process(self, start: int) -> bool:
        """Return whether this is the process that started at *start* (ns since boot)."""
        if self.start_ns % TICK_NS == 0:
            return self.start_ns <= start < self.start_ns + TICK_NS or not start
        return self.start_ns == start or not start


class Processes:
    """Every known process, by pid: all running ones, and the *keep* that ended last.

    No real machine has more than `MAX_RUNNING`, or more than `MAX_BYTES` of arguments: then the oldest are evicted.
    """

    def __init__(self, keep: int = 2000) -> None:
        self.running: Bounded[int, ProcessInfo] = Bounded(MAX_RUNNING, MAX_BYTES)
        self.ended: Bounded[int, ProcessInfo] = Bounded(keep, MAX_BYTES // 4)

    def started(self, record: Exec | Process) -> ProcessInfo:
        """Note that a process runs a new program."""
        known = self.running.get(record.pid)
        if known is not None and known.is_same_process(record.start_ns):
            if isinstance(record, Process) and (record.comm == known.comm or record.argv == known.argv):
                # The same program as before; an exec record has more details than /proc.
                known.told, known.ppid, known.uid, known.user = record.time, record.ppid, record.uid, record.user
                known.matched = record.matched
                return known
            known.run(record)
            known.start_ns = record.start_ns or known.start_ns
            # Not put again: the process keeps its age.
            self.running.resize(record.pid, known.bytes_used)
        else:
            if known is not None:
                # Its end was never seen (lost, or the probe was off), but its pid belongs to another process now.
                self._mark_exited(known, record.time)
            self.ended.drop(record.pid)
            known = ProcessInfo(record)
            self.running.put(record.pid, known, known.bytes_used)
        if isinstance(record, Exec):
            known.execs += 1
        return known

    def exited(self, record: Exit) -> ProcessInfo | None:
        """Note that a process ended; return None if it was not known."""
        known = self.running.get(record.pid)
        if known is None or not known.is_same_process(record.start_ns):
            return None
        known.ending = record
        self._mark_exited(known, record.time)
        return known

    def get(self, pid: int) -> ProcessInfo | None:
        return self.running.get(pid) or self.ended.get(pid)

    def ancestors(self, ppid: int, start: int) -> list[ProcessInfo]:
        """Return the parent *ppid* of a process that started at *start* (ns since boot), then its parent, up to pid 1.

        The list ends early if an ancestor is not known, or is younger than its child: then its pid was reused.
        """
        found: list[ProcessInfo] = []
        seen: set[int] = set()
        while ppid and ppid not in seen:
            seen.add(ppid)
            known = self.get(ppid)
            if known is None or (start and known.start_ns > start):
                break
            found.append(known)
            ppid, start = known.ppid, known.start_ns or start
        return found

    def _mark_exited(self, known: ProcessInfo, time: float) -> None:
        known.ended = time
        self.running.drop(known.pid)
        self.ended.put(known.pid, known, known.bytes_used)
