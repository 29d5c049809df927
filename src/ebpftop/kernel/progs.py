"""What the kernel knows of a loaded program: how often it ran, how long, how often it was passed over.

BCC has no call for it; this is bpf(2) with BPF_OBJ_GET_INFO_BY_FD and BPF_ENABLE_STATS.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import NamedTuple

_SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_GET_INFO_BY_FD, _ENABLE_STATS = 15, 32
_RUN_TIME_OFFSET = 192  # struct bpf_prog_info, include/uapi/linux/bpf.h: run_time_ns, run_cnt, recursion_misses
_INFO_SIZE = 256

_libc = ctypes.CDLL(None, use_errno=True)


class Runs(NamedTuple):
    """Totals of one program; run time and count grow only while statistics are on."""

    run_time_ns: int
    run_count: int
    recursion_misses: int


def runs(program_fd: int) -> Runs:
    """Return the totals of a program; zeros where the kernel is too old to keep them."""
    info = ctypes.create_string_buffer(_INFO_SIZE)
    attr = struct.pack("=IIQ", program_fd, _INFO_SIZE, ctypes.addressof(info)).ljust(128, b"\0")
    if _libc.syscall(_SYS_BPF, _GET_INFO_BY_FD, ctypes.c_char_p(attr), len(attr)) < 0:
        return Runs(0, 0, 0)
    return Runs(*struct.unpack_from("=QQQ", info.raw, _RUN_TIME_OFFSET))


def enable_stats() -> int | None:
    """Turn run statistics on for all programs until the returned descriptor is closed (kernel 5.8); None if refused."""
    attr = struct.pack("=I", 0).ljust(128, b"\0")
    fd = int(_libc.syscall(_SYS_BPF, _ENABLE_STATS, ctypes.c_char_p(attr), len(attr)))
    return fd if fd >= 0 else None


def close_stats(fd: int) -> None:
    """Turn them off again, unless somebody else wants them."""
    os.close(fd)
