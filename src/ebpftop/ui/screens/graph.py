"""One graph alone, over the whole screen: with axes, a cursor, and the way to the moment under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from ebpftop.models.series import WHATS, Series, What
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.axis import TimeShown, axis_spans, clock, column_of, marked_columns, time_axis
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.graphs import LOGARITHMIC, Graph, column_text, name_of, scale_text, value_text
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.plot import Scale, peak_of, plot, scale_of
from ebpftop.ui.widgets.span_line import SpanLine

if TYPE_CHECKING:
    from typing_extensions import Self

REFRESH_S = 0.25
"""So often it is looked whether a reading came."""

LABELS = 8
"""Cells at the left for the values."""

_HEAD = 2
"""Lines above the plot."""

_MEANINGS: dict[What, str] = {
    "execs": "programs that were started, or could not be, each second",
    "failed": "of these the ones that could not be started",
    "calls": "system calls of all processes each second",
    "errors": "of these the ones that returned an error",
    "p99": "99 of 100 calls took no longer; waiting calls are among them",
    "lost": "what happened and could not be shown, each second",
    "cost": "what ebpftop takes of one CPU: its programs in the kernel, and its process",
}


@dataclass(frozen=True)
class Plotted:
    """What is plotted: one graph over a span."""

    graph: Graph
    span: tuple[float, float] = (0.0, 0.0)
    marks: tuple[float, ...] = ()


class GraphPlot(SpanLine, can_focus=True):
    """The plot, with a line that says what it is, and one of what is under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("graph--dim", "graph--strong", "graph--bar", "graph--peak", "graph--cursor", "graph--mark"),
    }
    prefix = "graph"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Cursor", key_display="←→", tooltip="Move the cursor", id="graph.left"),
        Binding("right", "step(1)", "Cursor", show=False, id="graph.right"),
        Binding("shift+left,pageup", "step(-10)", "Ten back", show=False, id="graph.far_left"),
        Binding("shift+right,pagedown", "step(10)", "Ten on", show=False, id="graph.far_right"),
        Binding("home", "step(-1000000)", "First", show=False, id="graph.first"),
        Binding("end", "step(1000000)", "Newest", show=False, id="graph.newest"),
        Binding(
            "left_parenthesis",
            "mark(-1)",
            "Mark before",
            show=False,
            key_display="(",
            tooltip="To the mark before (◆)",
            id="time.mark_before",
        ),
        Binding(
            "right_parenthesis",
            "mark(1)",
            "Next mark",
            show=False,
            key_display=")",
            tooltip="To the next mark (◆)",
            id="time.mark_after",
        ),
        Binding("enter", "seek", "Go there", tooltip="Show the moment under the cursor in all panes", id="graph.seek"),
    ]

    class Sought(Message):
        """The moment `moment` (Unix seconds) is to be shown."""

        def __init__(self, moment: float) -> None:
            super().__init__()
            self.moment = moment

    class Sized(Message):
        """Another number of columns fits."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._plotted = Plotted(Graph("execs"))
        self._lines: list[list[Span]] = []
        self.cursor: float | None = None
        """The moment under the cursor; None until it was moved."""

    @property
    def columns(self) -> int:
        """The number of columns that fit."""
        return max(1, self.size.width - LABELS)

    def show(self, plotted: Plotted) -> None:
        """Show this; only the lines that changed are drawn."""
        self._plotted = plotted
        before, self._lines = self._lines, self._draw()
        for y, line in enumerate(self._lines):
            if y >= len(before) or before[y] != line:
                self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self) -> None:
        self._lines = []
        self.post_message(self.Sized())

    def render_line(self, y: int) -> Strip:
        if y < len(self._lines):
            return self.line_of(layout_cell(self._lines[y], self.size.width))
        return Strip.blank(self.size.width, self.rich_style)

    @property
    def _at(self) -> int | None:
        """The column of the cursor."""
        return None if self.cursor is None else column_of(self.cursor, self._plotted.span, self.columns)

    def _draw(self) -> list[list[Span]]:
        graph, span = self._plotted.graph, self._plotted.span
        height = self.size.height - _HEAD - 2
        scale = scale_of(graph.scaled, log=graph.what in LOGARITHMIC)
        head = [
            Span(f" {name_of(graph.what)} ", "strong"),
            Span(value_text(graph.what, graph.now), "peak"),
            Span(f"  {scale_text(graph)}" if scale_text(graph) else "", "dim"),
            Span(f"   {_MEANINGS[graph.what]}", "dim"),
        ]
        lines = [head, self._said(graph, span)]
        if height < 1:
            return lines
        at, peak = self._at, peak_of(graph.columns)
        newest = len(graph.columns) - 1 if graph.at is None else graph.at
        for y, text in enumerate(plot(graph.columns, height, scale)):
            line = [Span(f"{_label(graph, scale, y, height):>{LABELS - 1}} ", "dim")]
            for column, character in enumerate(text):
                look = "cursor" if column == at else "peak" if column in (peak, newest) else "bar"
                shown = "┃" if column == at and character == " " else character
                if line[-1].style == look:
                    line[-1] = Span(line[-1].text + shown, look)
                else:
                    line.append(Span(shown, look))
            lines.append(line)
        axis = time_axis(span, self.columns, at, graph.marked)
        lines.append([Span(" " * LABELS), *axis_spans(axis)])
        return lines

    def _said(self, graph: Graph, span: tuple[float, float]) -> list[Span]:
        at, peak = self._at, peak_of(graph.columns)
        width_s = (span[1] - span[0]) / max(1, len(graph.columns))
        if at is not None and at < len(graph.columns):
            begin = span[0] + at * width_s
            return [
                Span(" ┃ ", "cursor"),
                Span(f"{clock(begin)} to {clock(begin + width_s)}  ", "dim"),
                Span(column_text(graph, at), "strong"),
            ]
        if peak is None:
            nothing = "nothing of it is known" if all(value is None for value in graph.columns) else "nothing of it yet"
            return [Span(f" {nothing}", "dim")]
        when = clock(span[0] + peak * width_s)
        return [Span(f" peak {column_text(graph, peak)} at {when}; a column is {_width_text(width_s)}", "dim")]

    # Keys and the mouse.

    def action_step(self, columns: int) -> None:
        first, last = self._plotted.span
        if last <= first:
            return
        at = self._at
        start = (self.columns - 1 if self._plotted.graph.at is None else self._plotted.graph.at) if at is None else at
        self._point(start + (columns if at is not None or columns < 0 else 0))

    def action_mark(self, step: int) -> None:
        """Move the cursor to the mark before it, or after it."""
        first, last = self._plotted.span
        here = self._at if self._at is not None else self.columns
        marked = sorted(marked_columns(self._plotted.marks, (first, last), self.columns))
        found = [column for column in marked if (column < here if step < 0 else column > here)]
        if found:
            self._point(found[-1] if step < 0 else found[0])

    def _point(self, column: int) -> None:
        first, last = self._plotted.span
        column = min(max(0, column), self.columns - 1)
        self.cursor = first + (column + 0.5) * (last - first) / self.columns
        self.show(self._plotted)

    def action_seek(self) -> None:
        if self.cursor is not None:
            self.post_message(self.Sought(self.cursor))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.x >= LABELS:
            self._point(event.x - LABELS)
            if event.chain == 2:
                self.action_seek()


def _label(graph: Graph, scale: Scale, y: int, height: int) -> str:
    """Return the value at the top of line *y*: every fourth line, evenly."""
    below = height - 1 - y
    every = max(1, (height + 1) // 4)
    if (y % every and y) or scale.top <= 0 or (below < every - 1 and y):
        return "" if below else value_text(graph.what, 0.0) if not scale.log else ""
    return value_text(graph.what, scale.value((height - y) / height))


def _width_text(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


class GraphScreen(ReadyScreen[float]):
    """One graph; closes with the moment that is to be shown, if there is one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,O", "dismiss", "Back", key_display="Esc", id="graph.back"),
        Binding("tab,n", "other(1)", "Next graph", key_display="⇥", id="graph.next"),
        Binding("shift+tab,N", "other(-1)", "Previous graph", show=False, id="graph.previous"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._what: What = "execs"
        self._series: Series | None = None
        self._shown: tuple[object, ...] = ()
        self._read: Callable[[], TimeShown] = lambda: TimeShown((0.0, 0.0), 0.0, False, (), 0)

    def fill(self, series: Series, what: What, read: Callable[[], TimeShown]) -> Self:
        """Show *what* of *series*; *read* returns the span, the moment shown, and the marks."""
        self._series, self._what, self._read = series, what, read
        self.filled()
        return self

    def compose(self) -> ComposeResult:
        self._plot = GraphPlot(id="graph")
        yield self._plot
        yield KeyLine()

    def on_mount(self) -> None:
        self._clock = self.set_interval(REFRESH_S, self.update_graph, pause=True)

    def show_filled(self) -> None:
        self._plot.cursor = None
        self._shown = ()
        self.set_focus(self._plot)
        self.update_graph()
        self._clock.resume()

    def let_go(self) -> None:
        self._clock.pause()
        self._series = None

    def update_graph(self) -> None:
        """Read the graph again, and show what changed."""
        if self._series is None:
            return
        span, moment, is_newest, marks, lost = self._read()
        seconds = tuple(int(time) for time in (*span, moment, self._series.newest))
        state = (self._what, self._plot.size, self._series.readings, seconds, is_newest, marks, lost)
        if state == self._shown:
            return
        self._shown = state
        columns = self._series.columns(self._what, span, self._plot.columns)
        at = None if is_newest else column_of(moment, span, len(columns))
        now = float(lost) if self._what == "lost" else self._series.at(self._what, moment)
        self._plot.show(
            Plotted(Graph(self._what, columns, now, at, marked_columns(marks, span, len(columns))), span, marks)
        )

    def action_other(self, step: int) -> None:
        self._what = WHATS[(WHATS.index(self._what) + step) % len(WHATS)]
        self.update_graph()

    def on_graph_plot_sized(self) -> None:
        self._shown = ()
        self.update_graph()

    def on_graph_plot_sought(self, event: GraphPlot.Sought) -> None:
        self.dismiss(event.moment)
