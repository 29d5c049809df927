"""What the keys of the main screen do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from ebpftop.core.source import Source
from ebpftop.filters.parse import terms_of
from ebpftop.models.subject import Subject
from ebpftop.models.subset import Kind
from ebpftop.probes.registry import registry
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.filtered import LogFilter
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.filtering import FilterController
from ebpftop.ui.screens.finding import FindController
from ebpftop.ui.screens.going import GoController
from ebpftop.ui.screens.list_filters import FILTER_KEYS, ListFilters
from ebpftop.ui.screens.opening import OpenController
from ebpftop.ui.screens.over_time import CHANGE_KEYS, PACE_KEYS, PLOT_KEYS, TIME_KEYS, TimeScreen
from ebpftop.ui.screens.row_actions import ROW_KEYS, RowController
from ebpftop.ui.screens.saving import SaveController
from ebpftop.ui.screens.toggling import ProbeController, probe_keys
from ebpftop.ui.screens.tracing import TraceController
from ebpftop.ui.screens.viewing import VIEW_KEYS, ViewController
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.row_view import RowView


class MainKeys(ListFilters[None], TimeScreen):
    """The keys of the main screen; what they ask for is done by its controllers, which it makes itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *TIME_KEYS,
        *probe_keys(),
        *FILTER_KEYS,
        Binding("t", "tree", "Tree", tooltip="The processes as a tree, and back", id="execs.tree"),
        Binding("o", "go_to", "Go to", show=False, tooltip="To this row's process, its parent, and so on", id="go_to"),
        Binding("T", "trace", "Trace", show=False, tooltip="Trace calls of this row: asks which, and when", id="T"),
        Binding("c", "columns", "Columns", show=False, tooltip="Choose and widen columns", id="pane.columns"),
        Binding("W", "waits", "Waits", tooltip="Why it waits: all processes", id="waits"),
        Binding(
            "P", "programs", "Programs", tooltip="All eBPF programs of the machine, and what they cost", id="programs"
        ),
        Binding("B", "workbench", "Workbench", show=False, tooltip="A BPF program of your own", id="workbench"),
        Binding(
            *("K", "kernel_side", "Kernel side"),
            show=False,
            tooltip="The programs of this pane: where they are attached, runs, maps with contents, code, source",
            id="pane.kernel",
        ),
        *CHANGE_KEYS,
        *VIEW_KEYS,
        *ROW_KEYS,
        Binding(
            "ctrl+s", "save('recording')", "Save", show=False, tooltip="Save the history as a recording", id="save"
        ),
        Binding("E", "save('csv')", "Export", show=False, tooltip="This pane's rows as CSV or JSON", id="export"),
        *PACE_KEYS,
        *PLOT_KEYS,
        Binding(
            "escape", "back", "Back", show=False, key_display="Esc", tooltip="Back one layer; never quits", id="back"
        ),
    ]

    source: Source
    execs: ExecsPane
    probes: ProbeController
    filters: FilterController
    rows: RowController
    tracing: TraceController
    finding: FindController
    saving: SaveController
    opening: OpenController
    going: GoController
    views: ViewController
    go_back: Callable[[], None] | None = None
    """Closes this screen, if there is one to go back to: the list of the hosts of a fleet."""

    @property
    def list_in_focus(self) -> RowView[Any]:
        return self.pane.lines

    def action_probe(self, probe: str) -> None:
        if probe not in registry().names:
            self._go_to_output(probe)
        elif self.probes.toggle(probe):
            self.describe()

    def _go_to_output(self, probe: str) -> None:
        """Go to a pane that has no probe which could be toggled."""
        pane = next((pane for pane in self.panes if pane.probe == probe), None)
        if pane is None or not self._takes_room(pane):
            self.app.notify("There is no output to show: `ebpftop run -- CMD` starts a command")
            return
        if pane not in self.choice_of_panes:
            self.show_pane(pane, shown=True)
        self.go_to_pane(pane)

    @on(Pane.Toggled)
    def _toggled(self, event: Pane.Toggled) -> None:
        self.probes.offer_undo(event.pane, on=event.on)

    @property
    def focusable_besides(self) -> tuple[Widget, ...]:
        return tuple(widget for widget in (self.graphs.widget, self.heat.widget) if widget.display)

    def action_tree(self) -> None:
        """Show the process of the row under the cursor in the tree; in the tree: go back to the log."""
        pane = self.pane
        if pane is self.execs and self.execs.as_tree:
            self.execs.toggle_tree()
            return
        self.finding.process(self.subject)

    @property
    def subject(self) -> Subject | None:
        """What the row under the cursor is about."""
        row = self.pane.lines.selected()
        return None if row is None else self.pane.subject(row)

    def action_go_to(self) -> None:
        self.going.ask(self.subject)

    def keys_also_shown(self) -> dict[str, str]:
        traces = {"trace": "Trace"} if isinstance(self.pane, SyscallsPane) else {}
        back = {"back": "Fleet"} if self.go_back is not None else {}
        return super().keys_also_shown() | traces | back

    def action_trace(self) -> None:
        self.tracing.ask(self.subject)

    def action_view(self, steps: int) -> None:
        """Put together in pane 2 what happens in another way."""
        self.views.step(steps)

    def action_programs(self) -> None:
        self.opening.programs()

    def action_kernel_side(self) -> None:
        """Show the programs of the pane in focus, its maps, its code."""
        if self.pane.probe in registry().names:
            self.probes.open(self.pane.probe)
        else:
            self.app.notify(f"{self.pane.label} has no program in the kernel")

    def action_workbench(self) -> None:
        self.opening.workbench()

    def action_changed(self) -> None:
        self.opening.changed()

    def action_waits(self) -> None:
        self.opening.waits(None)

    def action_columns(self) -> None:
        from ebpftop.ui.screens.column_picker import pick_columns

        pick_columns(self.app, self.pane.lines, self.pane.label)

    @property
    def typed_filter(self) -> str:
        """The whole filter of the list in focus, as it can be typed there: also what all panes match."""
        row_filter = self.list_in_focus.row_filter
        if row_filter is None:
            return ""
        terms = terms_of(self.filters.stack.filter) if isinstance(row_filter, LogFilter) else ""
        return f"{terms} {row_filter.text}".strip()

    def type_filter(self, text: str) -> None:
        """Open the filter with *text* in it, which takes effect as if it had been typed."""
        self.action_filter()
        self.query_one(FilterBar).type(text)

    def action_user(self) -> None:
        self.rows.filter_user()

    def action_container(self) -> None:
        self.rows.filter_container()

    @on(Pane.FilterRequested)
    def _filter_requested(self, event: Pane.FilterRequested) -> None:
        event.stop()
        self.filters.push(event.step)

    def action_copy(self) -> None:
        self.rows.copy()

    def action_copy_as(self) -> None:
        self.rows.copy_as()

    def action_watch(self) -> None:
        self.rows.watch()

    async def action_save(self, kind: Kind) -> None:
        """Ask where to save the history, or the rows of this pane."""
        await self.saving.ask(kind, self.pane.label, self.pane.list_name, self.pane.rows_shown())

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
        elif self._clear_filter() or self.filters.pop():
            pass
        elif not execs.log_lines.follow:
            execs.log_lines.action_follow()  # also to the order of time
        elif self.go_back is not None:
            self.go_back()
            return
        self.describe()
