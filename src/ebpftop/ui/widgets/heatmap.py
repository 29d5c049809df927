"""A heat map of latency: time across, latency up, colour for how many calls."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ebpftop.core.format import duration, nanoseconds
from ebpftop.models.latency import LEVELS, Heat, Tick, heat
from ebpftop.ui.widgets.span_line import SpanLine

LABELS = 7
"""Cells at the left for the latencies."""


class HeatMap(SpanLine):
    """Two buckets a line, as halves of a cell. One column a reading, the newest at the right.

    Lines are made into Strips once a reading, and reused until the next.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat--head",
        "heat--dim",
        *(f"heat--{level}" for level in range(LEVELS)),
    }
    prefix = "heat"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ticks: tuple[Tick, ...] = ()
        self._strips: list[Strip] = []
        self._styles: dict[tuple[int, int], Style] = {}

    def show(self, ticks: tuple[Tick, ...]) -> None:
        """Show these readings, oldest first."""
        if ticks != self._ticks:
            self._ticks = ticks
            self._strips = []
            self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._strips = []

    def on_resize(self) -> None:
        self._strips = []

    def render_line(self, y: int) -> Strip:
        if not self._strips:
            self._strips = self._draw()
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _cell(self, upper: int, lower: int) -> Style:
        """The style of a cell whose halves have these strengths; ``▀`` draws the upper one in the foreground."""
        style = self._styles.get((upper, lower))
        if style is None:
            style = self._styles[upper, lower] = Style(
                color=self.get_component_rich_style(f"heat--{upper}").color,
                bgcolor=self.get_component_rich_style(f"heat--{lower}").color,
            )
        return style

    def _draw(self) -> list[Strip]:
        width, height = self.size.width, self.size.height
        map_ = heat(self._ticks, width - LABELS)
        head = Strip([Segment("LATENCY OVER TIME".ljust(width)[:width], self.style_of("head"))])
        if map_ is None or height < 3 or width <= LABELS:
            return [head]
        lines = height - 2
        # If there is not half a line for every bucket, several share one.
        shared = -(-map_.rows // (2 * lines))
        columns = _merged(map_, shared)
        rows = len(columns[0])
        used = (rows + 1) // 2
        blank = Strip.blank(width, self.rich_style)
        strips = [head, *[blank] * (lines - used)]
        for line in range(used - 1, -1, -1):
            label = nanoseconds(2 ** (map_.first + 2 * line * shared)) if (used - 1 - line) % 2 == 0 or not line else ""
            segments = [Segment(f"{label:>{LABELS - 1}} ", self.style_of("dim"))]
            pad = width - LABELS - len(columns)
            if pad:
                segments.append(Segment(" " * pad, self.rich_style))
            segments += self._cells([(c[2 * line + 1] if 2 * line + 1 < rows else 0, c[2 * line]) for c in columns])
            strips.append(Strip(segments, width))
        return [*strips, self._axis(map_, width)]

    def _cells(self, pairs: list[tuple[int, int]]) -> list[Segment]:
        segments: list[Segment] = []
        start = 0
        for i in range(1, len(pairs) + 1):
            if i == len(pairs) or pairs[i] != pairs[start]:
                segments.append(Segment("▀" * (i - start), self._cell(*pairs[start])))
                start = i
        return segments

    def _axis(self, map_: Heat, width: int) -> Strip:
        ago = duration(map_.ended - map_.began) if map_.ended > map_.began else ""
        text = axis_text(ago, len(map_.columns), width - LABELS)
        return Strip([Segment(" " * LABELS + text, self.style_of("dim"))], width)


def axis_text(began: str, columns: int, room: int) -> str:
    """Return the text below the last *columns* of *room* cells: how long ago they began; empty if it does not fit."""
    ago = f"{began} ago" if began else ""
    least = len(f"{ago} now") if ago else len("now")
    if least > room:
        ago, least = "", len("now")
    between = max(columns, least) - len(ago) - len("now")
    return (ago + " " * min(between, room - len(ago) - len("now")) + "now").rjust(room)[-room:]


def _merged(map_: Heat, shared: int) -> list[tuple[int, ...]]:
    if shared <= 1:
        return list(map_.columns)
    return [tuple(max(column[i : i + shared]) for i in range(0, len(column), shared)) for column in map_.columns]
