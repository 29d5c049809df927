"""The lines at the foot of the workbench: what the line, the instruction or the cell under the cursor is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine


class BenchNotes(SpanLine):
    """A few lines of spans, each cut if it is too long."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"note--dim", "note--strong", "note--warn", "note--bad", "note--accent"}
    prefix = "note"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: tuple[tuple[Span, ...], ...] = ()

    def set_lines(self, lines: Sequence[Sequence[Span]]) -> None:
        """Show *lines*, as many as there is room for."""
        given = tuple(tuple(line) for line in lines)
        if given != self.lines:
            self.lines = given
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        spans = self.lines[y] if y < len(self.lines) else ()
        return self.line_of(layout_cell([Span(" "), *spans], width))


def flowing(items: Sequence[tuple[str, str]], width: int, lines: int) -> list[list[Span]]:
    """Return *items*, a term and a sentence about it each, in so many lines: one each while there is room."""
    found: list[list[Span]] = []
    for term, text in items:
        spans = [Span(term, "strong"), Span(f"  {text}")]
        last = found[-1] if found else None
        used = sum(cell_len(span.text) for span in last) if last else 0
        needs = 3 + sum(cell_len(span.text) for span in spans)
        if last is not None and len(found) == lines and used + needs <= width:
            last += [Span("   "), *spans]
        elif len(found) < lines:
            found.append(spans)
    return found
