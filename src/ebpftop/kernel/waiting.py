"""What a thread waits for in the system call that it is in: /proc has the call's arguments, and what they stand for.

Another process's files, locks and children take CAP_SYS_PTRACE, and its kernel stack CAP_SYS_ADMIN, so
kernel/root_helper.py does it. What cannot be known for sure is left out. Nothing here asks a file system, or takes the
lock of a socket. Memory is read of the arguments alone; a program can make that wait, so a thread of its own does all
of it (`WaitReader`).
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from time import thread_time
from typing import NamedTuple

import msgspec

from ebpftop.kernel.sockets import UNNAMED, SocketTables, is_connected

ASKED_MAX = 32
"""Threads of one `WaitReader.ask`."""

KINDS = ("none", "file", "connect", "poll", "select", "epoll", "futex", "child", "waitid", "vfork", "lock", "path")
"""How a call says what it waits for; "none": it does not."""

_AWAITED_MAX = 4
_RELATIVES_MAX = 32
_THREADS_MAX = 256
_DESCRIPTORS_MAX = 16
_FRAMES_MAX = 32
_FDINFO_BYTES = 4 << 20  # of an epoll set: about 50,000 descriptors; the kernel makes all of it anyway
_PATH_MAX = 4096
_STATUS_BYTES = 8192
_LOCKS_BYTES = 1 << 18
_POLLFD = struct.Struct("=ihh")
_MUTEX = struct.Struct("=iIi")  # pthread_mutex_t of glibc: lock, count, owner
_CONTENDED = 2  # what glibc's lock is while somebody waits for it
_FUTEX_OPERATION = 0x7F
_FUTEX_WAIT, _FUTEX_LOCK_PI, _FUTEX_WAIT_BITSET, _FUTEX_LOCK_PI2 = 0, 6, 9, 13  # include/uapi/linux/futex.h
_FUTEX_TID = 0x3FFFFFFF
_EPOLL_SLEEPS = (b"ep_poll", b"do_epoll_wait")
_P_ALL, _P_PID, _P_PGID, _P_PIDFD = range(4)  # include/uapi/linux/wait.h
_AF_UNIX = 1
_UNREADABLE = (ArithmeticError, LookupError, OSError, ValueError, struct.error)
"""What reading arguments and /proc may raise: programs choose the one, and shape the other."""
_ENTRIES = (b"do_syscall", b"entry_", b"invoke_syscall", b"el0", b"do_el0", b"do_int80", b"do_fast_syscall", b"ret_")


class Question(NamedTuple):
    """A thread, the number of the call that it is in, one of `KINDS`, and which argument stands for what it waits."""

    pid: int
    tid: int
    nr: int
    kind: str
    argument: int


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


class WaitReader:
    """Answers questions in a thread of its own, since a program can make it wait. Only one thread may ask."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        """CPU time that it has taken so far."""
        self._asked: Sequence[Question] = ()
        self._answers: list[Wait | None] = []
        self._begins = threading.Event()
        self._ready = threading.Event()
        self._ready.set()
        self._worker: threading.Thread | None = None
        self._sockets = SocketTables()

    def ask(self, asked: Sequence[Question], patience_s: float) -> list[Wait | None] | None:
        """Return an answer for each question, None for a thread that is not in its call (any more).

        None instead of a list if that takes longer than *patience_s*, or what was asked before still does.
        """
        if not self._ready.is_set():
            return None
        if self._worker is None:
            worker = threading.Thread(target=self._work, name="waits", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # a limit on threads
                return None
            self._worker = worker
        self._asked = asked
        self._ready.clear()
        self._begins.set()
        return self._answers if self._ready.wait(patience_s) else None

    def _work(self) -> None:
        while True:
            self._begins.wait()
            self._begins.clear()
            self._sockets.holders.begin_part()
            self._answers = [wait_of(question, self._sockets) for question in self._asked]
            self.spent_s = thread_time()
            self._ready.set()


def wait_of(asked: Question, sockets: SocketTables) -> Wait | None:
    """Return what a thread waits for; None if it is not in that call."""
    task = f"/proc/{asked.pid:d}/task/{asked.tid:d}"
    try:
        line = _read(f"{task}/syscall", 512)
        words = line.split()
        if len(words) != 9 or int(words[0]) != asked.nr:
            return None
        stack = _stack(task)
        process = _Process(asked.pid, asked.tid, task, stack, sockets)
        wait = Wait()
        with suppress(*_UNREADABLE):
            wait = _READ[asked.kind](process, [int(word, 16) for word in words[1:7]], asked.argument)
        # What was read belongs to this call only if it still lasts.
        if _read(f"{task}/syscall", 512) != line:
            return None
    except _UNREADABLE:
        return None
    return msgspec.structs.replace(wait, stack=stack)


class _Process(NamedTuple):
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


def _signed(register: int) -> int:
    return (register & 0xFFFFFFFF) - ((register & 0x80000000) << 1)


def _read(path: str, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def _stack(task: str) -> tuple[bytes, ...]:
    """Return the kernel's functions that a thread is in, the innermost first, without those of every call."""
    found: list[bytes] = []
    with suppress(OSError):
        for line in _read(f"{task}/stack", 8192).splitlines()[:_FRAMES_MAX]:
            name = line.partition(b"] ")[2].partition(b"+")[0]
            if not name or name.startswith(_ENTRIES):
                break
            found.append(name)
    return tuple(found)


# Descriptors.


def _none(_process: _Process, _registers: Sequence[int], _argument: int) -> Wait:
    return Wait()


def _file(process: _Process, registers: Sequence[int], argument: int) -> Wait:
    return _descriptor(process, _signed(registers[argument]))


def _descriptor(process: _Process, fd: int) -> Wait:
    path = process.link(fd)
    if path.startswith(b"pipe:["):
        ends = list(_other_ends(process, fd, path))
        return Wait(fd=fd, path=path, awaited=tuple(ends[:_AWAITED_MAX]), more=max(0, len(ends) - _AWAITED_MAX))
    peer = process.sockets.peer(process.task, path)
    # Where a process has both ends, one of its own threads ends the wait, unless others have them, too.
    pids = [pid for pid in peer.pids if pid != process.pid] or peer.pids
    more = max(0, len(pids) - _AWAITED_MAX)
    return Wait(fd=fd, path=path, peer=peer.text, awaited=_named(pids), more=more, searched=peer.searched)


def _connect(process: _Process, registers: Sequence[int], argument: int) -> Wait:
    wait = _file(process, registers, argument)
    if wait.peer is None:
        address = process.memory(registers[1], min(registers[2], 128))
        if len(address) > 2 and int.from_bytes(address[:2], "little") == _AF_UNIX:
            # In the abstract namespace a name begins with NUL (unix(7)).
            name = address[2:].partition(b"\0")[0] if address[2] else b"@" + address[3:]
            return msgspec.structs.replace(wait, peer=f"unix {name.decode(errors='backslashreplace')}")
    return wait


def _best(process: _Process, descriptors: Sequence[int], count: int) -> Wait:
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


def _worth(process: _Process, wait: Wait) -> int:
    """Return how much a descriptor says: an end elsewhere says most, one of the process's own least."""
    if not wait.peer or not is_connected(wait.peer) or any(one.pid == process.pid for one in wait.awaited):
        return int(bool(wait.awaited or wait.peer))
    return 2 if wait.peer in UNNAMED else 3


def _poll(process: _Process, registers: Sequence[int], _argument: int) -> Wait:
    count = registers[1] & 0xFFFFFFFF  # unsigned int
    size = min(count, _DESCRIPTORS_MAX) * _POLLFD.size
    raw = process.memory(registers[0], size) if size else b""
    polled = [fd for fd, _, _ in _POLLFD.iter_unpack(raw[: len(raw) // _POLLFD.size * _POLLFD.size]) if fd >= 0]
    return _best(process, polled, len(polled) + max(0, count - _DESCRIPTORS_MAX))


def _select(process: _Process, registers: Sequence[int], _argument: int) -> Wait:
    size = (min(max(0, _signed(registers[0])), 1024) + 63) // 64 * 8
    watched = 0
    for address in registers[1:3]:
        if address and size:
            watched |= int.from_bytes(process.memory(address, size), "little")
    found = [fd for fd in range(size * 8) if watched >> fd & 1]
    return _best(process, found, len(found))


def _epoll(process: _Process, registers: Sequence[int], argument: int) -> Wait:
    fd = _signed(registers[argument])
    # Only asleep it holds no lock that reading this takes.
    if not process.stack or process.stack[0] not in _EPOLL_SLEEPS:
        return Wait(fd=fd, path=process.link(fd))
    found = []
    _, *lines = _read(f"{process.task}/fdinfo/{fd:d}", _FDINFO_BYTES).split(b"\ntfd:", _DESCRIPTORS_MAX)
    count = len(lines) + (lines[-1].count(b"\ntfd:") if lines else 0)
    for line in lines:
        words = line.split(maxsplit=8)
        inode = next((int(word[4:], 16) for word in words if word.startswith(b"ino:")), 0)
        # The number may be of another file by now.
        with suppress(OSError):
            if process.link(int(words[0])).endswith(b":[%d]" % inode):
                found.append(int(words[0]))
    return _best(process, found, count) if found else Wait(fd=fd, path=process.link(fd))


def _path(process: _Process, registers: Sequence[int], argument: int) -> Wait:
    return Wait(path=process.memory(registers[argument], _PATH_MAX).partition(b"\0")[0] or None)


# Other processes.


def _comm(pid: int) -> bytes:
    return _read(f"/proc/{pid:d}/comm", 64).rstrip(b"\n")


def _named(pids: Sequence[int]) -> tuple[Awaited, ...]:
    found = []
    for pid in pids[:_AWAITED_MAX]:
        with suppress(OSError):
            found.append(Awaited(pid, _comm(pid)))
    return tuple(found)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for tid in islice(os.listdir(f"/proc/{pid:d}/task"), _THREADS_MAX):
        with suppress(OSError):
            found += map(int, _read(f"/proc/{pid:d}/task/{tid}/children", 1 << 16).split())
    return sorted(found)


def _status(path: str, key: bytes) -> list[bytes]:
    """Return the words of a line of a status file; none if it is not there."""
    for line in _read(f"{path}/status", _STATUS_BYTES).splitlines():
        if line.startswith(key):
            return line.split()[1:]
    return []


def _in_namespace(process: _Process, paths: Iterator[tuple[int, str]], number: int) -> int | None:
    """Return our number of the one that process *process* knows by *number*, in its own pid namespace."""
    depth = len(_status(process.task, b"NSpid:"))
    for ours, path in paths:
        with suppress(OSError):
            numbers = _status(path, b"NSpid:")
            if len(numbers) >= depth and int(numbers[depth - 1]) == number:
                return ours
    return None


def _child(process: _Process, registers: Sequence[int], argument: int) -> Wait:
    return _children_by(process, _signed(registers[argument]))


def _children_by(process: _Process, pid: int) -> Wait:
    """Return which children are waited for, as wait4(2) has it: one, all (-1), or those of a process group."""
    children = _children(process.pid)
    if pid > 0:
        found = _in_namespace(process, ((child, f"/proc/{child:d}") for child in children), pid)
        return Wait(awaited=_named([found])) if found is not None else Wait()
    if pid != -1:
        key = b"NSpgid:"
        group = int(_status(process.task, key)[-1]) if pid == 0 else -pid
        depth = len(_status(process.task, key))
        children = [child for child in children if _is_in_group(child, depth, group)]
    return Wait(awaited=_named(children), more=max(0, len(children) - _AWAITED_MAX))


def _is_in_group(pid: int, depth: int, group: int) -> bool:
    with suppress(OSError):
        groups = _status(f"/proc/{pid:d}", b"NSpgid:")
        return len(groups) >= depth and int(groups[depth - 1]) == group
    return False


def _waitid(process: _Process, registers: Sequence[int], _argument: int) -> Wait:
    which, number = _signed(registers[0]), _signed(registers[1])
    if which == _P_PIDFD:
        lines = _read(f"{process.task}/fdinfo/{number:d}", 1024).splitlines()
        pid = next((int(line.split()[1]) for line in lines if line.startswith(b"Pid:")), 0)
        return Wait(fd=number, awaited=_named([pid])) if pid > 0 else Wait()
    return _children_by(process, {_P_ALL: -1, _P_PID: number, _P_PGID: -number}[which]) if which <= _P_PGID else Wait()


def _vfork(process: _Process, _registers: Sequence[int], _argument: int) -> Wait:
    """Return the child that has the memory of a thread until it runs a program or ends: vfork(2), posix_spawn(3).

    It is the newest one of the thread, which makes no other meanwhile; adopted ones have memory of their own.
    """
    ours = _read(f"{process.task}/statm", 256)
    for child in reversed(_read(f"{process.task}/children", 1 << 16).split()):
        with suppress(OSError):
            if _read(f"/proc/{int(child):d}/statm", 256) == ours:
                return Wait(awaited=_named([int(child)]))
    return Wait()


def _other_ends(process: _Process, fd: int, path: bytes) -> Iterator[Awaited]:
    """Yield who has the other end of a pipe, among parent, children and siblings: others are not searched.

    The process itself is not one: it waits.
    """
    mode = os.lstat(f"{process.task}/fd/{fd:d}").st_mode
    other = {0o400: 0o200, 0o200: 0o400}.get(mode & 0o600)
    if other is None:
        return
    parent = int(_status(process.task, b"PPid:")[0])
    relatives = [*_children(process.pid), *([parent, *_children(parent)] if parent > 0 else [])]
    for pid in list(dict.fromkeys(relatives))[:_RELATIVES_MAX]:
        if pid == process.pid:
            continue
        for standard in (1, 2, 0) if other == 0o200 else (0,):
            place = f"/proc/{pid:d}/fd/{standard:d}"
            try:
                if os.readlink(os.fsencode(place)) == path and os.lstat(place).st_mode & other:
                    yield Awaited(pid, _comm(pid))
                    break
            except OSError:
                continue


# Locks.


def _lock(process: _Process, registers: Sequence[int], argument: int) -> Wait:
    wait = _file(process, registers, argument)
    holders = _holders(_read("/proc/locks", _LOCKS_BYTES), process.pid)
    return msgspec.structs.replace(wait, awaited=_named(holders)) if len(holders) == 1 else wait


def _holders(locks: bytes, pid: int) -> list[int]:
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


def _futex(process: _Process, registers: Sequence[int], _argument: int) -> Wait:
    address, operation, value = registers[0], registers[1] & _FUTEX_OPERATION, _signed(registers[2])
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
    name = _read(f"/proc/{process.pid:d}/task/{thread:d}/comm", 64).rstrip(b"\n")
    return msgspec.structs.replace(wait, awaited=(Awaited(thread, name),))


def _thread(process: _Process, number: int) -> int | None:
    """Return our number of a thread of the same process; None if there is no such thread."""
    directory = f"/proc/{process.pid:d}/task"
    if len(_status(process.task, b"NSpid:")) == 1:
        return number if os.path.exists(f"{directory}/{number:d}") else None
    threads = islice(os.listdir(directory), _THREADS_MAX)
    return _in_namespace(process, ((int(tid), f"{directory}/{tid}") for tid in threads), number)


_READ: dict[str, Callable[[_Process, Sequence[int], int], Wait]] = {
    "none": _none,
    "file": _file,
    "connect": _connect,
    "poll": _poll,
    "select": _select,
    "epoll": _epoll,
    "futex": _futex,
    "child": _child,
    "waitid": _waitid,
    "vfork": _vfork,
    "lock": _lock,
    "path": _path,
}
assert tuple(_READ) == KINDS
