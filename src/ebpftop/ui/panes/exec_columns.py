"""The columns of the exec log."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rich.cells import cell_len

from ebpftop.core import format
from ebpftop.core.process_records import Exec
from ebpftop.models.exec_row import ExecRow, command_line, killed_by, repeats_shown, search_text
from ebpftop.ui.panes.common import clock, moment, narrow_time, user
from ebpftop.ui.widgets.columns import Cell, Column, Narrow, Span, layout_cell

LONGEST = 1000
"""Characters of a command line that are made ready for a line; wrapped, and in details, all of it is shown."""

SHORTEST = 16
"""Cells of a command that what is said of its search leaves to it."""


def command(argv: tuple[str, ...], file: str, look: str, *, truncated: bool = False, longest: float = LONGEST) -> Cell:
    """A command line: the program stands out from its arguments. Not much more than its *longest* characters."""
    head, *rest = argv or (file,)
    spans = [Span(shlex.quote(head) if head else "''", look)]
    length = len(head)
    for i, argument in enumerate(rest):
        if length > longest:
            spans.append(Span(" …", "dim"))
            break
        text = argument if longest == math.inf else argument[: int(longest)]
        spans.append(Span(" " + (text if _plain(text) else shlex.quote(text)), "dim" if i < 0 else ""))
        length += len(text) + 1
    if truncated:
        spans.append(Span(" [truncated]", "warn"))
    return spans


def _plain(text: str) -> bool:
    return bool(text) and not any(c in " '\"$`\\&|;<>()*?[]{}#~!" for c in text)


def _command(row: ExecRow, longest: float = LONGEST) -> Cell:
    e = row.exec
    truncated = e.truncated or "file" in e.cut
    repeats = row.repeats if repeats_shown(row) else None
    argv = e.argv
    if repeats is not None and repeats.same < len(argv):
        argv = argv[: max(1, repeats.same)]
    if row.failed and not search_text(row):
        # Which file was tried says more than the name that it would have had.
        argv = (e.file, *argv[1:])
    spans = command(argv, e.file, "bad" if row.failed else "strong", truncated=truncated, longest=longest)
    return spans if repeats is None or repeats.shares_all else (*spans, Span(" …", "dim"))


def _tail(row: ExecRow) -> Cell:
    text = search_text(row)
    searched = (Span(f" {text}", "dim" if not row.failed else "bad"),) if text else ()
    by = killed_by(row.exit, with_pid=not repeats_shown(row))
    return (Span(f" {by}", "bad"), *searched) if by else searched


def _whole_cell(row: ExecRow, _: float) -> Cell:
    return (*_command(row), *_tail(row))


def _times(times: int) -> Cell:
    return (Span(f"×{format.count(times)} ", "accent"),) if times else ()


def _command_in(row: ExecRow, width: int, times: int) -> Cell:
    """Return the command in *width* cells: its end goes first, not what is said of the search, or how many it is."""
    before = _times(times)
    tail = _tail(row)
    room = width - sum(cell_len(span.text) for span in (*before, *tail))
    spans = _command(row)
    if not tail or room < SHORTEST:
        return (*before, *spans, *tail)
    if sum(cell_len(span.text) for span in spans) > room:
        spans = layout_cell(spans, room)
    return (*before, *spans, *tail)


def _started(row: ExecRow, _: float) -> str:
    return moment(row.exec.time)


def _ended(row: ExecRow, _: float) -> str | None:
    return row.outcome or None


def _seconds(row: ExecRow, now: float) -> float | None:
    return row.seconds(now)


def _the_pid(row: ExecRow, _: float) -> int:
    return row.exec.pid


def _whole_command(row: ExecRow, _: float) -> str:
    return command_line(row.exec.argv or (row.exec.file,))


def exec_mark(row: ExecRow) -> Span:
    """Return the sign of what went wrong, or of a program that is running."""
    if row.failed:
        return Span("✗", "bad")
    if row.exit is None:
        return Span(" ") if row.replaced else Span("●", "good")
    if row.exit.signal:
        return Span("†", "bad")
    return Span("!", "bad") if row.exit.code else Span(" ")


def _outcome(row: ExecRow, _: float) -> Cell:
    text = row.outcome
    if row.failed:
        return (Span(text, "bad"),)
    if row.exit is None:
        return (Span("exec", "dim"),) if row.replaced else (Span("running", "good"),)
    if row.exit.signal:
        return (Span(text + (" core" if row.exit.core else ""), "bad"),)
    if row.exit.code is None:
        return (Span("exited ?", "dim"),)
    return (Span("exit " + text, "bad" if row.exit.code else "dim"),)


def _duration(row: ExecRow, now: float) -> Cell:
    if row.repeats is not None and repeats_shown(row):
        median_s = row.repeats.median_s
        return (Span("·", "dim"),) if median_s is None else (Span(f"~{format.nanoseconds(median_s * 1e9)}"),)
    seconds = row.seconds(now)
    if seconds is None:
        return (Span("·", "dim"),)
    if row.running:
        return (Span(format.age(seconds), "good"),)
    return (Span(format.nanoseconds(seconds * 1e9)),)


def _pid(row: ExecRow, _: float) -> Cell:
    times = repeats_shown(row)
    return (Span(f"×{format.count(times)}", "accent"),) if times else (Span(str(row.exec.pid)),)


def _cpu(row: ExecRow, _: float) -> Cell:
    seconds = row.exit.cpu_s if row.exit else None
    return (Span("·", "dim"),) if seconds is None else (Span(format.duration(seconds)),)


def _memory(row: ExecRow, _: float) -> Cell:
    most = row.exit.max_rss_bytes if row.exit else None
    return (Span("·", "dim"),) if most is None else (Span(format.size(most)),)


def _unit(row: ExecRow, _: float) -> Cell:
    e = row.exec
    return (Span(e.container, "warn"),) if e.container else (Span(e.unit or "", "dim"),)


def _text(
    key: str, title: str, width: int, text: Callable[[Exec], str | None], rank: int, about: str
) -> Column[ExecRow]:
    """A text of the record, shown if it is asked for."""
    return Column(
        key, title, width, lambda r, _: (Span(text(r.exec) or "", "dim"),), rank=rank, hidden=True, about=about
    )


COLUMNS: tuple[Column[ExecRow], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda r, now: clock(r.exec.time, now),
        rank=4,
        about="When it started: time of day, and the date if that is not today.",
        value=_started,
        shown_from=70,
        narrow=narrow_time(lambda r: r.exec.time),
    ),
    Column(
        "duration",
        "DURATION",
        8,
        _duration,
        right=True,
        rank=2,
        about="From exec to its end, or until now (green). ~ is the median of a folded row. A dot: it did not start.",
        value=_seconds,
        exported="duration_s",
        narrow=Narrow(110, 6, "DUR"),
    ),
    Column(
        "outcome",
        "OUTCOME",
        8,
        _outcome,
        rank=1,
        about="How it ended: exit code, signal, or the error for which it did not start; see the marks.",
        value=_ended,
    ),
    Column(
        "user",
        "USER",
        8,
        lambda r, _: user(r.user, r.exec.uid),
        rank=3,
        about="The user that it runs as; root stands out.",
        shown_from=70,
    ),
    Column(
        "pid",
        "PID",
        7,
        _pid,
        right=True,
        rank=5,
        about="Process id, as the host counts; ×214: so many rows in one.",
        value=_the_pid,
        shown_from=100,
    ),
    Column(
        "ppid",
        "PPID",
        7,
        lambda r, _: (Span(str(r.exec.ppid), "dim"),),
        right=True,
        rank=8,
        hidden=True,
        about="Process id of its parent.",
    ),
    Column(
        "parent",
        "PARENT",
        9,
        lambda r, _: (Span(r.exec.pcomm, "dim"),),
        rank=6,
        about="Command name of its parent: what started it.",
        shown_from=110,
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
    Column(
        "unit",
        "UNIT",
        11,
        _unit,
        rank=7,
        about="Its container (amber), else its systemd unit. It comes with the first row that has one.",
        shown_from=150,
        filled=lambda r: bool(r.exec.unit or r.exec.container),
    ),
    _text("cgroup", "CGROUP", 24, lambda e: e.cgroup, 10, "Path of its control group."),
    _text("exe", "FILE", 24, lambda e: e.exe, 11, "The file that runs, resolved: of a script, its interpreter."),
    _text("cwd", "DIRECTORY", 24, lambda e: e.cwd, 12, "Its current directory."),
    _text("tty", "TTY", 7, lambda e: e.tty, 13, "Its terminal."),
    Column(
        "cpu",
        "CPU",
        6,
        _cpu,
        right=True,
        rank=14,
        hidden=True,
        about="Time on a CPU when it has ended, of all its threads: user and system.",
        value=lambda r, _: r.exit.cpu_s if r.exit else None,
        exported="cpu_s",
    ),
    Column(
        "memory",
        "MEMORY",
        7,
        _memory,
        right=True,
        rank=15,
        hidden=True,
        about="The most memory that it had in RAM (maximum resident set), when it has ended.",
        value=lambda r, _: r.exit.max_rss_bytes if r.exit else None,
        exported="max_rss_bytes",
    ),
    Column(
        "killer",
        "KILLER",
        12,
        lambda r, _: (Span(str(r.exit.killer or "") if r.exit else "", "bad"),),
        rank=16,
        hidden=True,
        about="Who sent the signal that ended it: name and process id.",
    ),
    Column(
        "command",
        "COMMAND",
        24,
        _whole_cell,
        flexible=True,
        about="Its arguments as given, quoted as a shell needs them.",
        value=_whole_command,
    ),
)


def exec_columns(shows_pid: Callable[[], bool], ranked: Callable[[ExecRow], int]) -> tuple[Column[ExecRow], ...]:
    """Return the columns of the log; if the pid is not shown, the command says how many rows are folded.

    *ranked* returns for how many rows of its program a row stands, if it does.
    """

    def times(row: ExecRow) -> int:
        return ranked(row) or repeats_shown(row)

    def pid(row: ExecRow, now: float) -> Cell:
        n = times(row)
        return (Span(f"×{format.count(n)}", "accent"),) if n else _pid(row, now)

    def command_in(row: ExecRow, width: int) -> Cell:
        return _command_in(row, width, 0 if shows_pid() else times(row))

    def whole(row: ExecRow, _: float) -> Cell:
        return (*_times(0 if shows_pid() else times(row)), *_command(row, math.inf), *_tail(row))

    changed = {"command": partial(replace, fill=command_in, whole=whole), "pid": partial(replace, cell=pid)}
    return tuple(changed[c.key](c) if c.key in changed else c for c in COLUMNS)
