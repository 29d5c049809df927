"""The maps of a loaded file: the entries of one of them, or its histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ebpftop.core.format import brief, count
from ebpftop.models.load_fields import Leaf
from ebpftop.models.load_histograms import Bucket, buckets
from ebpftop.models.load_languages import BUCKETS, entries_language
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.models.load_values import worded
from ebpftop.ui.panes.load_map_columns import bucket_columns, entry_columns, fitted, is_number, rate_key
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.table_view import TableFilter, TableView

MapLine: TypeAlias = Entry | Bucket

_FITTED = 200
"""Rows that widths of columns are measured by."""


@dataclass
class _Kept:
    """How a map was shown when another one took its place."""

    sort: str
    reversed: bool
    query: str
    cursor: object
    counter: int


class MapLines(TableView[Any]):
    """The entries of one map. It keeps for each map how it was sorted and filtered."""

    def __init__(self, *, id: str) -> None:
        super().__init__((), key_of=_key, sort="", mark=_mark, id=id)
        self.row_filter = TableFilter(self, BUCKETS)
        self._map: MapTable | None = None
        self._described: object = None
        self._kept: dict[str, _Kept] = {}
        self._peak = 0.0
        self.counter = 0
        """Which counter of the map the total and the trend are of: that of the member that the rows are sorted by."""

    def begin(self) -> None:
        self._map, self._described = None, None
        super().begin()

    @property
    def shown(self) -> MapTable | None:
        """The map that is shown."""
        return self._map

    def show_map(self, table: MapTable | None, now: float) -> None:
        """Show the entries of *table*, as it was shown when it was the last time."""
        described = None if table is None else (table.name, table.key, table.value, table.info.histogram)
        if described != self._described:
            self._keep()
            self._map, self._described = table, described
            self._arrange(table)
        self._map, self.now = table, now
        rows: list[MapLine] = []
        if table is not None:
            rows = [*buckets(table)] if table.is_histogram else [*table.entries.values()]
            self._measure(table)
        self.show_rows(rows)

    def _keep(self) -> None:
        if self._map is not None and self.row_filter is not None:
            row = self.selected()
            kept = _Kept(
                self.sort_key, self.reversed, self.row_filter.text, None if row is None else _key(row), self.counter
            )
            self._kept[self._map.name] = kept

    def _arrange(self, table: MapTable | None) -> None:
        """Make the columns of *table*."""
        columns: tuple[Column[Any], ...] = ()
        language: Any = BUCKETS
        sort, is_reversed = "", False
        kept = self._kept.get(table.name) if table is not None else None
        self.counter = 0 if table is None or kept is None or kept.counter >= len(table.counters) else kept.counter
        if table is not None and table.is_histogram:
            columns = bucket_columns(table)
        elif table is not None:
            columns, language = self._columns_of(table), entries_language(table)
            counts = bool(table.counters) and not _is_array(table)
            first = table.key[0]
            sort = table.counters[0].place("value") if counts else first.place("key")
            # Numbers start with the largest, but keys with the smallest.
            is_reversed = not counts and is_number(first.field)
        if kept is not None and any(column.key == kept.sort for column in columns):
            sort, is_reversed = kept.sort, kept.reversed
        self.columns = columns
        self.hidden = frozenset(column.key for column in columns if column.hidden)
        self.widths = {}
        self.empty = frozenset()
        self.scales = {}
        self.slid = 0
        self.sort_key, self.reversed = sort, is_reversed
        self._rows, self._rows_given, self.unfiltered = [], [], ()
        self.cursor, self._cursor_key = None, None if kept is None else kept.cursor
        assert self.row_filter is not None
        self.row_filter.forget()
        self.row_filter.last = None  # it is about other fields
        self.row_filter.language = language
        if kept is not None and kept.query:
            self.row_filter.text = kept.query
            self.row_filter.query = language.parse(kept.query)
        self.rearrange()

    def _columns_of(self, table: MapTable) -> tuple[Column[Any], ...]:
        return entry_columns(table, self.counter, lambda: self._peak)

    def sort_by(self, key: str) -> None:
        """Sort by a column; if a counter is in it, the total and the trend are of that from now on."""
        table = self._map
        counters = () if table is None else table.counters
        at = next((at for at, leaf in enumerate(counters) if key in (leaf.place("value"), rate_key(leaf))), None)
        if table is not None and not table.is_histogram and at is not None and at != self.counter:
            self.counter = at
            self.columns = self._columns_of(table)
            self._measure(table)
        super().sort_by(key)

    def _measure(self, table: MapTable) -> None:
        """Give columns the cells that they need, and the trend its scale."""
        if table.is_histogram:
            return
        entries = [*table.entries.values()][:_FITTED]
        wider = {
            key: cells
            for key, cells in fitted(self.columns, entries).items()
            if cells > self.widths.get(key, next(c.width for c in self.columns if c.key == key))
        }
        if wider:
            self.widths |= wider
            self.rearrange()
        self._peak = max((rate for entry in entries for rate in self._history(entry)), default=0.0)
        scales = {"trend": f"log≤{brief(self._peak)}/s"} if self._peak > 0 else {}
        self.scales = scales

    def _history(self, entry: Entry) -> Sequence[float]:
        return entry.gain(self.counter).history

    @property
    def is_striped(self) -> bool:
        return False


def summary(table: MapTable, counter: int) -> list[tuple[str, int]]:
    """Return what the title says of a map, each with its rank; its total is that of this counter."""
    info = table.info
    kind = info.type.replace("_", " ") + (", summed over CPUs" if info.per_cpu else "")
    known = table.known or len(table.entries)
    parts = [(kind, 3), (f"{count(known)} of {count(info.max_entries)}" if info.max_entries else count(known), 0)]
    if counter < len(table.sums) and table.entries:
        leaf, found = table.counters[counter], table.sums[counter]
        of = f"{leaf.name} " if leaf.name else ""
        parts.append((f"total {of}{_total(leaf, found.total)}", 2))
        if found.rate is not None:
            parts.append((f"{of}{brief(found.rate)}/s" if found.rate > 0 else f"{of}0/s", 1))
    if table.more:
        parts.append((f"{count(table.more)} not read", 1))
    return parts


def _total(leaf: Leaf, total: float) -> str:
    return str(worded(leaf.field, total)) if leaf.field.meaning else count(total)


def _is_array(table: MapTable) -> bool:
    return table.info.type.endswith("array")


def _key(row: MapLine) -> object:
    return row.ident if isinstance(row, Bucket) else row.row.id


def _mark(row: MapLine) -> Span:
    return Span("+", "good") if isinstance(row, Entry) and row.is_new else Span(" ")
