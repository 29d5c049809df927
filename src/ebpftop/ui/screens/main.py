"""The main screen: status bar, panes, footer; and what happens to every batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, ClassVar, get_args

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ebpftop.core.escape import printable
from ebpftop.core.format import clock_text
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, Source, WatchedList
from ebpftop.filters.spec import Filter
from ebpftop.models.subset import Kind
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.probes.registry import registry
from ebpftop.sources.capabilities import series_of
from ebpftop.ui.panes.base import Pane, worker_sleep
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.filtered import FilteredPane
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.title import TitledPane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.filtering import FilterController
from ebpftop.ui.screens.graphing import GraphsController
from ebpftop.ui.screens.heating import HeatController
from ebpftop.ui.screens.inbox import Inbox
from ebpftop.ui.screens.list_filters import FILTER_KEYS, ListFilters
from ebpftop.ui.screens.placing import LEAST, PanesScreen
from ebpftop.ui.screens.playback import PULSE_S, TIME_KEYS, Group, PlaybackController, Rates
from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.screens.watching import WatchController, WatchOptions
from ebpftop.ui.textual_fixes.app_errors import SurvivingApp
from ebpftop.ui.textual_fixes.frame_pace import one_frame
from ebpftop.ui.widgets.axis import clock
from ebpftop.ui.widgets.badge import PausedBadge, PausedHint
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.graphs import Graphs
from ebpftop.ui.widgets.heat_band import HeatBand
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.status_bar import Status, StatusBar
from ebpftop.ui.widgets.tabs_line import TabsLine
from ebpftop.ui.widgets.timeline_bar import Moments, TimelineBar

_STATUS_ACTIONS = {
    **{"name": "app.help", "lost": "app.losses", "cost": "app.diagnostics", "kernel": "app.diagnostics"},
    **{"probes": "app.diagnostics", "interval": "app.settings"},
    **{"filter": "filter", "paused": "pause", "moment": "present"},
}
"""What a click on a part of the status line does."""

UNDO_S = 6.0
"""Seconds for which undoing is offered."""

INTERVALS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

_PROBES = Binding.Group("probes ", compact=True)
_KEYS_MAX = 9

CONFIRM_S = 5.0
"""For so long a probe's key that was pressed once asks for the second time."""

_UNSHOWN_EVERY_S = 0.1
"""Seconds between polls of probes that have no pane."""


def _probe_keys() -> Iterator[Binding]:
    """Yield the key of each probe. The footer has room for those that are usually on."""
    for number, (probe, pane) in enumerate(panes().classes.items(), 1):
        if number <= _KEYS_MAX:
            label = printable(pane.label)
            usual = registry().rows[probe].on
            yield Binding(
                str(number),
                f"probe('{probe}')",
                label,
                group=_PROBES,
                show=usual,
                tooltip=f"{label}: probe on or off",
                id=f"probe.{probe}",
            )


class MainScreen(ListFilters[None], PanesScreen):
    """The whole screen. State records take effect at once; records for a pane wait while paused."""

    BLANK = True  # all of it is covered by widgets, and it would be rendered again whenever a dialog closes
    BINDINGS: ClassVar[list[BindingType]] = [
        *TIME_KEYS,
        *_probe_keys(),
        *FILTER_KEYS,
        Binding("t", "tree", "Tree", tooltip="The processes as a tree, and back", id="execs.tree"),
        Binding("c", "columns", "Columns", show=False, tooltip="Choose and widen columns", id="pane.columns"),
        Binding("u", "user", "User", show=False, tooltip="Only this row's user in all panes, and back", id="user"),
        Binding(
            "U", "container", "Container", show=False, tooltip="Only this row's container, and back", id="container"
        ),
        Binding("C", "copy_as", "Copy as", show=False, tooltip="The row or filter as a command line", id="copy_as"),
        Binding("a", "watch", "Watch", show=False, tooltip="Watch for what matters: list, add, remove", id="watch"),
        Binding("y", "copy", "Copy", show=False, tooltip="Send the row to the terminal's clipboard", id="copy"),
        Binding(
            "ctrl+s", "save('recording')", "Save", show=False, tooltip="Save the history as a recording", id="save"
        ),
        Binding("E", "save('csv')", "Export", show=False, tooltip="This pane's rows as CSV or JSON", id="export"),
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
        Binding("H", "heat", "Heat", show=False, tooltip="Latency of all calls over time; boxes of it", id="heat"),
        Binding("O", "graphs", "Graphs", show=False, tooltip="Graphs of the machine above the panes", id="graphs"),
        Binding("escape", "back", "Back", show=False, tooltip="Back one layer; never quits", id="back"),
    ]

    def __init__(
        self,
        source: Source,
        interval_s: float,
        initial_filter: Filter | None = None,
        watch_options: WatchOptions | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.panes, self._disabled = panes().make(source)
        self.playback = PlaybackController(source, self.panes, self)
        self.heat = HeatController(self.playback, series_of(source), self._calls_model)
        self.graphs = GraphsController(lambda: self.app, self.playback, series_of(source))
        self.execs = next(pane for pane in self.panes if isinstance(pane, ExecsPane))
        self.front = self.execs
        self.interval_s = interval_s
        self.asks_first: Callable[[], bool] = lambda: False
        """Is a probe's key to be pressed twice?"""
        self._pressed: tuple[ProbeName, float] = ("", 0.0)
        self.lists_made: Callable[[], None] = lambda: None
        """Called when the panes have their lists, before they are drawn."""
        self.filters = FilterController(source, self.playback.apply_filter, self, initial_filter)
        news = self.playback.player is None
        self.watching = WatchController(watch_options or WatchOptions(), self.playback.timeline, self, rings=news)
        self.playback.look_at = self.watching.take
        self._pipe_end_reported = self._was_shown = False
        if self.playback.timeline is not None and self.playback.player is not None:
            self.add_class("-timeline")

    def compose(self) -> ComposeResult:
        with self._context():
            self._inbox = Inbox(asyncio.get_running_loop(), copy_context(), lambda: self._is_gone)
        for pane in self.panes:
            pane.deliver = partial(self._deliver, pane)
        yield StatusBar(id="state")
        yield self.graphs.widget
        yield self.heat.widget
        yield TabsLine(id="tabs")
        yield Grid(*self.panes, id="panes")
        with Horizontal(id="time"):
            yield PausedBadge(id="paused")
            with Vertical():
                yield TimelineBar(id="timeline")
                yield PausedHint(id="paused-words")
        yield FilterBar()
        yield KeyLine()
        yield Static(f"needs {LEAST.width}x{LEAST.height}", id="too-small", markup=False)

    def on_mount(self) -> None:
        if self.playback.timeline is not None:
            self.set_interval(PULSE_S, self._pulse)
        self.set_focus(self.execs.log_lines)
        self.lists_made()
        self.graphs.place(self.app.size.height)
        self.heat.place(self.app.size.height)
        self.describe()
        self.watching.begin()
        for disabled in self._disabled:
            self.app.notify(str(disabled), severity="warning")
        if unshown := tuple(set(self.source.probes) - {pane.probe for pane in self.panes}):
            self._pass_over(unshown)

    @work(thread=True, group="unshown", exit_on_error=False)
    def _pass_over(self, probes: tuple[ProbeName, ...]) -> None:
        """Poll *probes*, which have no pane: a recording waits until they are, and the history keeps what they saw."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            if not any([self.source.poll(probe, 0.0) is not None for probe in probes]):  # noqa: C419  # each of them
                worker_sleep(_UNSHOWN_EVERY_S)

    def _screen_resized(self, size: Size) -> None:
        self.graphs.place(size.height)
        self.heat.place(size.height)
        super()._screen_resized(size)

    def describe(self) -> None:
        """Update status bar, tabs and badge."""
        self.place_panes(self.app.size)
        self.describe_tabs()
        playback = self.playback
        header, overview, moment = self.source.header, playback.overview, playback.moment
        moment_text = "" if moment is None else f"{clock_text(moment)} {playback.back_text}".rstrip()
        if playback.box is not None:
            moment_text = f"{clock(playback.box.begin)} to {clock(playback.box.end)}"
        self.query_one(StatusBar).status = Status(
            host=header.host,
            kernel=header.kernel,
            live=self.source.live,
            probes=tuple((pane.number, pane.state) for pane in self.panes if self._takes_room(pane)),
            events_per_second=overview.events_per_second,
            lost=overview.total_lost,
            lost_kind=overview.only_kind_lost or "",
            cost=overview.cost,
            filter="  ".join(part for part in (self.filters.stack.breadcrumb, self.execs.filter_text) if part),
            gone=", ".join(overview.gone),
            mode=self.mode,
            paused="PAUSED" if playback.paused else "",
            moment=moment_text,
            history=playback.kept if playback.paused else "",
            time=int(overview.time),
            interval_s=self.interval_s,
        )
        if playback.paused:
            self._describe_badge()
        self.graphs.update()
        self.heat.update()

    def _describe_badge(self) -> None:
        """Show beside the badge how much waits, or which moment is shown."""
        words, playback = self.query_one(PausedHint), self.playback
        if playback.moment is not None:
            words.away(playback.back_text, recording=playback.player is not None)
        else:
            words.held(playback.held.weight, playback.held.has_overflowed)

    @property
    def mode(self) -> str:
        """What is shown, if it is not the present of this machine."""
        if self.playback.piped:
            return "remote stream" if self.source.live else "pipe ended"
        return "" if self.source.live else f"recording {self.playback.speed_text}".rstrip()

    def on_unmount(self) -> None:
        self.end_collecting()

    @property
    def _is_gone(self) -> bool:
        return self._closing or self._closed or self._pruning or not self.app.is_running

    def end_collecting(self) -> None:
        """Let the threads of all panes end at once."""
        for pane in self.panes:
            pane.stop_collecting()
        self.source.interrupt()

    def _pulse(self) -> None:
        self.playback.pulse()
        self.watching.pulse()
        if self.has_class("-timeline"):
            self._describe_timeline(anew=True)
            self.describe()
        if self.playback.piped and not self.source.live and not self._pipe_end_reported:
            # No batch comes with the end, and without a message a lost connection looks like silence.
            self._pipe_end_reported = True
            self.app.notify(
                "The pipe has ended, nothing more comes. [ goes back a minute, q leaves", severity="warning"
            )
            self.describe()

    # What arrives, and time. See `Host`.

    def _deliver(self, pane: Pane, batches: Sequence[Batch]) -> None:
        """Have *batches* of *pane* processed. Its thread calls this."""
        self.post(partial(self.playback.intake.put, pane, batches))

    def post(self, do: Callable[[], None]) -> None:
        self._inbox.put(do)

    @property
    def is_covered(self) -> bool:
        return not self.is_active

    @on(events.ScreenResume)
    def _uncovered(self, event: events.ScreenResume) -> None:
        if not self._was_shown:
            event.refresh_styles = False  # each widget has got its styles when it was mounted: a tenth of the start
        self._was_shown = True
        self.playback.frames.show_when_due()

    @property
    def keys_waiting(self) -> int:
        waiting: int = getattr(self.app, "keys_waiting", 0)
        return waiting

    def call_soon(self, do: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(self.call_later, do)

    def call_after(self, delay_s: float, do: Callable[[], None]) -> None:
        self._inbox.put_later(delay_s, do)

    def one_frame(self) -> AbstractContextManager[None]:
        return one_frame(self)

    def run_in_thread(self, group: Group, work: Callable[[], None]) -> None:
        self.run_worker(work, group=group, thread=True, exit_on_error=False)

    def run_filtering(self, work: Callable[[], None]) -> None:
        self.run_worker(work, group="filter", thread=True)

    def notify_of_error(self, error: Exception, title: str) -> None:
        self.app.notify(str(error), title=title, severity="error")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state == WorkerState.ERROR and event.worker.group in get_args(Group):
            self.playback.failed(event.worker.error)
            self.app.notify(str(event.worker.error), title="That moment cannot be shown", severity="error")

    def notify_of(self, message: str, *, title: str = "", is_warning: bool = False) -> None:
        self.app.notify(message, title=title, severity="warning" if is_warning else "information")

    def describe_time(self) -> None:
        self.set_class(self.playback.paused, "-paused")
        shows_time = self.playback.paused or self.playback.player is not None
        self.set_class(self.playback.timeline is not None and shows_time, "-timeline")
        # If the bar has only just appeared, it has no size yet.
        self.call_after_refresh(self._describe_timeline)
        self.describe()

    def _describe_timeline(self, anew: bool = False) -> None:
        """Update the timeline; its rates only now and then, since they change slowly and cost much time."""
        playback, bar = self.playback, self.query_one(TimelineBar)
        if playback.timeline is None or not bar.display:
            return
        rates = bar.moments.rates
        if anew or len(rates) != bar.buckets:
            playback.ask_rates(bar.buckets)
        bar.moments = Moments(
            span=playback.timeline.span,
            rates=rates,
            moment=playback.shown_time if playback.moment is None else playback.moment,
            present=playback.position,
            note=playback.kept,
            back=playback.back_text,
            marks=self.watching.marks,
        )

    def describe_marks(self) -> None:
        self._describe_timeline()

    def ring_bell(self) -> None:
        self.app.bell()

    @property
    def is_ending(self) -> bool:
        return self._is_gone

    def search_in_thread(self, search: Callable[[], None]) -> None:
        self.run_worker(search, group="marks", thread=True, exit_on_error=False)

    def show_rates(self, rates: Rates) -> None:
        bar = self.query_one(TimelineBar)
        if len(rates) == bar.buckets:
            bar.moments = replace(bar.moments, rates=rates)

    @on(TimelineBar.Scrubbed)
    def _scrubbed(self, event: TimelineBar.Scrubbed) -> None:
        event.stop()
        self.playback.seek(event.moment)

    def action_pause(self) -> None:
        self.playback.toggle_pause()

    def action_seek(self, seconds: float) -> None:
        self.playback.step(seconds)

    def action_present(self) -> None:
        self.playback.return_to_present()

    # Other news of the panes.

    @on(FilteredPane.ViewFilterChanged)
    @on(RowView.Arranged)
    def _rearranged(self) -> None:
        for pane in self.panes:
            pane.describe()
        self.describe()

    @on(ReadyScreen.Watches)
    def _watch(self) -> None:
        watched: frozenset[WatchedList] = frozenset()
        for screen in self.app.screen_stack:
            if isinstance(screen, ReadyScreen):
                watched |= screen.watches
        self.source.watch(watched)

    @on(Pane.DetailsRequested)
    def _inspect(self, event: Pane.DetailsRequested) -> None:
        from ebpftop.ui.screens.details import open_sheet

        open_sheet(self.app, event.details, self.filters.push)

    @on(StatusBar.Clicked)
    def _status_clicked(self, event: StatusBar.Clicked) -> None:
        action = _STATUS_ACTIONS.get(event.part)
        if action is not None:
            self.call_later(self.run_action, action)

    @on(TitledPane.TitleClicked)
    def _title_clicked(self, event: TitledPane.TitleClicked) -> None:
        """The mark toggles the probe; the right end, and what was lost, open the details; twice makes it alone."""
        pane = event.pane
        assert isinstance(pane, Pane)
        self.set_focus(pane.lines)
        if event.part == "mark" and event.times == 1:
            self.action_probe(pane.probe)
        elif event.part == "probe" and event.times == 1:
            self.open_probe(pane.probe)
        elif event.times == 2 and event.part == "other":
            self.action_maximise()

    @on(Pane.ProbeRequested)
    def _probe_requested(self, event: Pane.ProbeRequested) -> None:
        self.open_probe(event.pane.probe)

    def open_probe(self, probe: ProbeName) -> None:
        """Show what a probe is attached to, what it tried before, what it cannot see, and what was lost of it."""
        from ebpftop.ui.screens.details import open_sheet
        from ebpftop.ui.screens.diagnostics import probe_details

        pane = next(pane for pane in self.panes if pane.probe == probe)
        open_sheet(self.app, probe_details(probe, pane.label, lambda: self.playback.overview))

    @on(SyscallsPane.Open)
    def _open_view(self, event: SyscallsPane.Open) -> None:
        from ebpftop.ui.screens.syscall_details import SyscallScreen
        from ebpftop.ui.screens.syscall_lists import VIEWS

        model = self.query_one(SyscallsPane).model
        if event.call is not None:
            self.app.push_screen(ready(self.app, SyscallScreen).fill_with(model, event.call))
        else:
            self.app.push_screen(ready(self.app, VIEWS[event.view]).fill(model))

    # Keys.

    @property
    def list_in_focus(self) -> RowView[Any]:
        return self.pane.lines

    def action_probe(self, probe: str) -> None:
        if not self.source.live:
            self.app.notify("A recording has no probes to toggle", severity="warning")
            return
        pane = next((pane for pane in self.panes if pane.probe == probe), None)
        if pane is None:
            self.app.notify(f"The pane of {probe} is disabled", severity="warning")
            return
        if self.asks_first() and not self._is_second_press(probe):
            verb = "detach" if pane.state == "on" else "attach"
            self.app.notify(f"Press it once more to {verb} the probe of {pane.label}")
            return
        if pane.past:
            self.app.notify(f"The probe of {pane.label} is toggled now; the screen shows the past")
        pane.start_toggle()
        self.describe()

    @on(Pane.Toggled)
    def _offer_undo(self, event: Pane.Toggled) -> None:
        """Say what was toggled; a click on Undo, or the same key, toggles it back."""
        pane = event.pane
        did = "attached" if event.on else "detached, nothing of it is left in the kernel"
        key = f" (or {pane.number})" if pane.number <= _KEYS_MAX else ""
        assert isinstance(self.app, SurvivingApp)
        self.app.offer(f"{pane.label}: probe {did}. ", "Undo", f"app.toggle_probe({pane.number})", key, UNDO_S)

    def _is_second_press(self, probe: ProbeName) -> bool:
        """Was the key of this probe pressed a moment ago? Then it is not asked again."""
        before, self._pressed = self._pressed, (probe, monotonic())
        if before[0] != probe or self._pressed[1] - before[1] > CONFIRM_S:
            return False
        self._pressed = ("", 0.0)
        return True

    @property
    def focusable_besides(self) -> tuple[Widget, ...]:
        return tuple(widget for widget in (self.graphs.widget, self.heat.widget) if widget.display)

    def _calls_model(self) -> SyscallsModel | None:
        return next((pane.model for pane in self.panes if isinstance(pane, SyscallsPane)), None)

    def action_heat(self) -> None:
        if self.heat.toggle():
            self.set_focus(self.heat.widget)
        elif self.playback.timeline is None:
            self.app.notify("There is no history to draw", severity="warning")
        elif self.focused is None or not self.focused.display:
            self.set_focus(self.execs.lines)

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

    def action_graphs(self) -> None:
        if self.focused is self.graphs.widget:
            self.set_focus(self.execs.lines)
        self.graphs.toggle(self.app.size.height)

    @on(Graphs.Sized)
    def _graphs_sized(self) -> None:
        self.graphs.update()

    @on(Graphs.Opened)
    def _open_graph(self, event: Graphs.Opened) -> None:
        event.stop()
        self.graphs.open(event.what)

    def action_tree(self) -> None:
        """Show the process of the row under the cursor in the tree; in the tree: go back to the log."""
        pane = self.pane
        if pane is self.execs and self.execs.as_tree:
            self.execs.toggle_tree()
            return
        row = pane.lines.selected()
        subject = None if row is None else pane.subject(row)
        self.show_tree(subject.pid if subject else None)

    def show_tree(self, pid: int | None) -> None:
        """Show the tree of processes, with the cursor on *pid*."""
        if self.execs not in self.choice_of_panes:
            self.show_pane(self.execs, shown=True)
        self.go_to_pane(self.execs)
        if not self.execs.as_tree:
            self.execs.toggle_tree()
        self.set_focus(self.execs.lines)
        if pid is not None:
            self.execs.select_process(pid)

    def action_columns(self) -> None:
        from ebpftop.ui.screens.column_picker import ColumnsScreen

        pane = self.pane
        self.app.push_screen(ready(self.app, ColumnsScreen).fill(pane.lines, pane.label))

    def type_filter(self, text: str) -> None:
        """Open the filter with *text* in it, which takes effect as if it had been typed."""
        self.action_filter()
        self.query_one(FilterBar).type(text)

    def action_user(self) -> None:
        self.filters.toggle("uids", self.pane.user_level(), "a user")

    def action_container(self) -> None:
        self.filters.toggle("containers", self.pane.container_level(), "a program of a container")

    @on(Pane.FilterRequested)
    def _filter_requested(self, event: Pane.FilterRequested) -> None:
        event.stop()
        self.filters.push(event.step)

    def action_copy(self) -> None:
        pane = self.pane
        row = pane.lines.selected()
        if row is None:
            self.app.notify("Choose a row first: j and k move")
            return
        details = pane.details(row)
        self.app.copy_to_clipboard(details.copies)
        # The terminal does not answer, so it is unknown whether it accepted the text.
        self.app.notify(f"{details.copies_what} sent to the terminal's clipboard")

    def action_copy_as(self) -> None:
        """Offer the row under the cursor, and the filter, as command lines."""
        from ebpftop.models.copy_as import CommandLine, command_lines
        from ebpftop.ui.screens.copy_as import CopyScreen

        pane = self.pane
        row = pane.lines.selected()
        subject = None if row is None else pane.subject(row)
        named = () if registry().rows[pane.probe].on else (pane.probe,)
        lines = command_lines(subject, self.filters.stack.filter, named)
        if not lines:
            self.app.notify("Choose a row first (j and k move), or set a filter")
            return

        def copy(line: CommandLine | None) -> None:
            if line is not None:
                self.app.copy_to_clipboard(line.text)
                self.app.notify(f"{line.tool} line sent to the terminal's clipboard")

        title = pane.label if row is None else pane.details(row).title
        self.app.push_screen(ready(self.app, CopyScreen).fill(lines, title), copy)

    def action_watch(self) -> None:
        """Offer what can be watched for on this row, and list what is watched for."""
        from ebpftop.models.watch import compile_watch
        from ebpftop.models.watch_choices import watch_choices
        from ebpftop.ui.screens.watch_list import Offer, WatchScreen

        pane = self.pane
        row = pane.lines.selected()
        subject = None if row is None else pane.subject(row)
        choices = watch_choices(subject) if subject is not None else ()
        offers = [Offer(choice.words, compile_watch(choice.expression)) for choice in choices]
        if (typed := pane.watch_of_filter()) is not None:
            offers.insert(0, Offer(typed.label, typed))

        def show(moment: float | None) -> None:
            if moment is not None:
                self.playback.seek(moment)

        self.app.push_screen(ready(self.app, WatchScreen).fill(self.watching, offers), show)

    async def action_save(self, kind: Kind) -> None:
        """Ask where to save the history, or the rows of this pane."""
        from ebpftop.ui.screens.report_actions import Screen, report_choice
        from ebpftop.ui.screens.save_actions import history_choice, rows_of, write_file
        from ebpftop.ui.screens.save_dialog import SaveScreen, place_to_save

        place = await place_to_save()
        host, moment = self.source.header.host, self.playback.shown_time
        choices = rows_of(self.pane, host, moment)
        watches = [watch.label for watch in self.watching.watches.watches]
        filtered = "  ".join(part for part in (self.filters.stack.breadcrumb, self.execs.filter_text) if part)
        shown = Screen(
            self.source.header,
            self.playback.overview,
            moment,
            filtered,
            watches,
            self.panes,
            self.playback.timeline,
            series_of(self.source),
        )
        choices.append(report_choice(shown, write_file))
        if self.playback.timeline is not None:
            choices.insert(
                0,
                history_choice(
                    self.playback.timeline, self.playback.view_filter, self.execs.typed_query, filtered, host, moment
                ),
            )
        screen = ready(self.app, SaveScreen).fill(choices, kind, place)
        self.app.push_screen(screen, lambda said: self.app.notify(said) if said else None)

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

    def _clear_filter(self) -> bool:
        """Clear the filter of the list with the focus, else that of another pane; False if there is none."""
        filters = [pane.lines.row_filter for pane in (self.pane, *self.panes)]
        return any(row_filter is not None and row_filter.clear() for row_filter in filters)

    def action_back(self) -> None:
        execs = self.execs
        if self.playback.box is not None:
            self.heat.lift()
        elif execs.as_tree and self.pane is execs:
            execs.toggle_tree()
        elif self.has_class("-maximised"):
            self._maximise(None)
        elif not self._clear_filter() and not self.filters.pop() and not execs.log_lines.follow:
            execs.log_lines.action_follow()  # also to the order of time
        self.describe()
