"""The object that LLVM made: which line of the source each instruction comes from.

BCC hands out instructions only. But LLVM's just-in-time compiler, which BCC uses, registers every object that it makes
for debuggers: a list in memory that starts at a symbol with a fixed name (GDB's "JIT Compilation Interface"). The
object is an ELF file with a section .BTF.ext (Documentation/bpf/btf.rst): for each function the type of the function
and the lines of its instructions.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from typing import NamedTuple

_ELF_HEADER = struct.Struct("=16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("=IIQQQQIIQQ")
_EXT_HEADER = struct.Struct("=HBBIIIII")  # struct btf_ext_header
_EXT_SECTION = struct.Struct("=II")  # struct btf_ext_info_sec
FUNCTION_INFO = struct.Struct("=II")  # struct bpf_func_info: insn_off, type_id
LINE_INFO = struct.Struct("=IIII")  # struct bpf_line_info: insn_off, file_name_off, line_off, line_col
_BTF_MAGIC = 0xEB9F
_INSN_BYTES = 8

BTF_HEADER = struct.Struct("=HBBIIIII")
"""struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len."""


class ExtInfo(NamedTuple):
    """The records of each section of instructions, by its name."""

    functions: dict[str, list[tuple[int, int]]]
    """Number of the instruction that a function begins at, and its type id."""
    lines: dict[str, list[tuple[int, int, int, int]]]
    """Number of an instruction; offsets of the name of the file and of the text of the line in the strings; line and
    column (line << 10 | column)."""


class _Entry(ctypes.Structure):
    """struct jit_code_entry."""


_Entry._fields_ = [
    ("next", ctypes.POINTER(_Entry)),
    ("prev", ctypes.POINTER(_Entry)),
    ("address", ctypes.c_void_p),
    ("size", ctypes.c_uint64),
]


class _Descriptor(ctypes.Structure):
    """struct jit_descriptor."""

    _fields_ = (
        ("version", ctypes.c_uint32),
        ("action", ctypes.c_uint32),
        ("relevant", ctypes.POINTER(_Entry)),
        ("first", ctypes.POINTER(_Entry)),
    )


def jit_objects(library: ctypes.CDLL) -> Iterator[bytes]:
    """Yield the objects that LLVM, which *library* is or needs, has made in this process and keeps; newest first.

    None if the library hides the list: then nothing is known of lines.
    """
    try:
        entry = _Descriptor.in_dll(library, "__jit_debug_descriptor").first
    except ValueError:
        return
    while entry:
        one = entry.contents
        if one.address:
            yield ctypes.string_at(one.address, one.size)
        entry = one.next


def section(elf: bytes, name: str) -> bytes | None:
    """Return the content of a section of a 64-bit ELF file of this machine's byte order; None if it has no such one."""
    if elf[:5] != b"\x7fELF\x02":
        return None
    _, _, _, _, _, sections_at, _, _, _, _, size, count, names_index = _ELF_HEADER.unpack_from(elf)
    found = [_SECTION.unpack_from(elf, sections_at + i * size) for i in range(count)]
    names_at = found[names_index][4]
    for entry in found:
        start = names_at + entry[0]
        if elf[start : elf.index(b"\0", start)] == name.encode():
            return elf[entry[4] : entry[4] + entry[5]]
    return None


def ext_info(ext: bytes, strings: bytes) -> ExtInfo:
    """Return what .BTF.ext says; *strings* are those of .BTF. Raises struct.error or ValueError if it is not whole."""
    magic, _, _, header, functions_at, functions_len, lines_at, lines_len = _EXT_HEADER.unpack_from(ext)
    if magic != _BTF_MAGIC:
        raise ValueError("not a BTF extension")
    functions: dict[str, list[tuple[int, int]]] = {}
    lines: dict[str, list[tuple[int, int, int, int]]] = {}
    for name, record in _records(ext, header + functions_at, functions_len, FUNCTION_INFO, strings):
        functions.setdefault(name, []).append((record[0] // _INSN_BYTES, record[1]))
    for name, record in _records(ext, header + lines_at, lines_len, LINE_INFO, strings):
        insn, file_at, text_at, place = record
        lines.setdefault(name, []).append((insn // _INSN_BYTES, file_at, text_at, place))
    return ExtInfo(functions, lines)


def _records(
    ext: bytes, at: int, length: int, form: struct.Struct, strings: bytes
) -> Iterator[tuple[str, tuple[int, ...]]]:
    end = at + length
    if not length:
        return
    (size,) = struct.unpack_from("=I", ext, at)
    if size < form.size:
        raise ValueError("records are too short")
    at += 4
    while at < end:
        name_at, count = _EXT_SECTION.unpack_from(ext, at)
        at += _EXT_SECTION.size
        name = string(strings, name_at)
        for _ in range(count):
            yield name, form.unpack_from(ext, at)
            at += size


def btf_strings(btf: bytes) -> bytes:
    """Return the strings of a BTF blob."""
    _, _, _, header, _, _, strings_at, strings_len = BTF_HEADER.unpack_from(btf)
    return btf[header + strings_at : header + strings_at + strings_len]


def string(strings: bytes, at: int) -> str:
    """Return the string that begins at *at*."""
    return strings[at : strings.index(b"\0", at)].decode("utf-8", "replace")


def with_strings(btf: bytes, added: bytes) -> tuple[bytes, int]:
    """Return *btf* with *added* behind its strings, and the offset where they begin there."""
    magic, version, flags, header, types_at, types_len, _, strings_len = BTF_HEADER.unpack_from(btf)
    before, strings = btf[BTF_HEADER.size : header], btf_strings(btf)
    types = btf[header + types_at : header + types_at + types_len]
    head = BTF_HEADER.pack(magic, version, flags, header, 0, types_len, types_len, strings_len + len(added))
    return head + before + types + strings + added, strings_len
