"""The lines at the foot of the workbench: what the line, the instruction or the cell under the cursor is."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine

_INDENT = 2
"""Cells in front of the second line of a sentence."""


class BenchNotes(SpanLine):
    """A few lines of spans, each cut if it is too long."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("note--dim", "note--strong", "note--good", "note--warn", "note--bad", "note--accent")
    }
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
    """Return *items*, a term and a sentence about it each, in so many lines: one each, and more where there is room."""
    found: list[list[Span]] = []
    for at, (term, text) in enumerate(items):
        later = len(items) - at - 1  # each of them gets a line
        pieces = _wrapped(term, text, width, max(1, lines - len(found) - later))
        spans = [Span(term, "strong"), Span(f"  {pieces[0]}")]
        last = found[-1] if found else None
        used = sum(cell_len(span.text) for span in last) if last else 0
        needs = 3 + sum(cell_len(span.text) for span in spans)
        if last is not None and len(found) == lines and used + needs <= width:
            last += [Span("   "), *spans]
        elif len(found) < lines:
            found += [spans, *([Span(f"{' ' * _INDENT}{piece}")] for piece in pieces[1:])]
    return found


def _wrapped(term: str, text: str, width: int, lines: int) -> list[str]:
    """Return *text* behind a term in at most so many lines; the last one has all that is left."""
    room = max(_INDENT + 1, width - _INDENT)
    first = " " * max(0, cell_len(term) + 2 - _INDENT)
    pieces = textwrap.wrap(text, room, initial_indent=first, break_on_hyphens=False) or [""]
    pieces = [pieces[0][len(first) :], *pieces[1:]]
    return [*pieces[: lines - 1], " ".join(pieces[lines - 1 :])] if len(pieces) > lines else pieces
