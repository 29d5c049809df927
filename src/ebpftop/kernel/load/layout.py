"""How keys, values and events of a program of one's own lie in memory: from its BTF, with what their numbers mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ebpftop.core.escape import escape
from ebpftop.core.load_records import DEEPEST, Field, FieldKind, Meaning, Value
from ebpftop.kernel.btf_types import COMPOSITES, ENUMS, MODIFIERS, BtfTypes, Kind, Member, Type
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load import meanings
from ebpftop.kernel.load.meanings import Hints
from ebpftop.kernel.load.values import Address, Array, Bits, Bool, Codec, Hex, Mac, Named, Number, Real, Struct, Text

_POINTER_BYTES = 8
_WORD_BYTES = 8
_COUNTS_MAX = 256
"""Characters of the sizes of an array of arrays."""
_NAMES_MAX = 256
"""Constants of an enum that a record lists."""
_MEMBERS_MAX = 512
_BYTE_BITS = 8
_IP4_BYTES, _IP6_BYTES, _MAC_BYTES = 4, 16, 6
_PADDING = re.compile(r"__pad\w*")
_PLAIN_HINTS = frozenset((meanings.STRING, meanings.BYTES, meanings.NONE))
# Names of BCC's and the kernel's headers that say less than the type itself.
_SHORT_NAMES = {
    "unsigned char": "u8",
    "unsigned short": "u16",
    "unsigned int": "u32",
    "unsigned long": "u64",
    "unsigned long long": "u64",
    "long unsigned int": "u64",
    "long long unsigned int": "u64",
    "short unsigned int": "u16",
    "long long int": "s64",
    "long int": "long",
    "_Bool": "bool",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A type: what records say of it, and what reads and writes it."""

    field: Field
    codec: Codec

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return self.field.size

    def decode(self, data: bytes) -> Value:
        """Return the value in *data*."""
        return self.codec.decode(data)

    def at(self, path: str) -> tuple[Layout, int] | None:
        """Return the layout of the member at *path* (names with dots), and where it begins; None: there is none."""
        here, offset = self, 0
        for name in filter(None, path.split(".")):
            found = here._member(name)
            if found is None:
                return None
            here, offset = found[0], offset + found[1]
        return here, offset

    def _member(self, name: str) -> tuple[Layout, int] | None:
        codec = self.codec
        if isinstance(codec, Struct):
            inner = {one.name: one for one in self.field.fields}
            return next(((Layout(inner[name], one), at) for known, at, one in codec.members if known == name), None)
        if isinstance(codec, Array) and name.isdecimal() and int(name) < (codec.count or 0):
            return Layout(self.field.fields[0], codec.item), int(name) * codec.item.size
        return None


def unknown(size: int, name: str = "") -> Layout:
    """Return the layout of bytes of which nothing is known but their number."""
    return Layout(Field(name=name, type=f"{size} bytes", kind="unknown", size=size), Hex(size))


def layout_of(types: BtfTypes, type_id: int, hints: Hints, name: str = "") -> Layout:
    """Return the layout of a type; raises BtfError if there is no such type, or no end of it.

    *name* is whose value that is, or empty.

    Members of anonymous structures and unions are those of the structure around them, as in C.
    """
    layout = _Reader(types, hints).layout(type_id, name, "", 0)
    return layout if layout is not None else unknown(types.size_of(type_id))


class _Reader:
    def __init__(self, types: BtfTypes, hints: Hints) -> None:
        self._types = types
        self._hints = hints

    def layout(self, type_id: int, name: str, path: str, depth: int) -> Layout | None:
        """Return the layout of the type of the member *name* at *path*; None for what has no value."""
        types, bare = self._types, self._types.bare(type_id)
        size = types.size_of(type_id)
        if depth >= DEEPEST:
            return unknown(size, name)
        written = self.written(type_id)
        hint = self._hints.word(path)
        if bare.kind == Kind.INT:
            return self._integer(bare, written, name, hint)
        if bare.kind in ENUMS:
            values = {one.name: one.value for one in bare.constants[:_NAMES_MAX]}
            field = Field(name=name, type=written, kind="enum", size=size, values=values)
            return Layout(
                field, Named(Number(size, bare.signed or min(values.values(), default=0) < 0, written), values)
            )
        if bare.kind == Kind.PTR:
            return Layout(
                Field(name=name, type=written, kind="pointer", meaning="hex", size=_POINTER_BYTES),
                Number(_POINTER_BYTES, False, written),
            )
        if bare.kind == Kind.FLOAT and size in (4, 8):
            return Layout(Field(name=name, type=written, kind="float", size=size), Real(size))
        if bare.kind == Kind.ARRAY:
            return self._array(bare, written, name, path, depth, hint)
        if bare.kind in COMPOSITES:
            return self._composite(bare, written, name, path, depth)
        return unknown(size, name) if size else None

    def _integer(self, bare: Type, written: str, name: str, hint: str | None) -> Layout:
        size = bare.size
        if bare.is_bool:
            return Layout(Field(name=name, type=written, kind="bool", size=size), Bool(size))
        if size not in (1, 2, 4, 8):  # __int128
            meaning = _meaning(hint, meanings.meaning_of(name, "bytes", size))
            return Layout(
                Field(name=name, type=written, kind="bytes", meaning=meaning, size=size), _of_bytes(size, meaning)
            )
        kind: FieldKind = "int" if bare.signed else "uint"
        meaning = _meaning(hint, meanings.meaning_of(name, kind, size))
        field = Field(name=name, type=written, kind=kind, meaning=meaning, size=size)
        if meaning == "ip4" and size == _IP4_BYTES:
            return Layout(field, Address(size))
        return Layout(field, Number(size, bare.signed, written))

    def _array(self, bare: Type, written: str, name: str, path: str, depth: int, hint: str | None) -> Layout | None:
        item = self._types.bare(bare.target)
        size, rest = bare.length * self._types.size_of(bare.target), not bare.length
        if item.kind == Kind.INT and item.size == 1 and not item.is_bool:
            # Compilers do not agree on which of the three kinds of char are characters, but on their names.
            is_char = item.name == "char"
            text = hint == meanings.STRING or (
                hint is None and (is_char or (not item.signed and meanings.is_text(name)))
            )
            if text:
                return Layout(Field(name=name, type=written, kind="string", size=size), Text(size, rest))
            if not item.signed or is_char:
                meaning = _meaning(hint, meanings.meaning_of(name, "bytes", size))
                field = Field(name=name, type=written, kind="bytes", meaning=meaning, size=size)
                return Layout(field, _of_bytes(size, meaning, rest=rest))
        element = self.layout(bare.target, name, path, depth + 1)
        if element is None or not element.size:
            return None
        if size == _IP6_BYTES and _meaning(hint, meanings.meaning_of(name, "array", size)) == "ip6":
            return Layout(Field(name=name, type=written, kind="bytes", meaning="ip6", size=size), Address(size))
        field = Field(name=name, type=written, kind="array", size=size, count=bare.length, fields=(element.field,))
        return Layout(field, Array(element.codec, None if rest else bare.length))

    def _composite(self, bare: Type, written: str, name: str, path: str, depth: int) -> Layout:
        kind: FieldKind = "struct" if bare.kind == Kind.STRUCT else "union"
        found: list[tuple[Layout, int]] = []
        for member, offset in self._members(bare, 0, depth):
            if len(found) == _MEMBERS_MAX or _PADDING.fullmatch(member.name):
                continue
            below = f"{path}.{member.name}" if path else member.name
            if member.width:
                found.append(self._bit_field(member, below))
            elif (inner := self.layout(member.type_id, escape(member.name), below, depth + 1)) is not None:
                found.append((inner, offset // _BYTE_BITS))
        field = Field(
            name=name, type=written, kind=kind, size=bare.size, fields=tuple(inner.field for inner, _ in found)
        )
        return Layout(field, Struct(bare.size, tuple((inner.field.name, at, inner.codec) for inner, at in found)))

    def _members(self, bare: Type, base: int, depth: int) -> Iterator[tuple[Member, int]]:
        """Yield the members of a structure, and of the anonymous ones in it, each with where it begins in bits."""
        for member in bare.members:
            inner = self._types.bare(member.type_id)
            if not member.name and inner.kind in COMPOSITES and depth < DEEPEST:
                yield from self._members(inner, base + member.bits, depth + 1)
            elif member.name:
                yield member._replace(bits=base + member.bits), base + member.bits

    def _bit_field(self, member: Member, path: str) -> tuple[Layout, int]:
        """Return the layout of a bit-field, and where the bytes begin that it lies in."""
        bare = self._types.bare(member.type_id)
        begin = member.bits // _BYTE_BITS
        shift = member.bits - _BYTE_BITS * begin
        size = (shift + member.width + _BYTE_BITS - 1) // _BYTE_BITS
        written, name = self.written(member.type_id), escape(member.name)
        if bare.kind in ENUMS:
            values = {one.name: one.value for one in bare.constants[:_NAMES_MAX]}
            named = Named(Number(min(bare.size, _WORD_BYTES), bare.signed, written), values)
            field = Field(name=name, type=written, kind="enum", size=size, bits=member.width, values=values)
            return Layout(field, Bits(size, shift, member.width, bare.signed, named)), begin
        kind: FieldKind = "int" if bare.signed else "uint"
        meaning = _meaning(self._hints.word(path), meanings.meaning_of(member.name, kind, bare.size))
        field = Field(name=name, type=written, kind=kind, meaning=meaning, size=size, bits=member.width)
        return Layout(field, Bits(size, shift, member.width, bare.signed)), begin

    def written(self, type_id: int, depth: int = 0) -> str:
        """Return how a type is written in C."""
        found = self._types.type(type_id)
        if depth > DEEPEST:
            return "?"
        if found.kind == Kind.TYPEDEF:
            return _short(found.name)
        if found.kind in MODIFIERS:
            return self.written(found.target, depth + 1)
        if found.kind == Kind.PTR:
            return f"{self.written(found.target, depth + 1)} *".replace("* *", "**")
        if found.kind == Kind.ARRAY:
            counts, inner = "", found
            while inner.kind == Kind.ARRAY and len(counts) < _COUNTS_MAX:
                counts, inner = f"{counts}[{inner.length or ''}]", self._types.bare(inner.target)
                found = inner if inner.kind == Kind.ARRAY else found
            return f"{self.written(found.target, depth + 1)}{counts}"
        name = _short(found.name)
        word = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}.get(found.kind)
        if word is None:
            return "void" if found.kind == Kind.VOID else name or "function"
        return f"{word} {name}" if name else word


def _short(name: str) -> str:
    return _SHORT_NAMES.get(name.removeprefix("__"), escape(name.removeprefix("__")))


def _meaning(hint: str | None, found: Meaning) -> Meaning:
    """Return what a hint says a number means, else what was found."""
    if hint is None:
        return found
    if hint in _PLAIN_HINTS:
        return "hex" if hint == meanings.BYTES else ""
    return hint  # type: ignore[return-value]  # `Hints` has no other words


def _of_bytes(size: int, meaning: Meaning, *, rest: bool = False) -> Codec:
    if meaning == "mac" and size == _MAC_BYTES:
        return Mac()
    if (meaning == "ip6" and size == _IP6_BYTES) or (meaning == "ip4" and size == _IP4_BYTES):
        return Address(size)
    return Hex(size, rest)


def members_of(types: BtfTypes, name: str) -> int | None:
    """Return the type of the structure *name* (``data_t``); None if there is none."""
    for kind in (Kind.STRUCT, Kind.UNION, Kind.TYPEDEF):
        if (found := types.find(kind, name)) is not None:
            return found
    return None


__all__ = ["BtfError", "Layout", "layout_of", "members_of", "unknown"]
