"""The map in which every CPU remembers the task that it saw last (bpf/syscalls_caller.h).

One field is a pointer that the verifier knows as one to a task_struct, so that programs read through it without a
helper. A type tag in the map's BTF makes it one, and BCC writes none. So the map is made here, by bpf(2), with BTF
written by hand (Documentation/bpf/btf.rst).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from ebpftop.kernel import bpf_syscall

_MAP_CREATE, _BTF_LOAD = 0, 18
_PERCPU_ARRAY = 6
_INT, _PTR, _STRUCT, _TYPE_TAG = 1, 2, 4, 18
_MAGIC, _VERSION, _HEADER = 0xEB9F, 1, struct.Struct("=HBBIIIII")
_VALUE_SIZE = 40


def should_cache_task(kernel: tuple[int, int]) -> bool:
    """Return whether remembering the task is cheaper than getting it from the kernel.

    On x86-64 reading a per-CPU array needs no call since 6.10, and getting the current task needs none since 7.0. On
    arm64 both came together.
    """
    return platform.machine() == "x86_64" and (6, 10) <= kernel < (7, 0)


def _btf() -> bytes:
    """Return BTF of u32 (type 1), u64 (2), and struct known_caller (6)."""
    names = bytearray(b"\0")

    def name(text: str) -> int:
        at = len(names)
        names.extend(text.encode() + b"\0")
        return at

    def type_(kind: int, size_or_type: int, text: str = "", members: int = 0, rest: bytes = b"") -> bytes:
        return struct.pack("=III", name(text) if text else 0, kind << 24 | members, size_or_type) + rest

    def member(text: str, type_id: int, offset: int) -> bytes:
        return struct.pack("=III", name(text), type_id, offset * 8)

    members = (
        member("task", 5, 0),
        member("regs", 2, 8),
        member("task_changes", 2, 16),
        member("start_ns", 2, 24),
        member("tgid", 1, 32),
        member("tid", 1, 36),
    )
    types = (
        type_(_INT, 4, "u32", rest=struct.pack("=I", 32))
        + type_(_INT, 8, "u64", rest=struct.pack("=I", 64))
        + type_(_STRUCT, 1, "task_struct")
        + type_(_TYPE_TAG, 3, "kptr_untrusted")
        + type_(_PTR, 4)
        + type_(_STRUCT, _VALUE_SIZE, "known_caller", len(members), b"".join(members))
    )
    header = _HEADER.pack(_MAGIC, _VERSION, 0, _HEADER.size, 0, len(types), len(types), len(names))
    return header + types + bytes(names)


def make_map() -> int:
    """Return a descriptor of the map, to be closed by the caller; raises OSError if the kernel has no such field."""
    btf = _btf()
    held = ctypes.create_string_buffer(btf, len(btf))
    btf_fd = bpf_syscall.bpf(_BTF_LOAD, struct.pack("=QQI", ctypes.addressof(held), 0, len(btf)))
    try:
        # union bpf_attr: type, sizes of key and value, entries, flags, inner map, node, name, ifindex, BTF, key, value
        attr = struct.pack("=7I16s4I", _PERCPU_ARRAY, 4, _VALUE_SIZE, 1, 0, 0, 0, b"callers", 0, btf_fd, 1, 6)
        return bpf_syscall.bpf(_MAP_CREATE, attr)
    finally:
        os.close(btf_fd)
