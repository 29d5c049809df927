"""The first line of graphs: what the whole machine did over the time of the timeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from ebpftop.core.clock import time_text
from ebpftop.core.format import brief, count, nanoseconds, share
from ebpftop.models.series import WHATS, What
from ebpftop.ui.widgets.axis import MARK, are_few
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.plot import Scale, peak_of, plot, scale_of, with_marks
from ebpftop.ui.widgets.span_line import SpanLine

LEAST = 16
"""Cells of the narrowest graph; if they do not suffice for all, the last ones of `_RANKS` are left out."""

_RANKS: tuple[What, ...] = ("execs", "calls", "p99", "failed", "errors", "lost", "cost")

UNKNOWN_VALUE = "\N{EN DASH}"

LOGARITHMIC: frozenset[What] = frozenset({"p99"})


@dataclass(frozen=True, slots=True)
class _Words:
    """How a graph is called, the longest first; and how its values are written."""

    names: tuple[str, ...]
    text: Callable[[float], str]


_WORDS: Mapping[What, _Words] = {
    "execs": _Words(("execs/s",), brief),
    "failed": _Words(("failed/s",), brief),
    "calls": _Words(("syscalls/s", "calls/s"), brief),
    "errors": _Words(("errors/s",), brief),
    "p99": _Words(("p99 of calls", "p99"), lambda ns: nanoseconds(ns or None)),
    "lost": _Words(("lost",), brief),
    "cost": _Words(("own cost", "cost"), share),
}


def name_of(what: What) -> str:
    """Return the whole name of a graph."""
    return _WORDS[what].names[0]


def value_text(what: What, value: float | None) -> str:
    """Return a value of a graph with its unit; a dash if it is not known."""
    return UNKNOWN_VALUE if value is None else _WORDS[what].text(value)


@dataclass(frozen=True)
class Graph:
    """One graph: its columns over the whole span, what it is now, the column of the moment shown, those with a mark."""

    what: What
    columns: tuple[float | None, ...] = ()
    now: float | None = None
    at: int | None = None
    marked: frozenset[int] = frozenset()

    @property
    def scaled(self) -> tuple[float | None, ...]:
        """What the scale must hold: a reading may be more than the column that it is a part of. (Losses are a sum.)"""
        return self.columns if self.what == "lost" else (*self.columns, self.now)


def shown(width: int) -> tuple[What, ...]:
    """Return the graphs that fit into so many cells, in their order."""
    fitting = frozenset(_RANKS[: max(1, (width + 1) // (LEAST + 1))])
    return tuple(what for what in WHATS if what in fitting)


def widths(width: int, count: int) -> list[int]:
    """Return the widths of *count* graphs, with a cell between each two."""
    room = width - (count - 1)
    return [room * (i + 1) // count - room * i // count for i in range(count)]


class Graphs(SpanLine, can_focus=True):
    """A line of words and one or more of bars. A click, or Enter, opens one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("graphs--dim", "graphs--strong", "graphs--bar", "graphs--peak", "graphs--warn", "graphs--chosen"),
        "graphs--mark",
    }
    prefix = "graphs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "choose(-1)", "Previous graph", show=False, id="graphs.previous"),
        Binding("right", "choose(1)", "Next graph", show=False, id="graphs.next"),
        Binding("enter", "open", "Open", tooltip="This graph alone, with its axes", id="graphs.open"),
    ]

    class Opened(Message):
        """One is to be shown alone."""

        def __init__(self, what: What) -> None:
            super().__init__()
            self.what = what

    class Sized(Message):
        """It has another size, so that other graphs fit."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._graphs: tuple[Graph, ...] = ()
        self._span = (0.0, 0.0)
        self._lines: list[list[Span]] = []
        self._size = Size()
        """For which the lines were made."""
        self._chosen = 0
        self._bars: dict[What, tuple[object, list[list[Span]]]] = {}
        """The bars of each graph as they were made last, and of what."""

    @property
    def wanted(self) -> tuple[tuple[What, int], ...]:
        """The graphs that fit, and the number of columns of each."""
        whats = shown(self.size.width)
        return tuple(zip(whats, widths(self.size.width, len(whats)), strict=True))

    def show(self, graphs: Sequence[Graph], span: tuple[float, float]) -> None:
        """Show *graphs*, made for `wanted`; only the lines that changed are drawn."""
        self._graphs, self._span = tuple(graphs), span
        self._chosen = min(self._chosen, max(0, len(self._graphs) - 1))
        before, self._lines = self._lines if self.size == self._size else [], self._draw()
        self._size = self.size
        for y, line in enumerate(self._lines):
            if y >= len(before) or before[y] != line:
                self.refresh_line(y, line)

    def on_resize(self) -> None:
        self.post_message(self.Sized())

    def on_focus(self) -> None:
        self.show(self._graphs, self._span)

    def on_blur(self) -> None:
        self.show(self._graphs, self._span)

    def render_line(self, y: int) -> Strip:
        if y < len(self._lines) and self._size == self.size:
            return self.drawn_line(y, self._lines[y])
        return Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> list[list[Span]]:
        height = max(1, self.size.height - 1)
        lines: list[list[Span]] = [[] for _ in range(height + 1)]
        for at, (graph, width) in enumerate(zip(self._graphs, widths(self.size.width, len(self._graphs)), strict=True)):
            is_chosen = self.has_focus and at == self._chosen
            for line, spans in zip(
                lines, [_label(graph, width, is_chosen), *self._bars_of(graph, width, height)], strict=True
            ):
                if at:
                    line.append(Span(" "))
                line.extend(spans)
        return lines

    def _bars_of(self, graph: Graph, width: int, height: int) -> list[list[Span]]:
        """Return its bars: those of before if they would be the same, as most are while a machine rests."""
        made_of = graph.columns, scale_for(graph), graph.at, graph.marked, width, height
        known = self._bars.get(graph.what)
        if known is None or known[0] != made_of:
            known = self._bars[graph.what] = made_of, _bars(graph, width, height)
        return known[1]

    # Keys and the mouse.

    def action_choose(self, step: int) -> None:
        if self._graphs:
            self._chosen = (self._chosen + step) % len(self._graphs)
            self.show(self._graphs, self._span)

    def action_open(self) -> None:
        if self._graphs:
            self.post_message(self.Opened(self._graphs[self._chosen].what))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        found = self._under(event.x)
        if found is not None:
            self._chosen = found[0]
            self.action_open()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        found = self._under(event.x)
        self.tooltip = None if found is None else self._about(*found)

    def on_leave(self) -> None:
        self.tooltip = None

    def _under(self, x: int) -> tuple[int, int] | None:
        """Return the graph at a cell, and its column there."""
        left = 0
        for at, width in enumerate(widths(self.size.width, len(self._graphs)) if self._graphs else ()):
            if left <= x < left + width:
                return at, x - left
            left += width + 1
        return None

    def _about(self, at: int, column: int) -> str | None:
        graph = self._graphs[at]
        if not 0 <= column < len(graph.columns):
            return None
        first, last = self._span
        time = first + (column + 0.5) * (last - first) / len(graph.columns)
        return f"{time_text(time)}  {name_of(graph.what)} {column_text(graph, column)}"


def column_text(graph: Graph, column: int) -> str:
    """Return the value of a column; losses are a rate, as in the others, and only their sum is not."""
    return _text(graph.what, graph.columns[column])


def _text(what: What, value: float | None) -> str:
    return f"{value_text(what, value)}{'/s' if what == 'lost' and value is not None else ''}"


def scale_text(graph: Graph) -> str:
    """Return the top of the scale: ``≤190``, ``log≤55ms``; empty if nothing is above zero."""
    peak = peak_of(graph.scaled)
    if peak is None:
        return ""
    return f"{'log' if graph.what in LOGARITHMIC else ''}≤{_text(graph.what, graph.scaled[peak])}"


def scale_for(graph: Graph) -> Scale:
    """Return the scale of its bars."""
    return scale_of(graph.scaled, log=graph.what in LOGARITHMIC)


def _label(graph: Graph, width: int, is_chosen: bool) -> list[Span]:
    top = scale_text(graph)
    now = count(int(graph.now)) if graph.what == "lost" and graph.now else value_text(graph.what, graph.now)
    look = "warn" if graph.what == "lost" and graph.now else "strong"
    for scale in dict.fromkeys((top, "")):
        for name in _WORDS[graph.what].names:
            left = width - len(name) - 1 - len(now) - len(scale)
            if left >= 1:
                return [
                    Span(name, "chosen" if is_chosen else "dim"),
                    Span(" "),
                    Span(f"{now} ", look),
                    Span(scale, "dim"),
                    Span(" " * (left - 1)),
                ]
    return [Span(f"{_WORDS[graph.what].names[-1]} {now}"[:width].ljust(width), "dim")]


def _bars(graph: Graph, width: int, height: int) -> list[list[Span]]:
    values = graph.columns[-width:] if width else ()
    bright = {peak_of(values), len(values) - 1 if graph.at is None else graph.at}
    lines = plot(values, height, scale_for(graph))
    coloured = graph.marked
    if are_few(graph.marked, len(values)):
        lines, coloured = with_marks(lines, graph.marked, MARK), frozenset()
    return [_coloured(text.ljust(width), bright, coloured) for text in lines]


def _coloured(text: str, bright: Collection[int | None], marked: Collection[int]) -> list[Span]:
    looks = ["bar"] * len(text)
    for column in bright:
        if column is not None and 0 <= column < len(text):
            looks[column] = "peak"
    for column in (*marked, *(column for column, character in enumerate(text) if character == MARK)):
        if column < len(text):
            looks[column] = "mark"
    spans: list[Span] = []
    at = 0
    for look, group in groupby(looks):
        end = at + sum(1 for _ in group)
        spans.append(Span(text[at:end], look))
        at = end
    return spans
