"""Threads that have not been on a CPU since the probe was attached: no program has seen them, /proc shows them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from ebpftop.core.process_records import TICK_NS
from ebpftop.kernel import clocks
from ebpftop.kernel.root_work import THREADS_MAX, RootWork
from ebpftop.kernel.threads import in_first_pid_namespace, stat_fields
from ebpftop.probes.entered_before import call_of
from ebpftop.probes.procfs import pids
from ebpftop.probes.state_threads import BLOCKED, NO_CALL, RUNNING, STOPPED, UNDECIDED, UNINTERRUPTIBLE, Thread
from ebpftop.probes.syscall_slots import Slots

PATIENCE_S = 1.5
"""How long it may take at the attach."""
MORE_S = 0.1
"""How long it may take at each reading after that, until it is done."""
_SCANNED_MAX = 32768
_STATES = {b"S": BLOCKED, b"D": UNINTERRUPTIBLE, b"R": RUNNING, b"T": STOPPED, b"t": STOPPED}
_KERNEL = 2  # the parent of all threads of the kernel


class Sleepers:
    """Finds the threads that there are, a part at a time: a machine may have very many, or be slow.

    Each is returned as if it had been in its state since *attached_ns* (CLOCK_MONOTONIC): one that a program has seen
    meanwhile is to be ignored. Threads of the kernel are left out: they wait until there is work for them. In another
    pid namespace the numbers of /proc mean other threads, and none is returned.
    """

    def __init__(self, root: RootWork, attached_ns: int, slots: Slots) -> None:
        self._root = root
        self._attached_ns = attached_ns
        self._slots = slots
        self._pids = pids()[::-1] if in_first_pid_namespace() else []
        self._found = 0

    @property
    def left_out(self) -> int:
        """How many processes are not looked at, because those before have so many threads."""
        return len(self._pids) if self._found >= _SCANNED_MAX else 0

    def more(self, patience_s: float) -> list[Thread]:
        """Look for more of them for about *patience_s*; return what was found: nothing if all have been."""
        found: list[Thread] = []
        until_s = time.monotonic() + patience_s
        is_first = True
        while self._pids and self._found < _SCANNED_MAX and (is_first or time.monotonic() < until_s):
            is_first = False
            some = self._some(until_s)
            self._found += len(some)
            for at in range(0, len(some), THREADS_MAX):
                found += self._with_calls(some[at : at + THREADS_MAX])
        return found

    def _some(self, until_s: float) -> list[Thread]:
        found: list[Thread] = []
        while self._pids and len(found) < THREADS_MAX:
            with suppress(OSError, ValueError, IndexError):
                found += _threads_of(self._pids.pop(), self._attached_ns)
            if time.monotonic() > until_s:
                break
        return found

    def _with_calls(self, threads: list[Thread]) -> list[Thread]:
        try:
            lines = self._root.calls([(thread.tgid, thread.tid) for thread in threads])
        except OSError:
            return threads
        return [
            thread._replace(call=_code(line, self._slots)) if thread.state in (BLOCKED, UNINTERRUPTIBLE) else thread
            for thread, line in zip(threads, lines, strict=True)
        ]


def is_there(thread: Thread) -> bool:
    """Return whether it has not ended."""
    return os.path.exists(f"/proc/{thread.tgid}/task/{thread.tid}")


def _threads_of(pid: int, attached_ns: int) -> list[Thread]:
    directory = Path("/proc", str(pid))
    uid = directory.stat().st_uid
    _, fields = stat_fields((directory / "stat").read_bytes())
    if pid == _KERNEL or int(fields[1]) == _KERNEL:
        return []
    start_ns = clocks.start_ns(int(fields[19]) * TICK_NS)
    found = []
    for entry in os.listdir(directory / "task"):
        comm, fields = stat_fields((directory / "task" / entry / "stat").read_bytes())
        state = _STATES.get(fields[0])
        if state is not None:
            found.append(_sleeper(pid, int(entry), uid, start_ns, state, attached_ns, comm))
    return found


def _sleeper(pid: int, tid: int, uid: int, start_ns: int, state: int, since_ns: int, comm: bytes) -> Thread:
    return Thread(0, since_ns, 0, 0, 0, 0, 0, start_ns, pid, tid, uid, state, UNDECIDED, NO_CALL, comm)


def _code(line: bytes, slots: Slots) -> int:
    """Return the call of a line of /proc/PID/syscall as bpf/states.c has it."""
    call = call_of(line, slots)
    if call is None:
        return NO_CALL
    abi, nr = call
    return nr | (0, 1 << 31, 1 << 30)[slots.abis.index(abi)]
