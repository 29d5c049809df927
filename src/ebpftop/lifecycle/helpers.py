"""The child processes of ebpftop: every one is forked here, so that they are known where ebpftop leaves itself out."""

from __future__ import annotations

import fcntl
import os
import signal
import socket

HELPERS_MAX = 3
"""How many there can be: bpf/ebpftop.h has room for them and for ebpftop itself, OWN_PROCESSES."""

_F_SETSIG = 10  # include/uapi/asm-generic/fcntl.h

pids: list[int] = []
"""Those that were forked."""


def fork(ours: socket.socket, theirs: socket.socket) -> int:
    """Fork a helper; return 0 in it and its pid in ebpftop. Raises OSError. Call it before there are threads.

    The two are a pair: what ebpftop and the helper talk through.
    """
    if len(pids) >= HELPERS_MAX:
        raise RuntimeError(f"more than {HELPERS_MAX} helpers: make OWN_PROCESSES larger")
    pid = os.fork()
    if pid:
        pids.append(pid)
        _never_let_stay_stopped(pid, theirs)
    else:
        ours.close()  # first of all: the kernel tells of the end of ebpftop only where it is the last that had it open
    return pid


def open_null() -> int:
    """Open what takes all that is written and holds nothing to read; where there is no /dev, a file in memory."""
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.memfd_create("ebpftop-null", os.MFD_CLOEXEC)


def _never_let_stay_stopped(pid: int, channel: socket.socket) -> None:
    """Have the kernel continue a helper (SIGCONT) if it is stopped when ebpftop says something, or ends.

    By F_SETOWN and F_SETSIG of fcntl(2), with no privilege, and though ebpftop was killed. Here and not in the helper,
    which may be stopped before it comes to that. A signal at the parent's end (PR_SET_PDEATHSIG, prctl(2)) is not sent
    if the parent has become another user.
    """
    fcntl.fcntl(channel, fcntl.F_SETOWN, pid)
    fcntl.fcntl(channel, _F_SETSIG, signal.SIGCONT)
    fcntl.fcntl(channel, fcntl.F_SETFL, fcntl.fcntl(channel, fcntl.F_GETFL) | os.O_ASYNC)


def forget(pid: int) -> None:
    """Leave out *pid*, which has ended and been waited for: the number may become another process's."""
    pids.remove(pid)
