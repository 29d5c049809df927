"""The main screen: status bar, panes, footer; and what happens to every batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import get_args

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Grid
from textual.geometry import Size
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, Source, WatchedList
from ebpftop.core.syscall_records import InFlight, Syscalls
from ebpftop.filters.spec import Filter
from ebpftop.models.groups import GroupsModel
from ebpftop.models.load import LoadModel
from ebpftop.models.processes import Processes
from ebpftop.models.programs import ProgramsModel
from ebpftop.models.waits import WaitsModel
from ebpftop.probes.registry import is_of_a_file
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.filtered import FilteredPane
from ebpftop.ui.panes.load_titles import file_status
from ebpftop.ui.panes.polling import worker_sleep
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.title import TitledPane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.filtering import FilterController
from ebpftop.ui.screens.finding import FindController
from ebpftop.ui.screens.go_requested import GoRequested
from ebpftop.ui.screens.going import GoController
from ebpftop.ui.screens.main_keys import MainKeys
from ebpftop.ui.screens.opening import OpenController
from ebpftop.ui.screens.placing import LEAST
from ebpftop.ui.screens.playback import PULSE_S, Group, PlaybackController
from ebpftop.ui.screens.probe_feed import LoadFeed, ProbeFeed
from ebpftop.ui.screens.profiling import ProfileController
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.screens.row_actions import RowController
from ebpftop.ui.screens.saving import SaveController
from ebpftop.ui.screens.status_line import STATUS_ACTIONS, status_of
from ebpftop.ui.screens.toggling import ProbeController
from ebpftop.ui.screens.tracing import TraceController
from ebpftop.ui.screens.viewing import ViewController
from ebpftop.ui.screens.watching import WatchController, WatchOptions
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.status_bar import StatusBar
from ebpftop.ui.widgets.tabs_line import TabsLine

_UNSHOWN_EVERY_S = 0.1
"""Seconds between polls of probes that have no pane."""


class MainScreen(MainKeys):
    """The whole screen. State records take effect at once; records for a pane wait while paused."""

    BLANK = True  # all of it is covered by widgets, and it would be rendered again whenever a dialog closes

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
        self.probes = ProbeController(lambda: self.app, source, self.panes, lambda: self.playback.overview)
        self.programs = ProbeFeed(source, "programs", "Programs", ProgramsModel)
        self.groups = ProbeFeed(source, "cgroups", "Groups", GroupsModel)
        self.waits = ProbeFeed(source, "states", "Why it waits", WaitsModel)
        self.load: ProbeFeed = LoadFeed(source, "load", "Workbench", LoadModel)
        self.feeds = (self.programs, self.groups, self.waits, self.load)
        self.playback = PlaybackController(source, self.panes, self, self.feeds)
        self.execs = next(pane for pane in self.panes if isinstance(pane, ExecsPane))
        self.front = self.execs
        self.interval_s = interval_s
        self.lists_made: Callable[[], None] = lambda: None
        """Called when the panes have their lists, before they are drawn."""
        self.begins_with_workbench = False
        self.filters = FilterController(source, self.playback.apply_filter, self, initial_filter)
        news = self.playback.player is None
        self.watching = WatchController(watch_options or WatchOptions(), self.playback.timeline, self, rings=news)
        self.playback.look_at = self.watching.take
        self.show_history(source)
        calls = next(pane for pane in self.panes if isinstance(pane, SyscallsPane))
        self.profiles = ProfileController(source, lambda: calls.model, lambda: self.playback.overview, self.filters)
        self.finding = FindController(self, self.type_filter)
        self.rows = RowController(
            lambda: self.app,
            lambda: self.pane,
            self.filters,
            self.watching,
            self.playback,
            self.profiles,
            self.finding.both,
        )
        self.tracing = TraceController(
            lambda: self.app, lambda: self.query_one(SyscallsPane), source, lambda: self.filters.stack
        )
        self.saving = SaveController(self)
        self.opening = OpenController(self)
        self.going = GoController(
            lambda: self.app,
            self.panes,
            self.filters,
            self.rows,
            self.tracing.ask,
            self.finding.process,
            self.opening.waits,
        )
        users = next(pane for pane in self.panes if isinstance(pane, UsersPane))
        self.views = ViewController(
            users,
            self.groups,
            lambda: calls.model,
            lambda: self.choice_of_panes,
            lambda: self.show_pane(users, shown=True),
            self.describe,
        )
        self._pipe_end_reported = self._file_opened = self._was_shown = False

    def compose(self) -> ComposeResult:
        with self._context():
            self.open_inbox()
        for pane in self.panes:
            pane.deliver = partial(self._deliver, pane)
        for feed in self.feeds:
            feed.deliver = partial(self._deliver, feed)
        yield StatusBar(id="state")
        yield self.graphs.widget
        yield self.heat.widget
        yield TabsLine(id="tabs")
        yield Grid(*self.panes, id="panes")
        yield self.time_row.widget
        yield FilterBar()
        yield KeyLine(self.keys_also_shown)
        yield Static(f"needs {LEAST.width}x{LEAST.height}", id="too-small", markup=False)

    def on_mount(self) -> None:
        if self.playback.timeline is not None:
            self.set_interval(PULSE_S, self._pulse)
        self.set_focus(self.execs.log_lines)
        for feed in self.feeds:
            feed.begin(self)
        self.lists_made()
        self.place_plots(self.app.size.height)
        self.describe()
        self.watching.begin()
        for disabled in self._disabled:
            self.app.notify(str(disabled), severity="warning")
        if self.begins_with_workbench or self._runs_a_file:
            self.opening.workbench()
        shown = {pane.probe for pane in self.panes} | {feed.probe for feed in self.feeds}
        if unshown := tuple(set(self.source.probes) - shown):
            self._pass_over(unshown)

    @work(thread=True, group="unshown", exit_on_error=False)
    def _pass_over(self, probes: tuple[ProbeName, ...]) -> None:
        """Poll *probes*, which have no pane: a recording waits until they are, and the history keeps what they saw."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            if not any([self.source.poll(probe, 0.0) is not None for probe in probes]):  # noqa: C419  # each of them
                worker_sleep(_UNSHOWN_EVERY_S)

    @property
    def _own_status(self) -> str:
        """What the status line says of the file that is loaded, or was recorded."""
        return file_status(self.load.model) if isinstance(self.load.model, LoadModel) else ""

    @property
    def _runs_a_file(self) -> bool:
        """Whether the source runs a program of one's own."""
        return self.source.live and self.load.is_available and bool(self.source.is_on("load"))

    def _screen_resized(self, size: Size) -> None:
        self.place_plots(size.height)
        super()._screen_resized(size)

    def describe(self) -> None:
        """Update status bar, tabs, and what shows time."""
        self.place_panes(self.app.size)
        self.views.follow()
        self.describe_tabs()
        shown = [pane for pane in self.panes if pane.number and self._takes_room(pane)]
        status = status_of(self.source, self.playback, shown, self.filter_text, self.interval_s, self._own_status)
        self.query_one(StatusBar).status = status
        self.update_plots()

    @property
    def filter_text(self) -> str:
        """The filter of all panes, and of each list that has one: that in focus is last, where none is cut off."""
        pane = self.pane
        others = [
            f"{other.tab_label or other.label} {text}"
            for other in self.panes
            if other is not pane and (text := other.list_filter_text)
        ]
        return "  ".join(part for part in (self.filters.stack.breadcrumb, *others, pane.list_filter_text) if part)

    @on(events.DescendantFocus)
    def _focus_described(self) -> None:
        if self.filter_text:
            self.describe()

    def on_unmount(self) -> None:
        self.end_collecting()

    def end_collecting(self) -> None:
        """Let the threads of all panes end at once."""
        for pane in self.panes:
            pane.stop_collecting()
        for feed in self.feeds:
            feed.end()
        self.source.interrupt()

    def _pulse(self) -> None:
        self.playback.pulse()
        self.watching.pulse()
        if self.playback.paused or self.playback.player is not None:
            self.describe()  # no batch does it
        if self.playback.piped and not self._file_opened and is_of_a_file(self.playback.present.probes):
            self._file_opened = True
            if self.is_current:
                self.opening.workbench()
        if self.playback.piped and not self.source.live and not self._pipe_end_reported:
            # No batch comes with the end, and without a message a lost connection looks like silence.
            self._pipe_end_reported = True
            self.app.notify(
                "The pipe has ended, nothing more comes. [ goes back a minute, q leaves", severity="warning"
            )
            self.describe()

    # What arrives, and time. See `Host`; `HostScreen` has the rest of it.

    def _deliver(self, viewer: Pane | ProbeFeed, batches: Sequence[Batch]) -> None:
        """Have *batches* of *viewer* processed. Its thread calls this."""
        self.post(partial(self.playback.intake.put, viewer, batches))

    @on(events.ScreenResume)
    def _uncovered(self, event: events.ScreenResume) -> None:
        if not self._was_shown:
            event.refresh_styles = False  # each widget has got its styles when it was mounted: a tenth of the start
        self._was_shown = True
        self.playback.frames.show_when_due()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state == WorkerState.ERROR and event.worker.group in get_args(Group):
            self.playback.failed(event.worker.error)
            self.app.notify(str(event.worker.error), title="That moment cannot be shown", severity="error")

    def describe_time(self) -> None:
        self.describe()

    # Other news of the panes.

    @on(FilteredPane.ViewFilterChanged)
    @on(RowView.Arranged)
    def _rearranged(self) -> None:
        for pane in self.panes:
            pane.describe()
        self.describe()

    @on(ReadyScreen.Watches)
    def report_watched(self) -> None:
        watched: frozenset[WatchedList] = frozenset()
        if Syscalls in self.watching.watches.kinds:
            watched |= {"waits"}  # an expression may be about what a call waits for
        for screen in self.app.screen_stack:
            if isinstance(screen, ReadyScreen):
                watched |= screen.watches
        self.source.watch(watched)

    @on(Pane.DetailsRequested)
    def _inspect(self, event: Pane.DetailsRequested) -> None:
        self.going.open(event.details, event.beside)

    @on(GoRequested)
    def _go_requested(self, event: GoRequested) -> None:
        self.going.go(event.place, event.subject)

    @on(StatusBar.Clicked)
    def _status_clicked(self, event: StatusBar.Clicked) -> None:
        action = STATUS_ACTIONS.get(event.part)
        if action is not None:
            self.call_later(self.run_action, action)

    @on(TitledPane.TitleClicked)
    def _title_clicked(self, event: TitledPane.TitleClicked) -> None:
        """The mark toggles the probe; the right end, and what was lost, open the details; twice makes it alone."""
        pane = event.pane
        assert isinstance(pane, Pane)
        self.set_focus(pane.lines)
        if event.tab and isinstance(pane, UsersPane) and event.tab != pane.label and event.times == 1:
            self.views.choose(event.tab)
        elif event.part == "mark" and event.times == 1:
            self.action_probe(pane.probe)
        elif event.part == "probe" and event.times == 1:
            self.probes.open(pane.probe)
        elif event.times == 2 and event.part == "other":
            self.action_maximise()

    @on(Pane.ProbeRequested)
    def _probe_requested(self, event: Pane.ProbeRequested) -> None:
        self.probes.open(event.pane.probe)

    @on(SyscallsPane.Open)
    def _open_view(self, event: SyscallsPane.Open) -> None:
        self.opening.view(event)

    # What others ask of it.

    @property
    def in_flight(self) -> tuple[InFlight, ...]:
        """The calls in flight at the moment that is shown."""
        latest = self.query_one(SyscallsPane).model.latest
        return latest.in_flight if latest is not None else ()

    @property
    def counts_calls(self) -> bool:
        """Whether calls in flight are known at all."""
        return self.query_one(SyscallsPane).model.latest is not None

    @property
    def processes(self) -> Processes:
        """The processes that are known at the moment that is shown."""
        return self.execs.model.processes
