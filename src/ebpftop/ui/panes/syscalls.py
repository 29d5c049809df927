"""Pane 3, syscalls: counters of each system call, and the handler of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from ebpftop.core.format import brief, count, counted, nanoseconds, per_second, share
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.core.syscall_records import Handler
from ebpftop.models.base import Model
from ebpftop.models.baseline import Baseline
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.subject import Subject, subject_of_call
from ebpftop.models.syscall_fields import calls_language
from ebpftop.models.syscall_total import peak_rate, total_of, working_ns
from ebpftop.models.syscalls import Call, SyscallsModel
from ebpftop.ui.panes.common import HANDLER_STYLES
from ebpftop.ui.panes.handling import HandlingPane
from ebpftop.ui.panes.syscall_columns import call_columns
from ebpftop.ui.panes.syscall_notes import families, uring
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.waits_line import WaitsLine
from ebpftop.ui.widgets.columns import Cell, Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.table_view import TableView
from ebpftop.ui.words import Mark

NOTES_FROM = (9, 14)
"""Heights of the pane from which the line of calls in flight fits, and the line of the families."""

View = Literal["call", "in_flight", "table", "traced", "process"]


class SyscallsPane(HandlingPane):
    """Counters of each system call."""

    probe: ClassVar[ProbeName] = "syscalls"
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("execs",)
    label = "Syscalls"
    empty_text = "No system call was made"
    about: ClassVar[str] = (
        "Every system call of every process, counted and timed in the kernel. Enter opens one: its latency as a "
        "histogram and over time, its errors, who makes it.\n"
        "The lines below the table: calls in flight (entered at least 0.1 s ago and not left; those that are not meant "
        "to wait come first), then programs started and timers made, and operations of io_uring, which are not "
        "system calls. Down from the last row leads to the line of calls in flight: Enter opens their list, a click on "
        "a name the calls of its process."
    )
    marks: ClassVar[tuple[Mark, ...]] = (
        Mark("read", "counted and timed", ""),
        Mark("read", "ignored: i was pressed on it, or --ignore names it", "struck"),
        Mark("read", "traced, each call of it: T asks for it, as --trace does; S lists its calls", "warn"),
        Mark("read:failed", "traced on a condition, as --trace has it: only such calls are listed", "warn"),
        Mark("execve", "also counted as a program that starts", "accent"),
        Mark("timer", "also counted as a timer", "note"),
        Mark("10ms 1s", "latencies from 10 ms and from 1 s on", "warn"),
        Mark("▁▂▄█", "calls per second, reading by reading; blank is nothing", "bar"),
        Mark("wait", "no SHARE: its time is mostly waiting for others, not work", "dim"),
        Mark(">3.4s", "at least: it was in the call when the probe was attached", ""),
        Mark("on CPU", "in flight, and running all the time", "warn"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "handle('ignore')", "Ignore", tooltip="Neither count nor time this call; and back", id="i"),
        Binding("v", "period", "Total/last", tooltip="Totals, or the last reading alone", id="syscalls.v"),
        Binding("Z", "reset", "Reset counters", show=False, tooltip="Reset counters to zero, and back", id="Z"),
        Binding("I", "waiting", "In flight", tooltip="Calls that have not returned yet", id="syscalls.I"),
        Binding("s", "table", "Slots", show=False, tooltip="The tail-call table: slot, program, runs", id="syscalls.s"),
        Binding("S", "traced", "Traced", show=False, tooltip="Every traced call, live", id="syscalls.S"),
    ]

    class Open(Message):
        """A request to open a view of the system calls: of one, or of all."""

        def __init__(self, view: View, call: Call | None = None, pid: int | None = None) -> None:
            """*call*: the one that the view ``call`` is about; *pid*: the process of the view ``process``."""
            super().__init__()
            self.view = view
            self.call = call
            self.pid = pid

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: SyscallsModel = SyscallsModel()
        self.last = False
        self._filter_baseline: Baseline | None = None
        self._baseline: Baseline | None = None
        self._figures: Sequence[Count] = ()
        self._failed = 0.0
        self._peak = 0.0
        self._working_ns = self._count = self._kinds = 0

    def compose(self) -> ComposeResult:
        yield from super().compose()
        self.waits_line = self.table.below = WaitsLine(self.table, id="waits")
        self.families_line = PaneFooter(id="families")
        yield self.waits_line
        yield self.families_line

    def on_resize(self, event: events.Resize) -> None:
        self.waits_line.display = event.size.height >= NOTES_FROM[0]
        self.families_line.display = event.size.height >= NOTES_FROM[1]

    def make_lines(self) -> RowView[Call]:
        def handler_of(call: Call) -> Handler:
            return self.model.handler(call)

        language = calls_language(lambda: self.last, handler_of)
        columns = call_columns(
            self._call, lambda: self.last, lambda: self._working_ns, lambda: self._peak, self._call_in
        )
        self.table = TableView(columns, key_of=lambda c: c.key, sort="rate", language=language)
        return self.table

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        super().set_model(model, view_filter)
        self.model.apply_filter(view_filter)
        if self.box is not None:
            return  # its counters begin with the box
        # The baseline outlives a model: each moment has its own model.
        self.model.begin_with(self._filter_baseline, self._baseline)
        since = view_filter.kernel_filter_since
        if math.isfinite(since) and (self._filter_baseline is None or self._filter_baseline.reading.time < since):
            self.model.filter_changed(since)
            self._note_filter_baseline()

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self.model.apply_filter(view_filter)
        if math.isfinite(view_filter.kernel_filter_since):
            self.model.filter_changed(view_filter.kernel_filter_since)
            self._note_filter_baseline()
        self.refigure()

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)
        self._note_filter_baseline()

    def _note_filter_baseline(self) -> None:
        ground = self.model.filter_baseline
        if ground is not None and ground is not self._filter_baseline:
            self._filter_baseline = self._baseline = ground

    def show(self) -> None:
        calls = self.model.shown(last=self.last)
        self._peak = peak_rate(calls)
        self._working_ns = working_ns(calls, last=self.last)
        self._count = sum(c.count(last=self.last) for c in calls)
        self._kinds = len(calls)
        total = total_of(calls, self.model.total)
        self._failed = total.failure_rate(last=self.last) if total else 0.0
        self._figures = self._figures_of(total)
        self.table.scales = {"trend": f"log≤{brief(self._peak)}/s"} if self._peak else {}
        self.table.show_rows(calls)
        self.waits_line.show_calls(self.model.in_flight)
        self.families_line.set_text(families(self.model.families) + uring(self.model.io_uring))

    def subject(self, row: Call) -> Subject | None:
        return subject_of_call(row.row.name, *row.key, self.model.conditions(row.key))

    def details(self, row: Call) -> Details:
        # Enter opens a screen of its own, so there is no sheet; `y` copies the name.
        name = row.row.name
        return Details(title=name, sheet=Sheet, copies=name, copies_what="Name")

    def title_counts(self) -> Sequence[Count]:
        return self._figures

    def _figures_of(self, total: Call | None) -> Sequence[Count]:
        """Return what the title says of all calls together."""
        if total is None:
            return ()
        of_all = self.shown_of_all()
        counts = [
            Count(f"{of_all}{self._kinds}", 0 if of_all else 4),
            Count(f"{per_second(total.rate)}/s" if total.rate else "0/s"),
        ]
        if failed := total.failure_rate(last=self.last):
            counts.append(Count(f"{share(failed)} failed", 1))
        for rank, name, q in ((3, "p50", 0.5), (2, "p99", 0.99)):
            if (ns := total.quantile(q, last=self.last)) is not None:
                counts.append(Count(f"{name} {nanoseconds(ns)}", rank))
        counts.append(Count(f"{count(self._count)} in all", 5))
        return counts

    def last_counted(self) -> str:
        return counted(self._count, "call") if self._count else ""

    def tab_count(self) -> Span:
        return Span(f"{share(self._failed)}✗", "bad") if self._failed else Span("")

    def subtitle(self) -> str:
        if self.box is not None and self.box.buckets is not None:
            low, high = self.box.buckets.start, self.box.buckets.stop
            return f"calls of which some took {nanoseconds(2**low)} to {nanoseconds(2**high)}"
        if self.last:
            return "since last reading"
        if self.model.baseline is not None:
            return self.model.baseline.text
        # What was recorded, or counted before the filter, is unfiltered.
        return "unfiltered" if self.model.view_filter else ""

    # Keys.

    @on(RowView.Opened)
    def _open_call(self, event: RowView.Opened) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Open("call", event.row))

    @on(WaitsLine.Opened)
    def _open_in_flight(self, event: WaitsLine.Opened) -> None:
        event.stop()
        if event.call is None:
            self.action_waiting()
        else:
            self.post_message(self.Open("process", pid=event.call.pid))

    def action_period(self) -> None:
        """Switch between counts since the start and since the last reading."""
        self.last = not self.last
        self.refigure()

    def action_reset(self) -> None:
        """Reset the counters to zero; again: show the counts since the start, or since the filter changed."""
        if self.box is not None:
            self.app.notify("The counters are those of the box; Esc clears it")
            return
        if self.model.baseline is self.model.filter_baseline:
            self.model.reset()
        else:
            self.model.undo_reset()
        self._baseline = self.model.baseline
        self.refigure()

    def action_waiting(self) -> None:
        self.post_message(self.Open("in_flight"))

    def action_table(self) -> None:
        self.post_message(self.Open("table"))

    def action_traced(self) -> None:
        self.post_message(self.Open("traced"))

    def action_handle(self, handler: Handler) -> None:
        """Let the kernel ignore the call under the cursor; if it does, restore the handler of the start."""
        call = self.table.selected()
        if call is None:
            self.app.notify("Choose a system call first: j and k move")
        else:
            self.handle(call, handler)

    def _call(self, c: Call, _: float) -> Cell:
        handler = self.model.handler(c)
        look = HANDLER_STYLES.get(handler, "")
        asked = self.model.conditions(c.key) if handler == "trace" else ()
        abi = [Span(f" {c.row.abi}", "dim")] if c.row.abi != self.source.header.abi else []
        return (Span(c.row.name, look), *([Span(f":{','.join(asked)}", look)] if asked else []), *abi)

    def _call_in(self, c: Call, width: int) -> Cell:
        """Return the name in *width* cells: without the condition if the two do not fit."""
        name, *more = self._call(c, 0.0)
        if len(name.text) + sum(len(span.text) for span in more) > width:
            more = [span for span in more if not span.text.startswith(":")]
        return (name, *more)
