"""The heat map of all calls of the machine, above the panes: a timeline in which a box can be drawn."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from ebpftop.core.format import counted, nanoseconds
from ebpftop.models.box import Box
from ebpftop.models.heat import Column, within
from ebpftop.models.latency import quantile
from ebpftop.models.series import Series
from ebpftop.ui.widgets.axis import clock, marked_columns
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.heatmap import LABELS, HeatMap

HINT = "drag a box · Shift+arrows · Enter keeps it · Esc clears it"


class HeatBand(HeatMap):
    """Time is that of the timeline. A box is drawn with the mouse, or by Shift and arrows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("shift+left", "stretch(-1, 0)", "Box", key_display="⇧←→", tooltip="Draw a box", id="heat.box_left"),
        Binding("shift+right", "stretch(1, 0)", "Box", show=False, id="heat.box_right"),
        Binding("shift+up", "stretch(0, 1)", "Box", show=False, id="heat.box_up"),
        Binding("shift+down", "stretch(0, -1)", "Box", show=False, id="heat.box_down"),
        Binding("enter", "keep", "Keep", tooltip="Show only the box, or the column, in all panes", id="heat.keep"),
        Binding("escape", "lift", "Lift", show=False, tooltip="Without the box; then without the map", id="heat.lift"),
    ]
    feet = 2

    class Kept(Message):
        """All panes are to show `box` alone."""

        def __init__(self, box: Box) -> None:
            super().__init__()
            self.box = box

    class Lifted(Message):
        """The panes are to show all again; if there was no box, the map is to be closed."""

        def __init__(self, *, had_box: bool) -> None:
            super().__init__()
            self.had_box = had_box

    def __init__(self, series: Series | None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._series = series
        self._whole = (0.0, 0.0)
        self._anchor: tuple[float, int] | None = None
        self._has_range = False
        """Whether the box that is drawn has a range of latency: all of them until it is drawn up or down."""
        self._dragging = False
        self._kept: Box | None = None
        self._about = ""
        self._marks: tuple[float, ...] = ()
        self._boxed: tuple[int, int, int, int] | None = None
        self.rate = ""

    def show(
        self, span: tuple[float, float], kept: Box | None, about: str, rate: str, marks: tuple[float, ...] = ()
    ) -> None:
        """Show *span*, the box that the panes show, what is known of it, how many calls there are at present; marks."""
        self._whole, self._kept, self._about, self.rate, self._marks = span, kept, about, rate, marks
        self.reread()

    def read(self, width: int) -> list[Column]:
        first, last = self._whole
        if self._series is None or last <= first:
            return []
        edges = [first + (last - first) * at / width for at in range(width)] + [last]
        found = self._series.latency_columns(self._whole, width)
        return [Column(edges[at], edges[at + 1], ns) for at, ns in enumerate(found)]

    def words(self) -> list[Span]:
        nothing = "" if self.heat else "  no call is known yet"
        return [Span(" Heat ", "head"), Span(f" all calls{self.rate}{nothing}", "dim")]

    @property
    def marked(self) -> frozenset[int]:
        return marked_columns(self._marks, self.span, len(self.heat.columns)) if self.heat is not None else frozenset()

    def foot(self, width: int) -> list[list[Span]]:
        return [*super().foot(width), [Span(f" {self._box_text()}", "strong")]]

    # The box.

    @property
    def box(self) -> Box | None:
        """The box that is drawn, else the one that is kept."""
        corners = self._corners()
        if corners is None or self.heat is None:
            return self._kept
        left, right, low, high = corners
        everything = low == 0 and high == self.heat.rows - 1
        columns = self.heat.columns
        buckets = None if everything else self.heat.buckets(low, high)
        return Box(columns[left].begin, columns[right].end, buckets)

    def _corners(self) -> tuple[int, int, int, int] | None:
        """Return first and last column, lowest and highest row of the box that is drawn."""
        if self.heat is None or self._anchor is None or self.column is None or self.row is None:
            return None
        column = self.column_at(self._anchor[0])
        assert column is not None
        if not self._has_range:
            return min(column, self.column), max(column, self.column), 0, self.heat.rows - 1
        row = self._row_of(self._anchor[1])
        return min(column, self.column), max(column, self.column), min(row, self.row), max(row, self.row)

    def _row_of(self, bucket: int) -> int:
        assert self.heat is not None
        return min(max(0, (bucket - self.heat.first) // self.heat.per_row), self.heat.rows - 1)

    def _shown_corners(self) -> tuple[int, int, int, int] | None:
        """Return the corners of the box that is drawn, else of the one that is kept."""
        corners, kept = self._corners(), self._kept
        if corners is not None or kept is None or self.heat is None:
            return corners
        # Its end is the beginning of the next column.
        width_s = (self.span[1] - self.span[0]) / len(self.heat.columns)
        left, right = self.column_at(kept.begin + width_s / 2), self.column_at(kept.end - width_s / 2)
        assert left is not None
        assert right is not None
        if kept.buckets is None:
            return left, max(left, right), 0, self.heat.rows - 1
        return left, max(left, right), self._row_of(kept.buckets.start), self._row_of(kept.buckets.stop - 1)

    def redraw(self) -> None:
        self._boxed = self._shown_corners()
        super().redraw()

    def look_of(self, cell: tuple[int, int], at: tuple[int | None, int | None], level: int) -> str:
        look = super().look_of(cell, at, level)
        if self._boxed is not None and cell != at:
            left, right, low, high = self._boxed
            if left <= cell[0] <= right and low <= cell[1] <= high:
                return f"{look} box" if look else "box"
        return look

    def _box_text(self) -> str:
        box = self.box
        if box is None:
            return HINT
        return box_text(self._series, box) + (self._about if self._corners() is None else "  Enter keeps it")

    def action_stretch(self, columns: int, rows: int) -> None:
        if self.heat is None:
            return
        if self.cursor is None:
            self.action_step(0, 0)
        if self._anchor is None:
            self._anchor, self._has_range = self.cursor, False
        self._has_range |= rows != 0
        assert self.column is not None
        assert self.row is not None
        self.place_cursor(self.column + columns, self.row + rows)

    def action_step(self, columns: int, rows: int) -> None:
        self._anchor = None
        super().action_step(columns, rows)

    def action_keep(self) -> None:
        if self.heat is None or self.column is None:
            return
        box = self.box if self._anchor is not None else None
        if box is None:
            column = self.heat.columns[self.column]
            box = Box(column.begin, column.end)
        self._anchor = None
        self.post_message(self.Kept(box))

    def action_lift(self) -> None:
        had_box = self._anchor is not None or self._kept is not None
        self._anchor = None
        self.cursor = None if had_box else self.cursor
        self.redraw()
        self.post_message(self.Lifted(had_box=had_box))

    # The mouse.

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        cell = self.cell_at(event.x, event.y)
        if cell is not None:
            self._dragging = True
            self.capture_mouse()
            self._anchor = None
            self.place_cursor(*cell)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not self._dragging:
            super().on_mouse_move(event)
            return
        if self.heat is not None and self.column is not None and self.row is not None:
            lines = self.size.height - 1 - self.feet
            each = max(1, lines // self.heat.rows)
            column = min(max(0, event.x - LABELS), len(self.heat.columns) - 1)
            row = min(max(0, (lines - event.y) // each), self.heat.rows - 1)
            if (column, row) != (self.column, self.row) and self._anchor is None:
                self._anchor, self._has_range = self.cursor, False
            self._has_range |= row != self.row
            self.place_cursor(column, row)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        event.stop()
        if self._dragging:
            self._dragging = False
            self.release_mouse()
            if self._anchor is not None:
                self.action_keep()

    def on_click(self, event: events.Click) -> None:
        event.stop()


def box_text(series: Series | None, box: Box) -> str:
    """Return what is known of the calls in a box without reading its records."""
    what = f"box {clock(box.begin)} to {clock(box.end)}"
    if box.buckets is not None:
        what += f", {nanoseconds(2**box.buckets.start)} to {nanoseconds(2**box.buckets.stop)}"
    found = None if series is None else series.latencies(box.begin, box.end)
    if found is None:
        return f"{what}: not known"
    ns = found[0] if box.buckets is None else within(found[0], box.buckets)
    p99 = quantile(ns, 0.99)
    return f"{what}: {counted(sum(ns), 'call')}" + ("" if p99 is None else f", p99 {nanoseconds(p99)}")
