"""Names that processes gave themselves, in the map that bpf/syscalls_processes.h keeps of them."""

from __future__ import annotations

import struct
import sys

from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module

_NAME = struct.Struct("=QQQQ")  # struct process_name
_COMM_SIZE = 16
_NAME_PLACE_BITS = 15
NAME_PLACES = 1 << _NAME_PLACE_BITS


def name_place(start_ns: int, pid: int) -> int:
    """Return where the kernel puts the new name of this process."""
    return (start_ns + pid) * 0x9E3779B97F4A7C15 % (1 << 64) >> (64 - _NAME_PLACE_BITS)


def name_in(value: bytes, start_ns: int, pid: int) -> bytes | None:
    """Return the name in *value* (struct process_name); None if it is another's, or was being written."""
    first, second, start, checksum = _NAME.unpack(value)
    mine = start == start_ns and checksum == (start_ns + pid + first + 3 * second) % (1 << 64)
    return value[:_COMM_SIZE] if mine else None


def new_name(module: Module, start_ns: int, pid: int) -> bytes | None:
    """Return the new name of a process; None if it has none, or another process took its place."""
    place = name_place(start_ns, pid).to_bytes(4, sys.byteorder)
    found = maps.lookup(module.table("process_names"), place, _NAME.size)
    return name_in(found, start_ns, pid) if found else None
