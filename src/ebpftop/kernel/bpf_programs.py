"""Which BPF programs the kernel has, and where their machine code lies in its memory.

To list them takes CAP_SYS_ADMIN; the kernel tells addresses only to who has CAP_SYSLOG (sysctl kernel.kptr_restrict).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall

_NEXT_ID, _FD_BY_ID = 11, 13  # enum bpf_cmd, include/uapi/linux/bpf.h
# struct bpf_prog_info there: id; load_time; name; the numbers of addresses and of lengths; where to write both.
_ID_AT, _LOADED_AT, _NAME_AT, _NUMBERS_AT, _POINTERS_AT = 4, 40, 64, 104, 112
_FUNCTIONS_MAX = 256  # BPF_MAX_SUBPROGS, kernel/bpf/verifier.c
CODES_MAX = 1024
"""The functions of one listing, beyond which no further program begins."""


class Code(NamedTuple):
    """One function of a program. *loaded_ns*: when the program was loaded, since boot."""

    start: int
    length: int
    program_id: int
    loaded_ns: int
    name: bytes


class Listing(NamedTuple):
    """Programs in the order of their ids, up to `last_id`."""

    last_id: int
    codes: Sequence[Code]


def newer(than: int) -> Listing:
    """List programs whose id is higher than *than*; raises OSError if that is refused.

    Those that have no machine code (no JIT), or whose addresses the kernel does not tell, are left out. Go on at
    `last_id` if there are `CODES_MAX` or more.
    """
    codes: list[Code] = []
    while len(codes) < CODES_MAX:
        try:
            than = bpf_syscall.next_id(_NEXT_ID, than)
        except FileNotFoundError:
            break
        with suppress(FileNotFoundError):  # it is no longer there
            fd = bpf_syscall.bpf(_FD_BY_ID, struct.pack("=I", than))
            try:
                codes += _codes(fd)
            finally:
                os.close(fd)
    return Listing(than, codes)


def _codes(program_fd: int) -> list[Code]:
    addresses, lengths = (ctypes.c_uint64 * _FUNCTIONS_MAX)(), (ctypes.c_uint32 * _FUNCTIONS_MAX)()
    request = bytearray(_POINTERS_AT + 16)
    struct.pack_into("=II", request, _NUMBERS_AT, _FUNCTIONS_MAX, _FUNCTIONS_MAX)
    struct.pack_into("=QQ", request, _POINTERS_AT, ctypes.addressof(addresses), ctypes.addressof(lengths))
    info = bpf_syscall.info(program_fd, bytes(request))
    (program_id,), (loaded_ns,) = struct.unpack_from("=I", info, _ID_AT), struct.unpack_from("=Q", info, _LOADED_AT)
    name = info[_NAME_AT : _NAME_AT + 16].partition(b"\0")[0]
    # If there are more than we asked for, or the kernel does not tell them, addresses stay 0.
    count = min(*struct.unpack_from("=II", info, _NUMBERS_AT), _FUNCTIONS_MAX)
    return [
        Code(addresses[i], lengths[i], program_id, loaded_ns, name) for i in range(count) if addresses[i] and lengths[i]
    ]


def program_id(program_fd: int) -> int:
    """Return the id of a program of ours; raises OSError."""
    return int(struct.unpack_from("=I", bpf_syscall.info(program_fd), _ID_AT)[0])
