"""Pane 4, the trace log: what BPF programs print."""

from __future__ import annotations

from typing import ClassVar

from ebpftop.core.records import ProbeName, Trace
from ebpftop.models.tracelog import TraceLog
from ebpftop.ui.panes.common import clock, date_and_time, moment
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.sheet import Sheet

COLUMNS: tuple[Column[Trace], ...] = (
    Column("time", "TIME", 12, lambda t, _: clock(t.time), rank=3, value=lambda t, _: moment(t.time)),
    Column("cpu", "CPU", 3, lambda t, _: (Span(str(t.cpu), "dim"),), right=True, rank=4),
    Column("pid", "PID", 7, lambda t, _: (Span(str(t.pid), "dim"),), right=True, rank=2),
    Column("task", "TASK", 15, lambda t, _: (Span(t.task, "accent"),), rank=1),
    Column("message", "MESSAGE", 16, lambda t, _: (Span(t.message),), flexible=True),
)

FROM_OTHERS = "lines: trace_pipe"
"""The attach option that takes lines from all other readers of the pipe (kernels before 5.9)."""


def _sheet(line: Trace) -> Sheet:
    sheet = Sheet()
    sheet.heading("Line of the trace pipe")
    sheet.fact("time", date_and_time(line.time))
    thread = f", thread {line.tid}" if line.tid not in (None, line.pid) else ""
    sheet.fact("task", line.task, "bold", f"pid {line.pid}{thread}")
    sheet.fact("cpu", line.cpu)
    sheet.heading("Message (y copies it)")
    sheet.line((line.message, ""))
    return sheet


class TracePane(LogPane[Trace]):
    """The trace pipe, line by line."""

    probe: ClassVar[ProbeName] = "trace"
    label = "Trace log"
    empty_text = "no BPF program has printed anything yet"
    counted_as = "line"
    columns = COLUMNS
    model_type = TraceLog

    def title_of(self, event: Trace) -> str:
        return f"{event.task} ({event.pid})"

    def sheet(self, event: Trace) -> Sheet:
        return _sheet(event)

    def copies(self, event: Trace) -> str:
        return event.message

    def subtitle(self) -> str:
        attempts = self._state.attempts if self._state else ()
        takes_away = any(attempt.via == FROM_OTHERS and attempt.reason is None for attempt in attempts)
        cost = "other readers of trace_pipe lose lines" if takes_away else ""
        return "  ".join(filter(None, (cost, super().subtitle())))
