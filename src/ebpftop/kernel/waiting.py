"""What a thread waits for in the system call that it is in: /proc has the call's arguments, and what they stand for.

Another process's files, locks and children take CAP_SYS_PTRACE, and its kernel stack CAP_SYS_ADMIN, so
kernel/root_helper.py does it. What cannot be known for sure is left out. Nothing here asks a file system, or takes the
lock of a socket. Memory is read of the arguments alone; a program can make that wait, so a thread of its own does all
of it (`WaitReader`).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import thread_time
from typing import NamedTuple

import msgspec

from ebpftop.kernel import waiting_files, waiting_locks, waiting_processes
from ebpftop.kernel.sockets import SocketTables
from ebpftop.kernel.waiting_task import Wait, WaitingTask, read

ASKED_MAX = 32
"""Threads of one `WaitReader.ask`."""

KINDS = ("none", "file", "connect", "poll", "select", "epoll", "futex", "child", "waitid", "vfork", "lock", "path")
"""How a call says what it waits for; "none": it does not."""

_FRAMES_MAX = 32
_UNREADABLE = (ArithmeticError, LookupError, OSError, ValueError, struct.error)
"""What reading arguments and /proc may raise: programs choose the one, and shape the other."""
_ENTRIES = (b"do_syscall", b"entry_", b"invoke_syscall", b"el0", b"do_el0", b"do_int80", b"do_fast_syscall", b"ret_")


class Question(NamedTuple):
    """A thread, the number of the call that it is in, one of `KINDS`, and which argument stands for what it waits.

    *enter_ns* is when the call began: an answer that came late belongs to the same call only.
    """

    pid: int
    tid: int
    nr: int
    kind: str
    argument: int
    enter_ns: int


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
        self._late = False  # nobody has got the answers yet
        self._worker: threading.Thread | None = None
        self._sockets = SocketTables()

    def ask(self, asked: Sequence[Question], patience_s: float) -> list[Wait | None] | None:
        """Return an answer for each question, None for a thread that is not in its call (any more).

        None instead of a list if that takes longer than *patience_s*, or what was asked before still does. Those
        answers come with the next list that asks for one of them: else a slow machine would never have any.
        """
        if not self._ready.is_set():
            return None
        if self._late:
            self._late = False
            late = dict(zip(self._asked, self._answers, strict=True))
            if not late.keys().isdisjoint(asked):
                return [late.get(question) for question in asked]
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
        self._late = not self._ready.wait(patience_s)
        return None if self._late else self._answers

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
        line = read(f"{task}/syscall", 512)
        words = line.split()
        if len(words) != 9 or int(words[0]) != asked.nr:
            return None
        stack = _stack(task)
        process = WaitingTask(asked.pid, asked.tid, task, stack, sockets)
        wait = Wait()
        with suppress(*_UNREADABLE):
            wait = _READ[asked.kind](process, [int(word, 16) for word in words[1:7]], asked.argument)
        # What was read belongs to this call only if it still lasts.
        if read(f"{task}/syscall", 512) != line:
            return None
    except _UNREADABLE:
        return None
    return msgspec.structs.replace(wait, stack=stack)


def _stack(task: str) -> tuple[bytes, ...]:
    """Return the kernel's functions that a thread is in, the innermost first, without those of every call."""
    found: list[bytes] = []
    with suppress(OSError):
        for line in read(f"{task}/stack", 8192).splitlines()[:_FRAMES_MAX]:
            name = line.partition(b"] ")[2].partition(b"+")[0]
            if not name or name.startswith(_ENTRIES):
                break
            found.append(name)
    return tuple(found)


def none(_task: WaitingTask, _registers: Sequence[int], _argument: int) -> Wait:
    return Wait()


_READ: dict[str, Callable[[WaitingTask, Sequence[int], int], Wait]] = {
    "none": none,
    "file": waiting_files.file,
    "connect": waiting_files.connect,
    "poll": waiting_files.poll,
    "select": waiting_files.select,
    "epoll": waiting_files.epoll,
    "futex": waiting_locks.futex,
    "child": waiting_processes.child,
    "waitid": waiting_processes.waitid,
    "vfork": waiting_processes.vfork,
    "lock": waiting_locks.lock,
    "path": waiting_files.path,
}
assert tuple(_READ) == KINDS
