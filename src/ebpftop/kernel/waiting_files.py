"""Threads that wait for descriptors: files, sockets, pipes; and for paths."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from ebpftop.kernel.sockets import UNNAMED, is_connected
from ebpftop.kernel.waiting_task import (
    AWAITED_MAX,
    Awaited,
    Wait,
    WaitingTask,
    children_of,
    comm_of,
    named,
    read,
    signed,
    status_words,
)

_RELATIVES_MAX = 32
_DESCRIPTORS_MAX = 16
_FDINFO_BYTES = 4 << 20  # of an epoll set: about 50,000 descriptors; the kernel makes all of it anyway
_PATH_MAX = 4096
_POLLFD = struct.Struct("=ihh")
_EPOLL_SLEEPS = (b"ep_poll", b"do_epoll_wait")
_AF_UNIX = 1


def file(process: WaitingTask, registers: Sequence[int], argument: int) -> Wait:
    return _descriptor(process, signed(registers[argument]))


def _descriptor(process: WaitingTask, fd: int) -> Wait:
    path = process.link(fd)
    if path.startswith(b"pipe:["):
        ends = list(_other_ends(process, fd, path))
        return Wait(fd=fd, path=path, awaited=tuple(ends[:AWAITED_MAX]), more=max(0, len(ends) - AWAITED_MAX))
    peer = process.sockets.peer(process.task, path)
    # Where a process has both ends, one of its own threads ends the wait, unless others have them, too.
    pids = [pid for pid in peer.pids if pid != process.pid] or peer.pids
    more = max(0, len(pids) - AWAITED_MAX)
    return Wait(fd=fd, path=path, peer=peer.text, awaited=named(pids), more=more, searched=peer.searched)


def connect(process: WaitingTask, registers: Sequence[int], argument: int) -> Wait:
    wait = file(process, registers, argument)
    if wait.peer is None:
        address = process.memory(registers[1], min(registers[2], 128))
        if len(address) > 2 and int.from_bytes(address[:2], "little") == _AF_UNIX:
            # In the abstract namespace a name begins with NUL (unix(7)).
            name = address[2:].partition(b"\0")[0] if address[2] else b"@" + address[3:]
            return msgspec.structs.replace(wait, peer=f"unix {name.decode(errors='backslashreplace')}")
    return wait


def _best(process: WaitingTask, descriptors: Sequence[int], count: int) -> Wait:
    """Return the one of several descriptors that says most: one with another end."""
    waits = []
    for fd in descriptors[:_DESCRIPTORS_MAX]:
        with suppress(OSError):
            waits.append(_descriptor(process, fd))
    if not waits:
        return Wait()
    best = max(waits, key=lambda wait: _worth(process, wait))
    searched = all(wait.searched for wait in waits)
    return msgspec.structs.replace(best, more=count - 1 if count > 1 else best.more, searched=searched)


def _worth(process: WaitingTask, wait: Wait) -> int:
    """Return how much a descriptor says: an end elsewhere says most, one of the process's own least."""
    if not wait.peer or not is_connected(wait.peer) or any(one.pid == process.pid for one in wait.awaited):
        return int(bool(wait.awaited or wait.peer))
    return 2 if wait.peer in UNNAMED else 3


def poll(process: WaitingTask, registers: Sequence[int], _argument: int) -> Wait:
    count = registers[1] & 0xFFFFFFFF  # unsigned int
    size = min(count, _DESCRIPTORS_MAX) * _POLLFD.size
    raw = process.memory(registers[0], size) if size else b""
    polled = [fd for fd, _, _ in _POLLFD.iter_unpack(raw[: len(raw) // _POLLFD.size * _POLLFD.size]) if fd >= 0]
    return _best(process, polled, len(polled) + max(0, count - _DESCRIPTORS_MAX))


def select(process: WaitingTask, registers: Sequence[int], _argument: int) -> Wait:
    size = (min(max(0, signed(registers[0])), 1024) + 63) // 64 * 8
    watched = 0
    for address in registers[1:3]:
        if address and size:
            watched |= int.from_bytes(process.memory(address, size), "little")
    found = [fd for fd in range(size * 8) if watched >> fd & 1]
    return _best(process, found, len(found))


def epoll(process: WaitingTask, registers: Sequence[int], argument: int) -> Wait:
    fd = signed(registers[argument])
    # Only asleep it holds no lock that reading this takes.
    if not process.stack or process.stack[0] not in _EPOLL_SLEEPS:
        return Wait(fd=fd, path=process.link(fd))
    found = []
    _, *lines = read(f"{process.task}/fdinfo/{fd:d}", _FDINFO_BYTES).split(b"\ntfd:", _DESCRIPTORS_MAX)
    count = len(lines) + (lines[-1].count(b"\ntfd:") if lines else 0)
    for line in lines:
        words = line.split(maxsplit=8)
        inode = next((int(word[4:], 16) for word in words if word.startswith(b"ino:")), 0)
        # The number may be of another file by now.
        with suppress(OSError):
            if process.link(int(words[0])).endswith(b":[%d]" % inode):
                found.append(int(words[0]))
    return _best(process, found, count) if found else Wait(fd=fd, path=process.link(fd))


def path(process: WaitingTask, registers: Sequence[int], argument: int) -> Wait:
    return Wait(path=process.memory(registers[argument], _PATH_MAX).partition(b"\0")[0] or None)


def _other_ends(process: WaitingTask, fd: int, path: bytes) -> Iterator[Awaited]:
    """Yield who has the other end of a pipe, among parent, children and siblings: others are not searched.

    The process itself is not one: it waits.
    """
    mode = os.lstat(f"{process.task}/fd/{fd:d}").st_mode
    other = {0o400: 0o200, 0o200: 0o400}.get(mode & 0o600)
    if other is None:
        return
    parent = int(status_words(process.task, b"PPid:")[0])
    relatives = [*children_of(process.pid), *([parent, *children_of(parent)] if parent > 0 else [])]
    for pid in list(dict.fromkeys(relatives))[:_RELATIVES_MAX]:
        if pid == process.pid:
            continue
        for standard in (1, 2, 0) if other == 0o200 else (0,):
            place = f"/proc/{pid:d}/fd/{standard:d}"
            try:
                if os.readlink(os.fsencode(place)) == path and os.lstat(place).st_mode & other:
                    yield Awaited(pid, comm_of(pid))
                    break
            except OSError:
                continue
