"""Totals of groups as rows of a record; those that did not change stay the same objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypedDict, TypeVar

from ebpftop.probes.group_totals import FIRST_BUCKET, Key, Table, Totals

_Row = TypeVar("_Row")
_SHORTER = (0,) * FIRST_BUCKET


class GroupRows(Generic[Key, _Row]):
    """The rows of one table, in the order of their keys."""

    def __init__(self, table: Table[Key], make: Callable[[Key, Totals], _Row]) -> None:
        self._table: Table[Key] = table
        self._make: Callable[[Key, Totals], _Row] = make
        self._rows: dict[Key, _Row] = {}
        self._in_order: tuple[_Row, ...] = ()

    def read(self) -> tuple[_Row, ...]:
        """Return all rows."""
        table = self._table
        if table.changed:
            for key in table.changed:
                if key in table.totals:
                    self._rows[key] = self._make(key, table.totals[key])
                else:
                    self._rows.pop(key, None)
            table.changed.clear()
            self._in_order = tuple(self._rows[key] for key in sorted(self._rows))
        return self._in_order


class _Figures(TypedDict):
    execs: int
    failed: int
    calls: int
    errors: int
    total_ns: int
    max_ns: int
    histogram_ns: tuple[int, ...]
    seen: str
    seen_other: bool


def figures(totals: Totals) -> _Figures:
    """Return the fields of `ebpftop.core.group_records.Figures`."""
    end = len(totals.ns)
    while end and not totals.ns[end - 1]:
        end -= 1
    return {
        "execs": totals.execs,
        "failed": totals.failed,
        "calls": totals.calls,
        "errors": totals.errors,
        "total_ns": totals.total_ns,
        "max_ns": totals.max_ns,
        "histogram_ns": (*_SHORTER, *totals.ns[:end]) if end else (),
        "seen": f"{totals.seen:x}" if totals.seen else "",
        "seen_other": totals.seen_other,
    }
