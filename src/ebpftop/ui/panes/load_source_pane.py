"""The pane of the source: its lines, and above them, in view wherever they are scrolled, what is about none of them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from ebpftop.models.load_source import Look, SourceRow
from ebpftop.ui.panes.bench_pane import BenchPane
from ebpftop.ui.panes.load_notes import BenchNotes
from ebpftop.ui.panes.load_source import SourceLines
from ebpftop.ui.widgets.columns import Span

_LEAST = 3
"""Lines that there may be of them in the smallest pane."""

_MARKS = {"bad": "✗ ", "warn": "! "}
_LOOKS: dict[Look, str] = {"label": "dim", "strong": "good"}


class SourcePane(BenchPane):
    """The source, below what is wrong with the whole file."""

    def __init__(self, lines: SourceLines, *, id: str) -> None:
        super().__init__("Source", lines, id=id)
        self.whole = BenchNotes(id="source-whole")
        self._said: tuple[int, Sequence[SourceRow]] = 0, ()

    def compose(self) -> ComposeResult:
        yield self.whole
        yield self.lines

    def show_whole(self, rows: Sequence[SourceRow]) -> None:
        """Show *rows*, at most half the pane of them."""
        most = max(_LEAST, self.size.height // 2)
        if self._said != (most, rows):
            self._said = most, rows
            self.whole.set_lines([_spans(row) for row in rows[:most]])
            self.whole.styles.height = min(most, len(rows))
            self.whole.display = bool(rows)


def _spans(row: SourceRow) -> list[Span]:
    first = _MARKS.get(row.pieces[0][1], "") if row.part == 1 else ""
    mark = Span(first or "  ", row.pieces[0][1] if first else "")
    return [mark, *(Span(text, _LOOKS.get(look, look)) for text, look in row.pieces)]
