"""A table: rows sorted by a column. The cursor stays on its row, wherever sorting moves that."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import is_
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from ebpftop.filters.query import Language
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.row_filter import RowFilter
from ebpftop.ui.widgets.row_view import RowView

Row = TypeVar("Row")

STRIPED_FROM = 100
"""Cells of width."""


class TableFilter(RowFilter[Row]):
    """The filter of a table."""

    lines: TableView[Row]

    def apply(self) -> None:
        self.lines.show_rows(self.lines.unfiltered)
        self.lines.show_cursor()
        self.lines.post_message(self.lines.Arranged())

    @property
    def counts(self) -> tuple[int, int, bool]:
        return self.lines.end, len(self.lines.unfiltered), False


class TableView(RowView[Row]):
    """Rows of counters: each reading brings all of them again. `key_of` identifies a row permanently."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("less_than_sign", "sort(-1)", "Sort left", show=False, key_display="<", id="table.sort_left"),
        Binding("greater_than_sign", "sort(1)", "Sort right", show=False, key_display=">", id="table.sort_right"),
        Binding("r", "reverse", "Reverse", show=False, tooltip="Reverse the order", id="table.reverse"),
    ]

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        key_of: Callable[[Row], Hashable],
        sort: str,
        mark: Callable[[Row], Span] | None = None,
        language: Language[Row] | None = None,
        id: str | None = None,
    ) -> None:
        """With a *language* it can be filtered."""
        super().__init__(columns, mark=mark, id=id)
        if language is not None:
            self.row_filter = TableFilter(self, language)
        self.unfiltered: Sequence[Row] = ()
        """All rows, whether the filter shows them or not."""
        self.sort_at_first = sort
        self.sort_key = sort
        self.reversed = False
        self._key_of = key_of
        self.below: Widget | None = None
        """What gets the focus when the cursor moves down from the last row."""
        self._rows: list[Row] = []
        self._rows_given: list[Row] = []
        self._named: list[Row] = []
        self._cursor_key: Hashable | None = None
        self._reading = 0

    @property
    def sorted_by(self) -> str:
        return self.sort_key

    @property
    def first(self) -> int:
        return 0

    @property
    def end(self) -> int:
        return len(self._rows)

    def begin(self) -> None:
        self.sort_key, self.reversed = self.sort_at_first, False
        self._rows, self._rows_given, self._named = [], [], []
        self.unfiltered = ()
        self._cursor_key = None
        if self.row_filter is not None:
            self.row_filter.forget()
        super().begin()

    @property
    def is_striped(self) -> bool:
        return self.size.width >= STRIPED_FROM

    def row(self, position: int) -> Row:
        return self._rows[position]

    def rows(self) -> list[Row]:
        return list(self._rows)

    def version(self, row: Row) -> Hashable:
        return self._key_of(row), self._reading

    def find(self, row: Row, position: int) -> int | None:
        key = self._key_of(row)
        return next((at for at, other in enumerate(self._rows) if self._key_of(other) == key), None)

    def identity_at(self, position: int) -> Hashable:
        return self._key_of(self._rows[position])

    def position_of(self, identity: Hashable) -> int | None:
        return next((at for at, row in enumerate(self._rows) if self._key_of(row) == identity), None)

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show those of *rows* that match the filter, sorted."""
        self._reading += 1
        self.unfiltered = rows
        row_filter = self.row_filter
        if row_filter is not None and row_filter.query is not None:
            query, now = row_filter.query, self.now
            rows = [row for row in rows if query.matches(row, now)]
        self._rows = self._sorted(rows)
        if self._cursor_key is not None:
            was_in_view = self.cursor is not None and self._in_view(self.cursor)
            for position, row in enumerate(self._rows):
                if self._key_of(row) == self._cursor_key:
                    self.cursor = position
                    if was_in_view and not self._in_view(position):
                        super().go_to(position)
                    break
        self.sync()
        if row_filter is not None:
            row_filter.news()

    def unselect(self) -> None:
        self._cursor_key = None
        super().unselect()

    def show_cursor(self) -> None:
        """Bring the row under the cursor into view, if it is there."""
        row = self.selected()
        if row is not None and self.cursor is not None and self._key_of(row) == self._cursor_key:
            super().go_to(self.cursor)

    def _in_view(self, position: int) -> bool:
        return position in self.in_view

    def _sorted(self, rows: Sequence[Row]) -> list[Row]:
        column = next((c for c in self.columns if c.key == self.sort_key), None)
        if column is None or column.sort is None:
            return list(rows)
        given = list(rows)
        if len(given) != len(self._rows_given) or not all(map(is_, given, self._rows_given)):
            self._rows_given, self._named = given, sorted(given, key=lambda row: str(self._key_of(row)))
        # Numbers start with the largest, names with A. Equal ones are ordered by name.
        largest_first = bool(given) and not isinstance(column.sort(given[0]), str)
        return sorted(self._named, key=column.sort, reverse=largest_first is not self.reversed)

    def go_to(self, position: int) -> None:
        super().go_to(position)
        row = self.selected()
        self._cursor_key = self._key_of(row) if row is not None else None

    def heading(self, column: Column[Row]) -> Span:
        if column.key != self.sort_key:
            return super().heading(column)
        arrow, title = "▲" if self.reversed else "▼", self.title_of(column)
        return Span(arrow + title if column.right else title + arrow, "sorted")

    def sort_by(self, key: str) -> None:
        """Sort by a column; by the same one again reverses."""
        if key == self.sort_key:
            self.reversed = not self.reversed
        else:
            self.sort_key, self.reversed = key, False
        self.rearrange()
        self.show_rows(self.unfiltered)

    def clicked_header(self, column: Column[Row]) -> None:
        if column.sort is not None:
            self.sort_by(column.key)

    def action_sort(self, step: int) -> None:
        keys = [slot.column.key for slot in self.slots if slot.column.sort is not None]
        if keys:
            at = keys.index(self.sort_key) if self.sort_key in keys else 0
            key = keys[(at + step) % len(keys)]
            if key != self.sort_key:
                self.sort_by(key)

    def action_reverse(self) -> None:
        self.sort_by(self.sort_key)

    def _from(self) -> int:
        return self.cursor if self.cursor is not None else self.scroll_offset.y

    def action_move(self, rows: int) -> None:
        if rows > 0 and self.below is not None and self.below.display and self.cursor == self.end - 1:
            self.screen.set_focus(self.below)
            return
        self.go_to(self._from() + (rows if self.cursor is not None else 0))
