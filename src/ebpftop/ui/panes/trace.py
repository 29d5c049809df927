"""Pane 4, the trace log: what BPF programs print."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from ebpftop.core.format import count, counted
from ebpftop.core.records import ProbeName, Trace
from ebpftop.core.source import Batch, Source
from ebpftop.models.base import Model
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.tracelog import TraceLog
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.common import clock, moment
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details, Sheet

COLUMNS: tuple[Column[Trace], ...] = (
    Column("time", "TIME", 12, lambda t, _: clock(t.time), rank=3, value=lambda t, _: moment(t.time)),
    Column("cpu", "CPU", 3, lambda t, _: (Span(str(t.cpu), "dim"),), right=True, rank=4),
    Column("pid", "PID", 7, lambda t, _: (Span(str(t.pid), "dim"),), right=True, rank=2),
    Column("task", "TASK", 15, lambda t, _: (Span(t.task, "accent"),), rank=1),
    Column("message", "MESSAGE", 16, lambda t, _: (Span(t.message),), flexible=True),
)

FROM_OTHERS = "lines: trace_pipe"
"""The attach option (rung) that takes lines from all other readers of the pipe (kernels before 5.9)."""

SCAN_ROWS = 4000
"""Lines that a new filter searches in one go."""


def _sheet(line: Trace) -> Sheet:
    sheet = Sheet()
    sheet.heading("Line of the trace pipe")
    sheet.fact("time", datetime.fromtimestamp(line.time).strftime("%Y-%m-%d %H:%M:%S.%f"))
    thread = f", thread {line.tid}" if line.tid not in (None, line.pid) else ""
    sheet.fact("task", line.task, "bold", f"pid {line.pid}{thread}")
    sheet.fact("cpu", line.cpu)
    sheet.heading("Message (y copies it)")
    sheet.line((line.message, ""))
    return sheet


class TracePane(Pane):
    """The trace pipe, line by line."""

    probe: ClassVar[ProbeName] = "trace"
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("execs",)
    label = "Trace log"
    empty_text = "no BPF program has printed anything yet"

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: TraceLog = TraceLog()

    def make_lines(self) -> RowView[Trace]:
        self.log_lines = LogView(self.model.view, COLUMNS, when=lambda line: line.time, same=lambda line: line)
        return self.log_lines

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        super().set_model(model, view_filter)
        self.model.apply_filter(view_filter)
        self.model.view.scan(SCAN_ROWS)
        self.log_lines.put_view(self.model.view)
        self.search()

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)

    def show(self) -> None:
        self.lines.sync()

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self.model.apply_filter(view_filter)
        self.log_lines.cursor = None
        self.log_lines.follow = True
        self.log_lines.rearrange()
        self.search()

    def search(self) -> None:
        more = self.model.view.scan(SCAN_ROWS)
        self.log_lines.sync()
        self.describe()
        if more:
            self.search_later()

    def details(self, row: Trace) -> Details:
        title = f"{row.task} ({row.pid})"
        return Details(title=title, sheet=lambda: _sheet(row), copies=row.message, copies_what="Line")

    def message_if_empty(self) -> str:
        return "no line matches the filter yet" if self.model.ring.end else self.empty_text

    def title_counts(self) -> str:
        lines = self.model.ring.end
        shown = f"{count(len(self.model.view))} of " if self.model.view.filtered else ""
        newest = self.newest_text(len(self.model.ring), self.model.ring.first)
        return f"{shown}{newest}{counted(lines, 'line')}" if lines else ""

    def subtitle(self) -> str:
        rungs = self._state.attempts if self._state else ()
        takes_away = any(rung.via == FROM_OTHERS and rung.reason is None for rung in rungs)
        cost = "other readers of trace_pipe lose lines" if takes_away else ""
        return "  ".join(filter(None, (cost, "" if self.log_lines.follow else "F: follow")))
