"""The line on top of a sheet: what it is about and, at the right end, when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine


class SheetTitle(SpanLine):
    """One line. If there is no room for all of it, what stands at the right goes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"title--name", "title--dim", "title--good", "title--bad"}
    prefix = "title"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[tuple[Span, ...], tuple[Span, ...]] = ((), ())

    def set_name(self, name: str, right: str = "") -> None:
        """Show *name*, and *right*, quieter, at the end of the line."""
        self.set_spans((Span(name, "name"),), right)

    def set_spans(self, spans: Sequence[Span], right: str = "") -> None:
        """Show *spans*, and *right*, quieter, at the end of the line."""
        self.set_text(spans, (Span(right, "dim"),) if right else ())

    def set_text(self, spans: Sequence[Span], right: Sequence[Span] = ()) -> None:
        """Show *spans*, and *right* at the end of the line."""
        shown = tuple(spans), tuple(right)
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    @property
    def right(self) -> tuple[Span, ...]:
        """What stands at the end of the line."""
        return self._shown[1]

    @property
    def text(self) -> str:
        """All that it says."""
        return "  ".join("".join(span.text for span in part) for part in self._shown)

    def render_line(self, y: int) -> Strip:
        spans, right = self._shown
        width = max(0, self.size.width - 1)
        used, beside = (sum(cell_len(span.text) for span in part) for part in (spans, right))
        line = [Span(" ", "")]
        if right and used + beside + 2 <= width:
            return self.line_of([*line, *spans, Span(" " * (width - used - beside - 1), ""), *right, Span(" ", "")])
        return self.line_of([*line, *layout_cell(tuple(spans), width)])
