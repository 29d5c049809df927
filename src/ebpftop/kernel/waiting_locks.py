"""Threads that wait for locks of files, and for those in memory that are futexes."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import islice

import msgspec

from ebpftop.kernel.waiting_files import file
from ebpftop.kernel.waiting_task import (
    THREADS_MAX,
    Awaited,
    Wait,
    WaitingTask,
    in_namespace,
    named,
    read,
    signed,
    status_words,
)

_LOCKS_BYTES = 1 << 18
_MUTEX = struct.Struct("=iIi")  # pthread_mutex_t of glibc: lock, count, owner
_CONTENDED = 2  # what glibc's lock is while somebody waits for it
_FUTEX_OPERATION = 0x7F
_FUTEX_WAIT, _FUTEX_LOCK_PI, _FUTEX_WAIT_BITSET, _FUTEX_LOCK_PI2 = 0, 6, 9, 13  # include/uapi/linux/futex.h
_FUTEX_TID = 0x3FFFFFFF


def lock(process: WaitingTask, registers: Sequence[int], argument: int) -> Wait:
    wait = file(process, registers, argument)
    holders = holders_of(read("/proc/locks", _LOCKS_BYTES), process.pid)
    return msgspec.structs.replace(wait, awaited=named(holders)) if len(holders) == 1 else wait


def holders_of(locks: bytes, pid: int) -> list[int]:
    """Return who holds the locks of files that a process waits for, of /proc/locks (proc(5))."""
    held: dict[bytes, int] = {}
    found: list[int] = []
    for line in locks.splitlines():
        words = line.split()
        if len(words) < 6:
            continue
        if words[1] != b"->":
            held[words[0]] = int(words[4])
        elif words[5] == b"%d" % pid and held.get(words[0], 0) > 0:
            found.append(held[words[0]])
    return list(dict.fromkeys(found))


def futex(process: WaitingTask, registers: Sequence[int], _argument: int) -> Wait:
    address, operation, value = registers[0], registers[1] & _FUTEX_OPERATION, signed(registers[2])
    wait = Wait(lock=address)
    if operation in (_FUTEX_LOCK_PI, _FUTEX_LOCK_PI2):
        (word,) = struct.unpack("=I", process.memory(address, 4))
        owner = word & _FUTEX_TID
    elif operation in (_FUTEX_WAIT, _FUTEX_WAIT_BITSET) and value == _CONTENDED:
        word, _, owner = _MUTEX.unpack(process.memory(address, _MUTEX.size))
        if word != _CONTENDED:
            return wait
    elif operation in (_FUTEX_WAIT, _FUTEX_WAIT_BITSET) and value > 1:
        # Whoever waits for the end of a thread (pthread_join) waits while the word has the thread's number.
        (word,) = struct.unpack("=I", process.memory(address, 4))
        owner = value if word == value else 0
    else:
        return wait
    thread = _thread(process, owner) if owner > 0 else None
    if thread is None or thread == process.tid:
        return wait
    name = read(f"/proc/{process.pid:d}/task/{thread:d}/comm", 64).rstrip(b"\n")
    return msgspec.structs.replace(wait, awaited=(Awaited(thread, name),))


def _thread(process: WaitingTask, number: int) -> int | None:
    """Return our number of a thread of the same process; None if there is no such thread."""
    directory = f"/proc/{process.pid:d}/task"
    if len(status_words(process.task, b"NSpid:")) == 1:
        return number if os.path.exists(f"{directory}/{number:d}") else None
    threads = islice(os.listdir(directory), THREADS_MAX)
    return in_namespace(process, ((int(tid), f"{directory}/{tid}") for tid in threads), number)
