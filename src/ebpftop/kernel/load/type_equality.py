"""Whether two maps hold the same types: then what is in the old one means the same to the new program."""

from __future__ import annotations

from typing import TypeAlias

from ebpftop.kernel.btf_types import COMPOSITES, ENUMS, BtfTypes, Kind
from ebpftop.kernel.errors import BtfError

Shape: TypeAlias = tuple[object, ...]

_DEEPEST = 32


def shape(types: BtfTypes, number: int) -> Shape | None:
    """Return what makes up a type: sizes, names and places of its members; None for none, or what is not understood.

    Names of types do not count: a struct that was renamed holds the same.
    """
    if not number:
        return None
    try:
        return _shape(types, number, 0)
    except (BtfError, IndexError, RecursionError):
        return None


def _shape(types: BtfTypes, number: int, depth: int) -> Shape:
    if depth > _DEEPEST:
        raise BtfError("types within types without end")
    found = types.bare(number)
    if found.kind in COMPOSITES:
        members = tuple((one.name, one.bits, one.width, _shape(types, one.type_id, depth + 1)) for one in found.members)
        return (found.kind, found.size, members)
    if found.kind is Kind.ARRAY:
        return (found.kind, found.length, _shape(types, found.target, depth + 1))
    if found.kind in ENUMS:
        return (found.kind, found.size, tuple(found.constants))
    if found.kind is Kind.PTR:
        return (found.kind,)
    return (found.kind, found.size, found.signed, found.is_char, found.is_bool)
