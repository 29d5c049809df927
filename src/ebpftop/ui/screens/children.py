"""The processes that one process started, and those that they started, as a tree."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult

from ebpftop.core.clock import whole_text
from ebpftop.core.format import counted
from ebpftop.models.processes import Processes, ProcessInfo
from ebpftop.models.program_fields import PROCESSES
from ebpftop.models.subject import Subject, subject_of_process
from ebpftop.models.tree import Branch, descendants
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.tree_columns import TREE_COLUMNS
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.widgets.row_steps import beside
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

_NOTHING = Processes()


class ChildrenScreen(LiveScreen):
    """One process, and all that descend from it and are known: running, or ended."""

    label = "Children of a process"
    about = (
        "One process, and below it those that it started, and that these started: the running ones, and those that "
        "have ended and are still remembered. Enter opens a process."
    )

    def __init__(self) -> None:
        super().__init__()
        self._processes = _NOTHING
        self._process: ProcessInfo
        self._now: Callable[[], float]
        self._details: Callable[[ProcessInfo], Details]

    def fill_with(
        self,
        processes: Processes,
        process: ProcessInfo,
        now: Callable[[], float],
        details: Callable[[ProcessInfo], Details],
    ) -> Self:
        """Show *process* and its descendants when this screen is pushed the next time.

        *now* returns the time of the newest batch, *details* the details of a process.
        """
        self._processes, self._process, self._now, self._details = processes, process, now, details
        self.filled()
        return self

    @property
    def subject(self) -> Subject | None:
        branch = self.table.selected()
        return subject_of_process(branch.process if branch is not None else self._process)

    def begin(self) -> None:
        self.table.begin()

    def let_go(self) -> None:
        super().let_go()
        self._processes = _NOTHING
        self.table.begin()

    def contents(self) -> ComposeResult:
        self.table: TableView[Branch] = TableView(
            TREE_COLUMNS, key_of=lambda b: (b.process.pid, b.process.start_ns), sort="", language=PROCESSES
        )
        yield self.table

    def state(self) -> Hashable:
        return self._now()

    def title_text(self) -> str:
        name = f"{self._process.comm} ({self._process.pid})"
        children = [branch.process for branch in self.table.unfiltered[1:]]
        if not children:
            return f"{name} has started no process that is known"
        running = sum(child.ended is None for child in children)
        return f"{name} and what it started · {counted(len(children), 'process', 'processes')}, {running} running"

    def time_text(self) -> str:
        return whole_text(self._now(), date=False)

    def show(self) -> None:
        self.table.now = self._now()
        self.table.show_rows(descendants(self._processes, self._process))

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        details = self._details_of(event.row)
        self.app.screen_stack[0].post_message(Pane.DetailsRequested(details, beside(self.table, self._details_of)))

    def _details_of(self, branch: Branch) -> Details:
        return self._details(branch.process)
