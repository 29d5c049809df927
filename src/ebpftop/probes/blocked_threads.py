"""How many threads of each process are blocked now: /proc has the state of each thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from ebpftop.core.escape import comm_text
from ebpftop.kernel.threads import own_pids, sees_all, stat_fields
from ebpftop.probes.pacing import Pace
from ebpftop.probes.procfs import pids

THREADS_MAX = 16384
"""Of more threads, none is counted."""

# A thread takes 13 µs: 150 take 2 ms, and are read with each reading; 3,000 take 40, and are read every 4 s.
_PASSES = (0.5, 0.5, 0.01)
_BLOCKED = (b"S", b"D")  # proc(5): what waits for something, and may be ended by a signal or not
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD of include/linux/sched.h
_FORGET_EVERY = 32  # passes: a number of a thread of the kernel may be a process's by then


class BlockedProcess(NamedTuple):
    """A process: the name of its first thread, and how many threads are blocked."""

    comm: str
    threads: int


Matches = Callable[[int, int, bytes], bool]


class BlockedThreads:
    """The threads that are blocked, by process, as of a moment ago; ebpftop's own are left out."""

    def __init__(self) -> None:
        self._processes: dict[int, BlockedProcess] | None = None
        self._by_comm: dict[str, int] = {}
        self._pace = Pace(*_PASSES)
        self._kernel_threads: set[int] = set()
        self._passes = 0

    def refresh(self, matches: Matches | None) -> bool:
        """Look at all threads, and return True, if that is due.

        *matches* is what the filter says to pid, uid and comm.
        """
        now_s = time.monotonic()
        if not self._pace.due(now_s):
            return False
        began_s = time.thread_time()
        self._processes = self._read(matches) if sees_all() else None
        self._by_comm = {}
        for process in (self._processes or {}).values():
            self._by_comm[process.comm] = self._by_comm.get(process.comm, 0) + process.threads
        self._pace.done(now_s, time.monotonic(), time.thread_time() - began_s)
        return True

    def of_processes(self, members: Iterable[int] | None) -> int | None:
        """Return how many threads of these processes are blocked; None if it is not known."""
        processes = self._processes
        if processes is None or members is None:
            return None
        return sum(processes[pid].threads for pid in members if pid in processes)

    def of_comm(self, comm: str) -> int | None:
        """Return how many threads of all processes with this name are blocked; None if it is not known."""
        return None if self._processes is None else self._by_comm.get(comm, 0)

    def _read(self, matches: Matches | None) -> dict[int, BlockedProcess] | None:
        if self._passes % _FORGET_EVERY == 0:
            self._kernel_threads.clear()
        self._passes += 1
        own = own_pids()
        found: dict[int, BlockedProcess] = {}
        threads = 0
        for pid in pids():
            if pid in self._kernel_threads or pid in own:
                continue
            with suppress(OSError, ValueError, IndexError):  # it has ended
                comm, fields = stat_fields(_read(f"/proc/{pid:d}/stat"))
                if int(fields[6]) & _KERNEL_THREAD:
                    self._kernel_threads.add(pid)
                    continue
                if matches is not None and not matches(pid, os.stat(f"/proc/{pid:d}").st_uid, comm):
                    continue
                number = int(fields[17])
                threads += number
                if threads > THREADS_MAX:
                    return None
                blocked = (fields[0] in _BLOCKED) if number == 1 else _blocked_of(pid)
                found[pid] = BlockedProcess(comm_text(comm), int(blocked))
        return found


def _blocked_of(pid: int) -> int:
    """Return how many threads of a process with several are blocked."""
    count = 0
    for tid in os.listdir(f"/proc/{pid:d}/task"):
        with suppress(OSError, IndexError):
            _, fields = stat_fields(_read(f"/proc/{pid:d}/task/{tid}/stat"))
            count += fields[0] in _BLOCKED
    return count


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1024)
    finally:
        os.close(fd)
