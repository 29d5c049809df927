"""The scrollbar of rows: it draws the cells in which its thumb has moved, not all of them whenever a row comes."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip

from ebpftop.ui.textual_fixes.app_errors import guard_drawing


class RowScrollBar(ScrollBar):
    """A vertical scrollbar, one cell wide. It looks, and is dragged, as Textual's."""

    def __init__(self) -> None:
        super().__init__(vertical=True, name="vertical")
        self._strips: dict[Segment, Strip] = {}
        self._shown: list[Segment] = []

    def move(self, height: int, top: float) -> None:
        """Show that rows from *top* on are in view, of so many lines in all."""
        self.set_reactive(ScrollBar.window_virtual_size, height)
        self.set_reactive(ScrollBar.position, self.validate_position(top))
        before, self._shown = self._shown, self._segments()
        if len(before) != len(self._shown):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._shown, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, 1, 1) for y in changed))

    def _segments(self) -> list[Segment]:
        """Return each cell, from the top, as Textual renders it."""
        rendered = self.render()
        assert isinstance(rendered, ScrollBarRender)
        style = rendered.style
        assert isinstance(style, Style)
        assert style.bgcolor is not None
        assert style.color is not None
        bar = rendered.render_bar(
            size=self.size.height,
            virtual_size=rendered.virtual_size,
            window_size=rendered.window_size,
            position=rendered.position,
            back_color=style.bgcolor,
            bar_color=style.color,
        )
        return bar.segments[: self.size.height]

    @guard_drawing
    def render_lines(self, crop: Region) -> list[Strip]:
        self._shown = self._segments()
        return [self._strip(segment).crop(*crop.column_span) for segment in self._shown[crop.y : crop.bottom]]

    def _strip(self, segment: Segment) -> Strip:
        strip = self._strips.get(segment)
        if strip is None:
            segments = [Segment(segment.text, self.rich_style + segment.style)]
            for line_filter in self.get_line_filters():
                segments = line_filter.apply(segments, self.background_colors[1])
            strip = self._strips[segment] = Strip(segments, 1)
        return strip

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
