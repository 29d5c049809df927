"""The columns of records as tables: their names, with units, and the cells of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec.inspect import CustomType, Field, StructType, Type, UnionType, VarTupleType, type_info

from ebpftop.core.spreadsheet import Cell

Column: TypeAlias = tuple[str, Callable[[Any], Cell]]
"""A name, and what gives the cell of a record."""

UNIX_S = frozenset(("time", "pairs_time", "owners_time", "loaded", "started"))
"""Fields of Unix seconds: their columns say so."""

_encoder = msgspec.json.Encoder()


def columns_of(kind: type[msgspec.Struct], left_out: frozenset[str] = frozenset()) -> list[Column]:
    """Return the columns of *kind*, one for each field, in their order.

    A field that is an object with fields of its own has a column for each of those. Arrays, and objects of any names,
    are JSON in a cell.
    """
    info = type_info(kind)
    assert isinstance(info, StructType)
    return [column for field in info.fields if field.name not in left_out for column in _columns(field)]


def scalars_of(kind: type[msgspec.Struct], left_out: frozenset[str]) -> list[Column]:
    """Return the columns of the fields of *kind* that are a number, a text or a truth value."""
    info = type_info(kind)
    assert isinstance(info, StructType)
    fields = (field for field in info.fields if field.name not in left_out and _is_scalar(field.type))
    return [column for field in fields for column in _columns(field)]


def row_type(kind: type[msgspec.Struct], field: str) -> type[msgspec.Struct]:
    """Return the type of the rows that a field of *kind* holds."""
    info = type_info(kind)
    assert isinstance(info, StructType)
    rows = next(one.type for one in info.fields if one.name == field)
    assert isinstance(rows, VarTupleType)
    assert isinstance(rows.item_type, StructType)
    return rows.item_type.cls


def name_of(field: str) -> str:
    """Return the name of the column of a field."""
    return f"{field}_unix_s" if field in UNIX_S else field


def _columns(field: Field) -> Iterator[Column]:
    inner = _structure(field.type)
    name = field.name
    if inner is not None:
        for part in inner.fields:
            yield f"{name}_{name_of(part.name)}", _part_of(name, part.name)
    elif _is_scalar(field.type):
        yield name_of(name), lambda record: getattr(record, name)
    elif isinstance(field.type, CustomType):
        yield name_of(name), lambda record: plain_cell(getattr(record, name))
    else:
        yield name_of(name), lambda record: json_cell(getattr(record, name))


def _part_of(name: str, part: str) -> Callable[[Any], Cell]:
    def cell(record: Any) -> Cell:
        value = getattr(record, name)
        return None if value is None else plain_cell(getattr(value, part))

    return cell


def plain_cell(value: object) -> Cell:
    """Return a value as a cell: numbers, texts and truth values as they are, all else as JSON; null is empty."""
    return value if value is None or isinstance(value, (str, int, float)) else json_cell(value)


def json_cell(value: object) -> str | None:
    """Return a value as JSON; null is empty."""
    return None if value is None else _encoder.encode(value).decode()


def _structure(kind: Type) -> StructType | None:
    """Return the structure that a field holds, or that it may hold beside null."""
    if isinstance(kind, UnionType):
        kinds = [found for one in kind.types if (found := _structure(one)) is not None]
        return kinds[0] if len(kinds) == 1 else None
    return kind if isinstance(kind, StructType) else None


_NESTED = ("CustomType", "ListType", "VarTupleType", "TupleType", "DictType", "SetType", "StructType")


def _is_scalar(kind: Type) -> bool:
    if isinstance(kind, UnionType):
        return all(map(_is_scalar, kind.types))
    return type(kind).__name__ not in _NESTED
