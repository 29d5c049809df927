"""A widget whose lines are spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from ebpftop.ui.textual_fixes.app_errors import guard_drawing
from ebpftop.ui.widgets.changed_cells import changed_cells
from ebpftop.ui.widgets.columns import Span


class SpanLine(Widget):
    """Draws spans. A look `x` is the component class `PREFIX--x`, with the `prefix` of the subclass."""

    prefix: ClassVar[str]
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        # Textual combines the colours of all widgets around this one each time that it is asked.
        self._styles_of: dict[str, Style] = {}
        self._filtered: dict[Style, Style] = {}
        """Styles of segments as Textual's filters make them."""
        self._drawn: dict[int, tuple[Size, Sequence[Span]]] = {}
        """The lines as they were drawn last, each for a size."""

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_of.clear()
        self._filtered.clear()

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

    def drawn_line(self, y: int, spans: Sequence[Span]) -> Strip:
        """Return the line of *spans*, for line *y* of the widget, and note it for `refresh_line`."""
        self._drawn[y] = self.size, spans
        return self.line_of(spans)

    def refresh_line(self, y: int, spans: Sequence[Span]) -> None:
        """Have the cells of line *y* drawn that are not as they were drawn last: it has *spans* now."""
        size, before = self._drawn.get(y, (Size(), ()))
        if size != self.size:
            self.refresh(Region(0, y, self.size.width, 1))
        elif cells := changed_cells(before, spans):
            self.refresh(Region(cells[0], y, cells[1] - cells[0], 1))

    @guard_drawing
    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw without Textual's general way, which takes ten times as long, where nothing is around the line."""
        if self.styles.gutter != (0, 0, 0, 0) or self.opacity < 1:
            return super().render_lines(crop)
        width = self.size.width
        lines = []
        for y in crop.line_range:
            line = self.render_line(y)
            filtered = Strip([Segment(text, self._as_shown(style)) for text, style, _ in line], line.cell_length)
            lines.append(filtered.adjust_cell_length(width, self._as_shown(self.rich_style)))
        return lines if crop.column_span == (0, width) else [line.crop(*crop.column_span) for line in lines]

    def _as_shown(self, style: Style | None) -> Style:
        style = style or Style.null()
        shown = self._filtered.get(style)
        if shown is None:
            shown = style
            for line_filter in self.get_line_filters():
                shown = line_filter.apply([Segment(" ", shown)], self.background_colors[1])[0].style or shown
            self._filtered[style] = shown
        return shown
