"""What an expression names of a record: figures, and rows that it searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ebpftop.filters.record_fields import Unit


@dataclass(frozen=True, slots=True)
class Figure:
    """A plain value that an expression names: its words (`rows[0].failed`), its unit, and how to read it."""

    label: str
    unit: Unit
    value: Callable[[Any], Any] = field(compare=False)


@dataclass(frozen=True, slots=True)
class RowSearch:
    """An `exists` over a field of objects: `matching` returns those for which it holds."""

    field_name: str
    matching: Callable[[Any], list[Any]] = field(compare=False)
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """What an expression names of one kind of record, so that a match can say what it was about."""

    figures: tuple[Figure, ...] = ()
    rows: tuple[RowSearch, ...] = ()
