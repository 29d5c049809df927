"""A widget whose lines are spans."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from ebpftop.ui.widgets.columns import Span


class SpanLine(Widget):
    """Draws spans. A look `x` is the component class `PREFIX--x`, with the `prefix` of the subclass."""

    prefix: ClassVar[str]
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        # Textual combines the colours of all widgets around this one each time that it is asked.
        self._styles_of: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_of.clear()

    def style_of(self, look: str) -> Style:
        """Return the style of a look."""
        style = self._styles_of.get(look)
        if style is None:
            style = self.rich_style
            if look:
                style += self.get_component_rich_style(f"{self.prefix}--{look}", partial=True)
            self._styles_of[look] = style
        return style

    def line_of(self, spans: Iterable[Span]) -> Strip:
        """Return the line of *spans*."""
        return Strip([Segment(text, self.style_of(look)) for text, look in spans])
