"""Types of C as the kernel and its programs describe them: BTF, of the running kernel, of a module or of a program.

Format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of the kernel. A blob of the kernel has 130,000 types, of
which few are looked up: so only where each type begins is known from the start; the rest is read when it is asked for.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from ebpftop.kernel.errors import BtfError

_MAGIC = 0xEB9F
_HEADER = struct.Struct("=HBBIIIII")
_POINTER_SIZE = 8


class Kind(IntEnum):
    """What a type is."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


COMPOSITES = frozenset({Kind.STRUCT, Kind.UNION})
ENUMS = frozenset({Kind.ENUM, Kind.ENUM64})
_DEEPEST = 64
"""Types of types; the kernel follows 32 (MAX_RESOLVE_DEPTH, kernel/bpf/btf.c)."""

MODIFIERS = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
"""What stands before another type and changes nothing of how it lies in memory."""

# Of these, the third word is a size in bytes; of the others it is a type.
_SIZED = COMPOSITES | ENUMS | {Kind.INT, Kind.FLOAT, Kind.DATASEC}

# How many words follow a type of a kind: a fixed number, and a number for each of what it consists of.
_FIXED = [0] * 32
_EACH = [0] * 32
for _kind, _words in ((Kind.INT, 1), (Kind.ARRAY, 3), (Kind.VAR, 1), (Kind.DECL_TAG, 1)):
    _FIXED[_kind] = _words
for _kind, _words in (
    (Kind.STRUCT, 3),
    (Kind.UNION, 3),
    (Kind.ENUM, 2),
    (Kind.FUNC_PROTO, 2),
    (Kind.DATASEC, 3),
    (Kind.ENUM64, 3),
):
    _EACH[_kind] = _words


class Member(NamedTuple):
    """A member of a struct or union; a parameter of a function, which lies nowhere."""

    name: str
    """Empty for an anonymous struct or union, and for an unnamed parameter."""
    type_id: int
    bits: int = 0
    """Where it begins, in bits."""
    width: int = 0
    """Of a bit-field, in bits; 0 if it is not one."""


class Constant(NamedTuple):
    """A constant of an enum."""

    name: str
    value: int


class Type(NamedTuple):
    """One type."""

    id: int
    kind: Kind
    name: str
    """Empty if it has none."""
    size: int = 0
    """In bytes; 0 for a kind that has no size of its own (see `BtfTypes.size_of`)."""
    target: int = 0
    """The type that this one points to, repeats, returns or gives a name to; 0 is void."""
    length: int = 0
    """How many elements an array has."""
    members: tuple[Member, ...] = ()
    """Of a struct, a union, the parameters of a function, the variables of a section (each has its offset)."""
    constants: tuple[Constant, ...] = ()
    signed: bool = False
    """Whether an integer or an enum has a sign."""
    is_char: bool = False
    is_bool: bool = False
    width: int = 0
    """Of an integer, in bits."""
    is_union: bool = False
    """Whether a declaration without members is one of a union."""


VOID = Type(0, Kind.VOID, "void")


class BtfTypes:
    """All types of one blob."""

    def __init__(self, data: bytes, base: BtfTypes | None = None) -> None:
        """Find where each type of *data* begins: 0.05 s for a kernel's. Raises BtfError if it is damaged.

        Types and names of a kernel module go on where those of the kernel, *base*, end.
        """
        if len(data) < _HEADER.size:
            raise BtfError("the BTF blob is cut off")
        magic, version, _, header, types_at, types_len, names_at, names_len = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise BtfError("the BTF blob is of an unknown format")
        if max(types_at + types_len, names_at + names_len) > len(data) - header or types_len % 4:
            raise BtfError("the BTF blob is cut off")
        self.base = base
        self._first = len(base) if base else 1
        self._names_before = base.names_end if base else 0
        self._words = words = array("I", data[header + types_at : header + types_at + types_len])
        self._strings = data[header + names_at : header + names_at + names_len]
        self._starts = starts = array("I")
        self._read: dict[int, Type] = {}
        at, end, append, fixed, each = 0, len(words), starts.append, _FIXED, _EACH
        try:
            while at < end:
                append(at)
                info = words[at + 1]
                kind = info >> 24 & 0x1F
                at += 3 + fixed[kind] + each[kind] * (info & 0xFFFF)
        except IndexError:
            at = -1
        if at != end:
            raise BtfError("the BTF blob is cut off")

    def __len__(self) -> int:
        """Return the number that the next type would have; 0 is void."""
        return self._first + len(self._starts)

    @property
    def names_end(self) -> int:
        """Return how many bytes of names there are, those of the base included."""
        return self._names_before + len(self._strings)

    @cached_property
    def _index(self) -> dict[int, int]:
        """The number of the first type of each name and kind, by ``offset of the name << 5 | kind``."""
        words, index = self._words, {}
        for number in range(len(self._starts) - 1, -1, -1):
            at = self._starts[number]
            index[words[at] << 5 | words[at + 1] >> 24 & 0x1F] = number + self._first
        return index

    def find(self, kind: Kind, name: str) -> int | None:
        """Return the number of the type *name*, the first if there are several; None if there is no such type."""
        if self.base is not None and (found := self.base.find(kind, name)) is not None:
            return found
        # A module's names that are the kernel's too stand only there: so both are searched.
        places = (self.base.name_offset(name) if self.base else None, self.name_offset(name))
        numbers = (self.at_name(kind, place) for place in places if place)
        return next((number for number in numbers if number is not None), None)

    def at_name(self, kind: Kind, offset: int) -> int | None:
        """Return the number of the first type of this blob whose name begins at *offset*."""
        return self._index.get(offset << 5 | kind)

    def named(self, kind: Kind) -> Iterator[tuple[int, str]]:
        """Yield number and name of every type of *kind* that has a name; the first of several of one name."""
        for key, number in self._index.items():
            if key & 0x1F == kind and key >> 5:
                yield number, self.string(key >> 5)

    def name_offsets(self) -> dict[str, int]:
        """Return where each name of this blob begins: 0.05 s for a kernel's, worth it for hundreds of look-ups."""
        offsets, at = {}, self._names_before
        for name in self._strings.split(b"\0"):
            offsets[name.decode("ascii", "replace")] = at
            at += len(name) + 1
        return offsets

    def enums_of_constants(self) -> dict[int, int]:
        """Return which enum has a constant, by the offset of the constant's name; the first enum if several have it."""
        words, found = self._words, {}
        for number in range(len(self._starts) - 1, -1, -1):
            at = self._starts[number]
            info = words[at + 1]
            kind = info >> 24 & 0x1F
            if kind in ENUMS:
                each = _EACH[kind]
                found.update(
                    dict.fromkeys(words[at + 3 : at + 3 + each * (info & 0xFFFF) : each], number + self._first)
                )
        return found

    def name_offset(self, name: str) -> int | None:
        """Return where *name* lies among the names of this blob; None if nothing of it is called so."""
        found = self._strings.find(b"\0" + name.encode() + b"\0")
        return found + 1 + self._names_before if found >= 0 else None

    def raw_name(self, number: int) -> bytes:
        """Return the bytes of a type's name; raises BtfError if there is no such type."""
        if self.base is not None and number < self._first:
            return self.base.raw_name(number)
        return self._bytes(self._words[self._start(number)])

    def string(self, offset: int) -> str:
        """Return the name that begins at *offset*; raises BtfError."""
        return self._bytes(offset).decode("ascii", "replace") if offset else ""

    def _bytes(self, offset: int) -> bytes:
        if self.base is not None and offset < self._names_before:
            return self.base._bytes(offset)
        start = offset - self._names_before
        end = self._strings.find(b"\0", start)
        if end < 0:
            raise BtfError("a name of the BTF blob is cut off")
        return self._strings[start:end]

    def _start(self, number: int) -> int:
        if not self._first <= number < len(self):
            raise BtfError(f"the BTF blob has no type {number}")
        return self._starts[number - self._first]

    def type(self, number: int) -> Type:
        """Return one type; raises BtfError if there is no such type."""
        if (known := self._read.get(number)) is None:
            known = self._read[number] = self._type(number)
        return known

    def _type(self, number: int) -> Type:
        if number == 0:
            return VOID
        if self.base is not None and number < self._first:
            return self.base.type(number)
        start = self._start(number)
        name_at, info, third = self._words[start : start + 3]
        try:
            kind = Kind(info >> 24 & 0x1F)
        except ValueError:
            raise BtfError(f"the BTF blob has a type of an unknown kind, {info >> 24 & 0x1F}") from None
        found = Type(number, kind, self.string(name_at))
        found = found._replace(size=third) if kind in _SIZED else found._replace(target=third)
        return self._with_rest(found, start + 3, info & 0xFFFF, bool(info >> 31))

    def _with_rest(self, found: Type, at: int, count: int, flag: bool) -> Type:
        """Return *found* with what follows it: *count* parts. What the *flag* means depends on the kind."""
        words, kind = self._words, found.kind
        if kind == Kind.INT:
            encoding = words[at] >> 24
            return found._replace(
                signed=bool(encoding & 1),
                is_char=bool(encoding & 2),
                is_bool=bool(encoding & 4),
                width=words[at] & 0xFF,
            )
        if kind == Kind.ARRAY:
            return found._replace(target=words[at], length=words[at + 2])
        if kind in COMPOSITES:
            members = (words[i : i + 3] for i in range(at, at + 3 * count, 3))
            return found._replace(
                members=tuple(
                    # With the flag, the upper 8 bits are the width of a bit-field.
                    Member(self.string(name), type_id, bits & 0xFFFFFF if flag else bits, bits >> 24 if flag else 0)
                    for name, type_id, bits in members
                )
            )
        if kind in ENUMS:
            return found._replace(signed=flag, constants=tuple(self._constants(kind, at, count, flag)))
        if kind == Kind.FUNC_PROTO:
            return found._replace(
                members=tuple(Member(self.string(words[i]), words[i + 1]) for i in range(at, at + 2 * count, 2))
            )
        if kind == Kind.DATASEC:
            return found._replace(
                members=tuple(
                    Member(self.type(words[i]).name, words[i], 8 * words[i + 1]) for i in range(at, at + 3 * count, 3)
                )
            )
        return found._replace(is_union=flag) if kind == Kind.FWD else found

    def _constants(self, kind: Kind, at: int, count: int, signed: bool) -> Iterator[Constant]:
        words = self._words
        if kind == Kind.ENUM:
            # Kernels before 6.0 never set the flag: there, what lies just below 2^32 was meant to be negative.
            least = 1 << 31 if signed else 0xFFFF0000
            for i in range(at, at + 2 * count, 2):
                value = words[i + 1]
                yield Constant(self.string(words[i]), value - (1 << 32) if value >= least else value)
            return
        for i in range(at, at + 3 * count, 3):
            value = words[i + 1] | words[i + 2] << 32
            yield Constant(self.string(words[i]), value - (1 << 64) if signed and value >> 63 else value)

    def bare(self, number: int) -> Type:
        """Return the type behind typedefs and qualifiers. Raises BtfError if there is none: a typedef of itself."""
        return self.behind(number, MODIFIERS)

    def behind(self, number: int, kinds: frozenset[Kind]) -> Type:
        """Return the type *number*, or the first behind it that is of none of these *kinds*. Raises BtfError."""
        for _ in range(_DEEPEST):
            if (found := self.type(number)).kind not in kinds:
                return found
            number = found.target
        raise BtfError("the BTF blob has types of types without end")

    def size_of(self, number: int) -> int:
        """Return how many bytes a value of the type *number* has; 0 for void and functions. Raises BtfError."""
        count = 1
        for _ in range(_DEEPEST):
            found = self.bare(number)
            if found.kind not in (Kind.ARRAY, Kind.VAR):
                return count * (_POINTER_SIZE if found.kind == Kind.PTR else found.size)
            count *= found.length if found.kind == Kind.ARRAY else 1
            number = found.target
        raise BtfError("the BTF blob has arrays of arrays without end")
