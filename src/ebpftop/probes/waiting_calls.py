"""What the calls in flight that are listed wait for, asked of kernel/waiting.py seldom, and for little of the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from time import monotonic
from typing import NamedTuple

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.syscall_records import Abi, Awaited, InFlight
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.threads import in_first_pid_namespace
from ebpftop.kernel.waiting import Question
from ebpftop.kernel.waiting_task import Wait
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.decode import descriptor_args, path_args

EACH_TIME = 32
"""So many calls at most are asked about with a reading, the first ones first."""
FIRST = 6
"""So many are asked about while nobody looks at all of them: those that pane 3 names below its table."""

_SHARE = 0.005  # of one CPU, that the answers may take
_AHEAD_S = 0.05
_AGAIN_S = 3.0  # who holds a lock, and which children there are, changes while a call lasts

_SOON_S = 0.5  # who has the other end of a socket is searched for in parts

_KINDS = {
    "connect": ("connect",),
    "poll": ("poll", "ppoll", "ppoll_time64"),
    "select": ("select", "_newselect", "pselect6", "pselect6_time64"),
    "epoll": ("epoll_wait", "epoll_pwait", "epoll_pwait2"),
    "futex": ("futex", "futex_time64"),
    "child": ("wait4", "waitpid"),
    "waitid": ("waitid",),
    "vfork": ("vfork", "clone", "clone3"),  # the others do not wait
    "lock": ("flock", "fcntl", "fcntl64"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_CHANGES = frozenset(("child", "waitid", "vfork", "lock"))
"""Kinds whose answer may name other processes later, though it names none now."""


@cache
def question_of(abi: Abi, name: str) -> tuple[str, int]:
    """Return how a call says what it waits for, one of `KINDS`, and by which argument.

    >>> question_of("x86_64", "read"), question_of("x86_64", "openat"), question_of("x86_64", "futex")
    (('file', 0), ('path', 1), ('futex', 0))
    >>> question_of("x86_64", "pause")
    ('none', 0)
    """
    if name in _KIND_OF:
        return _KIND_OF[name], 0
    paths = path_args(abi, name)
    if paths:
        return "path", paths[0]
    descriptors = descriptor_args(abi, name)
    return ("file", descriptors[0][0]) if descriptors else ("none", 0)


class _Known(NamedTuple):
    wait: Wait
    fields: dict[str, object]
    asked_s: float


class Listed(NamedTuple):
    """A call in flight as the probe found it: its row, when it began, and whether it still lasts."""

    row: InFlight
    enter_ns: int
    still: Callable[[], bool]


class WaitingCalls:
    """What the calls wait for that the last reading listed. Not thread-safe."""

    def __init__(self, root: RootWork, *, of_all: bool = True) -> None:
        """Ask about all of them, or, without *of_all*, about the first ones until somebody looks at all (`watch`)."""
        self._root = root
        self._of_all = of_all
        self._watched = False
        self._known: dict[tuple[int, int], _Known] = {}
        self._spent_s = 0.0
        self._begun_s: float | None = None

    def watch(self, watched: bool) -> bool:
        """Ask about all calls while they are *watched*; return whether that begins."""
        begins = watched and not self._watched and not self._of_all
        self._watched = watched
        return begins

    def complete(self, listed: Sequence[Listed]) -> tuple[InFlight, ...]:
        """Return the rows with what they wait for, as far as that is known, those that matter most asked first."""
        if not in_first_pid_namespace():  # numbers mean other threads
            return tuple(call.row for call in listed)
        here = {(call.row.tid, call.enter_ns): call for call in listed}
        self._known = {key: known for key, known in self._known.items() if key in here}
        now_s = monotonic()
        if self._begun_s is None:
            self._begun_s = now_s
        if self._spent_s < _SHARE * (now_s - self._begun_s) + _AHEAD_S:
            asked = here.items() if self._of_all or self._watched else islice(here.items(), FIRST)
            self._ask([key for key, call in asked if self._is_due(key, call.row, now_s)][:EACH_TIME], here, now_s)
        return tuple(
            msgspec.structs.replace(call.row, **self._known[key].fields) if key in self._known else call.row
            for key, call in here.items()
        )

    def _is_due(self, key: tuple[int, int], row: InFlight, now_s: float) -> bool:
        if row.running:
            return False
        known = self._known.get(key)
        if known is None:
            return True
        if not known.wait.searched:
            return now_s >= known.asked_s + _SOON_S
        may_change = known.wait.awaited or question_of(row.abi, row.name)[0] in _CHANGES
        return bool(may_change) and now_s >= known.asked_s + _AGAIN_S

    def _ask(self, keys: Sequence[tuple[int, int]], here: dict[tuple[int, int], Listed], now_s: float) -> None:
        if not keys:
            return
        try:
            found = self._root.waits([_question(here[key]) for key in keys])
        except OSError:  # the helper process with root's rights has ended, and we are about to end too
            return
        if found is None:
            return
        answers, self._spent_s = found
        for key, wait in zip(keys, answers, strict=True):
            # A thread may have gone from one call into the next one like it.
            if wait is None or not here[key].still():
                continue
            before = self._known.get(key)
            # Where nothing changed it is the same object, so that a partial reading finds no change.
            fields = before.fields if before is not None and before.wait == wait else _fields(wait)
            self._known[key] = _Known(wait, fields, now_s)


def _question(call: Listed) -> Question:
    row = call.row
    kind, argument = question_of(row.abi, row.name)
    # What the kernel calls x32 has a bit more.
    nr = row.nr | abis.X32_BIT if row.abi == "x32" else row.nr
    return Question(row.pid, row.tid, nr, kind, argument, call.enter_ns)


def _fields(wait: Wait) -> dict[str, object]:
    return {
        "fd": wait.fd,
        "path": escape(wait.path) if wait.path is not None else None,
        "peer": escape(wait.peer) if wait.peer is not None else None,
        "lock": f"{wait.lock:#x}" if wait.lock is not None else None,
        "awaited": tuple(Awaited(pid=one.pid, comm=escape(one.comm)) for one in wait.awaited),
        "more": wait.more,
        "kernel_stack": tuple(escape(frame) for frame in wait.stack) or None,
    }
