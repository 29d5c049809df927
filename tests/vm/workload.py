"""Something to see: programs started and failed, calls made, timers set, all counted by the one who did them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from dataclasses import dataclass

# Nobody's user id, so that whatever is seen of it came from here.
UID = 54321
MARKER = "ebpftop-matrix"
PROGRAM = "/bin/true"
MISSING = "/nonexistent/ebpftop-matrix"

_STARTED, _FAILED = 6, 3
_CALLS, _WRONG_CALLS = 500, 20
_TIMERS = 5
_NO_SUCH_POLICY = 99
_SIGEV_NONE = 1


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: process ids of the programs that started, and of those whose execve failed; counts of the rest.

    `calls` counts sched_get_priority_max, which hardly any program uses, `wrong_calls` those among them that failed.
    """

    started: frozenset[int]
    failed: frozenset[int]
    calls: int
    wrong_calls: int
    timers: int


def work() -> Done:
    """Do it, as root."""
    started = frozenset(_start(i) for i in range(_STARTED))
    failed = frozenset(_fail(i) for i in range(_FAILED))
    for _ in range(_CALLS):
        os.sched_get_priority_max(os.SCHED_FIFO)
    for _ in range(_WRONG_CALLS):
        with contextlib.suppress(OSError):
            os.sched_get_priority_max(_NO_SUCH_POLICY)
    for _ in range(_TIMERS):
        _set_timer()
    return Done(started, failed, _CALLS + _WRONG_CALLS, _WRONG_CALLS, _TIMERS)


def argv(number: int) -> tuple[str, ...]:
    """The arguments of program *number*, told apart by it; one of them is empty."""
    return ("true", MARKER, "", str(number))


def _start(number: int) -> int:
    with subprocess.Popen(argv(number), executable=PROGRAM, user=UID, cwd="/") as process:
        return process.pid


def _fail(number: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(UID)
            os.execv(MISSING, argv(number))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return pid


def _set_timer() -> None:
    """Create a POSIX timer that tells nobody, and delete it."""
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    # struct sigevent (sigevent(7)): sigev_value, sigev_signo, sigev_notify; 64 bytes in all.
    event = (ctypes.c_int * 16)(0, 0, 0, _SIGEV_NONE)
    timer = ctypes.c_void_p()
    if libc.timer_create(0, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_delete(timer):
        raise OSError(ctypes.get_errno(), "timer_create or timer_delete")
