"""The source of a loaded file: its lines, which of them ran, and what compiler and verifier say beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ebpftop.core.format import brief
from ebpftop.models.load_languages import SOURCE
from ebpftop.models.load_source import Look, SourceRow
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.table_view import TableView

LOOKS: Mapping[Look, str] = {
    "comment": "dim",
    "directive": "dim",
    "string": "",
    "helper": "strong",
    "map": "accent",
    "bad": "bad",
    "warn": "warn",
    "label": "dim",
    "strong": "good",
    "note": "note",
}

_NUMBER = 4


class SourceLines(TableView[SourceRow]):
    """The lines, and the rows of what is wrong with them."""

    def __init__(self, rate: Callable[[int], float | None], *, id: str) -> None:
        """*rate* returns how often a line ran a second; None: that is not counted."""
        self._rate = rate
        super().__init__(
            (
                Column(
                    "line",
                    "LINE",
                    _NUMBER,
                    self._number,
                    right=True,
                    always=True,
                    value=lambda row, _: row.number,
                    about="Its number. In red: something is wrong with it, which stands below it.",
                ),
                Column(
                    "rate",
                    "RUNS/s",
                    6,
                    self._runs,
                    right=True,
                    rank=1,
                    filled=lambda row: bool(rate(row.number)),
                    value=lambda row, _: rate(row.number),
                    about="How often it ran a second, over the last reading, if R counts that.",
                ),
                Column(
                    "text",
                    "SOURCE",
                    30,
                    _text,
                    flexible=True,
                    about="The line. Bold: a helper of the kernel or an operation on a map, which Enter explains; "
                    "in the accent colour: a map of the file.",
                ),
            ),
            key_of=lambda row: (row.number, row.part),
            sort="",
            mark=self._mark,
            language=SOURCE,
            id=id,
        )
        self.header_height = 0

    @property
    def is_striped(self) -> bool:
        return False

    def _mark(self, row: SourceRow) -> Span:
        if row.is_bad:
            return Span("✗", "bad")
        if row.is_doubtful:
            return Span("!", "warn")
        return Span("●", "good") if not row.part and self._rate(row.number) else Span(" ")

    def _number(self, row: SourceRow, _: float) -> Cell:
        return () if row.part or not row.number else (Span(str(row.number), "bad" if row.is_bad else "dim"),)

    def _runs(self, row: SourceRow, _: float) -> Cell:
        rate = None if row.part else self._rate(row.number)
        return () if rate is None else (Span(brief(rate), "good" if rate > 0 else "dim"),)

    def show_rates(self, are_known: bool) -> None:
        """Have room for how often lines ran, or not."""
        empty = self.empty - {"rate"} if are_known else self.empty | {"rate"}
        if empty != self.empty:
            self.empty = empty
            self.rearrange()

    def line_at_cursor(self) -> int | None:
        """Return the number of the line under the cursor, or of that which the row there is about."""
        row = self.selected()
        return row.number or None if row is not None else None

    def go_to_line(self, number: int) -> None:
        """Put the cursor on a line, with what is said about it in view."""
        position = self.position_of((number, 0))
        if position is not None:
            self.go_to_said(position)

    def go_to_said(self, position: int) -> None:
        """Put the cursor on a row, with all that is said about its line in view; its beginning, if it is too long."""
        number, last = self.row(position).number, position
        while last + 1 < self.end and self.row(last + 1).part and self.row(last + 1).number == number:
            last += 1
        if last > position:
            self.go_to(min(last, position + self.page - 1))
        self.go_to(position)


def _text(row: SourceRow, _: float) -> Cell:
    return tuple(Span(text, LOOKS.get(look, "")) for text, look in row.pieces)
