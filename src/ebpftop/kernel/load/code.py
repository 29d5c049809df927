"""What became of a loaded program: its instructions as the verifier left them, and the machine's own from the JIT.

The kernel shows both (BPF_OBJ_GET_INFO_BY_FD) with the line of the source that each comes from. Addresses in them it
shows only by a descriptor that was opened with CAP_SYSLOG (sysctl kernel.kptr_restrict): by another one, the names of
helpers are not known, and there is no machine code.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ebpftop.core.load_records import CodeLine
from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.btf_types import BtfTypes
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load.disassembly import Names, disassembled
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO, btf_strings, string
from ebpftop.kernel.symbol_table import SymbolTable, kernel_symbols

_INSN_BYTES = 8
CODE_MAX = 1 << 20
"""Bytes of a program's code that are read, of either kind."""
_COUNT_MAX = 1 << 16
_MAPS_MAX = 64
_BTF_MAX = 4 << 20
_MAP_OPEN, _BTF_OPEN = 14, 19  # enum bpf_cmd
# struct bpf_prog_info, include/uapi/linux/bpf.h: where its lengths, counts and pointers are.
_LENGTHS_AT, _CODES_AT = 16, 24
_MAPS_AT = 52
_JITED_AT = 104
_BTF_ID_AT = 128
_FUNCTIONS_AT = 132
_LINES_AT = 144
_TAIL_CALL = 12
"""BPF_FUNC_tail_call: of all calls, this one is shown by its number (kernel/bpf/syscall.c, bpf_insn_prepare_dump)."""
_BASE = b"__bpf_call_base\n"
"""Helpers are called by their distance from this symbol."""


class JitFunction(NamedTuple):
    """The machine code of a function of the program, and where it lies."""

    address: int
    code: bytes


class ProgramCode(NamedTuple):
    """All that the kernel shows of a program's code.

    `lines`: number of the first instruction, and line in the file (0: in another one). `jited_lines` are the addresses
    that belong to them, empty if there is no machine code. `functions`: where each begins, and its name.
    """

    xlated: bytes
    lines: tuple[tuple[int, int], ...]
    functions: tuple[tuple[int, str], ...]
    jited: tuple[JitFunction, ...]
    jited_lines: tuple[int, ...]
    maps: Mapping[int, str]


def read(program_fd: int, file: str | None = None, types: bytes = b"") -> ProgramCode:
    """Read the code of a program. *file* is the name of its source, without a folder: lines of others count as none.

    *types* is its own BTF; without it the kernel is asked, which takes CAP_SYS_ADMIN, as the names of maps do.
    Raises OSError.
    """
    first = bpf_syscall.info(program_fd)
    jited_len, xlated_len = (min(size, CODE_MAX) for size in struct.unpack_from("=II", first, _LENGTHS_AT))
    count = min(struct.unpack_from("=I", first, _JITED_AT)[0], _COUNT_MAX)
    function_size, _, functions = struct.unpack_from("=IQI", first, _FUNCTIONS_AT)
    lines, _, _, jited_lines, line_size, jited_size = struct.unpack_from("=IQQIII", first, _LINES_AT + 4)
    functions, lines, jited_lines = (min(number, _COUNT_MAX) for number in (functions, lines, jited_lines))
    function_size, line_size, jited_size = (min(size, 256) for size in (function_size, line_size, jited_size))
    xlated, jited = ctypes.create_string_buffer(xlated_len or 1), ctypes.create_string_buffer(jited_len or 1)
    map_ids = (ctypes.c_uint32 * _MAPS_MAX)()
    addresses, sizes = (ctypes.c_uint64 * (count or 1))(), (ctypes.c_uint32 * (count or 1))()
    function_info = ctypes.create_string_buffer(functions * function_size or 1)
    line_info = ctypes.create_string_buffer(lines * line_size or 1)
    jited_info = ctypes.create_string_buffer(jited_lines * jited_size or 1)
    request = bytearray(192)
    struct.pack_into("=II", request, _LENGTHS_AT, jited_len, xlated_len)
    struct.pack_into("=QQ", request, _CODES_AT, ctypes.addressof(jited), ctypes.addressof(xlated))
    struct.pack_into("=IQ", request, _MAPS_AT, _MAPS_MAX, ctypes.addressof(map_ids))
    struct.pack_into("=IIQQ", request, _JITED_AT, count, count, ctypes.addressof(addresses), ctypes.addressof(sizes))
    struct.pack_into("=IQI", request, _FUNCTIONS_AT, function_size, ctypes.addressof(function_info), functions)
    struct.pack_into(
        "=IQQIII",
        request,
        _LINES_AT + 4,
        lines,
        ctypes.addressof(line_info),
        ctypes.addressof(jited_info),
        jited_lines,
        line_size,
        jited_size,
    )
    info = bpf_syscall.info(program_fd, bytes(request))
    # A pointer that the kernel did not use because it hides addresses is 0 afterwards.
    shows_code = bool(struct.unpack_from("=Q", info, _CODES_AT)[0])
    types = types or _types(struct.unpack_from("=I", info, _BTF_ID_AT)[0])
    strings = btf_strings(types) if types else b""
    found = [LINE_INFO.unpack_from(line_info.raw, i * line_size) for i in range(lines)] if line_size else []
    return ProgramCode(
        xlated.raw[:xlated_len],
        tuple((insn, _line(strings, name_at, where, file)) for insn, name_at, _, where in found),
        _functions(types, function_info.raw, function_size, functions),
        _jited(jited.raw[:jited_len], addresses, sizes) if shows_code else (),
        tuple(struct.unpack_from("=Q", jited_info.raw, i * jited_size)[0] for i in range(jited_lines)),
        {number: name for number in map_ids if number and (name := _map_name(number))},
    )


def _jited(code: bytes, addresses: Iterable[int], sizes: Iterable[int]) -> tuple[JitFunction, ...]:
    """Return the functions, whose code lies one after the other in *code*."""
    found = []
    at = 0
    for address, size in zip(addresses, sizes, strict=True):
        if address and size:
            found.append(JitFunction(address, code[at : at + size]))
        at += size
    return tuple(found)


def _line(strings: bytes, name_at: int, where: int, file: str | None) -> int:
    """Return the line of a record; 0 if it is in another file. Line and column share a word."""
    if file is not None and name_at < len(strings) and string(strings, name_at).rpartition("/")[2] != file:
        return 0
    return where >> 10


def _functions(types: bytes, records: bytes, size: int, count: int) -> tuple[tuple[int, str], ...]:
    if not types or not count or not size:
        return ()
    try:
        known = BtfTypes(types)
        found = (FUNCTION_INFO.unpack_from(records, i * size) for i in range(count))
        return tuple((insn, known.type(type_id).name) for insn, type_id in found)
    except (BtfError, struct.error, IndexError, KeyError):
        return ()


def _types(btf_id: int) -> bytes:
    """Return the types of the program; empty if it has none, or if they may not be read."""
    if not btf_id:
        return b""
    try:
        fd = bpf_syscall.bpf(_BTF_OPEN, struct.pack("=I", btf_id))
    except OSError:
        return b""
    try:
        size = min(struct.unpack_from("=I", bpf_syscall.info(fd), 8)[0], _BTF_MAX)
        blob = ctypes.create_string_buffer(size or 1)
        bpf_syscall.info(fd, struct.pack("=QI", ctypes.addressof(blob), size))
        return blob.raw[:size]
    except OSError:
        return b""
    finally:
        os.close(fd)


def _map_name(number: int) -> str:
    with suppress(OSError):
        fd = bpf_syscall.bpf(_MAP_OPEN, struct.pack("=I", number))
        try:
            return bpf_syscall.info(fd)[24:40].partition(b"\0")[0].decode("utf-8", "replace")
        finally:
            os.close(fd)
    return ""


# ---- in words ----


class KernelNames(NamedTuple):
    """The kernel's functions by address. `base` is what helpers are called from; 0 if the kernel hides it."""

    symbols: SymbolTable
    base: int

    def at(self, address: int) -> str | None:
        """Return the name of the function that begins at *address*."""
        found = self.symbols.at(address)
        return found.name.decode("utf-8", "replace").split(" ")[0] if found and not found.offset else None


KALLSYMS = Path("/proc/kallsyms")


@cache
def kernel_names(symbols_fd: int | None) -> KernelNames:
    """Read them once, from an open `KALLSYMS`: 0.1 s. Of programs that are loaded later, nothing is known."""
    base = 0
    lines = []
    if symbols_fd is not None:
        with suppress(OSError), open(symbols_fd, "rb", closefd=False) as file:
            for line in file:
                # Where modules can be loaded, there is __ksymtab___bpf_call_base too.
                if line.endswith(_BASE) and (parts := line.split())[2] == _BASE.strip():
                    base = int(parts[0], 16)
                lines.append(line)
    return KernelNames(kernel_symbols(lines), base)


Disassembler = Callable[[bytes, int, Callable[[int], str | None]], list[tuple[int, str]]]
"""Machine code, its address, and names by address; returns where each instruction begins, and its text."""


_NO_MAPS: Mapping[int, str] = MappingProxyType({})


class Listing(NamedTuple):
    """The code of a program in words."""

    xlated: tuple[CodeLine, ...]
    native: tuple[CodeLine, ...]
    arch: str


def listing(
    code: ProgramCode, names: KernelNames, disassembler: Disassembler | None, maps: Mapping[int, str] = _NO_MAPS
) -> Listing:
    """Return *code* in words. *maps* are the names of maps by id, where they are known in full; else 15 characters.

    Without a *disassembler*, or if the kernel shows no machine code, there is none.
    """
    map_names = {**code.maps, **maps}

    def called(number: int) -> str | None:
        if number == _TAIL_CALL:
            return "bpf_tail_call"
        return names.at(names.base + number) if names.base and number else None

    insn_names = Names(map_names.get, called, names.at)
    begins = dict(code.functions)
    xlated = tuple(
        CodeLine(at=one.at, text=one.text, line=_at(code.lines, one.at), function=begins.get(one.at))
        for one in disassembled(code.xlated, insn_names)
    )
    native = _native(code, names, disassembler) if disassembler else ()
    return Listing(xlated, native, platform.machine())


def _at(lines: tuple[tuple[int, int], ...], number: int) -> int | None:
    """Return the line of the last record that does not begin behind *number*; what is of no line belongs to it too."""
    place = bisect_right(lines, (number, 1 << 32)) - 1
    while place >= 0 and not lines[place][1]:
        place -= 1
    return lines[place][1] if place >= 0 else None


def _native(code: ProgramCode, names: KernelNames, disassembler: Disassembler) -> tuple[CodeLine, ...]:
    by_address = tuple(sorted(zip(code.jited_lines, (line for _, line in code.lines), strict=False)))
    found: list[CodeLine] = []
    at = 0
    functions = [name for _, name in code.functions]
    for index, (address, machine_code) in enumerate(code.jited):
        name = functions[index] if index < len(functions) else None
        for offset, text in disassembler(machine_code, address, names.at):
            line = _at(by_address, address + offset)
            found.append(CodeLine(at=at + offset, text=text, line=line, function=None if offset else name))
        at += len(machine_code)
    return tuple(found)
