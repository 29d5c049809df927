"""Calls that threads were in before the probe was attached: no program saw them enter, but /proc shows them.

A worker reads /proc once, when the probe is attached. Whenever a call that it found is reported, it is checked again:
the thread must not have entered a call that a program saw, and bpf/syscalls_exit.h must not have seen it return or end.
The first time, and every few seconds, /proc must show that it is still in that call. So a call that ended while /proc
was read is not reported for long, and never again after a call of its thread that was seen.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from ebpftop.core.records import Attempt
from ebpftop.kernel import maps
from ebpftop.kernel.root_work import NOT_READABLE, THREADS_MAX, RootWork
from ebpftop.kernel.threads import in_first_pid_namespace, stat_fields
from ebpftop.probes.procfs import pids
from ebpftop.probes.syscall_slots import Call, Slots
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import WAITS

CALLS_MAX = 16384
"""Entries of the kernel's map; the calls that hang are the first to get one."""

_SCANNED_MAX = 65536
_PAUSE_S = 0.002  # between two requests, so that the screen's thread gets its turn
_CHUNK = 64
# For so many readings a thread that the filter does not match is skipped: checking ten thousand takes 0.2 s.
_ASKED_ANEW_EVERY = 16
_READ_ANEW_S = 5.0  # reading /proc for 64 calls takes 3 ms, asking the kernel's map 0.2
_BELOW_64_BIT = 1 << 32
_SLEEPS = (b"S", b"D")  # stopped by a signal (T), a thread has left its call already


class _Found(NamedTuple):
    """A call that a thread is in; `line` is the hash of its line in /proc."""

    pid: int
    tid: int
    slot: int
    line: int


class CallBefore(NamedTuple):
    """A thread, and the call that it was in before the probe was attached and is still in."""

    pid: int
    tid: int
    call: Call


Matches = Callable[[int, bytes], bool]


def what_is_refused(root: RootWork) -> Attempt | None:
    """Return an attach option with the reason why /proc does not show the calls of all threads; None if it does.

    The first 200 processes are checked, which takes milliseconds.
    """
    if not in_first_pid_namespace():
        reason = "in a pid namespace /proc does not number threads as the kernel's programs do"
    else:
        asked = pids()[:THREADS_MAX]
        try:
            refused = root.calls([(pid, pid) for pid in asked]).count(NOT_READABLE)
        except OSError as error:
            reason = f"/proc cannot be read: {error.strerror or error}"
        else:
            if not refused:
                return None
            part = "most" if refused > len(asked) // 2 else "some"
            reason = f"{part} processes may not be asked: that takes CAP_SYS_PTRACE, or more"
    return Attempt(via="entered before: /proc/PID/task/TID/syscall", cost="read once", reason=reason)


class EnteredBefore:
    """The calls entered before. Only one thread at a time may call `calls`; the worker is our own."""

    def __init__(self, root: RootWork, table: maps.Map, slots: Slots, attached_ns: int, matches: Matches) -> None:
        """*table* is the kernel's map; from *attached_ns* (CLOCK_MONOTONIC) on no call could enter unseen.

        *matches* returns whether the filter matches a pid and a thread's name.
        """
        self.attached_ns = attached_ns
        self.ignored: set[Call] = set()
        self._root = root
        self._table = table
        self._slots = slots
        self._matches = matches
        self._left_out: set[int] = set()
        self._read_as: dict[int, tuple[float, bytes]] = {}
        """When /proc showed that a thread is still in its call (CLOCK_MONOTONIC, seconds), and the thread's name."""
        self._readings = 0
        self._ends = threading.Event()
        self._worker: threading.Thread | None = None
        # Calls that hang, then calls whose purpose is to wait.
        self._found: tuple[dict[int, _Found], dict[int, _Found]] = {}, {}

    def begin(self) -> None:
        """Start the worker, once. Not before privileges are dropped, or it would keep them."""
        if self._worker is None:
            worker = threading.Thread(target=self._scan, name="entered-before", daemon=True)
            with suppress(RuntimeError):  # a limit on threads: the next reading tries again
                worker.start()
                self._worker = worker

    def wait(self, timeout_s: float) -> bool:
        """Wait until /proc has been read; False if it takes longer."""
        if self._worker is None:
            return False
        self._worker.join(timeout_s)
        return not self._worker.is_alive()

    def close(self) -> None:
        """End the worker. Safe to call twice."""
        self._ends.set()
        if self._worker is not None:
            self._worker.join()

    def filter_changed(self) -> None:
        """Check again which calls the filter matches."""
        self._left_out.clear()
        self._read_as.clear()

    def calls(self, entered: set[int], first: int | None = None) -> Iterator[tuple[CallBefore, bytes]]:
        """Yield each call still in progress, with the name of its thread; calls whose purpose is to wait come last.

        Those of process *first* come before all others. *entered* are the tids of the threads that are in a call that a
        program saw enter.
        """
        self._readings += 1
        if self._readings % _ASKED_ANEW_EVERY == 0:
            self._left_out.clear()
        lists = [(known, is_first) for is_first in (True, False) for known in self._found if known]
        for known, is_first in lists if first is not None else lists[len(lists) // 2 :]:
            chosen = (found for found in list(known.values()) if (found.pid == first) is is_first)
            waiting = iter([found for found in chosen if found.tid not in self._left_out])
            while some := list(islice(waiting, _CHUNK)):
                yield from self._still(known, some, entered)

    def _still(
        self, known: dict[int, _Found], some: Iterable[_Found], entered: set[int]
    ) -> Iterator[tuple[CallBefore, bytes]]:
        asked: list[tuple[_Found, bytes]] = []
        now_s = monotonic()
        for found in some:
            read_s, name = self._read_as.get(found.tid, (-math.inf, b""))
            if now_s < read_s + _READ_ANEW_S and found.tid not in entered and self.lasts(found.tid):
                if self._slots.call(found.slot) not in self.ignored:
                    yield CallBefore(found.pid, found.tid, self._slots.call(found.slot)), name
                continue
            comm = None if found.tid in entered else _sleeper(found.pid, found.tid)
            if comm is None:
                self._drop(known, found)
            elif not self._matches(found.pid, comm):
                self._left_out.add(found.tid)
            elif self._slots.call(found.slot) not in self.ignored:
                asked.append((found, comm))
        try:
            lines = self._root.calls([(found.pid, found.tid) for found, _ in asked])
        except OSError:  # the helper process with root's rights has ended, and we are about to end too
            return
        for (found, comm), line in zip(asked, lines, strict=True):
            # The map last: a call that returned, and was entered again just now, is not in it.
            if hash(line) != found.line or not self.lasts(found.tid):
                self._drop(known, found)
            else:
                self._read_as[found.tid] = now_s, comm
                yield CallBefore(found.pid, found.tid, self._slots.call(found.slot)), comm

    def lasts(self, tid: int) -> bool:
        """Return whether the kernel saw neither a return nor the end of the thread *tid*."""
        return maps.lookup(self._table, struct.pack("=I", tid), 4) is not None

    def _drop(self, known: dict[int, _Found], found: _Found) -> None:
        known.pop(found.tid, None)
        self._read_as.pop(found.tid, None)
        maps.delete(self._table, struct.pack("=I", found.tid))

    def _scan(self) -> None:
        hang: list[_Found] = []
        wait: list[_Found] = []
        threads = islice(_threads(), _SCANNED_MAX)
        if not in_first_pid_namespace():
            return
        with suppress(OSError):
            while (some := list(islice(threads, THREADS_MAX))) and not self._ends.wait(_PAUSE_S):
                for (pid, tid), line in zip(some, self._root.calls(some), strict=True):
                    found = self._parsed(pid, tid, line)
                    if found is not None:
                        (wait if abis.name(*self._slots.call(found.slot)) in WAITS else hang).append(found)
        with suppress(OSError):  # the map is full
            for found in (*hang, *wait):
                maps.update(self._table, struct.pack("=I", found.tid), struct.pack("=I", 1))
        self._found = {found.tid: found for found in hang}, {found.tid: found for found in wait}

    def _parsed(self, pid: int, tid: int, line: bytes) -> _Found | None:
        call = call_of(line, self._slots)
        slot = self._slots.slot(call) if call else None
        return None if slot is None else _Found(pid, tid, slot, hash(line))


def call_of(line: bytes, slots: Slots) -> Call | None:
    """Return the call of a line of /proc/PID/syscall; None if the thread is not in a call.

    The line does not name the ABI. A stack below 4 GiB means a 32-bit program, and all its calls are 32-bit calls.
    """
    words = line.split()
    if len(words) != 9:
        return None
    nr, stack, at = int(words[0]), int(words[7], 16), int(words[8], 16)
    if nr < 0 or not (stack or at):  # the kernel's own threads have no registers
        return None
    if stack < _BELOW_64_BIT and len(slots.abis) > 1:
        return slots.abis[1], nr
    if nr & abis.X32_BIT and len(slots.abis) > 2:
        return slots.abis[2], nr & ~abis.X32_BIT
    return slots.abis[0], nr


def _threads() -> Iterator[tuple[int, int]]:
    for pid in pids():
        try:
            tids = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        yield from ((pid, int(tid)) for tid in tids)


def _sleeper(pid: int, tid: int) -> bytes | None:
    """Return the name of a sleeping thread; None if it does not sleep, or has ended."""
    try:
        comm, fields = stat_fields(Path(f"/proc/{pid}/task/{tid}/stat").read_bytes())
    except OSError:
        return None
    return comm if fields[0] in _SLEEPS else None
