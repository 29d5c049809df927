"""A heat map of latency: time across, latency up, glyph and colour for how many calls."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.strip import Strip

from ebpftop.core.format import brief, counted, nanoseconds
from ebpftop.core.glyphs import Glyphs, heat_signs
from ebpftop.models.heat import LEVELS, Column, Heat, columns_of_ticks, heat
from ebpftop.models.latency import Tick, quantile
from ebpftop.ui.widgets.axis import axis_spans, clock, column_of, time_axis
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine

LABELS = 7
"""Cells at the left for the latencies."""


class HeatMap(SpanLine, can_focus=True):
    """A line of words, the map, and a line of times; rows are as high as the room allows.

    Arrows move a cursor, and the mouse rests on a cell: it says its time, its latency, and how many calls it holds.
    Lines are made once for each reading; only those that changed are drawn.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("heat--head", "heat--dim", "heat--strong", "heat--cursor", "heat--box", "heat--mark"),
        *(f"heat--{level}" for level in range(1, LEVELS + 1)),
    }
    prefix = "heat"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1, 0)", "Cursor", show=False, tooltip="Move the cursor", id="heat.left"),
        Binding("right", "step(1, 0)", "Cursor", show=False, id="heat.right"),
        Binding("up", "step(0, 1)", "Cursor", show=False, id="heat.up"),
        Binding("down", "step(0, -1)", "Cursor", show=False, id="heat.down"),
        Binding("home", "step(-1000000, 0)", "First", show=False, id="heat.first"),
        Binding("end", "step(1000000, 0)", "Newest", show=False, id="heat.newest"),
    ]
    feet = 1
    """Lines below the map."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[list[Span]] = []
        self._size = Size()
        """For which the lines were made."""
        self.signs = heat_signs(Glyphs.ALL)
        """Strengths of a cell, from none: not all terminals have colours."""
        self.heat: Heat | None = None
        self.cursor: tuple[float, int] | None = None
        """A moment, and a bucket: columns and rows move on."""

    # What is shown.

    def read(self, width: int) -> list[Column]:
        """Return *width* columns."""
        raise NotImplementedError

    def words(self) -> list[Span]:
        """Return what stands at the left above the map while nothing is pointed at."""
        return [Span("LATENCY OVER TIME", "head")]

    def foot(self, width: int) -> list[list[Span]]:
        """Return the lines below the map."""
        return [[Span(" " * LABELS), *axis_spans(time_axis(self.span, width, self.column, self.marked))]]

    @property
    def marked(self) -> frozenset[int]:
        """The columns with a mark."""
        return frozenset()

    @property
    def span(self) -> tuple[float, float]:
        """The first and the last moment of the map."""
        return (self.heat.columns[0].begin, self.heat.columns[-1].end) if self.heat else (0.0, 0.0)

    def reread(self) -> None:
        """Read all of it again."""
        width, height = self.size.width, self.size.height
        room = width - LABELS
        self.heat = heat(self.read(room), height - 1 - self.feet) if room > 0 and height > 1 + self.feet else None
        self.redraw()

    def redraw(self) -> None:
        """Draw the lines that changed."""
        before, self._lines = self._lines if self._size == self.size else [], self._draw()
        self._size = self.size
        for y in range(max(len(before), len(self._lines))):
            if y >= len(before) or y >= len(self._lines) or before[y] != self._lines[y]:
                self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self) -> None:
        self.reread()

    def style_of(self, look: str) -> Style:
        first, _, second = look.partition(" ")
        return super().style_of(first) + super().style_of(second) if second else super().style_of(first)

    def render_line(self, y: int) -> Strip:
        if y < len(self._lines) and self._size == self.size:
            return self.line_of(layout_cell(self._lines[y], self.size.width))
        return Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> list[list[Span]]:
        width, height = self.size.width, self.size.height
        map_, lines = self.heat, height - 1 - self.feet
        if map_ is None:
            return [self.words()]
        at = self.column, self.row
        self.signs = heat_signs(getattr(self.app, "glyphs", Glyphs.ALL))
        drawn = [_between(self._said() or self.words(), legend(map_, self.signs), width)]
        each = max(1, lines // map_.rows)
        drawn += [[] for _ in range(lines - each * map_.rows)]
        every = 1 if each > 1 or map_.per_row > 1 else 2
        for row in range(map_.rows - 1, -1, -1):
            cells = self._cells(map_, row, at)
            for line in range(each):
                is_labelled = line == each - 1 and row % every == 0
                label = nanoseconds(map_.low_ns(row)) if is_labelled else ""
                drawn.append([Span(f"{label:>{LABELS - 1}} ", "dim"), *cells])
        return [*drawn, *self.foot(width - LABELS)]

    def look_of(self, cell: tuple[int, int], at: tuple[int | None, int | None], level: int) -> str:
        """Return the look of a cell; the cursor is *at* one."""
        look = str(level) if level else ""
        if cell == at:
            return f"{look} cursor" if look else "cursor"
        return look

    def _cells(self, map_: Heat, row: int, at: tuple[int | None, int | None]) -> list[Span]:
        spans: list[Span] = []
        for column in range(len(map_.columns)):
            level = map_.level(column, row)
            look = self.look_of((column, row), at, level)
            if spans and spans[-1].style == look:
                spans[-1] = Span(spans[-1].text + self.signs[level], look)
            else:
                spans.append(Span(self.signs[level], look))
        return spans

    # The cursor.

    @property
    def column(self) -> int | None:
        """The column of the cursor."""
        return None if self.cursor is None else self.column_at(self.cursor[0])

    def column_at(self, moment: float) -> int | None:
        """Return the column of a moment, the nearest one if it is outside."""
        return None if self.heat is None else column_of(moment, self.span, len(self.heat.columns))

    def moment_of(self, column: int, part: float = 0.5) -> float:
        """Return a moment of a column, by default its middle."""
        first, last = self.span
        return first + (column + part) * (last - first) / len(self.heat.columns) if self.heat else 0.0

    @property
    def row(self) -> int | None:
        """The row of the cursor."""
        if self.heat is None or self.cursor is None:
            return None
        return min(max(0, (self.cursor[1] - self.heat.first) // self.heat.per_row), self.heat.rows - 1)

    def place_cursor(self, column: int, row: int) -> None:
        """Put the cursor into a cell, or the nearest one."""
        if self.heat is None:
            return
        bucket = self.heat.first + min(max(0, row), self.heat.rows - 1) * self.heat.per_row
        self.cursor = self.moment_of(min(max(0, column), len(self.heat.columns) - 1)), bucket
        self.redraw()

    def action_step(self, columns: int, rows: int) -> None:
        if self.heat is None:
            return
        if self.column is None or self.row is None:
            # To the newest, in the row of most calls.
            newest = len(self.heat.columns) - 1
            counts = self.heat.counts[newest]
            self.place_cursor(newest, counts.index(max(counts)))
            return
        self.place_cursor(self.column + columns, self.row + rows)

    def _said(self) -> list[Span] | None:
        if self.heat is None or self.column is None or self.row is None:
            return None
        return [Span(self.cell_text(self.column, self.row), "strong")]

    def cell_text(self, column: int, row: int) -> str:
        """Return the time of a cell, its latency, and how many calls it holds; and the p99 of its column."""
        assert self.heat is not None
        at = self.heat.columns[column]
        when = f"{clock(at.begin)} to {clock(at.end)}"
        if at.ns is None:
            return f"{when}: not known"
        low, high = self.heat.low_ns(row), self.heat.low_ns(row + 1)
        calls = counted(self.heat.counts[column][row], "call")
        p99 = quantile(at.ns, 0.99)
        return f"{when}  {nanoseconds(low)} to {nanoseconds(high)}: {calls}" + (
            f"; p99 {nanoseconds(p99)}" if p99 is not None else ""
        )

    def cell_at(self, x: int, y: int) -> tuple[int, int] | None:
        """Return the column and row at a place of the widget; None beside the map."""
        if self.heat is None:
            return None
        lines = self.size.height - 1 - self.feet
        each = max(1, lines // self.heat.rows)
        row = (lines - y) // each
        column = x - LABELS
        if 0 <= column < len(self.heat.columns) and 0 <= row < self.heat.rows and 1 <= y <= lines:
            return column, row
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        cell = self.cell_at(event.x, event.y)
        self.tooltip = None if cell is None else self.cell_text(*cell)

    def on_leave(self) -> None:
        self.tooltip = None

    def on_click(self, event: events.Click) -> None:
        event.stop()
        cell = self.cell_at(event.x, event.y)
        if cell is not None:
            self.place_cursor(*cell)


class TicksMap(HeatMap):
    """The latency of one call at each of its readings."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ticks: tuple[Tick, ...] = ()

    def show(self, ticks: tuple[Tick, ...]) -> None:
        """Show these readings, oldest first."""
        if ticks != self._ticks:
            self._ticks = ticks
            if not ticks:
                self.cursor = None
            self.reread()

    def read(self, width: int) -> list[Column]:
        return columns_of_ticks(self._ticks, width)


def legend(map_: Heat, strengths: str) -> list[list[Span]]:
    """Return what the glyphs stand for, the longest form first."""
    signs: list[Span] = []
    for level, threshold in enumerate(map_.thresholds, 1):
        signs += [
            Span(strengths[level], str(level)),
            Span(f" {threshold if threshold < 1000 else brief(threshold)} ", "dim"),
        ]
    signs[-1] = Span(signs[-1].text.rstrip(), "dim")
    return [[Span("calls in a cell: ", "dim"), *signs], signs]


def _between(left: list[Span], right: list[list[Span]], width: int) -> list[Span]:
    """Return *left*, and at the right the longest of *right* that has room."""
    used = sum(len(span.text) for span in left)
    for one in right:
        gap = width - used - sum(len(span.text) for span in one)
        if gap >= 2:
            return [*left, Span(" " * gap), *one]
    return left
