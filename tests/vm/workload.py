"""Something to see: programs started and failed, calls made, timers set, all counted by the one who did them."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import subprocess
from dataclasses import dataclass

# Nobody's user id, so that whatever is seen of it came from here.
UID = 54321
MARKER = "ebpftop-matrix"
PROGRAM = "/bin/true"
MISSING = "/nonexistent/ebpftop-matrix"
OPENED = "/proc/self/../self/oom_score"  # so that nobody else opens it by this path
NOT_OPENED = "/nonexistent/ebpftop-matrix-file"

_STARTED, _FAILED = 6, 3
_CALLS, _WRONG_CALLS = 500, 20
_TIMERS = 5
_OPERATIONS = 37
_OPENED, _NOT_OPENED = 9, 14
_NO_SUCH_POLICY = 99
_SIGEV_NONE = 1
# The same numbers on every machine; include/uapi/linux/io_uring.h.
_IO_URING_SETUP, _IO_URING_ENTER = 425, 426
_OFF_SQ_RING, _OFF_CQ_RING, _OFF_SQES = 0, 0x8000000, 0x10000000


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: process ids of the programs that started, and of those whose execve failed; counts of the rest.

    `operations` counts io_uring's, all of which do nothing. `calls` counts sched_get_priority_max, which hardly any
    program uses, `wrong_calls` those among them that failed. `opened` counts opens of `OPENED`, `not_opened` those of
    `NOT_OPENED`, which fail.
    """

    started: frozenset[int]
    failed: frozenset[int]
    calls: int
    wrong_calls: int
    timers: int
    operations: int
    opened: int
    not_opened: int


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
    operate()
    for path, times in ((OPENED, _OPENED), (NOT_OPENED, _NOT_OPENED)):
        for _ in range(times):
            with contextlib.suppress(FileNotFoundError):
                os.close(os.open(path, os.O_RDONLY))
    return Done(started, failed, _CALLS + _WRONG_CALLS, _WRONG_CALLS, _TIMERS, _OPERATIONS, _OPENED, _NOT_OPENED)


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


def operate() -> None:
    """Have io_uring do nothing, so many times (io_uring_setup(2), io_uring_enter(2))."""
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    params = ctypes.create_string_buffer(120)  # struct io_uring_params
    ring = libc.syscall(_IO_URING_SETUP, 1, params)
    if ring < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    # struct io_sqring_offsets, 40 bytes in: head, tail, ring_mask, ring_entries, flags, dropped, array
    _, tail_at, *_, array_at = struct.unpack_from("=7I", params, 40)
    queue = mmap.mmap(ring, array_at + 4, offset=_OFF_SQ_RING)
    # struct io_cqring_offsets, 80 bytes in: head, tail, ..
    done_head_at, done_tail_at = struct.unpack_from("=2I", params, 80)
    answers = mmap.mmap(ring, max(done_head_at, done_tail_at) + 4, offset=_OFF_CQ_RING)
    entries = mmap.mmap(ring, 64, offset=_OFF_SQES)  # one struct io_uring_sqe: all zeros is a NOP
    try:
        entries[:] = bytes(64)
        struct.pack_into("=I", queue, array_at, 0)
        for number in range(1, _OPERATIONS + 1):
            struct.pack_into("=I", queue, tail_at, number)
            if libc.syscall(_IO_URING_ENTER, ring, 1, 0, 0, None, 0) != 1:
                raise OSError(ctypes.get_errno(), "io_uring_enter")
            answers[done_head_at : done_head_at + 4] = answers[done_tail_at : done_tail_at + 4]
    finally:
        entries.close()
        answers.close()
        queue.close()
        os.close(ring)


def _set_timer() -> None:
    """Create a POSIX timer that tells nobody, and delete it."""
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    # struct sigevent (sigevent(7)): sigev_value, sigev_signo, sigev_notify; 64 bytes in all.
    event = (ctypes.c_int * 16)(0, 0, 0, _SIGEV_NONE)
    timer = ctypes.c_void_p()
    if libc.timer_create(0, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_delete(timer):
        raise OSError(ctypes.get_errno(), "timer_create or timer_delete")
