"""The graphs of the main screen: when they are shown, and when they are read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.app import App

from ebpftop.models.series import Series, What
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.widgets.axis import TimeShown, column_of, marked_columns
from ebpftop.ui.widgets.graphs import Graph, Graphs

HEIGHTS = ((45, 4), (30, 2))
"""From so many lines of the terminal the graphs take so many; below that, none."""

_COLUMN_PART = 0.5
_LEAST_S = 2.0
"""Their columns are read again when so much of one has passed, but not sooner: each time all of the bars change."""


def height_for(lines: int) -> int:
    """Return how many lines the graphs take in a terminal of so many."""
    return next((height for least, height in HEIGHTS if lines >= least), 0)


class GraphsController:
    """Shows what the machine did above the panes, with each reading, and only while it is to be seen."""

    def __init__(
        self,
        app: Callable[[], App[Any]],
        playback: PlaybackController,
        series: Series | None,
        marks: Callable[[], tuple[float, ...]],
    ) -> None:
        self._app = app
        self._playback = playback
        self._series = series
        self._marks = marks
        self.widget = Graphs(id="graphs")
        self.widget.display = False
        self.wanted = True
        self._height = 0
        self._shown: tuple[object, ...] = ()
        self._read_for: tuple[object, ...] = ()
        self._graphs: tuple[Graph, ...] = ()

    def place(self, lines: int) -> None:
        """Give the graphs their height in a terminal of so many lines."""
        height = height_for(lines) if self.wanted and self._series is not None else 0
        if (height > 0) != self.widget.display or height != self._height:
            self._height = height
            self.widget.display = height > 0
            self.widget.styles.height = height
            self._shown = self._read_for = ()

    def read(self) -> TimeShown:
        """Return the span of the timeline, the moment shown, the marks, and what was lost."""
        playback = self._playback
        span = playback.timeline.span if playback.timeline is not None else (0.0, 0.0)
        is_newest = playback.moment is None and not playback.paused and playback.player is None
        shown = max(span[1], playback.shown_time) if is_newest else playback.moment_or_shown
        return TimeShown(span, shown, is_newest, self._marks(), playback.overview.went_missing)

    def update(self) -> None:
        """Show what changed, if they are to be seen."""
        if self._series is None or not self.widget.display or not self.widget.size.width:
            return
        span, moment, is_newest, marks, lost = self.read()
        wanted = self.widget.wanted
        width_s = (span[1] - span[0]) / max((columns for _, columns in wanted), default=1)
        step_s = max(_LEAST_S, _COLUMN_PART * width_s)
        state = (
            wanted,
            self.widget.size,
            self._series.readings,
            int(self._series.newest),
            int(moment),
            is_newest,
            marks,
            lost,
        )
        if state == self._shown:
            return
        self._shown = state
        # Reading all columns takes most of the time, and each second changes a small part of the last one.
        edges = span[0], max(span[1], self._series.newest)
        read_for = (wanted, *(edge // step_s for edge in edges), step_s // 1)
        if read_for != self._read_for:
            self._read_for = read_for
            self._graphs = tuple(Graph(what, self._series.columns(what, span, count)) for what, count in wanted)
        marked = {count: marked_columns(marks, span, count) for _, count in wanted}
        self._graphs = tuple(
            replace(
                graph,
                marked=marked[len(graph.columns)],
                now=float(lost) if graph.what == "lost" else self._series.at(graph.what, moment),
                at=None if is_newest else column_of(moment, span, len(graph.columns)),
            )
            for graph in self._graphs
        )
        self.widget.show(self._graphs, span)

    def toggle(self, lines: int) -> None:
        """Show the graphs or not; open one if the terminal is too low for them."""
        if not height_for(lines):
            self.open("execs")
            return
        self.show(lines, shown=not self.wanted)

    def show(self, lines: int, *, shown: bool) -> None:
        """Show the graphs or not, in a terminal of so many lines."""
        self.wanted = shown
        self.place(lines)

    def open(self, what: What) -> None:
        """Show one alone."""
        from ebpftop.ui.screens.graph import GraphScreen

        app = self._app()
        if self._series is None:
            app.notify("There is no history to draw", severity="warning")
            return
        app.push_screen(ready(app, GraphScreen).fill(self._series, what, self.read), self._sought)

    def _sought(self, moment: float | None) -> None:
        if moment is not None:
            self._playback.seek(moment)
