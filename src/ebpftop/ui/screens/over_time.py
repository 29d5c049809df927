"""What of the main screen shows time, and leads to other moments: timeline, marks, graphs, heat map; and their keys."""

from __future__ import annotations

from collections.abc import Mapping

from textual import on
from textual.binding import Binding

from ebpftop.core.format import clock_text
from ebpftop.core.source import Source
from ebpftop.models.box import Box
from ebpftop.models.seeking import LONG_STEP_S, STEP_S
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.sources.capabilities import series_of
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.changing import ChangesController, span_text
from ebpftop.ui.screens.graphing import GraphsController
from ebpftop.ui.screens.heating import HeatController
from ebpftop.ui.screens.hosting import HostScreen
from ebpftop.ui.screens.placing import PanesScreen
from ebpftop.ui.screens.playback import PlaybackController, Rates
from ebpftop.ui.screens.time_row import TimelineController
from ebpftop.ui.screens.watching import WatchController
from ebpftop.ui.widgets.graphs import Graphs
from ebpftop.ui.widgets.heat_band import HeatBand
from ebpftop.ui.widgets.heatmap import LABELS
from ebpftop.ui.widgets.timeline_bar import TimelineBar

_MARK_S = 4.0
"""How long it is said what a mark stands for, after a key has gone there."""

INTERVALS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

TIME_KEYS: tuple[Binding, ...] = (
    Binding(
        "space,p",
        "pause",
        "Pause",
        key_display="␣",
        tooltip="Freeze; collection goes on. A recording plays on from the moment shown",
        id="pause",
    ),
    Binding("comma", f"seek({-STEP_S:g})", "Back", show=False, key_display=",", tooltip="Back 1 s", id="time.back"),
    Binding(
        "full_stop", f"seek({STEP_S:g})", "On", show=False, key_display=".", tooltip="Forward 1 s", id="time.forward"
    ),
    Binding(
        "left_square_bracket",
        f"seek({-LONG_STEP_S:g})",
        "Minute back",
        show=False,
        key_display="[",
        tooltip="Back 1 min",
        id="time.minute_back",
    ),
    Binding(
        "right_square_bracket",
        f"seek({LONG_STEP_S:g})",
        "Minute on",
        show=False,
        key_display="]",
        tooltip="Forward 1 min",
        id="time.minute_forward",
    ),
    Binding(
        "left_parenthesis",
        "mark(-1)",
        "Mark before",
        show=False,
        key_display="(",
        tooltip="Back to the mark before (◆)",
        id="time.mark_before",
    ),
    Binding(
        "right_parenthesis",
        "mark(1)",
        "Next mark",
        show=False,
        key_display=")",
        tooltip="Forward to the next mark (◆)",
        id="time.mark_after",
    ),
    Binding("l", "present", "Live", show=False, tooltip="Back to live; a recording: to where it plays", id="time.live"),
)
"""The keys of time."""

PACE_KEYS: tuple[Binding, ...] = (
    Binding(
        "plus,equals_sign",
        "interval(1)",
        "Slower",
        show=False,
        key_display="+",
        tooltip="Longer interval; a recording goes faster",
        id="interval.longer",
    ),
    Binding(
        "minus",
        "interval(-1)",
        "Faster",
        show=False,
        key_display="-",
        tooltip="Shorter interval; a recording goes slower",
        id="interval.shorter",
    ),
)
"""The keys of how often counters are read, and how fast a recording plays."""

PLOT_KEYS: tuple[Binding, ...] = (
    Binding("O", "graphs", "Graphs", tooltip="Graphs of the machine above the panes", id="graphs"),
    Binding("H", "heat", "Heat", tooltip="Latency of all calls over time; boxes of it", id="heat"),
)
"""The keys of what is drawn above the panes."""


CHANGE_KEYS: tuple[Binding, ...] = (
    Binding("M", "mark_moment", "Mark", show=False, tooltip="Mark this moment or span for D, and back", id="mark"),
    Binding("D", "changed", "Changed", tooltip="What changed: after the mark, or from mark to mark", id="changed"),
)
"""The keys of what is compared."""


class TimeScreen(PanesScreen, HostScreen):
    """A screen of panes with their history. `show_history` makes it; a subclass yields the widgets."""

    source: Source
    interval_s: float
    execs: ExecsPane
    playback: PlaybackController
    watching: WatchController
    graphs: GraphsController
    heat: HeatController
    time_row: TimelineController
    changes: ChangesController

    def show_history(self, source: Source) -> None:
        """Make what shows the history of *source*; `playback` and `watching` are there."""
        series = series_of(source)
        self.heat = HeatController(self.playback, series, self._calls_model, self._marks)
        self.graphs = GraphsController(lambda: self.app, self.playback, series, self._marks)
        self.changes = ChangesController(self.playback, self.notify_of)
        self.time_row = TimelineController(self.playback, self._marks, self._margin)
        self.set_class(self.playback.timeline is not None, "-timeline")

    def _calls_model(self) -> SyscallsModel | None:
        return next((pane.model for pane in self.panes if isinstance(pane, SyscallsPane)), None)

    def _marks(self) -> tuple[float, ...]:
        return tuple(self._marked())

    def _marked(self) -> Mapping[float, str]:
        """Return the moments that are marked, and what each stands for."""
        own = self.changes.marks.moments()
        return {**self.watching.watches.moments, **own} if own else self.watching.watches.moments

    def _margin(self) -> int:
        """Return the cells at the left of the heat map, if there is one: its columns are those of the timeline."""
        return LABELS if self.heat.widget.display else 0

    def place_plots(self, lines: int) -> None:
        """Give graphs and heat map their heights in a terminal of so many lines."""
        self.graphs.place(lines)
        self.heat.place(lines)

    def update_plots(self) -> None:
        """Bring timeline, graphs and heat map up to date."""
        self.time_row.update()
        self.graphs.update()
        self.heat.update()

    def describe_marks(self) -> None:
        self.update_plots()

    def show_rates(self, rates: Rates) -> None:
        self.time_row.show_rates(rates)

    # Moments.

    @on(TimelineBar.Scrubbed)
    def _scrubbed(self, event: TimelineBar.Scrubbed) -> None:
        event.stop()
        self.playback.seek(event.moment)

    @on(TimelineBar.Selected)
    def _selected(self, event: TimelineBar.Selected) -> None:
        event.stop()
        self.playback.show_box(Box(event.begin, event.end))
        about = f"{span_text((event.begin, event.end))} alone is shown. M marks it, D compares it with as long before"
        self.app.notify(f"{about}; Esc shows all", timeout=_MARK_S)

    @on(TimelineBar.Sized)
    def _timeline_sized(self, event: TimelineBar.Sized) -> None:
        event.stop()
        self.time_row.update()

    def action_pause(self) -> None:
        self.playback.toggle_pause()

    def action_seek(self, seconds: float) -> None:
        self.playback.step(seconds)

    def action_present(self) -> None:
        if not self.playback.paused and not self.playback.is_past:
            self.app.notify(
                "This is live already" if self.playback.player is None else "The recording plays on already"
            )
        self.playback.return_to_present()

    def action_mark(self, step: int) -> None:
        """Show the moment of the mark before the one shown, or after it."""
        moment = self.time_row.mark_from_here(step)
        if moment is not None:
            self.playback.seek(moment)
            title = f"◆ {clock_text(moment)}"
            self.app.notify(self._marked()[moment], title=title, timeout=_MARK_S)
        elif self._marked():
            self.app.notify(f"No mark {'before' if step < 0 else 'after'} this moment")
        else:
            self.app.notify("Nothing is marked. a watches for something, and marks where it happened; M marks this")

    def action_mark_moment(self) -> None:
        """Mark the span or the moment that is shown, to compare it."""
        self.changes.mark()
        self.update_plots()

    # The pace.

    def action_interval(self, step: int) -> None:
        if self.playback.player is not None:
            self.playback.change_speed(step)
            return
        nearest = min(range(len(INTERVALS_S)), key=lambda i: abs(INTERVALS_S[i] - self.interval_s))
        self.set_interval_s(INTERVALS_S[min(max(nearest + step, 0), len(INTERVALS_S) - 1)])

    def set_interval_s(self, seconds: float) -> None:
        """Read the counters every so many seconds from now on."""
        self.interval_s = seconds
        self.source.set_interval(seconds)
        self.describe()

    # Graphs.

    def action_graphs(self) -> None:
        self._leave_graphs()
        self.graphs.toggle(self.app.size.height)

    def set_graphs(self, *, shown: bool) -> None:
        """Show the graphs, where there is room for them, or hide them."""
        self._leave_graphs()
        self.graphs.show(self.app.size.height, shown=shown)

    def _leave_graphs(self) -> None:
        """Give the focus to a list, before the graphs go."""
        if self.focused is self.graphs.widget:
            self.set_focus(self.execs.lines)

    @on(Graphs.Sized)
    def _graphs_sized(self) -> None:
        self.graphs.update()

    @on(Graphs.Opened)
    def _open_graph(self, event: Graphs.Opened) -> None:
        event.stop()
        self.graphs.open(event.what)

    # The heat map.

    def action_heat(self) -> None:
        if self.heat.toggle():
            self.set_focus(self.heat.widget)
        elif self.playback.timeline is None:
            self.app.notify("There is no history to draw", severity="warning")
        elif self.focused is None or not self.focused.display:
            self.set_focus(self.execs.lines)
        self.time_row.update()

    @on(HeatBand.Kept)
    def _box_kept(self, event: HeatBand.Kept) -> None:
        event.stop()
        self.heat.keep(event.box)

    @on(HeatBand.Lifted)
    def _box_lifted(self, event: HeatBand.Lifted) -> None:
        event.stop()
        if event.had_box:
            self.heat.lift()
            self.heat.update()
        elif self.heat.widget.display:
            self.action_heat()
