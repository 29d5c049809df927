"""The fields of a map's keys and values, and of an event: the columns that they become, and how a value is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ebpftop.core.load_records import Field

LEAVES_MAX = 40
"""Columns that a struct becomes; what is beyond them is left out."""

COUNTERS_MAX = 8
"""Members of a value whose rates are kept; what is beyond them has none."""

UNKNOWN = Field(type="", kind="unknown")

_COUNTED = frozenset(("int", "uint", "float"))
_COUNTS = frozenset(("", "ns", "bytes"))
"""What a number means that may count something: a rate of a user or of a moment would mean nothing."""
_SETTING = re.compile(r"conf(ig)?|cfg|settings?|options?|opts?|targets?|thresholds?|enabled?")
_GAUGE = re.compile(r"start\w*|last\w*|min\w*|max\w*|ts|when|state|limit|id|flags|mode|type|level|version")


@dataclass(frozen=True)
class Leaf:
    """A field that has no fields itself, and the names that lead to it from the whole value."""

    path: tuple[str, ...]
    field: Field

    @property
    def name(self) -> str:
        """How it is called: ``stats.count``; empty for a value that is no structure."""
        return ".".join(self.path)

    def place(self, of: str) -> str:
        """Return its place in a row's ``names``, if it belongs to the part *of* (``key``, ``value``, or nothing)."""
        return ".".join((of, *self.path) if of else self.path)

    def read(self, value: object) -> object:
        """Return what of *value* it is; None if that has no such field."""
        for name in self.path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value


def leaves(field: Field | None) -> tuple[Leaf, ...]:
    """Return the columns of *field*: itself, or those of its fields, nested ones too."""
    found: list[Leaf] = []
    _collect(UNKNOWN if field is None else field, (), found)
    return tuple(found)


def _collect(field: Field, path: tuple[str, ...], found: list[Leaf]) -> None:
    if field.kind != "struct" or not field.fields:
        if len(found) < LEAVES_MAX:
            found.append(Leaf(path, field))
        return
    for part in field.fields:
        _collect(part, (*path, part.name) if part.name else path, found)


def counters_of(value: Sequence[Leaf], name: str = "") -> tuple[Leaf, ...]:
    """Return those of *value* that count: whose totals and rates mean something. *name* is that of the map.

    None of a map of settings, of names, or of moments.
    """
    if _SETTING.search(name.lower()):
        return ()
    return tuple(leaf for leaf in value if _counts(leaf))[:COUNTERS_MAX]


def counter_of(value: Sequence[Leaf], name: str = "") -> Leaf | None:
    """Return the first of *value* that counts; None: nothing does."""
    return next(iter(counters_of(value, name)), None)


def _counts(leaf: Leaf) -> bool:
    is_number = leaf.field.kind in _COUNTED and leaf.field.meaning in _COUNTS
    return is_number and not (leaf.path and _GAUGE.fullmatch(leaf.path[-1].lower()))


def identity(value: object) -> object:
    """Return what tells a value from all others, as something that can be hashed."""
    if isinstance(value, Mapping):
        return tuple((name, identity(one)) for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(identity(one) for one in value)
    return value


def number(value: object) -> float:
    """Return a decoded number; 0.0 if it is none."""
    return float(value) if isinstance(value, (bool, int, float)) else 0.0
