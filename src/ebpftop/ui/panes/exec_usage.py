"""What a process and its parent used, as a table in its details, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ebpftop.core import format
from ebpftop.core.clock import date_text, day, time_text
from ebpftop.core.process_records import Exit
from ebpftop.ui.widgets.sheet import Piece, Sheet

UNKNOWN = "–"  # as the screens are drawn

_HEADS = ("STARTED", "ENDED", "WALL", "CPU", "MEMORY", "FAULTS", "READ", "WRITE")
_WIDTHS = (8, 8, 6, 6, 7, 7, 7, 7)
_WITH_MS = (12, 12, *_WIDTHS[2:])
_SHORTER = (len(_HEADS), 5, 4, 3)
"""So many columns are shown, the most that fit: faults, bytes read and bytes written go together."""


class Life(NamedTuple):
    """A process: when it started (Unix seconds, None: before ebpftop), and how it ended; if it did not, its age."""

    what: str
    pid: int
    started: float | None
    ended: float | None
    ending: Exit | None
    now: float


def usage_table(sheet: Sheet, lives: Sequence[Life]) -> None:
    """Add a table with a row for each of *lives*; of a running process it has only the times."""
    sheet.laid_out(lambda width: _table(lives, width))


def _table(lives: Sequence[Life], width: int) -> list[list[Piece]]:
    names = [f"{life.what} {life.pid}" for life in lives]
    first = max(map(len, names))

    def needed(count: int, widths: Sequence[int]) -> int:
        return first + count + sum(widths[:count])

    if width < needed(len(_HEADS), _WIDTHS):  # the pids are in the title and among the ancestors, too
        without = max(len(life.what) for life in lives)
        if needed(len(_HEADS), _WIDTHS) - first + without <= width:
            names, first = [life.what for life in lives], without
    count = next((count for count in _SHORTER if needed(count, _WIDTHS) <= width), 1)
    milliseconds = needed(len(_HEADS), _WITH_MS) <= width
    widths = _WITH_MS if milliseconds else _WIDTHS
    lines = [_line("", _HEADS[:count], first, widths, "$dim")]
    for name, life in zip(names, lives, strict=True):
        lines.append(_line(name, _cells(life, milliseconds=milliseconds)[:count], first, widths, ""))
    return lines


def _line(name: str, cells: Sequence[str], first: int, widths: Sequence[int], style: str) -> list[Piece]:
    shown = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
    return [(f"{name:<{first}} ", "$dim"), (" ".join(shown), style)]


def _cells(life: Life, *, milliseconds: bool) -> tuple[str, ...]:
    ending = life.ending
    end = life.ended if life.ended is not None else life.now
    if ending is not None and ending.duration_s is not None:
        wall: float | None = ending.duration_s
    else:
        wall = None if life.started is None else max(0.0, end - life.started)
    times = (
        "before" if life.started is None else _clock(life.started, life.now, milliseconds=milliseconds),
        "running" if life.ended is None else _clock(life.ended, life.now, milliseconds=milliseconds),
        UNKNOWN if wall is None else format.age(wall) if life.ended is None else format.duration(wall),
    )
    if ending is None or ending.cpu_s is None:  # it runs, its end was not seen, or the recording is an older one
        return (*times, *(UNKNOWN for _ in range(5)))
    return (
        *times,
        format.duration(ending.cpu_s) if ending.cpu_s else "·",
        _size(ending.max_rss_bytes),
        f"{format.count(ending.major_faults or 0)}+{format.count(ending.minor_faults or 0)}",
        _size(ending.read_bytes),
        _size(ending.written_bytes),
    )


def _clock(time: float, now: float, *, milliseconds: bool) -> str:
    if day(int(time)) != day(int(now)):
        return date_text(time)
    return f"{time_text(time)}.{int(time * 1000) % 1000:03}" if milliseconds else time_text(time)


def used_words(ending: Exit | None) -> str:
    """Return what has no column: how its CPU time divides, its threads, what it read from storage; empty: unknown."""
    if ending is None or ending.cpu_s is None:
        return ""
    user, system = (format.duration(seconds or 0) for seconds in (ending.user_s, ending.system_s))
    storage = [
        f"{format.size(number)} {verb} storage"
        for number, verb in ((ending.storage_read_bytes, "read from"), (ending.storage_written_bytes, "written to"))
        if number
    ]
    threads = format.counted(ending.threads or 1, "thread")
    forked = "a fork that executed no program" if ending.forked else ""
    return "; ".join(filter(None, (f"CPU since its fork: {user} user, {system} system", threads, *storage, forked)))


def end_items(ending: Exit) -> list[str]:
    """Return how a process ended; in an older recording, and if its end was not seen, much of it is not known."""
    known = ending.cpu_s is not None
    if ending.code is None and ending.signal is None:
        return ["exited (not seen)"]
    items = [
        "no exit code" if ending.code is None else f"exit {ending.code}",
        ending.signal or "no signal",
        f"killer {ending.killer} (uid {ending.killer.uid})" if ending.killer else "no killer" if known else "",
        "core dumped" if ending.core else "no core" if known else "",
        "out of memory" if ending.oom else "not out of memory" if known else "",
    ]
    return [item for item in items if item]


def _size(number: int | None) -> str:
    return format.size(number) if number else "·"
