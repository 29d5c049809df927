"""A line at the foot of a pane, for facts beside its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from ebpftop.ui.widgets.columns import Span, layout_cell


class PaneFooter(Widget):
    """One line of spans, cut if it is too long."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"note--dim", "note--strong", "note--warn", "note--signal", "note--accent"}
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.spans: tuple[Span, ...] = ()

    def set_text(self, spans: Sequence[Span]) -> None:
        """Show *spans*."""
        if tuple(spans) != self.spans:
            self.spans = tuple(spans)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        return Strip(
            [
                Segment(text, base + self.get_component_rich_style(f"note--{look}", partial=True) if look else base)
                for text, look in layout_cell(self.spans, self.size.width)
            ]
        )
