"""The sheet of one row of the exec log, or of a process: why, what, who, where, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpftop.core import format
from ebpftop.core.clock import dated_text, time_text, whole_text
from ebpftop.filters.stack import process_level
from ebpftop.models.exec_row import ExecRow, attempts_of, command_line
from ebpftop.models.execlog import ExecLog
from ebpftop.models.program_history import ProgramHistory, Seen
from ebpftop.models.subject import subject_of_exec, subject_of_process
from ebpftop.models.why import afterwards, ending_words, why, why_ended
from ebpftop.ui.panes import exec_lists
from ebpftop.ui.panes.exec_columns import exec_mark
from ebpftop.ui.panes.exec_usage import Life, end_items, usage_table, used_words
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.row_drawing import POINT
from ebpftop.ui.widgets.sheet import Details, Piece, Sheet

if TYPE_CHECKING:
    from ebpftop.core.process_records import Exec
    from ebpftop.models.processes import ProcessInfo

NARROWS = "Only this process"

CallsOf = Callable[[int, int], str]
"""What is known of the system calls of a process, by pid and start; empty if nothing is."""


def exec_details(log: ExecLog, row: ExecRow, now: float, calls_of: CallsOf | None = None) -> Details:
    """Build the details of *row*; *now* is the time of the newest batch (Unix seconds)."""
    e = row.exec
    sheet = _ExecSheet(log, row, now, calls_of)
    return Details(
        title=f"{e.comm} ({e.pid})",
        sheet=sheet.build,
        copies=command_line(e.argv or (e.file,)),
        copies_what=exec_lists.copies_what(e.argv),
        narrows=(lambda: process_level(e.pid, e.comm) if row.running else None) if row.running else None,
        narrows_what=NARROWS,
        subject=subject_of_exec(row),
        when=_when(e.time, now),
        headline=sheet.headline,
    )


def process_details(log: ExecLog, process: ProcessInfo, now: float, calls_of: CallsOf | None = None) -> Details:
    """Build the details of a process: those of the program that it runs, or ran last, if its row is known."""
    row = log.row_of(process)
    sheet = _ProcessSheet(log, process, now, calls_of) if row is None else _ExecSheet(log, row, now, calls_of, process)
    return Details(
        title=f"{process.comm} ({process.pid})",
        sheet=sheet.build,
        copies=command_line(process.argv or (process.file,)),
        copies_what=exec_lists.copies_what(process.argv),
        narrows=(lambda: process_level(process.pid, process.comm) if process.ended is None else None)
        if process.ended is None
        else None,
        narrows_what=NARROWS,
        subject=subject_of_process(process),
        place="process",
        when="" if process.since is None else _when(process.since, now),
        headline=sheet.headline,
    )


def _when(time: float, now: float) -> str:
    text = whole_text(time, date=False)
    clock, _, zone = text.partition(" ")
    date = dated_text(time, now).removesuffix(time_text(time))
    return f"{date}{clock}.{int(time * 1000) % 1000:03} {zone}"


class _Details:
    """What the two kinds of sheets have in common."""

    def __init__(self, log: ExecLog, now: float, calls_of: CallsOf | None) -> None:
        self._log = log
        self._opened = now
        self._calls_of = calls_of

    @property
    def now(self) -> float:
        return max(self._opened, self._log.now)

    def by(self, sheet: Sheet, ancestors: list[ProcessInfo], ppid: int, pcomm: str, since: float) -> None:
        """Add the line of ancestors, and what became of them."""
        names = [f"{known.pid} {known.comm}" for known in reversed(ancestors)]
        if not ancestors:
            names = [f"{ppid} {pcomm or '?'}"] if ppid else ["(none: pid 1)"]
        elif ancestors[-1].pid != 1 and ancestors[-1].ppid:
            names.insert(0, f"{ancestors[-1].ppid} (not seen)")
        steps: list[list[Piece]] = [[(name, ""), (f" {POINT}", "$dim")] for name in names]
        del steps[-1][1]
        sheet.part("BY", *steps, apart=" ")
        if later := afterwards(ancestors, since):
            then = [[("then: " if at == 0 else "→ ", "$dim"), (words, "")] for at, words in enumerate(later)]
            sheet.part("", *then, apart=" ")

    def calls(self, sheet: Sheet, pid: int, start_ns: int) -> None:
        """Add what is known of its system calls."""
        if self._calls_of is not None and (words := self._calls_of(pid, start_ns)):
            sheet.part("CALLS", [(words, "")])

    def figures(self, sheet: Sheet, life: Life, parent: ProcessInfo | None) -> None:
        """Add what the process and its parent used, and how the process ended."""
        lives = [life]
        if parent is not None:
            lives.append(Life("parent", parent.pid, parent.since, parent.ended, parent.ending, self.now))
        sheet.gap()
        usage_table(sheet, lives)
        sheet.gap()
        if life.ending is not None:
            sheet.part("END", *([(item, "")] for item in end_items(life.ending)))
            sheet.part("USED", [(used_words(life.ending), "$dim")])

    def parent(self, ppid: int, start_ns: int) -> ProcessInfo | None:
        ancestors = self._log.processes.ancestors(ppid, start_ns)
        return ancestors[0] if ancestors and ancestors[0].pid == ppid else None


class _ExecSheet(_Details):
    """The sheet of a row of the log, also as that of the process that runs it."""

    def __init__(
        self, log: ExecLog, row: ExecRow, now: float, calls_of: CallsOf | None, process: ProcessInfo | None = None
    ) -> None:
        super().__init__(log, now, calls_of)
        self._row = row
        self._process = process
        self._history = ProgramHistory(log.ring, row)

    def headline(self) -> tuple[Span, ...]:
        row, e = self._row, self._row.exec
        seconds = row.seconds(self.now)
        if row.failed:
            outcome = f"did not start: {row.outcome}"
        elif row.running:
            outcome = f"running {format.age(seconds or 0)}"
        elif row.exit is None:
            outcome = "ran another program in its place"
        else:
            core = ", core dumped" if row.exit.core else ""
            outcome = f"{ending_words(row.exit)}{core}"
            outcome += "" if seconds is None else f" after {format.duration(seconds)}"
        name = e.file.rpartition("/")[2] if row.failed else e.comm
        mark = exec_mark(row)
        what = "process" if self._process is not None else "exec"
        look = mark.style if mark.style in ("good", "bad") else "dim"
        head = (Span(f"{mark.text} ", look),) if mark.text.strip() else ()
        return (*head, Span(f"{what} {e.pid} {name}", "name"), Span(" · ", "dim"), Span(outcome, look))

    def build(self) -> Sheet:
        log, row, e, now = self._log, self._row, self._row.exec, self.now
        self._history.update()
        sheet = Sheet()
        if words := why(log.ring, row, self._history, now):
            sheet.part("WHY", [(words, "")])
        exec_lists.command(sheet, e.argv or (e.file,))
        sheet.gap()
        sheet.part("WHO", *self._who())
        sheet.part("WHERE", *_where(e), apart="   ")
        _environment(sheet, e)
        ancestors = log.ancestors(row)
        self.by(sheet, ancestors, e.ppid, e.pcomm, e.time)
        self.calls(sheet, e.pid, e.start_ns)
        self.figures(sheet, self._life(), self.parent(e.ppid, e.start_ns))
        sheet.part("SEEN", *([(item, "")] for item in _seen(self._history.seen(now), now)))
        sheet.part("FILE", *_files(e))
        sheet.part("CGROUP", [(e.cgroup, ""), _cut(e, "cgroup")])
        exec_lists.tried(sheet, row, attempts_of(row, log.ring))
        exec_lists.started_by(sheet, ancestors, e.ppid, e.pcomm)
        exec_lists.values(sheet, e)
        exec_lists.arguments(sheet, e.argv, e.file, truncated=e.truncated)
        return sheet

    def _life(self) -> Life:
        row, e = self._row, self._row.exec
        if not row.failed:
            return Life("process", e.pid, e.time, row.ended, row.exit, self.now)
        # What became of the process that could not run it.
        known = self._log.processes.owner(e.pid)
        if known is None or not known.is_same_process(e.start_ns):
            return Life("process", e.pid, e.time, None, None, self.now)
        return Life("process", e.pid, known.since or e.time, known.ended, known.ending, self.now)

    def _who(self) -> list[list[Piece]]:
        row, e = self._row, self._row.exec
        items: list[list[Piece]] = [[(row.user, "$warning" if e.uid == 0 else ""), (f" uid {e.uid}", "$dim")]]
        if e.euid != e.uid:
            items.append([(f"acts as uid {e.euid}", "$warning")])
        if e.loginuid is not None and e.loginuid != e.uid:
            items.append([(f"logged in as uid {e.loginuid}", "")])
        items.append([(e.unit or "", "")])
        items.append([(f"container {e.container}" if e.container else "", "$warning")])
        if e.sid:
            items.append([(e.tty or "no tty", "")])
            items.append([(f"session {e.sid}{', which it leads' if e.sid == e.pid else ''}", "")])
        if e.tid != e.pid:
            items.append([(f"thread {e.tid}", "")])
        if e.nspid and e.nspid != e.pid:
            items.append([(f"ns pid {e.nspid}", ""), (f" (pid namespace {e.pidns})", "$dim")])
        if self._process is not None and self._process.execs > 1:
            items.append([(f"{format.counted(self._process.execs, 'program')} run by this process", "")])
        return items


class _ProcessSheet(_Details):
    """The sheet of a process that no row of the log is about: it ran before, only forked, or its row is gone."""

    def __init__(self, log: ExecLog, process: ProcessInfo, now: float, calls_of: CallsOf | None) -> None:
        super().__init__(log, now, calls_of)
        self._process = process

    def headline(self) -> tuple[Span, ...]:
        p = self._process
        bad = p.ending is not None and bool(p.ending.signal or p.ending.code)
        if p.ended is not None:
            outcome = ending_words(p.ending)
        elif p.since is None:
            outcome = "running since before ebpftop"
        else:
            outcome = f"running {format.age(self.now - p.since)}"
        look = "good" if p.ended is None else "bad" if bad else "dim"
        return Span(f"process {p.pid} {p.comm}", "name"), Span(" · ", "dim"), Span(outcome, look)

    def build(self) -> Sheet:
        p = self._process
        sheet = Sheet()
        if p.ending is not None and (words := why_ended(p.ending)):
            sheet.part("WHY", [(words, "")])
        if p.argv or p.file:
            exec_lists.command(sheet, tuple(p.argv) or (p.file,))
        sheet.gap()
        sheet.part(
            "WHO",
            [(str(p.user or p.uid), "$warning" if p.uid == 0 else ""), (f" uid {p.uid}", "$dim")],
            [(f"container {p.container}" if p.container else "", "$warning")],
            [(f"{format.counted(p.execs, 'program')} run by this process" if p.execs > 1 else "", "")],
        )
        ancestors = self._log.processes.ancestors(p.ppid, p.start_ns)
        self.by(sheet, ancestors, p.ppid, "", p.reported)
        self.calls(sheet, p.pid, p.start_ns)
        life = Life("process", p.pid, p.since, p.ended, p.ending, self.now)
        self.figures(sheet, life, self.parent(p.ppid, p.start_ns))
        sheet.part("FILE", [(p.file, "")])
        sheet.part("CGROUP", [(p.cgroup, "")])
        exec_lists.started_by(sheet, ancestors, p.ppid, "")
        exec_lists.arguments(sheet, tuple(p.argv), p.file)
        return sheet


def _where(e: Exec) -> list[list[Piece]]:
    items: list[list[Piece]] = []
    if e.cwd is not None:
        astray = e.cwd.endswith(" (deleted)") or not e.cwd.startswith("/")
        items.append([("cwd ", "$dim"), (e.cwd, "$warning" if astray else ""), _cut(e, "cwd")])
    if e.root is not None:
        items.append([("root ", "$dim"), (e.root, "$warning"), _cut(e, "root"), (" (all paths are below it)", "$dim")])
    if len(set(e.stdio)) == 1 < len(e.stdio):
        items.append([("fds 0 1 2 ", "$dim"), (e.stdio[0] or "closed", ""), _cut(e, "stdio")])
    else:
        for label, file in zip(("stdin", "stdout", "stderr"), e.stdio, strict=False):
            items.append([(f"{label} ", "$dim"), (file or "closed", ""), _cut(e, "stdio")])
    return items


def _environment(sheet: Sheet, e: Exec) -> None:
    """Add how many variables there are, and how they differ; their values stand below, if they are known."""
    if e.env is None and e.env_names is None:
        if e.cwd is not None and e.ret == 0:
            sheet.part("ENV", [("not kept", "$dim")], [("--env NAMES or all keeps it", "$dim")])
        return
    names = e.env_names if e.env_names is not None else tuple(e.env or ())
    cut = " cut" if {"env", "env_names"} & {*e.cut} else ""
    items: list[list[Piece]] = [[(format.counted(len(names), "name"), ""), (cut, "$warning")]]
    if (differs := e.env_differs) is not None:
        found = (("new", differs.new), ("changed", differs.changed), ("gone", differs.gone))
        # Each for itself: thousands of new names do not hide that PATH has changed.
        different = "; ".join(f"{what} {_shortened(', '.join(sorted(those)))}" for what, those in found if those)
        items.append([("against its parent's start: ", "$dim"), (different or "the same", "")])
    if e.env is None:
        items.append([("values: --env NAMES or all", "$dim")])
    sheet.part("ENV", *items)


def _shortened(names: str) -> str:
    longest = exec_lists.NAMES_SHOWN // 3
    return names if len(names) <= longest else f"{names[: longest - 1]}…"


def _files(e: Exec) -> list[list[Piece]]:
    items: list[list[Piece]] = [[(e.file, "bold"), _cut(e, "file")]]
    if e.interp is not None:
        items.append([("interpreter ", "$dim"), (e.interp, ""), _cut(e, "interp")])
    if e.exe is not None:
        hidden = e.exe.startswith("memfd:") or e.exe.endswith(" (deleted)")
        inode = "" if e.exe_inode is None else f" inode {e.exe_inode}"
        items.append([("runs ", "$dim"), (e.exe, "$warning" if hidden else ""), _cut(e, "exe"), (inode, "$dim")])
    items.append([("comm ", "$dim"), (e.comm, "")])
    return items


def _cut(e: Exec, field: str) -> Piece:
    return (" cut" if field in e.cut else "", "$warning")


def _seen(seen: Seen, now: float) -> list[str]:
    times = "once" if seen.times == 1 else f"{format.counted(seen.times, 'time')}"
    items = [f"{times} since {dated_text(seen.since, now)}"]
    if seen.every_s is not None:
        items.append(f"every {format.duration(seen.every_s)}")
    items.append(f"{format.count(seen.failed)} failed" if seen.failed else "none failed")
    good = "not seen" if seen.good is None else dated_text(seen.good, now)
    items.append(f"last good one: {good}")
    return items
