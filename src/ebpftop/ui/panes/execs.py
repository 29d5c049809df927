"""Pane 1, the exec log: every program that starts, or fails to, and what becomes of it; or the same as a tree."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core import format
from ebpftop.core.records import Exec, ProbeName
from ebpftop.core.source import Source
from ebpftop.filters.stack import FilterLevel, container_level, user_level
from ebpftop.models.base import Model
from ebpftop.models.execlog import ExecLog, ExecRow, command_line
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Lineage
from ebpftop.models.subject import Subject, subject_of_exec, subject_of_process
from ebpftop.models.tree import Branch, grow
from ebpftop.models.watch import Watch
from ebpftop.ui.panes.common import clock, moment, user
from ebpftop.ui.panes.exec_details import exec_details, process_details
from ebpftop.ui.panes.filtered import FilteredPane
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView
from ebpftop.ui.words import Mark

LONGEST = 1000
"""Characters of a command line that are made ready for drawing; details show all of it."""

REGROW_S = 0.5
"""The tree is rebuilt at most this often."""


def command(argv: tuple[str, ...], file: str, look: str, *, truncated: bool = False) -> Cell:
    """A command line: the program stands out from its arguments."""
    head, *rest = argv or (file,)
    spans = [Span(shlex.quote(head) if head else "''", look)]
    length = len(head)
    for i, argument in enumerate(rest):
        if length > LONGEST:
            spans.append(Span(" …", "dim"))
            break
        text = argument[:LONGEST]
        spans.append(Span(" " + (text if _plain(text) else shlex.quote(text)), "dim" if i < 0 else ""))
        length += len(text) + 1
    if truncated:
        spans.append(Span(" [truncated]", "warn"))
    return spans


def _plain(text: str) -> bool:
    return bool(text) and not any(c in " '\"$`\\&|;<>()*?[]{}#~!" for c in text)


def _command(row: ExecRow, _: float) -> Cell:
    e = row.exec
    truncated = e.truncated or "file" in e.cut
    if row.failed:
        return command((e.file, *e.argv[1:]), e.file, "bad", truncated=truncated)
    return command(e.argv, e.file, "strong", truncated=truncated)


def _started(row: ExecRow, _: float) -> str:
    return moment(row.exec.time)


def _ended(row: ExecRow, _: float) -> str | None:
    return row.outcome or None


def _seconds(row: ExecRow, now: float) -> float | None:
    return row.seconds(now)


def _whole_command(row: ExecRow, _: float) -> str:
    return command_line(row.exec.argv or (row.exec.file,))


def _outcome(row: ExecRow, _: float) -> Cell:
    text = row.outcome
    if row.failed:
        return (Span("✗ " + text, "bad"),)
    if row.exit is None:
        return (Span("→ exec", "dim"),) if row.replaced else (Span("● running", "good"),)
    if row.exit.signal:
        return (Span("↯ " + text.removeprefix("SIG") + (" core" if row.exit.core else ""), "signal"),)
    if row.exit.code is None:
        return (Span("exited ?", "dim"),)
    return (Span("exit " + text, "bad" if row.exit.code else "dim"),)


def _duration(row: ExecRow, now: float) -> Cell:
    seconds = row.seconds(now)
    if seconds is None:
        return (Span("·", "faint"),)
    if row.running:
        return (Span(format.age(seconds), "good"),)
    return (Span(format.duration(seconds)),)


def _unit(row: ExecRow, _: float) -> Cell:
    e = row.exec
    return (Span(e.container, "warn"),) if e.container else (Span(e.unit or "", "dim"),)


COLUMNS: tuple[Column[ExecRow], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda r, _: clock(r.exec.time),
        rank=5,
        about="When it started: time of day, and the date if that is not today.",
        value=_started,
    ),
    Column(
        "pid",
        "PID",
        7,
        lambda r, _: (Span(str(r.exec.pid)),),
        right=True,
        rank=1,
        about="Process id, as the host counts.",
    ),
    Column(
        "ppid",
        "PPID",
        7,
        lambda r, _: (Span(str(r.exec.ppid), "dim"),),
        right=True,
        rank=8,
        about="Process id of its parent.",
    ),
    Column(
        "parent",
        "PARENT",
        12,
        lambda r, _: (Span(r.exec.pcomm, "dim"),),
        rank=6,
        about="Command name of its parent: what started it.",
    ),
    Column(
        "user",
        "USER",
        8,
        lambda r, _: user(r.user, r.exec.uid),
        rank=4,
        about="The user that it runs as; root stands out.",
    ),
    Column(
        "comm",
        "COMM",
        15,
        lambda r, _: (Span(r.exec.comm),),
        rank=9,
        hidden=True,
        about="Command name, as the kernel keeps it: at most 15 bytes.",
    ),
    Column("unit", "UNIT", 16, _unit, rank=9, about="Its container (amber), else its systemd unit."),
    Column(
        "cgroup",
        "CGROUP",
        24,
        lambda r, _: (Span(r.exec.cgroup, "dim"),),
        rank=10,
        hidden=True,
        about="Path of its control group.",
    ),
    Column(
        "outcome",
        "OUTCOME",
        11,
        _outcome,
        rank=2,
        about="How it ended: exit code, signal, or the error for which it did not start; see the marks.",
        value=_ended,
    ),
    Column(
        "duration",
        "DURATION",
        8,
        _duration,
        right=True,
        rank=3,
        about="From exec to its end, or until now (green). A dot: it did not start.",
        value=_seconds,
        exported="duration_s",
    ),
    Column(
        "command",
        "COMMAND",
        38,
        _command,
        flexible=True,
        about="Its arguments as given, quoted as a shell needs them.",
        value=_whole_command,
    ),
)


def _ending(b: Branch, now: float) -> Cell:
    p = b.process
    if p.ended is not None:
        known = p.ending is not None and (p.ending.signal is not None or p.ending.code is not None)
        how = p.ending.signal or f"exit {p.ending.code}" if p.ending and known else "exited ?"
        return (Span(how, "dim"),)
    return (Span("" if p.since is None else format.age(now - p.since), "good"),)


def _branch(b: Branch, _: float) -> Cell:
    p = b.process
    return (Span(b.guide, "dim"), *command(p.argv, p.file or p.comm, "strong" if p.since is not None else "accent"))


TREE_COLUMNS: tuple[Column[Branch], ...] = (
    Column("pid", "PID", 7, lambda b, _: (Span(str(b.process.pid)),), right=True, rank=1, about="Process id."),
    Column(
        "user",
        "USER",
        8,
        lambda b, _: user(b.process.user or str(b.process.uid), b.process.uid),
        rank=2,
        about="The user that it runs as.",
    ),
    Column(
        "ending",
        "OUTCOME",
        8,
        _ending,
        right=True,
        rank=3,
        about="How it ended; for how long it has been running (green) if it has not.",
    ),
    Column(
        "execs",
        "EXECS",
        5,
        lambda b, _: (Span(str(b.process.execs or "·"), "dim"),),
        right=True,
        rank=4,
        about="Programs that it has run one after the other under this pid; a dot: none was seen.",
    ),
    Column(
        "command", "PROCESS", 20, _branch, flexible=True, about="Its last program, below the process that started it."
    ),
)


def _exec_stamp(row: ExecRow, now: float) -> Hashable:
    return int(now - row.exec.time) if row.running else row.ended


class ExecsPane(FilteredPane):
    """The exec log, its filter, and its tree."""

    probe: ClassVar[ProbeName] = "execs"
    label = "Exec log"
    tab_label = "Execs"
    empty_text = "no program has started yet"
    about = (
        "Every program that starts, however short it lives, and every execve that fails: one row each, the newest at "
        "the bottom. A row is an exec, not a process: a process that runs another program gets another row. The log "
        "follows until you move; F follows again.\n"
        "t shows the same processes as a tree."
    )
    marks: ClassVar[tuple[Mark, ...]] = (
        Mark("● running", "it has not ended", "good"),
        Mark("exit 0", "it ended, and said that all is well", "dim"),
        Mark("exit 1", "it ended with another exit code than 0", "bad"),
        Mark(
            "✗ ENOENT",
            "it did not start: execve returned this error. A search along PATH makes one such row "
            "for each folder that does not have the program",
            "bad",
        ),
        Mark("↯ KILL", "a signal ended it; core: and its memory was dumped", "signal"),
        Mark("→ exec", "the same process runs another program now: a later row", "dim"),
        Mark("exited ?", "it ended, but how was not seen", "dim"),
        Mark("[truncated]", "its arguments, or its path, are longer than what is kept", "warn"),
        Mark("├─ └─", "tree: started by the process above", "dim"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "tree", "Tree", tooltip="The processes as a tree, and back", id="execs.tree"),
    ]

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: ExecLog = ExecLog()
        self._grown = 0.0

    def compose(self) -> ComposeResult:
        self.log_lines = LogView(
            self.model.view,
            COLUMNS,
            stamp=_exec_stamp,
            when=lambda row: row.exec.time,
            same=lambda row: (row.exec.pid, row.exec.start_ns, row.exec.time),
            id="exec-log",
        )
        self.tree_lines = TableView(
            TREE_COLUMNS, key_of=lambda b: (b.process.pid, b.process.start_ns), sort="", id="exec-tree"
        )
        self.tree_lines.display = False
        self.lines: RowView[ExecRow] | RowView[Branch] = self.log_lines
        yield self.log_lines
        yield self.tree_lines
        yield self.bar

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        return ("Columns", COLUMNS), ("Columns of the tree", TREE_COLUMNS)

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        self._grown = float("-inf")
        super().set_model(model, view_filter)

    def show(self) -> None:
        if not self.as_tree:
            self.log_lines.sync()
        elif not 0 <= self.lines.now - self._grown < REGROW_S:
            self._grown = self.lines.now
            self.tree_lines.show_rows(grow(self.model.processes, self.lines.now, view_filter=self.model.view_filter))

    def subject(self, row: ExecRow | Branch) -> Subject | None:
        return subject_of_process(row.process) if isinstance(row, Branch) else subject_of_exec(row)

    def watch_of_filter(self) -> Watch | None:
        pattern = self.pattern
        if pattern is None:
            return None
        return Watch(
            f"programs that match {self.filter_text}",
            {Exec: lambda e: pattern.matches(ExecRow(e, Lineage(e.pid, e.start_ns, e.ppid)).searchable())},
        )

    def details(self, row: ExecRow | Branch) -> Details:
        if isinstance(row, Branch):
            return process_details(self.model, row.process, self.lines.now)
        return exec_details(self.model, row, self.lines.now)

    def title_counts(self) -> str:
        model = self.model
        if not model.ring.end:
            return ""
        shown = f"{format.count(len(model.view))} of " if model.view.filtered else ""
        failed = f" · {format.count(model.failed)} failed" if model.failed else ""
        newest = self.newest_text(len(model.ring), model.ring.first)
        return f"{shown}{newest}{format.counted(model.ring.end, 'exec')}{failed}"

    def tab_count(self) -> Span:
        return Span(f"{format.count(self.model.failed)}✗", "bad") if self.model.failed else Span("")

    def subtitle(self) -> str:
        if self.as_tree:
            return "tree, t: back to the log"
        filtered = f"{self.filter_text} picks what is shown" if self.filter_text else ""
        return " · ".join(part for part in (filtered, "follows" if self.log_lines.follow else "F: follow") if part)

    # The filter.

    def open_filter(self) -> None:
        if self.as_tree:
            self.action_tree()
        super().open_filter()

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self._grown = float("-inf")
        super().apply_filter(view_filter)
        if self.as_tree:
            self.show()

    def message_if_empty(self) -> str:
        return "no program matches the filter yet" if self.model.ring.end else self.empty_text

    def user_level(self) -> FilterLevel | None:
        if self.as_tree:
            branch = self.tree_lines.selected()
            return user_level(branch.process.uid, branch.process.user) if branch else None
        row = self.log_lines.selected()
        return user_level(row.exec.uid, row.exec.user) if row else None

    def container_level(self) -> FilterLevel | None:
        row = None if self.as_tree else self.log_lines.selected()
        return container_level(row.exec.container) if row and row.exec.container else None

    # The tree.

    @property
    def as_tree(self) -> bool:
        return self.lines is self.tree_lines

    def action_tree(self) -> None:
        """Switch between the log and the tree of processes."""
        focused = self.lines.has_focus
        now = self.lines.now
        self.lines = self.log_lines if self.as_tree else self.tree_lines
        self.lines.now = now
        self.log_lines.display = not self.as_tree
        self.tree_lines.display = self.as_tree
        self._grown = float("-inf")
        self.show()
        if focused:
            self.screen.set_focus(self.lines)
        self.describe()
