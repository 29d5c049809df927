"""The threads in the maps of bpf/states.c, and what of them is the same for every reading."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from ebpftop.core.state_records import ThreadState
from ebpftop.kernel import maps

_CALLS, _WAKERS = 4, 4
_THREAD = struct.Struct("=8Q6I16s" + "QQQII" * _CALLS + "QII" * _WAKERS + "QQ")
_KEY_SIZE = 8
_ENDED = struct.Struct("=QQ")
_PROCESS_CALL = struct.Struct("=QII")
_CALL_TIME = struct.Struct("=QQQ")
_RETRIES = 3

STATES: tuple[ThreadState, ...] = ("running", "runnable", "blocked", "uninterruptible", "stopped")
"""enum thread_state of bpf/states.c."""
RUNNING, RUNNABLE, BLOCKED, UNINTERRUPTIBLE, STOPPED = range(5)
UNDECIDED, MATCHES, LEFT_OUT = range(3)
"""enum decision."""
NO_CALL, CALL_BEFORE = 0xFFFFFFFF, 0xFFFFFFFE
WAKER_SOFTIRQ, WAKER_IRQ, WAKER_INTERRUPT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


class CallTime(NamedTuple):
    """How long threads were blocked in one call, and how often."""

    call: int
    ns: int
    max_ns: int
    waits: int


class Thread(NamedTuple):
    """struct thread. `task` is 0 for one that was only seen in /proc."""

    task: int
    since_ns: int
    running_ns: int
    runnable_ns: int
    blocked_ns: int
    preempted: int
    wakeups: int
    start_ns: int
    tgid: int
    tid: int
    uid: int
    state: int
    decision: int
    call: int
    comm: bytes
    calls: tuple[CallTime, ...] = ()
    wakers: tuple[tuple[int, int], ...] = ()
    """Pid, or one of the other wakers, and how often."""

    @property
    def is_whole(self) -> bool:
        """Return whether the kernel has filled it: it is empty for a moment."""
        return self.start_ns > 0 or self.tgid > 0


def _thread(task: int, value: bytes) -> Thread:
    fields = _THREAD.unpack(value)
    calls = fields[15 : 15 + 5 * _CALLS]
    wakers = fields[15 + 5 * _CALLS : -2]
    blocked = tuple(CallTime(calls[at + 3], *calls[at : at + 3]) for at in range(0, len(calls), 5) if calls[at + 2])
    woken = tuple((wakers[at + 1], wakers[at]) for at in range(0, len(wakers), 3) if wakers[at])
    return Thread._make((task, *fields[1:15], blocked, woken))


class ThreadMap:
    """The map of threads. What did not change is not decoded again."""

    def __init__(self, table: maps.Map) -> None:
        self._table = table
        self._known: dict[bytes, tuple[bytes, Thread]] = {}

    def read(self) -> list[Thread]:
        """Return every thread that the kernel side has seen, the idle threads too."""
        known, before = {}, self._known
        for key, value in maps.items(self._table, _KEY_SIZE, _THREAD.size):
            had = before.get(key)
            if had is not None and had[0] == value:
                known[key] = had
            elif (raw := self._whole(key, value)) is not None:
                known[key] = raw, _thread(int.from_bytes(key, "little"), raw)
        self._known = known
        return [thread for _, thread in known.values() if thread.is_whole]

    def _whole(self, key: bytes, value: bytes | None) -> bytes | None:
        """Return *value*, read again if the kernel changed it meanwhile; None if the thread has ended."""
        for _ in range(_RETRIES):
            if value is None or value[:8] == value[-8:]:
                break
            value = maps.lookup(self._table, key, _THREAD.size)
        return value


def pop_ended(table: maps.Map) -> list[Thread]:
    """Return the threads that ended, and delete them."""
    keys, values = maps.keys_and_values(table, _ENDED.size, _THREAD.size)
    maps.delete_keys(table, keys)
    return [_thread(_ENDED.unpack(key)[0], value) for key, value in zip(keys, values, strict=True)]


class MovedCalls:
    """The calls for which the entries of threads had no place."""

    def __init__(self, table: maps.Map) -> None:
        self._table = table
        self._keys: dict[tuple[int, int], list[bytes]] = {}

    def read(self) -> dict[tuple[int, int], list[CallTime]]:
        """Return them, by pid and start of the process."""
        found: dict[tuple[int, int], list[CallTime]] = {}
        self._keys = {}
        for key, value in maps.items(self._table, _PROCESS_CALL.size, _CALL_TIME.size):
            start_ns, tgid, call = _PROCESS_CALL.unpack(key)
            found.setdefault((tgid, start_ns), []).append(CallTime(call, *_CALL_TIME.unpack(value)))
            self._keys.setdefault((tgid, start_ns), []).append(key)
        return found

    def delete(self, processes: Iterable[tuple[int, int]]) -> None:
        """Delete those of processes that have ended."""
        keys = [key for process in processes for key in self._keys.get(process, ())]
        if keys:
            maps.delete_keys(self._table, keys)
