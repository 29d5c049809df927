"""What the headers inside BCC's library define: a kernel type of such a name cannot be declared a second time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

# BCC compiles with its own copies of these, which lie in the library as text.
_UAPI, _HELPERS = b"#ifndef _UAPI__LINUX_BPF_H__", b"#ifndef __BPF_HELPERS_H"
_LIBRARY = re.compile(r"\S*/libbcc\.so\S*$", re.MULTILINE)

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_TAG = re.compile(r"\b(?:struct|union|enum)\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?(\w+)\s*\{")
_ENUM_BODY = re.compile(r"\benum\b[^;{}()]*\{([^}]*)\}")
_MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
_TYPEDEF = re.compile(r"\btypedef\b[^;{}]*?(?:\{[^}]*\}[^;{}]*?)?\b(\w+)\s*(?:\[[^\]]*\]\s*)*;")
_FUNCTION_TYPEDEF = re.compile(r"\btypedef\b[^;{}]*?\(\s*\*\s*(\w+)\s*\)")
_MAP = re.compile(r"\bBPF_(?!TABLE)[A-Z0-9_]+\s*\(\s*(\w+)")
_TABLE = re.compile(r"\bBPF_(?:[A-Z0-9_]*_)?TABLE\w*\s*\(\s*\"[^\"]*\"\s*,[^,]+,[^,]+,\s*(\w+)")
_BRACES = re.compile(r"\{[^{}]*\}")
_FUNCTION = re.compile(r"\b(\w+)\s*\([^;()]*\)\s*;")
_VARIABLE = re.compile(r"\b(\w+)\s*(?:\[[^\]]*\]\s*)*(?:=[^;]*)?;")
_WORD = re.compile(r"[A-Za-z_]\w*")


class Names(NamedTuple):
    """What a text in C declares or defines."""

    tags: frozenset[str]
    """Of structs, unions and enums."""
    typedefs: frozenset[str]
    constants: frozenset[str]
    """Of enums, and whatever else stands in their braces."""
    macros: frozenset[str]
    variables: frozenset[str]
    """And functions and maps of BCC: what is declared outside of functions."""

    @property
    def all(self) -> frozenset[str]:
        """Return all of them; those of tags, which C keeps apart, as `tag` writes them."""
        return frozenset(map(tag, self.tags)) | self.typedefs | self.constants | self.macros | self.variables


class BccNames(NamedTuple):
    """The names of BCC's headers, by when clang reads them."""

    uapi: frozenset[str]
    """Of its bpf.h, which ours include."""
    helpers: frozenset[str]
    """Of its helpers.h, which is read after ours."""


def tag(name: str) -> str:
    """Return what stands for the tag *name* among other names, whether it is that of a struct, a union or an enum."""
    return f"struct {name}"


def without_comments(text: str) -> str:
    """Return C without comments."""
    return _COMMENT.sub(" ", text)


def words(text: str) -> frozenset[str]:
    """Return every name in a text in C."""
    return frozenset(_WORD.findall(text))


def defined(text: str) -> Names:
    """Return what a text without comments defines."""
    bodies = " ".join(_ENUM_BODY.findall(text))
    typedefs = frozenset(_TYPEDEF.findall(text)) | frozenset(_FUNCTION_TYPEDEF.findall(text))
    macros = frozenset(_MACRO.findall(text))
    return Names(frozenset(_TAG.findall(text)), typedefs, words(bodies), macros, frozenset(_variables(text)))


def _variables(text: str) -> Iterator[str]:
    """Yield the names of functions, maps and variables; a word before parentheses and braces is also among them."""
    yield from _MAP.findall(text)
    yield from _TABLE.findall(text)
    outside, count = text, 1
    while count:
        outside, count = _BRACES.subn(" ;", outside)
    yield from _FUNCTION.findall(outside)
    yield from _VARIABLE.findall(outside)


@cache
def names_in(library: Path) -> BccNames:
    """Return what the headers inside *library* define; nothing that is not found there. Raises OSError."""
    data = library.read_bytes()

    def of(marker: bytes) -> frozenset[str]:
        at = data.find(marker)
        if at < 0:
            return frozenset()
        text = data[at : data.find(b"\0", at)].decode("utf-8", "replace")
        return defined(without_comments(text)).all

    return BccNames(of(_UAPI), of(_HELPERS))


def loaded_library() -> Path | None:
    """Return the file of BCC's library that this process has loaded."""
    found = _LIBRARY.search(Path("/proc/self/maps").read_text())
    return Path(found[0]) if found else None
