"""The parent of the process that compiles: it forks it, again if it ended, and does nothing else.

It has one thread, and has imported nothing that starts one: only such a process can fork another that goes on.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from ebpftop.kernel import bpf_syscall, capabilities
from ebpftop.kernel.load.code import KALLSYMS
from ebpftop.kernel.load.jail import Jail
from ebpftop.kernel.load.server_messages import PID
from ebpftop.kernel.load.server_process import be_the_server
from ebpftop.lifecycle import helpers
from ebpftop.lifecycle.guard import END_SIGNALS, close_all_but
from ebpftop.lifecycle.priority import stand_back

_PR_SET_NAME = 15  # include/uapi/linux/prctl.h
_CAPS = {
    capabilities.Cap.BPF,
    capabilities.Cap.PERFMON,
    capabilities.Cap.DAC_READ_SEARCH,
    capabilities.Cap.KILL,
    capabilities.Cap.SETUID,
    capabilities.Cap.SETGID,
    capabilities.Cap.SETPCAP,
    capabilities.Cap.SYS_CHROOT,
}
"""What both keep: to write into its own cgroups the server stays user 0. Its children give up all but the first."""

_libc = ctypes.CDLL(None)


def be_the_parent(requests: socket.socket) -> NoReturn:
    """Fork a server for each socket that comes, until ebpftop has ended. It keeps no file of ebpftop open."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)  # it is ebpftop's
        for number in (*END_SIGNALS, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_IGN)
        null_fd = helpers.open_null()
        for standard in (0, 1, 2):
            os.dup2(null_fd, standard)
        close_all_but({requests.fileno()})
        _libc.prctl(_PR_SET_NAME, helpers.COMPILERS[0], 0, 0, 0)
        stand_back()
        bpf_syscall.lift_memory_limit()
        symbols_fd = _open_symbols()  # the jail lays another file over it
        jail = Jail()
        try:
            capabilities.keep_only(_CAPS | capabilities.to_compile(), forked=True)
            _fork_servers(requests, jail, symbols_fd)
        finally:
            jail.close()
    finally:
        os._exit(0)


def _open_symbols() -> int | None:
    try:
        return os.open(KALLSYMS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _fork_servers(requests: socket.socket, jail: Jail, symbols_fd: int | None) -> None:
    pidfds: dict[int, int] = {}
    """Of the servers that have not ended, their pids."""
    waiting = select.poll()
    waiting.register(requests, select.POLLIN)
    is_ending = False
    while pidfds or not is_ending:
        for fd, _ in waiting.poll():
            if fd in pidfds:
                waiting.unregister(fd)
                with suppress(ChildProcessError):
                    os.waitpid(pidfds.pop(fd), 0)
                os.close(fd)
        if is_ending or not select.select([requests], [], [], 0)[0]:
            continue
        message, fds, _, _ = socket.recv_fds(requests, 64, 1)
        if not message:  # the servers notice it too
            is_ending = True
            waiting.unregister(requests)
            continue
        for fd in fds:
            theirs = socket.socket(fileno=fd)
            pid = helpers.fork_again(requests, theirs)
            if pid == 0:
                for other in pidfds:
                    os.close(other)
                be_the_server(theirs, jail, symbols_fd)
            theirs.close()
            pidfd = os.pidfd_open(pid)
            pidfds[pidfd] = pid
            waiting.register(pidfd, select.POLLIN)
            requests.send(PID.pack(pid))
