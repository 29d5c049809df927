"""Details of one row of the exec log, or of a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ebpftop.core import format
from ebpftop.core.clock import whole_text
from ebpftop.core.process_records import Exec
from ebpftop.filters.stack import FilterLevel, process_level
from ebpftop.models.copy_as import is_exact
from ebpftop.models.exec_row import ExecRow, attempts_of, command_line, killed_by
from ebpftop.models.execlog import ExecLog
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.subject import subject_of_exec, subject_of_process
from ebpftop.syscalls.errno_names import signal_name, signal_numbers
from ebpftop.ui.panes.common import date_and_time
from ebpftop.ui.panes.exec_usage import parent_of, usage
from ebpftop.ui.widgets.sheet import Details, Sheet

NARROWS = "Only this process"

SHOWN_CHARACTERS = 16_000
"""Characters of the arguments that are laid out at most (25 ms); two million would take seconds each time."""

_MAY_BE_BYTES = r"; \x.. may stand for bytes"

_EXIT_MEANINGS: Mapping[int, str] = {
    126: "usually: a shell found the command, but could not execute it",
    127: "usually: a shell did not find the command, or a library was missing",
}


def exec_details(log: ExecLog, row: ExecRow, now: float) -> Details:
    """Build the details of *row*; *now* is the time of the newest batch (Unix seconds)."""
    return Details(
        title=f"{row.exec.comm} ({row.exec.pid})",
        sheet=lambda: _sheet(log, row, now),
        copies=command_line(row.exec.argv or (row.exec.file,)),
        copies_what=_copies_what(row.exec.argv),
        narrows=(lambda: process_level(row.exec.pid, row.exec.comm) if row.running else None) if row.running else None,
        narrows_what=NARROWS,
        subject=subject_of_exec(row),
        when=whole_text(row.exec.time, date=False),
    )


def process_details(log: ExecLog, process: ProcessInfo, now: float) -> Details:
    """Build the details of a process of the tree."""
    return Details(
        title=f"{process.comm} ({process.pid})",
        sheet=lambda: _process_sheet(log, process, now),
        copies=command_line(process.argv or (process.file,)),
        copies_what=_copies_what(process.argv),
        narrows=_running_step(process) if process.ended is None else None,
        narrows_what=NARROWS,
        subject=subject_of_process(process),
        place="process",
    )


def _running_step(process: ProcessInfo) -> Callable[[], FilterLevel | None]:
    return lambda: process_level(process.pid, process.comm) if process.ended is None else None


def _process_sheet(log: ExecLog, process: ProcessInfo, now: float) -> Sheet:
    sheet = Sheet()
    sheet.heading("Process")
    sheet.fact("pid", process.pid)
    sheet.fact("comm", process.comm, "bold")
    sheet.fact("file", process.file)
    sheet.fact("user", process.user or process.uid, note=f"uid {process.uid}")
    if process.since is None:
        sheet.fact("started", "before ebpftop")
    elif process.ended is None:
        sheet.fact("running", format.age(now - process.since), "$success")
    if process.ended is not None:
        ending = process.ending
        known = ending is not None and (ending.signal is not None or ending.code is not None)
        said = (ending.signal or f"exit code {ending.code}") if ending and known else "exited (not seen)"
        sheet.fact("ended", said, note=exit_meaning(ending.code if ending else None))
    sheet.fact("programs run", process.execs or None)
    if process.ending is not None:
        usage(sheet, process.ending, process.since, parent_of(log, process.ppid, process.start_ns))
    sheet.heading("Started by")
    _ancestors(sheet, log.processes.ancestors(process.ppid, process.start_ns), process.ppid, "")
    sheet.heading(f"Arguments ({len(process.argv)})")
    _arguments(sheet, process.argv)
    _command_line(sheet, process.argv or (process.file,))
    return sheet


def _arguments(sheet: Sheet, argv: tuple[str, ...]) -> None:
    left = SHOWN_CHARACTERS
    for i, argument in enumerate(argv):
        if left <= 0:
            arguments = format.counted(len(argv) - i, "more argument", whole=True)
            characters = format.counted(sum(map(len, argv[i:])), "character", whole=True)
            sheet.line((f"   …  {arguments}, {characters}: E exports them", "$warning"))
            break
        shown = argument[:left]
        # An empty argument has its own line too.
        left -= len(shown) + 40
        sheet.line((f"{i:>4}  ", "$dim"), (shown or "''", "" if shown else "$dim"), _rest(argument, shown))


def _copies_what(argv: tuple[str, ...]) -> str:
    return "Command line" if not argv or is_exact(argv) else f"Command line (not to be run{_MAY_BE_BYTES})"


def _command_line(sheet: Sheet, argv: tuple[str, ...]) -> None:
    sheet.heading(f"Command line (y copies it{'' if is_exact(argv) else _MAY_BE_BYTES})")
    whole = command_line(argv)
    shown = whole[:SHOWN_CHARACTERS]
    sheet.line((shown, ""), _rest(whole, shown))


def _rest(whole: str, shown: str) -> tuple[str, str]:
    """Return a note about how much of a text is not shown."""
    return (
        (f" … {format.counted(len(whole) - len(shown), 'more character', whole=True)}", "$warning")
        if len(whole) > len(shown)
        else ("", "")
    )


def _sheet(log: ExecLog, row: ExecRow, now: float) -> Sheet:
    e = row.exec
    sheet = Sheet()
    sheet.heading("Program")

    def cut(field: str) -> str:
        return "cut" if field in e.cut else ""

    sheet.fact("file", e.file, "bold", note=cut("file"))
    sheet.fact("interpreter", e.interp, note=cut("interp"))
    if e.exe is not None:
        hidden = e.exe.startswith("memfd:") or e.exe.endswith(" (deleted)")
        sheet.fact("runs", e.exe, "$warning" if hidden else "", cut("exe") or f"inode {e.exe_inode}")
    sheet.fact("comm", e.comm)
    sheet.fact("started", date_and_time(e.time))
    _outcome(sheet, row, now)
    if row.exit is not None:
        usage(sheet, row.exit, e.time, parent_of(log, e.ppid, e.start_ns))

    if attempts := attempts_of(row, log.ring):
        _attempts(sheet, row, attempts)

    sheet.heading("Process")
    sheet.fact("pid", e.pid, note=f"thread {e.tid}" if e.tid != e.pid else "")
    if e.nspid and e.nspid != e.pid:
        sheet.fact("pid inside", e.nspid, note=f"pid namespace {e.pidns}")
    sheet.fact("user", row.user, note=f"uid {e.uid}")
    if e.euid != e.uid:
        sheet.fact("acts as", f"uid {e.euid}", "$warning")
    sheet.fact("logged in as", None if e.loginuid is None else f"uid {e.loginuid}")
    sheet.fact("cgroup", e.cgroup, note=cut("cgroup"))
    sheet.fact("container", e.container, "$warning")
    sheet.fact("unit", e.unit)
    if e.sid:
        sheet.fact("terminal", e.tty or "none", note=f"session {e.sid}{', which it leads' if e.sid == e.pid else ''}")
    _where(sheet, e)
    _environment(sheet, e)

    sheet.heading("Started by")
    _ancestors(sheet, log.ancestors(row), e.ppid, e.pcomm)

    sheet.heading(f"Arguments ({len(e.argv)}{', cut off by the kernel side' if e.truncated else ''})")
    _arguments(sheet, e.argv)
    if e.truncated:
        sheet.line(("   …  there were more than ebpftop keeps", "$warning"))

    _command_line(sheet, e.argv or (e.file,))
    return sheet


def _where(sheet: Sheet, e: Exec) -> None:
    if e.cwd is None and not e.stdio:  # an older recording
        return
    sheet.heading("Where")
    if e.cwd is not None:
        astray = e.cwd.endswith(" (deleted)") or not e.cwd.startswith("/")
        sheet.fact("directory", e.cwd, "$warning" if astray else "", "cut" if "cwd" in e.cut else "")
    sheet.fact("root", e.root, "$warning", "cut" if "root" in e.cut else "all paths here are below it")
    cut = "cut" if "stdio" in e.cut else ""
    if len(set(e.stdio)) == 1 < len(e.stdio):
        sheet.fact("fds 0 1 2", e.stdio[0] or "closed", note=cut)
        return
    for label, file in zip(("stdin", "stdout", "stderr"), e.stdio, strict=False):
        sheet.fact(label, file or "closed", note=cut)


def _environment(sheet: Sheet, e: Exec) -> None:
    names = e.env_names if e.env_names is not None else tuple(e.env or ())
    if e.env is None and e.env_names is None:
        if e.cwd is not None and e.ret == 0:
            sheet.fact("environment", "not kept", "$dim", "--env NAMES or all keeps it")
        return
    cut = ", cut" if {"env", "env_names"} & {*e.cut} else ""
    sheet.heading(f"Environment ({len(names)}{cut})")
    if (differs := e.env_differs) is not None:
        found = (("new", differs.new), ("changed", differs.changed), ("gone", differs.gone))
        for label, those in found:
            sheet.fact(label, " ".join(sorted(those)) or None, note="against its parent's start")
        if not any(those for _, those in found):
            sheet.fact("differs", "no", "$dim", "the same as its parent's at its start")
    left = SHOWN_CHARACTERS
    if e.env is None:
        whole = " ".join(sorted(names))
        sheet.fact("names", whole[:left] or None, note="values: --env NAMES or all")
        return
    for name, value in sorted(e.env.items()):
        if left <= 0:
            sheet.line(("   …  more than is shown here: E exports them", "$warning"))
            break
        shown = value[:left]
        left -= len(name) + len(shown) + 40
        sheet.line((f"{name}=", "$dim"), (shown, ""), _rest(value, shown))


def _attempts(sheet: Sheet, row: ExecRow, attempts: list[ExecRow]) -> None:
    assert row.search is not None
    head = row.search.head
    sheet.heading(f"Tried before it was found ({len(attempts)})" if not head.failed else f"Tried ({len(attempts)})")
    width = min(40, max(len(attempt.exec.file) for attempt in attempts))
    for attempt in attempts:
        sheet.line((f"{attempt.exec.file:<{width}}", ""), (" → ", "$dim"), (attempt.outcome, "$error"))
    if (missing := row.search.attempts + head.failed - len(attempts)) > 0:
        sheet.line((f"and {format.counted(missing, 'older attempt')}, which the log does not have any more", "$dim"))


def _outcome(sheet: Sheet, row: ExecRow, now: float) -> None:
    e, seconds = row.exec, row.seconds(now)
    if row.failed:
        sheet.fact("failed", row.outcome, "$error bold", f"execve returned {e.ret}")
        return
    if row.exit is None and row.replaced:
        sheet.fact("ended", "ran another program in its place")
    elif row.exit is None:
        sheet.fact("running", format.age(seconds or 0), "$success")
        return
    elif row.exit.signal:
        core = "core dumped" if row.exit.core else ""
        note = ", ".join(filter(None, (killed_by(row.exit), core)))
        sheet.fact("killed by", row.exit.signal, "$error bold", note)
    elif row.exit.code is None:
        sheet.fact("ended", "exited (not seen)", note="at the latest by then")
    else:
        sheet.fact("exit code", row.exit.code, "$error" if row.exit.code else "", exit_meaning(row.exit.code))
    if seconds is not None:
        sheet.fact("duration", format.duration(seconds), note=f"{seconds:.6f} s")


def exit_meaning(code: int | None) -> str:
    """Return what an exit code usually means, by the convention of shells; empty if there is none."""
    if code is None:
        return ""
    if code in _EXIT_MEANINGS:
        return _EXIT_MEANINGS[code]
    # A shell adds 128 to the number of the signal that ended its command.
    number = code - 128
    return f"usually: its command was ended by {signal_name(number)}" if number in signal_numbers().values() else ""


def _ancestors(sheet: Sheet, ancestors: list[ProcessInfo], ppid: int, pcomm: str) -> None:
    if not ancestors:
        if ppid:
            sheet.fact(str(ppid), pcomm or "?", note="nothing more is known of it")
        else:
            sheet.line(("(none: pid 1)", "$dim"))
        return
    last = ancestors[-1]
    if last.pid != 1 and last.ppid:
        sheet.line((f"{last.ppid:>7}  ", "$dim"), ("not seen: it forked without exec, or its end was lost", "$dim"))
    for depth, known in enumerate(reversed(ancestors)):
        ended = "  (ended)" if known.ended is not None else ""
        sheet.line(
            (f"{known.pid:>7}  ", "$dim"),
            ("   " * (depth - 1) + ("└─ " if depth else ""), "$dim"),
            (known.comm, "bold"),
            (f"  {' '.join(known.argv)[:200]}{ended}", "$dim"),
        )
