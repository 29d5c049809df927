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
    Column(
        "time",
        "TIME",
        12,
        lambda t, _: clock(t.time),
        rank=3,
        value=lambda t, _: moment(t.time),
        about="When it was printed: time of day, and the date if that is not today.",
    ),
    Column(
        "cpu",
        "CPU",
        3,
        lambda t, _: (Span(str(t.cpu), "dim"),),
        right=True,
        rank=4,
        about="Number of the CPU on which the BPF program ran.",
    ),
    Column(
        "pid",
        "PID",
        7,
        lambda t, _: (Span(str(t.pid), "dim"),),
        right=True,
        rank=2,
        about="Id of the process into which the BPF program ran; it need not have to do with the line.",
    ),
    Column("task", "TASK", 15, lambda t, _: (Span(t.task, "accent"),), rank=1, about="Name of that thread."),
    Column(
        "message",
        "MESSAGE",
        16,
        lambda t, _: (Span(t.message),),
        flexible=True,
        about="The line, as the BPF program printed it.",
    ),
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
    tab_label = "Trace"
    empty_text = "no BPF program has printed anything yet"
    about = (
        "What the BPF programs of this machine print with bpf_trace_printk, one line each. ebpftop itself prints "
        '"Hello World!" at each execve, as the first lesson in eBPF does; lines of other programs stand between. '
        "It reads an instance of its own, so that no other reader of trace_pipe loses a line."
    )
    counted_as = "line"
    columns = COLUMNS
    model_type = TraceLog
    has_header = False

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
