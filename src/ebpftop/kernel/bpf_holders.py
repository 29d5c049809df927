"""Which processes hold eBPF programs, by /proc: it takes CAP_SYS_PTRACE for those of others, and CAP_SYS_ADMIN."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.bpf_objects import NAME_MAX, numbers_in

ROUND_S = 0.05
"""How long one call of `holders` looks: others wait for their answers."""

_TASK_FD_QUERY = 20  # enum bpf_cmd, include/uapi/linux/bpf.h


class Holder(NamedTuple):
    """A process that holds a descriptor of a program, by itself or by what attaches it.

    Of a perf event, `kind` is its enum bpf_task_fd_type, else -1; `name`, `offset` and `address` say where it is.
    """

    pid: int
    comm: bytes
    program: int
    kind: int = -1
    name: bytes = b""
    offset: int = 0
    address: int = 0


class Round(NamedTuple):
    """What `holders` found, and the process to go on after; 0 if it has seen the last one."""

    holders: list[Holder]
    after: int


_OF_BPF = ("anon_inode:bpf-prog", "anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:bpf-raw-tracepoint")
_OF_PERF = "anon_inode:[perf_event]"


def holders(after: int, within_s: float = ROUND_S) -> Round:
    """Return who holds programs, of the processes after *after* in the order of their pids, as far as time allows."""
    until_s = time.monotonic() + within_s
    found: list[Holder] = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid <= after:
            continue
        found += _held_by(pid)
        if time.monotonic() > until_s:
            return Round(found, pid)
    return Round(found, 0)


def _held_by(pid: int) -> Iterator[Holder]:
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has ended
        return
    comm: bytes | None = None
    seen = set()
    for fd in fds:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target in _OF_BPF:
            program = numbers_in(f"/proc/{pid}/fdinfo/{fd}").get(b"prog_id", 0)
            held = Holder(pid, b"", program) if program else None
        elif target == _OF_PERF:
            held = _perf_event(pid, int(fd))
        else:
            continue
        if held is not None and held not in seen:
            seen.add(held)
            comm = _comm(pid) if comm is None else comm
            yield held._replace(comm=comm)


def _comm(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read(64)[:-1]
    except OSError:
        return b""


def _perf_event(pid: int, fd: int) -> Holder | None:
    """Return what a perf event of a process runs; None if that is no program, or the kernel does not say."""
    name = ctypes.create_string_buffer(NAME_MAX)
    attr = struct.pack("=IIIIQ", pid, fd, 0, NAME_MAX, ctypes.addressof(name))
    buffer = ctypes.create_string_buffer(attr, bpf_syscall.ATTR_SIZE)
    if bpf_syscall.call(_TASK_FD_QUERY, buffer, bpf_syscall.ATTR_SIZE) < 0:
        return None
    program, kind, offset, address = struct.unpack_from("=IIQQ", buffer.raw, 24)
    return Holder(pid, b"", program, kind, name.value, offset, address)
