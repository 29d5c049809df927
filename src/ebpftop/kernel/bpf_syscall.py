"""Kernel statistics of BPF programs (runs, run time, skipped runs), facts about maps, and whether fentry works.

BCC has no call for these, so bpf(2) is called with BPF_OBJ_GET_INFO_BY_FD, BPF_ENABLE_STATS and BPF_PROG_LOAD.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

_SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_PROG_LOAD, _GET_INFO_BY_FD, _ENABLE_STATS = 5, 15, 32
_RUN_TIME_OFFSET = 192  # struct bpf_prog_info, include/uapi/linux/bpf.h: run_time_ns, run_cnt, recursion_misses
_INFO_SIZE = 256
_ATTR_SIZE = 128

# The part of union bpf_attr that loads a program: prog_type, insn_cnt, insns, license, expected_attach_type,
# attach_btf_id.
_LOAD = struct.Struct("=IIQQ44xI36xI16x")
_TYPE_TRACING, _TRACE_FENTRY = 26, 24
_RETURN_ZERO = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit

_libc = ctypes.CDLL(None, use_errno=True)


class Runs(NamedTuple):
    """Totals of one program; run time and count grow only while statistics are on."""

    run_time_ns: int
    run_count: int
    recursion_misses: int


def bpf(command: int, attr: bytes) -> int:
    """Call bpf(2); raises OSError."""
    attr = attr.ljust(_ATTR_SIZE, b"\0")
    done = int(_libc.syscall(_SYS_BPF, command, ctypes.c_char_p(attr), len(attr)))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"bpf(2): {os.strerror(code)}")
    return done


class MapInfo(NamedTuple):
    """Type and sizes (in bytes) of a map: the first members of struct bpf_map_info, without `id`."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


def map_info(map_fd: int) -> MapInfo:
    """Return what the kernel reports about a map; raises OSError."""
    kind, _id, *rest = struct.unpack_from("=6I", _info(map_fd))
    return MapInfo(kind, *rest)


def _info(fd: int) -> bytes:
    info = ctypes.create_string_buffer(_INFO_SIZE)
    bpf(_GET_INFO_BY_FD, struct.pack("=IIQ", fd, _INFO_SIZE, ctypes.addressof(info)))
    return info.raw


def runs(program_fd: int) -> Runs:
    """Return the totals of a program; zeros if the kernel is too old to keep them."""
    try:
        info = _info(program_fd)
    except OSError:
        return Runs(0, 0, 0)
    return Runs(*struct.unpack_from("=QQQ", info, _RUN_TIME_OFFSET))


def enable_stats() -> int:
    """Enable run statistics for all programs until the returned descriptor is closed.

    Raises OSError: it is new in Linux 5.8, and needs CAP_SYS_ADMIN.
    """
    return bpf(_ENABLE_STATS, struct.pack("=I", 0))


def close_stats(fd: int) -> None:
    """Disable them again, unless another process still uses them."""
    os.close(fd)


def fentry_refusal(function_id: int | None) -> str | None:
    """Return why this kernel refuses fentry programs, None if it accepts them. A program that does nothing is loaded.

    *function_id* is the BTF type id of the kernel function that it would belong to, None if there is no BTF.
    """
    if function_id is None:
        return "this kernel has no BTF that describes its functions"
    insns, license_name = ctypes.create_string_buffer(_RETURN_ZERO), ctypes.create_string_buffer(b"GPL")
    attr = _LOAD.pack(
        _TYPE_TRACING, 2, ctypes.addressof(insns), ctypes.addressof(license_name), _TRACE_FENTRY, function_id
    )
    try:
        os.close(bpf(_PROG_LOAD, attr))
    except OSError as error:
        return refusal(error.errno)
    return None


def refusal(code: int | None) -> str:
    """Return the message for a program that the kernel refused to load, with the reason from the error number."""
    return f"the kernel refused to load it: {os.strerror(code or 0)} ({errno.errorcode.get(code or 0, code)})"
