"""Who prints: process, name and BPF program of threads whose lines come through a trace buffer, which has only ids."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

THREADS_MAX = 16_384
"""More than the kernel remembers (`printers` in bpf/trace.c), so that the kernel forgets first."""

# A printer as it is kept, packed, since nearly all threads that print only once are kept too: time, pid, program, comm.
_NAME = struct.Struct("=qiI16s")
_NO_PID = -1
_FEW = 4

_SETTLE_NS = 1_000_000_000
# The clocks of other buffers may advance in ticks of up to 10 ms: sched_clock without a stable TSC.
_OTHER_CLOCK_NS = 20_000_000


class Printer(NamedTuple):
    """Process and name of a thread, raw, and the id of the BPF program in it; `pid` is None, that id 0 if unknown."""

    pid: int | None
    task: bytes
    program_id: int = 0


UNKNOWN = Printer(None, b"<...>")  # as ftrace says it


class Printers:
    """Names of threads over time. The kernel sends them before the lines; a name not sent is read from /proc."""

    def __init__(self, forget: Callable[[int], object] = lambda _tid: None, limit: int = THREADS_MAX) -> None:
        """*forget* is called with the thread that is forgotten here: the kernel has to send its name again."""
        self._names: OrderedDict[int, bytes | bytearray] = OrderedDict()
        self._forget = forget
        self._limit = limit

    def learn(self, tid: int, time_ns: int, printer: Printer) -> None:
        """Note that from *time_ns* on (CLOCK_MONOTONIC) a thread was *printer*."""
        names = self._names.get(tid, b"")
        if len(names) == _FEW * _NAME.size:
            names = bytearray(names)  # one that changes its name all the time
        # Lines of the last drain are reported; of the older names only the one valid at that time may be needed again.
        old = 0
        while (old + 1) * _NAME.size < len(names) and _since_ns(names, old + 1) < time_ns - _SETTLE_NS:
            old += 1
        if old and isinstance(names, bytearray):
            del names[: old * _NAME.size]
        elif old:
            names = names[old * _NAME.size :]
        names += _NAME.pack(time_ns, _NO_PID if printer.pid is None else printer.pid, printer.program_id, printer.task)
        self._names[tid] = names
        self._names.move_to_end(tid)
        while len(self._names) > self._limit:
            self._forget(self._names.popitem(last=False)[0])

    def at(self, tid: int, time_ns: int) -> Printer:
        """Return who *tid* was at *time_ns*."""
        names = self._names.get(tid)
        if names is None:
            return from_proc(tid)
        self._names.move_to_end(tid)
        for at in reversed(range(len(names) // _NAME.size)):
            if _since_ns(names, at) <= time_ns:
                return _printer(names, at)
        # Names are sent before lines. If the line seems older than the name, the two clocks differ.
        first_ns, first = _since_ns(names, 0), _printer(names, 0)
        if first_ns - time_ns <= _OTHER_CLOCK_NS:
            return first
        there = from_proc(tid)
        # The clocks of emulated processors may differ by more. /proc does not know a process that has ended.
        return first if there == UNKNOWN and first_ns - time_ns <= _SETTLE_NS else there


def _since_ns(names: bytes | bytearray, at: int) -> int:
    since_ns: int = _NAME.unpack_from(names, at * _NAME.size)[0]
    return since_ns


def _printer(names: bytes | bytearray, at: int) -> Printer:
    _, pid, program_id, task = _NAME.unpack_from(names, at * _NAME.size)
    return Printer(None if pid == _NO_PID else pid, task.rstrip(b"\0"), program_id)


def from_proc(tid: int) -> Printer:
    """Return who a thread is now, which may not be who it was when it printed."""
    try:
        task = Path(f"/proc/{tid}/comm").read_bytes()[:-1]
        status = Path(f"/proc/{tid}/status").read_bytes()
    except OSError:
        return UNKNOWN
    # After the name, whose newlines are escaped there: "Umask", "State", "Tgid".
    _, found, rest = status.partition(b"\nTgid:")
    return Printer(int(rest.split(None, 1)[0]) if found else None, task)
