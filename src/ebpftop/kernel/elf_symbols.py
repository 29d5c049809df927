"""The functions of an ELF file: its symbol table, and its build id.

pyelftools reads the structure of the file. Symbols themselves are read in one go, as it makes an object of each: of a
program with a million of them that would take half a minute.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment

from ebpftop.kernel.symbol_table import ENTRIES_MAX, NAME_MAX, Symbol

_SECTIONS_MAX = 4096
_SEGMENTS_MAX = 256
_FUNCTION, _INDIRECT_FUNCTION = 2, 10  # STT_FUNC, STT_GNU_IFUNC
_ANSWERS_MAX = 1 << 14
_NESTED_MAX = 16  # functions in which an address may lie at the same time
_CLOSE_TO = 64  # names of one place that are looked at
# What a file that is no proper ELF file may make of the library.
_DAMAGED = (
    ELFError, ConstructError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
    RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip


class ElfSymbols:
    """The functions of one file. It keeps the file open, and reads names when they are asked for."""

    def __init__(self, fd: int) -> None:
        """*fd* is closed with this object. A file that is damaged has no functions."""
        self._fd = fd
        self.build_id = b""
        self._segments: list[tuple[int, int, int]] = []  # where in the file, how long, where in memory
        self._begins, self._sizes, self._names = array("Q"), array("Q"), array("Q")
        self._names_at = self._names_len = 0
        self._is_read = False
        self._answers: dict[int, Symbol | None] = {}
        self._symbols: tuple[int, int, struct.Struct, bool] | None = None  # where, how long, one of them, 64 bits
        try:
            with open(fd, "rb", closefd=False) as file:
                elf = ELFFile(file)
                self._read_structure(elf)
        except _DAMAGED:
            self._symbols = None

    def __len__(self) -> int:
        """Return how many functions are in memory."""
        return len(self._begins)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _read_structure(self, elf: ELFFile) -> None:
        if elf.num_segments() > _SEGMENTS_MAX:
            return
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_LOAD":
                self._segments.append((segment["p_offset"], segment["p_filesz"], segment["p_vaddr"]))
            elif isinstance(segment, NoteSegment) and segment["p_filesz"] < 1 << 16:
                for note in segment.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID":
                        self.build_id = bytes.fromhex(note["n_desc"])
        if elf.num_sections() > _SECTIONS_MAX:
            return
        section = elf.get_section_by_name(".symtab") or elf.get_section_by_name(".dynsym")
        if section is None:
            return
        names = elf.get_section(section["sh_link"])
        self._names_at, self._names_len = names["sh_offset"], names["sh_size"]
        order = "<" if elf.little_endian else ">"
        is_64 = elf.elfclass == 64
        one = struct.Struct(f"{order}IBBHQQ" if is_64 else f"{order}IIIBBH")
        size = min(section["sh_size"], ENTRIES_MAX * one.size)
        self._symbols = section["sh_offset"], size - size % one.size, one, is_64

    def _read_symbols(self) -> None:
        self._is_read = True
        if self._symbols is None:
            return
        at, size, one, is_64 = self._symbols
        try:
            content = os.pread(self._fd, size, at)
        except (OSError, OverflowError, ValueError):
            return
        content = content[: len(content) - len(content) % one.size]
        found: list[tuple[int, int, int]] = []
        for fields in one.iter_unpack(content):
            if is_64:
                name, info, _, section, begin, length = fields
            else:
                name, begin, length, info, _, section = fields
            if section and info & 15 in (_FUNCTION, _INDIRECT_FUNCTION):
                found.append((begin, length, name))
        found.sort()
        self._begins = array("Q", (one[0] for one in found))
        self._sizes = array("Q", (one[1] for one in found))
        self._names = array("Q", (one[2] for one in found))

    def at(self, offset: int) -> Symbol | None:
        """Return the function of the code at *offset* in the file."""
        if offset not in self._answers:
            if len(self._answers) >= _ANSWERS_MAX:
                self._answers.clear()
            if not self._is_read:
                self._read_symbols()
            self._answers[offset] = self._find(offset)
        return self._answers[offset]

    def _find(self, offset: int) -> Symbol | None:
        address = next(
            (offset - begin + memory for begin, size, memory in self._segments if begin <= offset < begin + size), None
        )
        if address is None:
            return None
        last = bisect_right(self._begins, address) - 1
        for place in range(last, max(-1, last - _NESTED_MAX), -1):
            begin, size = self._begins[place], self._sizes[place]
            if address < begin + size or (not size and place == last):
                name = self._best_name(place)
                return Symbol(name, address - begin) if name else None
        return None

    def _best_name(self, place: int) -> bytes:
        """Return the name that a function is known by: of those of one place the one with fewest underscores."""
        begin = self._begins[place]
        names = []
        for other in range(place, max(-1, place - _CLOSE_TO), -1):
            if self._begins[other] != begin:
                break
            if name := self._name(self._names[other]):
                names.append(name)
        return min(names, key=lambda name: (len(name) - len(name.lstrip(b"_")), len(name), name), default=b"")

    def _name(self, at: int) -> bytes:
        if at >= self._names_len:
            return b""
        try:
            return os.pread(self._fd, NAME_MAX, self._names_at + at).partition(b"\0")[0]
        except (OSError, OverflowError, ValueError):
            return b""
