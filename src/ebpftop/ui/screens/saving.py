"""What can be saved of the main screen and of those above it: the history, rows of a list, a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from textual.app import App

from ebpftop.core.source import Source
from ebpftop.core.syscall_records import InFlight
from ebpftop.models.programs import ProgramsModel
from ebpftop.models.subset import Kind
from ebpftop.models.waits import WaitsModel
from ebpftop.sources.capabilities import series_of
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.screens.changing import ChangesController
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.screens.profiling import ProfileController
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.row_actions import RowController
from ebpftop.ui.screens.watching import WatchController
from ebpftop.ui.widgets.columns import Shown


class SaveHost(Protocol):
    """Has what is saved. The main screen is one."""

    source: Source
    panes: tuple[Pane, ...]
    execs: ExecsPane
    programs: ProbeFeed
    waits: ProbeFeed
    playback: PlaybackController
    watching: WatchController
    changes: ChangesController
    profiles: ProfileController
    rows: RowController

    @property
    def app(self) -> App[Any]:
        """The app, which shows the dialog."""

    @property
    def filter_text(self) -> str:
        """All filters, as the status bar shows them."""

    @property
    def in_flight(self) -> tuple[InFlight, ...]:
        """The calls in flight at the moment that is shown."""


class SaveController:
    """Asks what to save, and where."""

    def __init__(self, main: SaveHost) -> None:
        self._main = main

    async def ask(self, kind: Kind, label: str, name: str, rows: Shown[Any]) -> None:
        """Ask where to save the history, or *rows* of a list: *label* in words, *name* in the name of a file."""
        from ebpftop.ui.screens.report_actions import OnScreen
        from ebpftop.ui.screens.save_actions import Listed, save_choices
        from ebpftop.ui.screens.save_dialog import SaveScreen, place_to_save

        main = self._main
        place = await place_to_save()
        shown = OnScreen(
            header=main.source.header,
            overview=main.playback.overview,
            shown=main.playback.shown_time,
            filter=main.filter_text,
            watches=[watch.label for watch in main.watching.watches.watches],
            panes=main.panes,
            more={**self.rows_of_feeds(), **main.changes.listed},
            timeline=main.playback.timeline,
            series=series_of(main.source),
        )
        profiles = main.profiles.savings(*main.rows.seen(), main.playback.shown_time)
        choices = save_choices(
            shown, Listed(label, name, rows), main.playback.view_filter, main.execs.typed_query, profiles
        )
        screen = ready(main.app, SaveScreen).fill(choices, kind, place)
        main.app.push_screen(screen, lambda said: main.app.notify(said) if said else None)

    def rows_of_feeds(self) -> Mapping[str, Shown[Any]]:
        """Return the eBPF programs and why processes wait for a report, if they are known."""
        from ebpftop.ui.panes.bpf_columns import busiest
        from ebpftop.ui.panes.wait_columns import most_blocked

        main = self._main
        programs, waits = main.programs.model, main.waits.model
        assert isinstance(programs, ProgramsModel)
        assert isinstance(waits, WaitsModel)
        found: dict[str, Shown[Any]] = {}
        if programs.latest is not None:
            found[main.programs.label] = busiest(programs)
        if waits.latest is not None:
            waits.connect(main.in_flight)
            found[main.waits.label] = most_blocked(waits)
        return found
