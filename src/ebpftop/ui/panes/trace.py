"""Pane 4, the trace log: what BPF programs print."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from ebpftop.core.format import count, counted
from ebpftop.core.printed import GREETING, is_greeting
from ebpftop.core.records import ProbeName
from ebpftop.core.trace_records import Trace
from ebpftop.models.tracelog import TraceLog
from ebpftop.ui.panes.common import clock, date_and_time, moment, narrow_time
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.panes.title import Count
from ebpftop.ui.widgets.columns import Cell, Column, Shown, Span
from ebpftop.ui.widgets.sheet import Sheet
from ebpftop.ui.words import Mark

COLUMNS: tuple[Column[Trace], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda t, now: clock(t.time, now),
        rank=1,
        value=lambda t, _: moment(t.time),
        narrow=narrow_time(lambda t: t.time),
        about="When it was printed: time of day, and the date if that is not today.",
    ),
    Column(
        "program",
        "BY",
        16,
        lambda t, _: _by(t),
        rank=2,
        value=lambda t, _: None if t.program is None else str(t.program),
        about="The BPF program that printed it: name and id (bpftool prog show id N). Empty if the kernel cannot say.",
    ),
    Column(
        "task",
        "TASK",
        15,
        lambda t, _: (Span(t.task, "dim"),),
        rank=3,
        about="Name of the thread in which that program ran; it need not have to do with the line.",
    ),
    Column(
        "pid",
        "PID",
        7,
        lambda t, _: (Span(str(t.pid), "dim"),),
        right=True,
        rank=4,
        about="Id of that thread's process.",
    ),
    Column(
        "cpu",
        "CPU",
        3,
        lambda t, _: (Span(str(t.cpu), "dim"),),
        right=True,
        rank=5,
        about="Number of the CPU on which it ran.",
    ),
    Column(
        "message",
        "MESSAGE",
        40,
        lambda t, _: (Span(t.message, "dim" if is_greeting(t) else "strong"),),
        flexible=True,
        about="The line, as the BPF program printed it.",
    ),
)

TASKS_NAMED = 12
"""Tasks that the row of greetings names at most."""

FROM_OTHERS = "lines: trace_pipe"
"""The attach option that takes lines from all other readers of the pipe (kernels before 5.9)."""


def _by(line: Trace) -> Cell:
    if line.program is None:
        return ()
    return (Span(line.program.name, "dim" if is_greeting(line) else "accent"), Span(f" #{line.program.id}", "dim"))


def _sheet(line: Trace) -> Sheet:
    sheet = Sheet()
    sheet.heading("Line of the trace pipe")
    sheet.fact("time", date_and_time(line.time))
    if line.program is not None:
        sheet.fact("by", line.program.name, "bold", f"BPF program {line.program.id}")
    thread = f", thread {line.tid}" if line.tid not in (None, line.pid) else ""
    sheet.fact("task", line.task, "", f"pid {line.pid}{thread}")
    sheet.fact("cpu", line.cpu)
    sheet.heading("Message")
    sheet.line((line.message, ""))
    return sheet


class TracePane(LogPane[Trace]):
    """The trace pipe, line by line."""

    probe: ClassVar[ProbeName] = "trace"
    label = "Trace log"
    tab_label = "Trace"
    empty_text = "No BPF program has printed a line"
    hint = "Each program that starts makes ebpftop print one: try ls"
    about = (
        "What the BPF programs of this machine print with bpf_trace_printk, one line each. ebpftop itself prints "
        '"Hello World!" at each execve, as the first lesson in eBPF does. These lines are one row, which says how many '
        "there are and of which tasks; Enter shows each, z folds them again. Those of another ebpftop are not shown. "
        "Lines of other programs stand out, and BY says which BPF program printed them; TASK is whatever ran just "
        "then. With a C file loaded, these are the lines of its programs alone.\n"
        "It reads an instance of its own, so that no other reader of trace_pipe loses a line."
    )
    marks = (
        Mark(
            "×176", "so many greetings of ebpftop itself in one row: in so many programs, by the name of each", "accent"
        ),
    )
    counted_as = "line"
    columns = COLUMNS
    model_type = TraceLog
    has_header = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "fold", "Fold", tooltip="Show each of our own lines, and fold them again", id="trace.fold")
    ]
    model: TraceLog

    def none_yet(self) -> str:
        if self.source.live and "load" in self.source.probes:  # then nothing of ours prints
            return "The programs of the file have printed no line."
        return super().none_yet()

    def columns_shown(self) -> Sequence[Column[Any]]:
        def cell(key: str, plain: Callable[[Trace, float], Cell]) -> Callable[[Trace, float], Cell]:
            def drawn(line: Trace, now: float) -> Cell:
                times = self.model.view.stands_for(line)
                return self._folded_cell(key, times) if times else plain(line, now)

            return drawn

        return tuple(replace(c, cell=cell(c.key, c.cell)) if c.key != "time" else c for c in COLUMNS)

    def _folded_cell(self, key: str, times: int) -> Cell:
        tasks = self.model.view.tasks
        if key == "message":
            often = ", ".join(f"{task} {n}" for task, n in tasks.most_common(TASKS_NAMED))
            more = ", …" if len(tasks) > TASKS_NAMED else ""
            where = counted(len(tasks), "program")
            return (Span(GREETING), Span(f"  in {where} ({often}{more})", "dim"))
        return (Span("ebpftop ", "dim"), Span(f"×{count(times)}", "accent")) if key == "program" else ()

    def stamp(self, event: Trace, now: float) -> Hashable:
        view = self.model.view
        return (view.is_opened, view.stands_for(event)) if is_greeting(event) else None

    def open_row(self, row: Any) -> None:
        if self.model.view.stands_for(row):
            self._toggle_fold(row)
        else:
            super().open_row(row)

    def action_fold(self) -> None:
        """Show each of our own lines, or fold them again."""
        row = self.log_lines.selected()
        if row is None:
            self.app.notify("Choose a row first: j and k move")
        elif not self._toggle_fold(row):
            self.app.notify("Nothing is folded here")

    def _toggle_fold(self, row: Trace) -> bool:
        if not self.model.view.toggle(row):
            return False
        self.log_lines.redraw()
        self.describe()
        return True

    def title_counts(self) -> Sequence[Count]:
        return (*super().title_counts(), *([Count("ours folded", 1)] if self.model.view.hidden else []))

    def rows_shown(self) -> Shown[Any]:
        # Folding is how rows are shown; an export has each of them.
        return replace(super().rows_shown(), columns=COLUMNS).with_all(self.model.view.all_rows())

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
