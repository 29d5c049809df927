"""Scrolling sideways: of the text that is too long for its column, not of the whole row."""

from __future__ import annotations

from typing import TypeVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding

from ebpftop.ui.widgets.row_drawing import DrawnRows

Row = TypeVar("Row")

SLIDE = 8
"""Cells of a step sideways."""

WIDEST_TEXT = 1000
"""Cells of a text that is drawn to a width, when its length is asked for."""

SLIDE_KEYS: tuple[Binding, ...] = (
    Binding("left", "slide(-1)", "Left", show=False, key_display="←", tooltip="Back to the left", id="lines.left"),
    Binding(
        "right",
        "slide(1)",
        "Right",
        show=False,
        key_display="→",
        tooltip="Scroll sideways, where a row is cut",
        id="lines.right",
    ),
)
"""The keys for it; `SlidingRows` has their action."""


class SlidingRows(DrawnRows[Row]):
    """Rows of which the widest text scrolls sideways."""

    def slide(self, cells: int) -> None:
        """Scroll the widest text sideways, not beyond the longest one that is in view."""
        slot = next((slot for slot in self.slots if slot.column is self.sliding), None)
        if slot is None:
            return
        column, top = slot.column, self.first + self.scroll_offset.y
        rows = [self.row(at) for at in range(top, min(self.end, top + self.page))]
        fill, now = column.fill, self.now
        cells_of = (fill(row, WIDEST_TEXT) if fill else column.cell(row, now) for row in rows)
        longest = max((sum(cell_len(span.text) for span in cell) for cell in cells_of), default=0)
        slid = min(max(0, self.slid + cells), max(0, longest - slot.width))
        if slid != self.slid:
            self.slid = slid
            self.redraw()

    def action_slide(self, steps: int) -> None:
        self.slide(steps * SLIDE)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._wheel(event, 1, sideways=True)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._wheel(event, -1, sideways=True)

    def _wheel(self, event: events.MouseEvent, steps: int, *, sideways: bool = False) -> None:
        if sideways or event.shift:
            event.stop()
            event.prevent_default()
            self.slide(steps * SLIDE)
