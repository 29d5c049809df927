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

_SCANNED_MAX = 32768
_PATIENCE_S = 1.5
_STATES = {b"S": BLOCKED, b"D": UNINTERRUPTIBLE, b"R": RUNNING, b"T": STOPPED, b"t": STOPPED}
_KERNEL = 2  # the parent of all threads of the kernel


def threads_before(root: RootWork, attached_ns: int, slots: Slots) -> list[Thread]:
    """Return the threads that there are, as if they had been in their states since *attached_ns* (CLOCK_MONOTONIC).

    Those of the kernel are left out: they wait until there is work for them. In another pid namespace the numbers of
    /proc mean other threads, and none is returned.
    """
    found: list[Thread] = []
    if not in_first_pid_namespace():
        return found
    until_s = time.monotonic() + _PATIENCE_S
    for pid in pids():
        if len(found) >= _SCANNED_MAX or time.monotonic() > until_s:
            break
        with suppress(OSError, ValueError, IndexError):
            found += _threads_of(pid, attached_ns)
    for at in range(0, len(found), THREADS_MAX):
        if time.monotonic() > until_s + _PATIENCE_S:
            break
        some = found[at : at + THREADS_MAX]
        with suppress(OSError):
            lines = root.calls([(thread.tgid, thread.tid) for thread in some])
            found[at : at + THREADS_MAX] = [
                thread._replace(call=_code(line, slots)) if thread.state in (BLOCKED, UNINTERRUPTIBLE) else thread
                for thread, line in zip(some, lines, strict=True)
            ]
    return found


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
