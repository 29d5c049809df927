"""What the compiler makes of a C file: the form in which it is cached and loaded."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

INSN = struct.Struct("=BBhi")  # struct bpf_insn, include/uapi/linux/bpf.h
_LD_IMM64 = 0x18
_PSEUDO_MAP_FD = 1
_PARAMETER_MARK = 0x0EBF7090  # PARAMETER_MARK of bpf/ebpftop.h, its upper half
_PERCPU_MARK, _PSEUDO_BTF_ID = 0x0EBF7091, 3  # PERCPU_MARK of bpf/ebpftop.h, its upper half
_CALL, _PSEUDO_KFUNC_CALL = 0x85, 2
_KFUNC_MARK = 0x40000000  # KFUNC_MARK of bpf/ebpftop.h


class FileState(NamedTuple):
    """A file and what it was like: size in bytes, time of its last change; zeros if it cannot be seen."""

    path: str
    size: int
    mtime_ns: int


def file_state(path: str) -> FileState:
    """Return what *path* is like now."""
    try:
        found = os.stat(path)
    except OSError:  # removed or replaced meanwhile, or loaded in another mount namespace (chroot)
        return FileState(path, 0, 0)
    return FileState(path, found.st_size, found.st_mtime_ns)


class MapSpec(msgspec.Struct, frozen=True):
    """A map that the kernel will create; sizes in bytes."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key_type: int = 0
    value_type: int = 0
    """Ids in `Compiled.btf`; 0: it has no types."""


class Compiled(msgspec.Struct, frozen=True):
    """One C file, compiled. An instruction that loads a map has the map's index in `maps` where its descriptor goes.

    One that loads a parameter has its mark, and its number in `parameters`, where its value goes.
    """

    license: str
    version: int  # KERNEL_VERSION of the kernel that it was made for
    maps: tuple[MapSpec, ...]
    programs: dict[str, bytes]
    parameters: dict[str, int]
    toolchain: tuple[FileState, ...]
    """The files of the compiler. If they change, it is compiled again."""
    btf: bytes = b""
    """Its types; empty unless they were asked for, as the two below: struct bpf_func_info, struct bpf_line_info."""
    functions: dict[str, bytes] = {}
    lines: dict[str, bytes] = {}


def with_map_fds(code: bytes, fds: Mapping[int, int]) -> bytes:
    """Return *code*; in each instruction that loads a map, the map's number n is replaced by ``fds[n]``."""
    patched = bytearray(code)
    for at in _wide_instructions(code):
        opcode, registers, offset, immediate = INSN.unpack_from(code, at)
        if registers >> 4 == _PSEUDO_MAP_FD:
            INSN.pack_into(patched, at, opcode, registers, offset, fds[immediate])
    return bytes(patched)


def loaded_map_fds(code: bytes) -> frozenset[int]:
    """Return the descriptors, or the numbers, of the maps that *code* uses."""
    found = (INSN.unpack_from(code, at) for at in _wide_instructions(code))
    return frozenset(immediate for _, registers, _, immediate in found if registers >> 4 == _PSEUDO_MAP_FD)


def with_parameters(code: bytes, values: Mapping[int, int]) -> bytes:
    """Return *code*; in each instruction that loads parameter n, it is replaced by ``values[n]``, an unsigned 64 bits.

    This is what libbpf's `const volatile` achieves with a frozen map, without the map, and without a load at run time.
    """
    patched = bytearray(code)
    for at in _wide_instructions(code):
        low, high = (INSN.unpack_from(code, half) for half in (at, at + INSN.size))
        if low[1] >> 4 == 0 and high[3] == _PARAMETER_MARK:
            value = values[low[3]].to_bytes(8, sys.byteorder)
            for half, part in ((at, value[:4]), (at + INSN.size, value[4:])):
                patched[half + 4 : half + 8] = part
    return bytes(patched)


def with_percpu_variables(code: bytes) -> bytes:
    """Return *code*; each instruction that loads a BTF type id with a mark loads that variable's address instead."""
    patched = bytearray(code)
    for at in _wide_instructions(code):
        low, high = (INSN.unpack_from(code, half) for half in (at, at + INSN.size))
        if low[1] >> 4 == 0 and high[3] == _PERCPU_MARK:
            opcode, registers, offset, type_id = low
            INSN.pack_into(patched, at, opcode, registers | _PSEUDO_BTF_ID << 4, offset, type_id)
            INSN.pack_into(patched, at + INSN.size, *high[:3], 0)
    return bytes(patched)


def with_kernel_calls(code: bytes) -> bytes:
    """Return *code*, in which each call with a mark is one of a kernel function (kfunc), by its BTF type id."""
    patched = bytearray(code)
    for at in range(0, len(code), INSN.size):
        opcode, registers, offset, number = INSN.unpack_from(code, at)
        if (opcode, registers) == (_CALL, 0) and number & _KFUNC_MARK and number > 0:
            INSN.pack_into(patched, at, _CALL, _PSEUDO_KFUNC_CALL << 4, offset, number & ~_KFUNC_MARK)
    return bytes(patched)


def _wide_instructions(code: bytes) -> Iterator[int]:
    """Yield where the instructions of 16 bytes are: those that load 64 bits, which may be the address of a map."""
    at = 0
    while at < len(code):
        wide = code[at] == _LD_IMM64
        if wide:
            yield at
        at += INSN.size * (1 + wide)
