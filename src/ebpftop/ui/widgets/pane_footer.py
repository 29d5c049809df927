"""A line at the foot of a pane, for facts beside its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine


class PaneFooter(SpanLine):
    """One line of spans, cut if it is too long."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"note--dim", "note--strong", "note--warn", "note--signal", "note--accent"}
    prefix = "note"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.spans: tuple[Span, ...] = ()

    def set_text(self, spans: Sequence[Span]) -> None:
        """Show *spans*."""
        if tuple(spans) != self.spans:
            self.spans = tuple(spans)
            self.refresh_line(0, self._line())

    def render_line(self, y: int) -> Strip:
        return self.drawn_line(y, self._line())

    def _line(self) -> list[Span]:
        return layout_cell(self.spans, self.content_size.width)
