"""What a process used, and how it ended, as a part of its details."""

from __future__ import annotations

from ebpftop.core import format
from ebpftop.core.clock import time_text
from ebpftop.core.process_records import Exit
from ebpftop.models.execlog import ExecLog
from ebpftop.models.processes import ProcessInfo
from ebpftop.ui.widgets.sheet import Sheet

_HEAD = ("", "STARTED", "ENDED", "WALL", "CPU", "MEMORY", "FAULTS", "READ", "WRITE")
_WIDTHS = (8, 8, 6, 6, 7, 7, 7, 7)


def parent_of(log: ExecLog, ppid: int, start_ns: int) -> ProcessInfo | None:
    """Return the parent of a process, if it is known."""
    return next((one for one in log.processes.ancestors(ppid, start_ns)[:1] if one.pid == ppid), None)


def usage(sheet: Sheet, ending: Exit, started: float | None, parent: ProcessInfo | None) -> None:
    """Add what a process used since it *started* (Unix seconds), then the same of its *parent*, and how it ended."""
    if ending.cpu_s is None:  # its end was not seen, or an older recording
        return
    sheet.heading("Used")
    rows = [_cells("process", ending, started)]
    if parent is not None and parent.ending is not None and parent.ending.cpu_s is not None:
        rows.append(_cells("parent", parent.ending, parent.since))
    first = max(len(row[0]) for row in rows)
    for row, look in ((_HEAD, "$dim"), *((row, "") for row in rows)):
        cells = (f"{cell:>{width}}" for cell, width in zip(row[1:], _WIDTHS, strict=True))
        sheet.line((" ".join((f"{row[0]:<{first}}", *cells)), look))
    user, system = (format.duration(seconds or 0) for seconds in (ending.user_s, ending.system_s))
    sheet.line((f"CPU: {user} user, {system} system. {_more(ending)}", "$dim"))
    sheet.heading("End")
    sheet.line((_end(ending), ""))


def _cells(what: str, ending: Exit, started: float | None) -> tuple[str, ...]:
    return (
        f"{what} {ending.pid}",
        time_text(started) if started is not None else "before",
        time_text(ending.time),
        _time(ending.time - started if started is not None else ending.duration_s),
        _time(ending.cpu_s),
        _size(ending.max_rss_bytes),
        f"{format.count(ending.major_faults or 0)}+{format.count(ending.minor_faults or 0)}",
        _size(ending.read_bytes),
        _size(ending.written_bytes),
    )


def _more(ending: Exit) -> str:
    """Return in words what the table has no column for."""
    storage = [
        f"{format.size(number)} {verb} storage"
        for number, verb in ((ending.storage_read_bytes, "read from"), (ending.storage_written_bytes, "written to"))
        if number
    ]
    threads = format.counted(ending.threads or 1, "thread")
    forked = "a fork that executed no program" if ending.forked else ""
    return "; ".join(filter(None, (threads, *storage, forked)))


def _end(ending: Exit) -> str:
    return " · ".join(
        (
            "no exit code" if ending.code is None else f"exit {ending.code}",
            ending.signal or "no signal",
            f"killer {ending.killer} (uid {ending.killer.uid})" if ending.killer else "no killer",
            "core dumped" if ending.core else "no core",
            "out of memory" if ending.oom else "not out of memory",
        )
    )


def _time(seconds: float | None) -> str:
    return format.duration(seconds) if seconds else "·"


def _size(number: int | None) -> str:
    return format.size(number) if number else "·"
