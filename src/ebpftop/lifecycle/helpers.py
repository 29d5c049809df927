"""The child processes of ebpftop. All are forked here, so ebpftop knows their pids and can hide itself."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
from contextlib import suppress

HELPERS_MAX = 5
"""At most so many helpers: OWN_PROCESSES of bpf/filter.h has room for them and for ebpftop itself, an even number."""

_F_SETSIG = 10  # include/uapi/asm-generic/fcntl.h

COMPILERS = (b"ebpftop-loads", b"ebpftop-load")
"""The names of the helper that forks what compiles, of that one, and of all that it forks."""

pids: list[int] = []
"""The pids of the helpers that were forked."""


def fork(ours: socket.socket, theirs: socket.socket) -> int:
    """Fork a helper; return 0 in it and its pid in ebpftop. Raises OSError. Call it before there are threads.

    The two sockets are a pair: ebpftop and the helper communicate through them.
    """
    if len(pids) >= HELPERS_MAX:
        raise RuntimeError(f"more than {HELPERS_MAX} helpers: make OWN_PROCESSES larger")
    pid = os.fork()
    if pid:
        pids.append(pid)
        _never_let_stay_stopped(pid, theirs)
    else:
        ours.close()  # first: the other end sees the end of ebpftop only if no one else has this open
    return pid


def fork_again(channel: socket.socket, theirs: socket.socket) -> int:
    """Fork a helper in a helper: it has *theirs*, and not the *channel* of its parent; return as `fork`."""
    pid = os.fork()
    if pid:
        _never_let_stay_stopped(pid, theirs)
    else:
        channel.close()
    return pid


def fork_worker() -> int:
    """Fork a process of a helper, which works for a moment; return 0 in it and its pid in the helper. Raises OSError.

    The helper has one thread, ends it, and waits for it.
    """
    return os.fork()


def open_null() -> int:
    """Open /dev/null; without a /dev, an empty file in memory."""
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.memfd_create("ebpftop-null", os.MFD_CLOEXEC)


def _never_let_stay_stopped(pid: int, channel: socket.socket) -> None:
    """Let the kernel continue a stopped helper (SIGCONT) when ebpftop sends a message, or ends.

    This uses F_SETOWN and F_SETSIG of fcntl(2): it needs no privilege, and works even if ebpftop was killed. It is done
    here because the helper may be stopped before it could do it. A signal at the end of the parent (PR_SET_PDEATHSIG,
    prctl(2)) is not sent if the parent has become another user.
    """
    fcntl.fcntl(channel, fcntl.F_SETOWN, pid)
    fcntl.fcntl(channel, _F_SETSIG, signal.SIGCONT)
    fcntl.fcntl(channel, fcntl.F_SETFL, fcntl.fcntl(channel, fcntl.F_GETFL) | os.O_ASYNC)


def receive(channel: socket.socket, size: int) -> bytes:
    """Return at most *size* bytes of what ebpftop sent, waiting for it; nothing if ebpftop has ended. One thread may.

    The wait is a poll(2). The kernel sends no signal for a socket on which a recv(2) waits (net/socket.c,
    sock_wake_async): a helper that was stopped in one just before ebpftop ended would stay stopped.
    """
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    waiting.poll()
    return channel.recv(size)


def reap(pid: int) -> None:
    """Wait for the end of a helper, and drop it from `pids`: another process may get the number from then on."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
    pids.remove(pid)
