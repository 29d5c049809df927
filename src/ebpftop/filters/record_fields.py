"""The fields of a record as an expression sees them: what each holds, in which unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from msgspec.inspect import Type

Holds: TypeAlias = Literal["text", "number", "bool", "null", "list", "object", "map", "any"]
Unit: TypeAlias = Literal["", "s", "ns", "time"]

_NAMES: Mapping[Holds, str] = {
    "text": "text",
    "number": "a number",
    "bool": "true or false",
    "null": "null",
    "list": "a list",
    "object": "an object",
    "map": "values by name",
    "any": "whatever its type in C is",
}


@dataclass(frozen=True, slots=True)
class Field:
    """What a value is. `item` is what a list or a map holds, `fields` are those of an object."""

    holds: Holds
    nullable: bool = False
    unit: Unit = ""
    item: Field | None = None
    fields: Mapping[str, Field] | None = None
    words: tuple[str, ...] = ()
    """All texts that it can be, if these are few."""

    def __str__(self) -> str:
        of = "of objects" if self.item is not None and self.item.holds == "object" else ""
        unit = {"s": "seconds", "ns": "nanoseconds", "time": "Unix seconds"}.get(self.unit, "")
        about = unit or " ".join(filter(None, (_NAMES[self.holds], of)))
        return f"{about} or null" if self.nullable else about


def fields_of(record: type) -> Mapping[str, Field]:
    """Return the fields of a record's class (a msgspec struct)."""
    from msgspec.inspect import type_info

    return _field("", type_info(record)).fields or {}


def unit_of(name: str) -> Unit:
    """Return the unit that the name of a field says (docs/records.md)."""
    if name in ("time", "started") or name.endswith("_time"):
        return "time"
    return "s" if name.endswith("_s") else "ns" if name == "ns" or name.endswith("_ns") else ""


def _field(name: str, info: Type, around: tuple[type, ...] = ()) -> Field:
    """Return what the field *name* is. *around*: the structures that it is in; one within itself shows no fields."""
    from msgspec import inspect

    if isinstance(info, inspect.Metadata):
        return _field(name, info.type, around)
    if isinstance(info, inspect.UnionType):
        some = [one for one in info.types if not isinstance(one, inspect.NoneType)]
        first = _field(name, some[0], around) if some else Field("null")
        nullable = len(some) < len(info.types)
        return Field(first.holds, nullable, first.unit, first.item, first.fields, first.words)
    if isinstance(info, inspect.BoolType):
        return Field("bool")
    if isinstance(info, (inspect.IntType, inspect.FloatType)):
        return Field("number", unit=unit_of(name))
    if isinstance(info, inspect.LiteralType):
        return Field("text", words=tuple(map(str, info.values)))
    if isinstance(info, (inspect.VarTupleType, inspect.ListType)):
        return Field("list", item=_field(name, info.item_type, around))
    if isinstance(info, inspect.TupleType):
        return Field("list", item=_field(name, info.item_types[0], around) if info.item_types else Field("null"))
    if isinstance(info, inspect.DictType):
        return Field("map", item=_field("", info.value_type, around))
    if isinstance(info, inspect.StructType):
        fields = () if info.cls in around else info.fields
        around = (*around, info.cls)
        return Field("object", fields={one.name: _field(one.name, one.type, around) for one in fields})
    if isinstance(info, (inspect.AnyType, inspect.CustomType)):  # of another type in each record
        return Field("any", True)
    return Field("text")
