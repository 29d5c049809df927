"""Lists of system calls: those of a process, those in flight, and the traced ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core.format import at_least, count, counted, nanoseconds
from ebpftop.core.syscall_records import Abi, InFlight
from ebpftop.models.baseline import ProcessKey
from ebpftop.models.callers import Caller, CallOf, calls_of, comm_of, process_of
from ebpftop.models.subject import Subject, subject_of_call_in_flight, subject_of_event
from ebpftop.models.syscall_fields import CALLS_OF, IN_FLIGHT
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.wait_text import target_text
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.chain_lines import chain, kernel_stack
from ebpftop.ui.panes.common import wait_look
from ebpftop.ui.panes.figure_columns import bar_column, count_column, errors_column, share_column, time_column
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.tail_call_table import TableScreen
from ebpftop.ui.screens.traced_lines import TracedLines
from ebpftop.ui.screens.traced_sheet import traced_details, traced_subject
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.row_steps import beside
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

    from ebpftop.ui.panes.syscalls import SyscallsPane

_MARGIN = 8
"""Cells beside a line that it leaves free."""

NONE_TRACED = "T on a system call, or on a process, asks which calls to trace"


class ProcessScreen(LiveScreen):
    """The calls of one process, as strace -c would list them."""

    label = "System calls of a process"
    about = "What one process asks of the kernel, as strace -c lists it. Enter on a process that makes a call opens it."
    watches = frozenset(("callers", "waits"))

    def __init__(self) -> None:
        super().__init__()
        self.process: ProcessKey
        self._count = self._errors = 0
        self._peak = 0
        self._total_ns: int | None = None

    def fill_with(self, model: SyscallsModel, process: ProcessKey) -> Self:
        """Show the calls of *process* when this screen is pushed the next time."""
        self.process = process
        return self.fill(model)

    def show_row(self, row: Caller) -> None:
        if row.pid is None:
            self.app.notify("Only the busiest processes are listed individually")
        else:
            self.process = row.pid, row.start

    @property
    def subject(self) -> Subject | None:
        pid, start_ns = self.process
        return Subject("process", comm_of(self.model.latest, self.process), pid, start_ns=start_ns)

    @property
    def traceable(self) -> Subject | None:
        """The process; of the row under the cursor, that call of it."""
        call, subject = self.table.selected(), self.subject
        if call is None or call.key is None or subject is None:
            return subject
        return replace(subject, kind="call", call=call.name, abi=call.key[0], nr=call.key[1])

    def begin(self) -> None:
        self.table.begin()

    def contents(self) -> ComposeResult:
        self.table: TableView[CallOf] = TableView(
            (
                Column(
                    "name",
                    "SYSCALL",
                    18,
                    self._call_name,
                    always=True,
                    sort=lambda c: c.name,
                    about="The call; others: those beyond the busiest, together.",
                ),
                bar_column(
                    lambda c: c.count,
                    lambda: self._peak,
                    width=8,
                    rank=2,
                    about="CALLS as a bar: the one made most often fills it.",
                ),
                count_column("count", "CALLS", 7, lambda c: c.count, about="How often the process made it."),
                time_column(
                    "time",
                    "TIME",
                    6,
                    lambda c: c.total_ns,
                    rank=0,
                    about="Time that its threads spent in it, waiting included. –: unknown.",
                    exported="time_ns",
                ),
                time_column(
                    "max",
                    "MAX",
                    5,
                    lambda c: c.max_ns,
                    rank=1,
                    about="The longest of these calls. –: unknown, or one before those that are counted was longer.",
                    exported="max_ns",
                ),
                share_column(
                    "share",
                    "SHARE",
                    6,
                    self._portion,
                    rank=1,
                    about="Its share of all calls of the process, in percent.",
                ),
                errors_column(lambda c: c.errors, rank=1, about="How many of them returned an error."),
            ),
            key_of=lambda c: c.key,
            sort="count",
            language=CALLS_OF,
        )
        yield self.table

    def _portion(self, call: CallOf) -> float:
        return call.count / self._count if self._count else 0.0

    def _call_name(self, call: CallOf, _: float) -> Cell:
        if call.key is None:
            return (Span(call.name, "dim" if call.name == "others" else "strong"),)
        return (Span(call.name), *([Span(f" {call.key[0]}", "dim")] if call.key[0] != "x86_64" else []))

    def title_text(self) -> str:
        name = comm_of(self.model.latest, self.process) or "process"
        since = f" {self.model.baseline.text}" if self.model.baseline else ""
        failed = f", {count(self._errors)} failed" if self._errors else ""
        spent = f", {nanoseconds(self._total_ns)} in them" if self._total_ns else ""
        return f"{name} [{self.process[0]}]: its system calls · {counted(self._count, 'call')}{failed}{spent}{since}"

    def show(self) -> None:
        rows = calls_of(self.model.latest, self.process, self.model.baseline)
        self._count = sum(row.count for row in rows)
        self._peak = max((row.count for row in rows), default=0)
        self._errors = sum(row.errors for row in rows)
        times = [row.total_ns for row in rows if row.total_ns is not None]
        self._total_ns = sum(times) if len(times) == len(rows) else None
        self.table.message = [] if rows else self._nothing()
        self.table.show_rows(rows)

    def _nothing(self) -> list[Span]:
        """Say why no call of it is listed: a call is counted when it returns."""
        waiting = next((call for call in self.model.in_flight if call.pid == self.process[0]), None)
        if waiting is not None:
            return [Span("none has returned: ", "dim"), *chain(waiting)]
        return [Span("none, or not busy enough: only the busiest processes are listed individually", "dim")]


class WaitingScreen(LiveScreen):
    """The calls in flight. Calls that are meant to wait come last.

    Calls from before the probe was attached are marked, and have lasted longer than is shown.
    """

    label = "Calls in flight"
    about = (
        "Threads that entered a system call at least 0.1 s ago and have not left it, the longest first; calls that are "
        "meant to wait come last. WAITS FOR is what the call waits on, where that is known for sure: the file or the "
        "other end of its descriptor, the child, the lock; behind ← who ends the wait. Below stands the same of the "
        "row under the cursor, and the kernel's functions that its thread is in, the one that sleeps last. "
        "Enter shows the calls of that process."
    )
    watches = frozenset(("waits",))

    @property
    def subject(self) -> Subject | None:
        row, latest = self.table.selected(), self.model.latest
        return subject_of_call_in_flight(row, latest.time if latest else None) if row is not None else None

    def begin(self) -> None:
        self.table.begin()

    def contents(self) -> ComposeResult:
        self.table: TableView[InFlight] = TableView(
            (
                Column(
                    "for",
                    "FOR",
                    6,
                    self._how_long,
                    right=True,
                    sort=lambda w: w.ns,
                    about="How long it has been in the call. >: at least; it was in it when the probe was attached.",
                ),
                Column(
                    "state",
                    "STATE",
                    7,
                    self._state,
                    rank=2,
                    sort=lambda w: w.running + 2 * w.before,
                    about="waiting: asleep. running: on a CPU. before: entered before the probe was attached.",
                ),
                Column(
                    "name",
                    "SYSCALL",
                    18,
                    lambda w, _: (Span(w.name, "strong"),),
                    sort=lambda w: w.name,
                    about="The call that has not returned.",
                ),
                Column(
                    "comm",
                    "PROCESS",
                    15,
                    lambda w, _: (Span(w.comm, "accent"),),
                    flexible=True,
                    widest=24,
                    sort=lambda w: w.comm,
                    about="Name of the thread that made it.",
                ),
                Column(
                    "pid",
                    "PID",
                    8,
                    lambda w, _: (Span(str(w.pid)),),
                    right=True,
                    rank=1,
                    sort=lambda w: w.pid,
                    about="Id of its process.",
                ),
                Column(
                    "tid",
                    "TID",
                    8,
                    lambda w, _: (Span(str(w.tid), "dim"),),
                    right=True,
                    rank=3,
                    about="Id of the thread.",
                ),
                Column(
                    "on",
                    "WAITS FOR",
                    12,
                    lambda w, _: (Span(target_text(w), "accent"),),
                    flexible=True,
                    widest=60,
                    sort=target_text,
                    value=lambda w, _: target_text(w),
                    about="What it waits for, as far as that is known for sure: fd 7 → tcp 10.0.0.7:5432, child sleep "
                    "18710. ← who ends the wait. +3 more: it waits for that many others too.",
                    exported="waits_for",
                ),
            ),
            key_of=lambda w: w.tid,
            sort="",
            language=IN_FLIGHT,
        )
        self.table.message = []
        self.target, self.stack = PaneFooter(), PaneFooter()
        yield self.table
        yield self.target
        yield self.stack

    @on(RowView.Arranged)
    def _arranged(self) -> None:
        self._show_selected()

    def on_resize(self) -> None:
        self._show_selected()

    def _show_selected(self) -> None:
        call = self.table.selected() or next(iter(self.table.rows()), None)
        self.target.set_text([] if call is None else chain(call))
        self.stack.set_text([] if call is None else kernel_stack(call, self.app.size.width - _MARGIN))

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        process = process_of(self.model.latest, event.row.pid)
        self.app.push_screen(ready(self.app, ProcessScreen).fill_with(self.model, process))

    def _how_long(self, wait: InFlight, _: float) -> Cell:
        return (Span(at_least(wait.ns, lower_bound=wait.before), wait_look(wait.ns)),)

    def _state(self, call: InFlight, _: float) -> Cell:
        if call.before:
            return (Span("before", "note"),)
        return (Span("running", "warn") if call.running else Span("waiting", "dim"),)

    def title_text(self) -> str:
        return "Calls in flight for 0.1 s and more"

    def show(self) -> None:
        rows = self.model.in_flight
        self.table.message = [] if rows else [Span("none", "dim")]
        self.table.show_rows(rows)
        self._show_selected()


class TracedScreen(LiveScreen):
    """Every traced call, live."""

    label = "Traced calls"
    about = (
        "Each call of the system calls that T, or --trace, asked for, with its arguments and its result, as it "
        "returns. The title says what is asked: calls, and behind a colon on which condition. Enter shows a call with "
        "its arguments one a line, T asks for more of the kind, or for less, x stops all."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "app.trace", "Trace", tooltip="Trace more of the kind, or less", id="T"),
        Binding("x", "app.stop_tracing", "Stop all", tooltip="Trace no call any more", id="traced.stop"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self.abis: Sequence[Abi] = ()
        """Those of the machine: what is asked is spelled by them."""
        self.losses: Callable[[], str] = str
        """What was lost of the traced calls, by kind."""

    def fill_with(self, pane: SyscallsPane, text: str = "") -> Self:
        """Show the traced calls of *pane* that match the filter *text* when this screen is pushed the next time."""
        self._filter, self.abis, self.losses = text, pane.abis, lambda: pane.losses
        return self.fill(pane.model)

    @property
    def subject(self) -> Subject | None:
        call = self.log_lines.selected()
        return subject_of_event("syscall", call) if call is not None else None

    @property
    def traceable(self) -> Subject | None:
        call = self.log_lines.selected()
        return replace(traced_subject(call), kind="call") if call is not None else None

    def begin(self) -> None:
        self.log_lines.show_calls(self.model)
        if self._filter:
            self.log_lines.traced_filter.type(self._filter)
            self._filter = ""

    def let_go(self) -> None:
        super().let_go()
        self.begin()

    def update_if_changed(self) -> None:
        if self.log_lines.search():
            self._shown = None
        super().update_if_changed()

    def contents(self) -> ComposeResult:
        self.log_lines = TracedLines()
        yield self.log_lines

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        self.app.screen_stack[0].post_message(
            Pane.DetailsRequested(traced_details(event.row), beside(self.log_lines, traced_details))
        )

    def title_text(self) -> str:
        view = self.log_lines.view
        shown = f"{len(view):,} of " if view.filtered else ""
        asked = self.model.asked.text(self.abis).replace(",", ", ") or "none is asked for"
        lost = f", lost {losses}" if (losses := self.losses()) else ""
        return f"Traced calls ({shown}{self.model.traced.end:,} so far{lost}): {asked}"

    def show(self) -> None:
        nothing = "no such call was made yet" if self.model.asked.traced else NONE_TRACED
        self.log_lines.advance("no call so far passes the filter" if self.model.traced.end else nothing)


VIEWS: Mapping[str, type[LiveScreen]] = {"in_flight": WaitingScreen, "table": TableScreen, "traced": TracedScreen}
"""The screens of `SyscallsPane.Open` that show all calls."""
