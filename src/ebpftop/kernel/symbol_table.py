"""Names by address: of the kernel (/proc/kallsyms), and of code that a program made while it ran (perf maps).

What is read may be as large and as wrong as the program wants that wrote it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

ENTRIES_MAX = 1 << 20
NAME_MAX = 512  # bytes that are looked at


class Symbol(NamedTuple):
    """A name, and how far behind its beginning the address lies."""

    name: bytes
    offset: int


class SymbolTable:
    """Names in one block of memory: half a million of them are no half a million objects."""

    def __init__(self, entries: Iterable[tuple[int, int, bytes]]) -> None:
        """*entries*: begin, size (0: up to the next one) and name, in any order; later ones win."""
        self._names = bytearray()
        found: list[tuple[int, int, int]] = []
        for begin, size, name in entries:
            if len(found) >= ENTRIES_MAX:
                break
            found.append((begin, len(self._names), size))
            self._names += name[:NAME_MAX] + b"\0"
        found.sort()
        self._begins = array("Q", (begin for begin, _, _ in found))
        self._at = array("I", (at for _, at, _ in found))
        self._sizes = array("Q", (size for _, _, size in found))

    def at(self, address: int) -> Symbol | None:
        """Return what lies at *address*."""
        place = bisect_right(self._begins, address) - 1
        if place < 0:
            return None
        offset = address - self._begins[place]
        if self._sizes[place] and offset >= self._sizes[place]:
            return None
        at = self._at[place]
        return Symbol(bytes(self._names[at : self._names.index(0, at)]), offset)


_CODE = frozenset(b"tTwW")
_ADDRESS_MAX = (1 << 64) - 1


def kernel_symbols(lines: Iterable[bytes]) -> SymbolTable:
    r"""Return the functions of /proc/kallsyms; none if the kernel hides where they are.

    >>> table = kernel_symbols([b"ffff10 T first\n", b"ffff20 t second\t[module]\n", b"ffff30 D data\n", b"0 T x\n"])
    >>> table.at(0xffff1f), table.at(0xffff22), table.at(5)
    (Symbol(name=b'first', offset=15), Symbol(name=b'second [module]', offset=2), None)
    """

    def entries() -> Iterable[tuple[int, int, bytes]]:
        for line in lines:
            parts = line.split()
            if len(parts) > 2 and parts[1][0] in _CODE and (begin := _number(parts[0])):
                yield begin, 0, b" ".join(parts[2:])

    return SymbolTable(entries())


def perf_map(content: bytes) -> SymbolTable:
    r"""Return what a perf map says: a line `START SIZE name` for each piece of code, in hexadecimal digits.

    >>> table = perf_map(b"7f00 10 LazyCompile:~add app.js:1\nnonsense\nffffffffffffffffff 1 x\n7f10 0 empty\n-1 2 y\n")
    >>> table.at(0x7f0f), table.at(0x7f10)
    (Symbol(name=b'LazyCompile:~add app.js:1', offset=15), None)
    """

    def entries() -> Iterable[tuple[int, int, bytes]]:
        for line in content.splitlines():
            parts = line.split(None, 2)
            if len(parts) < 3:
                continue
            begin, size = _number(parts[0]), _number(parts[1])
            if begin and size:
                yield begin, size, parts[2]

    return SymbolTable(entries())


def _number(text: bytes) -> int:
    """Return a hexadecimal number that an address may be; else 0."""
    try:
        number = int(text, 16)
    except ValueError:
        return 0
    return number if 0 <= number <= _ADDRESS_MAX else 0
