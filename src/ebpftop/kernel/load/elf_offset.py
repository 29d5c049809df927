"""Where a function lies in a program or library: what the kernel wants to know for a probe in user space."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

_SYMBOL = struct.Struct("=IBBHQQ")  # Elf64_Sym: name, info, other, section, value, size
_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC


def symbol_offset(path: Path, symbol: str) -> int:
    """Return where the function *symbol* begins in the file *path*, in bytes; ``symbol+0x10`` is behind that.

    Raises OSError, and ValueError if there is none.
    """
    name, _, plus = symbol.partition("+")
    with path.open("rb") as file:
        try:
            elf = ELFFile(file)
            for address in _addresses(elf, name):
                for segment in elf.iter_segments("PT_LOAD"):
                    begin = segment["p_vaddr"]
                    if begin <= address < begin + segment["p_filesz"]:
                        return int(address - begin + segment["p_offset"]) + int(plus or "0", 0)
        except (ELFError, LookupError, struct.error) as error:
            raise ValueError(f"{path} is not a program or a library") from error
    raise ValueError(f"{path} has no function {name}")


def _addresses(elf: ELFFile, name: str) -> Iterator[int]:
    """Yield the addresses of functions called *name*, those of the full symbol table first."""
    for table in (".symtab", ".dynsym"):
        symbols = elf.get_section_by_name(table)
        if not isinstance(symbols, SymbolTableSection) or elf.elfclass != 64:
            continue
        strings = elf.get_section(symbols["sh_link"]).data()
        places = set(_places(strings, name.encode() + b"\0"))
        for name_at, info, _, section, value, _ in _SYMBOL.iter_unpack(symbols.data()):
            if name_at in places and section and info & 15 in _FUNCTIONS:
                yield value


def _places(strings: bytes, text: bytes) -> Iterator[int]:
    """Yield where *text* is in *strings*; a longer name may end with it, and share its bytes."""
    at = strings.find(text)
    while at >= 0:
        yield at
        at = strings.find(text, at + 1)
