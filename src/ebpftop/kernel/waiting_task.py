"""A thread that waits, as /proc shows it, and what can be said of its wait."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import msgspec

from ebpftop.kernel.sockets import SocketTables

AWAITED_MAX = 4
"""Other processes that an answer names."""
THREADS_MAX = 256
"""Threads of a process that are looked at."""

_STATUS_BYTES = 8192


class Awaited(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A process, or a thread, that ends the wait."""

    pid: int
    comm: bytes


class Wait(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a thread waits for: see `core.syscall_records.InFlight`."""

    fd: int | None = None
    path: bytes | None = None
    peer: str | None = None
    lock: int | None = None
    awaited: tuple[Awaited, ...] = ()
    more: int = 0
    stack: tuple[bytes, ...] = ()
    searched: bool = True
    """Who has the other end of a socket is known, or that nobody on this machine has."""


class WaitingTask(NamedTuple):
    """A process that waits, and its thread."""

    pid: int
    tid: int
    task: str
    stack: tuple[bytes, ...]
    sockets: SocketTables

    def memory(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of its memory. Raises OSError."""
        fd = os.open(f"{self.task}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, size, address)
        finally:
            os.close(fd)

    def link(self, fd: int) -> bytes:
        """Return what a descriptor is, as /proc shows it. Raises OSError."""
        return os.readlink(os.fsencode(f"{self.task}/fd/{fd:d}"))


def signed(register: int) -> int:
    return (register & 0xFFFFFFFF) - ((register & 0x80000000) << 1)


def read(path: str, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def comm_of(pid: int) -> bytes:
    return read(f"/proc/{pid:d}/comm", 64).rstrip(b"\n")


def named(pids: Sequence[int]) -> tuple[Awaited, ...]:
    found = []
    for pid in pids[:AWAITED_MAX]:
        with suppress(OSError):
            found.append(Awaited(pid, comm_of(pid)))
    return tuple(found)


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for tid in islice(os.listdir(f"/proc/{pid:d}/task"), THREADS_MAX):
        with suppress(OSError):
            found += map(int, read(f"/proc/{pid:d}/task/{tid}/children", 1 << 16).split())
    return sorted(found)


def status_words(path: str, key: bytes) -> list[bytes]:
    """Return the words of a line of a status file; none if it is not there."""
    for line in read(f"{path}/status", _STATUS_BYTES).splitlines():
        if line.startswith(key):
            return line.split()[1:]
    return []


def in_namespace(process: WaitingTask, paths: Iterator[tuple[int, str]], number: int) -> int | None:
    """Return our number of the one that process *process* knows by *number*, in its own pid namespace."""
    depth = len(status_words(process.task, b"NSpid:"))
    for ours, path in paths:
        with suppress(OSError):
            numbers = status_words(path, b"NSpid:")
            if len(numbers) >= depth and int(numbers[depth - 1]) == number:
                return ours
    return None
