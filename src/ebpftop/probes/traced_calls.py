"""A traced call, as the kernel hands it over, becomes a record."""

from __future__ import annotations

import struct

from ebpftop.core.escape import c_string
from ebpftop.core.syscall_records import Syscall
from ebpftop.probes.syscall_slots import Slots
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.decode import decode
from ebpftop.syscalls.errno_names import error_name
from ebpftop.syscalls.memory import pieces_by_argument, words

_RETURNED_TIMED = 1  # enum returned
_PATH_MOST, _PATH_ROOM = 255, 264  # bytes that are shown of a path; those that the kernel hands over

_TRACED = struct.Struct(f"=QQq6Q6I16s{_PATH_ROOM}s{_PATH_ROOM}s")


def traced_call(raw: bytes, slots: Slots, offset: float) -> Syscall:
    """Return the record of one event; *offset* is Unix time minus the kernel's clock, in seconds."""
    time_ns, duration_ns, ret, *rest = _TRACED.unpack(raw[: _TRACED.size])
    args, (pid, tid, slot, returned, *lengths, comm, first, second) = rest[:6], rest[6:]
    abi, nr = slots.call(slot)
    name = abis.name(abi, nr)
    memory = pieces_by_argument(raw[_TRACED.size + 8 :]) if len(raw) > _TRACED.size + 8 else {}
    # Each length includes the NUL: 1 for an empty path, 0 for a path that could not be read.
    paths = [path[: length - 1] if length else None for length, path in zip(lengths, (first, second), strict=True)]
    return Syscall(
        time=time_ns / 1e9 + offset,
        pid=pid,
        tid=tid,
        comm=c_string(comm),
        abi=abi,
        nr=nr,
        name=name,
        args=decode(abi, nr, args, paths, words(abi, name, memory) if memory else {}, longest=_PATH_MOST),
        ret=ret if returned else None,
        error=error_name(-ret) if returned and -4095 <= ret < 0 else None,
        ns=duration_ns if returned == _RETURNED_TIMED else None,
    )
