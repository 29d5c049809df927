"""C declarations of kernel types, from BTF: each member lies where the kernel has it, in the code that BCC makes too.

Every struct is packed, every gap is a named member, and what differs from what C would do by itself is written down:
BCC takes the offset of a member from clang's layout, and unnamed gaps shift that of the members behind them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from ebpftop.kernel.btf_types import COMPOSITES, ENUMS, MODIFIERS, Kind, Member, Type
from ebpftop.kernel.load.bcc_names import tag
from ebpftop.kernel.load.kernel_types import KernelTypes

_NAME = re.compile(r"[A-Za-z_]\w*")
# As gcc and clang write them, in whatever order; a kernel with parts in Rust has integers that C does not know.
_C_INTEGERS = frozenset(("char", "short", "int", "long", "signed", "unsigned", "_Bool", "__int128"))
_QUALIFIERS = MODIFIERS - {Kind.TYPEDEF}
_TAGS = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}
# What a compiler declares by itself; BTF has it too.
_CLANGS = frozenset((tag("__va_list_tag"), "__builtin_va_list", "va_list", "__gnuc_va_list"))


class Declarations:
    """The declarations that a C file needs, in an order that a compiler accepts."""

    def __init__(
        self, types: KernelTypes, words: Collection[str], before: Collection[str] = (), after: Collection[str] = ()
    ) -> None:
        """Declare nothing yet. *words*: all of the file. *before*, *after*: names (and `tag`s) declared elsewhere.

        A pointer to a struct is followed if the member that holds it is one of the words: nobody else can follow it.
        Of an enum's constants only those stay that are one of the words.
        """
        self._types = types
        self._btf = types.btf
        self._words = frozenset(words)
        self._before = frozenset(before)
        self._not_here = self._before | frozenset(after) | _CLANGS
        self._text: list[str] = []
        self._constants: set[str] = set()
        self._waiting: list[int] = []
        self._begun: set[int] = set()
        self._done: set[int] = set()
        self._count = 0

    def add(self, found: Type) -> None:
        """Declare one type and what it consists of."""
        self._waiting.append(found.id)
        while self._waiting:
            self._declare_whole(self._waiting.pop())

    def text(self) -> str:
        """Return all declarations."""
        return "\n".join(self._text)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._text)

    def _declare_whole(self, number: int) -> None:
        """Declare what a value of the type *number* consists of, unless that is done."""
        if number in self._begun:
            return
        self._begun.add(number)
        found = self._btf.type(number)
        if found.kind == Kind.TYPEDEF and self._is_ours(found):
            # A pointer to something is as good as its name only if somebody follows it.
            declared = self._declared(found.target, found.name, follow=found.name in self._words)
            self._text.append(f"typedef {declared};")
        elif found.kind in MODIFIERS or found.kind == Kind.ARRAY:
            self._declare_whole(found.target)
        elif found.kind in ENUMS and (not found.name or self._is_ours(found)):
            # An enum without a tag is declared for its constants, one with a tag for its size too.
            self._text.append(f"enum {found.name} {self._enum_body(found)};")
        elif found.kind in COMPOSITES and found.name and self._is_ours(found):
            body = self._body(found)
            self._text.append(f"{_TAGS[found.kind]} {found.name} {body};")
        self._done.add(number)

    def _is_ours(self, found: Type) -> bool:
        """Return whether the name stands for this type, and is declared here."""
        name = self._unique(found)
        if name in self._not_here or not _NAME.fullmatch(found.name):
            return False
        return self._first(found).id == found.id

    def _first(self, found: Type) -> Type:
        """Return the type that stands for a name which several have: the first, whoever leads to it."""
        return self._types.find((found.kind,), found.name) or found

    @staticmethod
    def _unique(found: Type) -> str:
        return found.name if found.kind == Kind.TYPEDEF else tag(found.name)

    def _enum_body(self, found: Type) -> str:
        """Return the constants that are words, and two that keep size and sign what they are."""
        self._count += 1
        values = [value for _, value in found.constants] or [0]
        ends = {f"__e{self._count}_least": min(values), f"__e{self._count}_most": max(values)}
        kept = {}
        for name, value in found.constants:
            if name in self._words and name not in self._not_here and name not in self._constants:
                self._constants.add(name)
                kept[name] = value
        text = ", ".join(f"{name} = {_literal(value)}" for name, value in {**kept, **ends}.items())
        return f"{{ {text} }}" + (" __attribute__((packed))" if found.size < 4 else "")

    def _body(self, found: Type) -> str:
        """Return the members of a struct or union with every gap between them, and how it is aligned."""
        lines = list(self._union_members(found) if found.kind == Kind.UNION else self._struct_members(found))
        size = found.size
        align = next((f", aligned({n})" for n in (8, 4, 2) if size and size % n == 0), "")
        return "{ " + " ".join(lines) + f" }} __attribute__((packed{align}))"

    def _struct_members(self, found: Type) -> Iterator[str]:
        at = 0
        for member in found.members:
            if not member.width and at % 8:
                yield from self._gap(at, at + -at % 8)
                at += -at % 8
            if member.bits < at:  # BTF has it over another one: it cannot be written down, and nothing is lost
                continue
            yield from self._gap(at, member.bits)
            yield self._member(member)
            at = member.bits + (member.width or 8 * self._btf.size_of(member.type_id))
        yield from self._gap(at, 8 * found.size)

    def _union_members(self, found: Type) -> Iterator[str]:
        for member in found.members:
            yield self._member(member)
        yield f"char {self._pad()}[{found.size}];"

    def _gap(self, start: int, end: int) -> Iterator[str]:
        """Yield members that fill the bits from *start* to *end*."""
        if start % 8 and start < end:
            bits = min(end - start, -start % 8)
            yield f"unsigned char {self._pad()} : {bits};"
            start += bits
        if (whole := (end - start) // 8) > 0:
            yield f"char {self._pad()}[{whole}];"
            start += 8 * whole
        if start < end:
            yield f"unsigned char {self._pad()} : {end - start};"

    def _pad(self) -> str:
        self._count += 1
        return f"__pad{self._count}"

    def _member(self, member: Member) -> str:
        follow = member.name in self._words
        name = member.name if not member.name or _NAME.fullmatch(member.name) else self._pad()
        declared = self._declared(member.type_id, name, follow=follow)
        return f"{declared} : {member.width};" if member.width else f"{declared};"

    def _declared(self, number: int, name: str, *, follow: bool = False) -> str:
        """Return the declaration of *name* with the type *number*; *follow*: what a pointer points to is needed."""
        found = self._btf.behind(number, _QUALIFIERS)
        if found.kind == Kind.ARRAY:
            return self._declared(found.target, f"{name}[{found.length}]", follow=follow)
        if found.kind == Kind.PTR:
            return self._pointer(found.target, name, follow=follow)
        if self._is_plain(found):
            return f"{self._value(found)} {name}".rstrip()
        if found.kind == Kind.TYPEDEF:
            return self._declared(found.target, name, follow=follow)
        return self._bytes(found, name)

    def _pointer(self, target: int, name: str, *, follow: bool) -> str:
        found = self._btf.behind(target, _QUALIFIERS if follow else MODIFIERS)
        # In C, a name that ends with brackets or parentheses is an array first, and then a pointer: *name[2].
        if found.kind == Kind.PTR:
            return self._pointer(found.target, f"*{name}", follow=follow)
        if found.kind in COMPOSITES or found.kind == Kind.FWD:
            word = "union" if found.kind == Kind.UNION or found.is_union else "struct"
            if not _NAME.fullmatch(found.name) or tag(found.name) in _CLANGS:
                return f"void *{name}"
            if follow and found.kind in COMPOSITES:
                self._waiting.append(self._first(found).id)
            return f"{word} {found.name} *{name}"
        if found.kind in (Kind.INT, Kind.TYPEDEF) and self._is_plain(found):
            declared = self._value(found)
            # A struct that has no tag, and that a member of it points to: not yet declared here.
            return f"{declared} *{name}" if found.kind == Kind.INT or self._is_declared(found) else f"void *{name}"
        return f"void *{name}"

    def _is_declared(self, found: Type) -> bool:
        return found.id in self._done or found.name in self._before

    def _is_plain(self, found: Type) -> bool:
        """Return whether a value of the type can be declared by C's means, and is what the kernel means by it."""
        if found.kind == Kind.INT:
            return set(found.name.split()) <= _C_INTEGERS
        if found.kind == Kind.TYPEDEF and found.name in self._before:
            return self._btf.bare(found.id).kind == Kind.INT  # else it may be another than the kernel's
        if found.kind in ENUMS and tag(found.name) in self._before:
            return found.size == 4
        if found.kind in COMPOSITES or found.kind in ENUMS:
            return not found.name or self._is_ours(found)
        return found.kind == Kind.VOID or (found.kind == Kind.TYPEDEF and self._is_ours(found))

    def _value(self, found: Type) -> str:
        """Return how a value of the type begins its declaration; what it consists of is declared first."""
        if found.kind == Kind.TYPEDEF:
            self._declare_whole(found.id)
            return found.name
        if found.kind in (Kind.INT, Kind.VOID):
            return found.name
        word = _TAGS[found.kind]
        if found.name:
            self._declare_whole(found.id)
            return f"{word} {found.name}"
        return f"{word} {self._enum_body(found) if found.kind in ENUMS else self._body(found)}"

    def _bytes(self, found: Type, name: str) -> str:
        """Return the declaration of something of the right size whose type cannot be named here."""
        size = self._btf.size_of(found.id)
        number = {1: "char", 2: "short", 4: "int", 8: "long long"}.get(size)
        if number and found.kind in ENUMS | {Kind.INT, Kind.FLOAT, Kind.TYPEDEF}:
            return f"{'' if found.signed else 'unsigned '}{number} {name or self._pad()}"
        base, bracket, dimensions = (name or self._pad()).partition("[")
        return f"char {base}{bracket}{dimensions}[{size}]"


def _literal(value: int) -> str:
    """Return a constant of C: of the type that holds it, and with no warning about its size."""
    if -(1 << 31) < value < 1 << 31:
        return str(value)
    if value < 0:
        return f"(-{-(value + 1)}{'LL' if value < -(1 << 31) else ''} - 1)"
    return f"{value}U" if value < 1 << 32 else f"{value}{'ULL' if value >> 63 else 'LL'}"
