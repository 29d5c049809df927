"""Partial frames that cost what has changed in them, not what is around it.

Textual draws all widgets between the first and the last place that changed, and cuts each of their lines at every edge
of any widget. Here each widget draws only its own lines that changed, and only their visible part is written. What is
on the terminal is the same: in front is the widget that is in front in Textual's own order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from textual._compositor import Compositor, CompositorUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ebpftop.ui.textual_fixes.doubtful_widths import is_doubtful, written


class Piece(NamedTuple):
    """A part of line `y`, from column `x` up to `end`, where `widget` is in front; `region` is where all of it is."""

    y: int
    x: int
    end: int
    widget: Widget
    region: Region


class SpansUpdate(CompositorUpdate):
    """Strips with their places on the screen: line, column, strip."""

    def __init__(self, spans: Sequence[tuple[int, int, Strip]]) -> None:
        self.spans = spans

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for y, x, strip in self.spans:
            yield Control.move_to(x, y)
            yield from strip

    def render_segments(self, console: Console) -> str:
        """Return it as text for the terminal."""
        return "".join(written(self.spans, console))


def pieces(compositor: Compositor, regions: Iterable[Region]) -> Iterator[Piece]:
    """Yield what is in front in *regions*, line by line."""
    layers = compositor.layers_visible
    for y, first, last in compositor._regions_to_spans(regions):
        bare = [(first, last)]
        for widget, visible, region in layers[y]:
            left_bare: list[tuple[int, int]] = []
            for start, end in bare:
                x, right = max(start, visible.x), min(end, visible.right)
                if x >= right:
                    left_bare.append((start, end))
                    continue
                yield Piece(y, x, right, widget, region)
                if start < x:
                    left_bare.append((start, x))
                if right < end:
                    left_bare.append((right, end))
            bare = left_bare
            if not bare:
                break


def render_partial_update(compositor: Compositor) -> SpansUpdate | None:
    """Draw what has changed since the last frame; None if nothing has."""
    screen = compositor.size.region
    changed = [region for dirty in compositor._dirty_regions if (region := dirty.intersection(screen))]
    compositor._dirty_regions.clear()
    if not changed:
        return None
    spans = _spans(compositor, changed)
    if behind := [Region(end, y, screen.right - end, 1) for y, end in _doubtful_ends(spans) if end < screen.right]:
        spans = _spans(compositor, [*changed, *behind])
    return SpansUpdate(spans)


def _spans(compositor: Compositor, regions: Iterable[Region]) -> list[tuple[int, int, Strip]]:
    """Draw what is in front in *regions*."""
    found = sorted(pieces(compositor, regions), key=lambda piece: piece[:2])
    lines: defaultdict[tuple[Widget, Region], set[int]] = defaultdict(set)
    for y, _, _, widget, region in found:
        lines[widget, region].add(y)
    drawn = {(widget, y): strip for (widget, region), at in lines.items() for y, strip in _draw(widget, region, at)}
    return [
        (y, x, drawn[widget, y].crop(x - region.x, end - region.x))
        for y, x, end, widget, region in found
        if (widget, y) in drawn
    ]


def _doubtful_ends(spans: Iterable[tuple[int, int, Strip]]) -> Iterator[tuple[int, int]]:
    """Yield line and end of strips that a terminal may draw over what is behind them."""
    for y, x, strip in spans:
        if is_doubtful(strip):
            yield y, x + strip.cell_length


def _draw(widget: Widget, region: Region, lines: set[int]) -> Iterator[tuple[int, Strip]]:
    """Yield lines of the screen with what a widget, which is in *region*, has there, in its full width."""
    for first, last in _runs(sorted(lines)):
        strips = widget.render_lines(Region(0, first - region.y, region.width, last - first + 1))
        yield from zip(range(first, last + 1), strips, strict=False)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of consecutive *numbers*."""
    start = before = numbers[0]
    for number in numbers[1:]:
        if number != before + 1:
            yield start, before
            start = number
        before = number
    yield start, before


def install() -> None:
    """Draw every partial frame in this way."""
    Compositor.render_partial_update = render_partial_update  # type: ignore[assignment, method-assign]  # ours in its place
