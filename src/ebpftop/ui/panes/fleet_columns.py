"""Columns of the hosts of a fleet, and of the merged log."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.core.format import age, brief, count, counted, duration, fine_share
from ebpftop.fleet.model import CLOCK_OFF_S, FleetModel, Logged
from ebpftop.fleet.rows import SEVERITY, HostRow
from ebpftop.ui.panes.common import clock, narrow_time, user
from ebpftop.ui.widgets.columns import Cell, Column, Span, clip

_UNKNOWN: Cell = (Span("–", "dim"),)
_NONE: Cell = (Span("·", "dim"),)
_GONE = 4
_CLOCK_SHOWN_S = 0.4
"""Less may be the way of the records, which come up to half a second late."""


def host_mark(model: FleetModel) -> Callable[[HostRow], Span]:
    """Return what draws the sign in front of a host: ``✗`` it does not answer, ``!`` something is wrong with it."""

    def mark(row: HostRow) -> Span:
        severity = SEVERITY[row.state]
        if severity >= _GONE:
            return Span("✗", "bad")
        return Span("!", "bad") if severity > 1 or model.is_off(row) else Span(" ")

    return mark


def clock_text(row: HostRow) -> str:
    """Return how much the clock of a host is ahead, ``+2.3s``; empty if it is as ours."""
    ahead_s = row.clock_s
    if ahead_s is None or abs(ahead_s) < _CLOCK_SHOWN_S:
        return ""
    return f"{'+' if ahead_s > 0 else '-'}{duration(abs(ahead_s))}"


def note_text(model: FleetModel, row: HostRow) -> str:
    """Return what is wrong with a host, and what helps, in words."""
    parts = [part for part in (row.said, row.remedy) if part]
    if row.state in ("up", "connecting") and abs(row.clock_s or 0.0) >= CLOCK_OFF_S:
        parts.append(f"its clock is {clock_text(row)} from this one: chronyc tracking says why")
    if row.dropped:
        parts.append(f"its panes could not take {counted(row.dropped, 'event')}")
    if row.broken:
        parts.append(f"no records: {counted(row.broken, 'line')}")
    text = ": ".join(parts)
    if row.retry_s is not None:
        wait_s = max(0.0, row.retry_s - model.now_s)
        text += f" (again in {age(wait_s)})" if wait_s >= 1 else " (connecting)"
    return text


def _short(seconds: float) -> str:
    """Return a time span in at most four characters: 9s, 119s, 4m, 99h, 11d."""
    for limit, unit, per in ((120, "s", 1), (7200, "m", 60), (360_000, "h", 3600)):
        if seconds < limit:
            return f"{int(seconds / per)}{unit}"
    return f"{int(seconds / 86_400)}d"


def _rate(value: Callable[[HostRow], float | None], look: str = "") -> Callable[[HostRow, float], Cell]:
    def cell(row: HostRow, _: float) -> Cell:
        each = value(row)
        if each is None:
            return _UNKNOWN
        return (Span(brief(each), look),) if each > 0 else _NONE

    return cell


def _or_least(value: Callable[[HostRow], float | None]) -> Callable[[HostRow], float]:
    def order(row: HostRow) -> float:
        found = value(row)
        return -1.0 if found is None else found

    return order


def _rate_column(
    key: str, title: str, value: Callable[[HostRow], float | None], rank: int, about: str, look: str = ""
) -> Column[HostRow]:
    return Column(
        key,
        title,
        len(title),
        _rate(value, look),
        right=True,
        rank=rank,
        sort=_or_least(value),
        value=lambda row, _: value(row),
        about=about,
        exported=f"{key}_per_s",
    )


_STATE_LOOKS = {0: "good", 1: "dim", 2: "warn"}


def host_columns(model: FleetModel) -> tuple[Column[HostRow], ...]:
    """Return the columns of the hosts of *model*."""

    def state(row: HostRow, _: float) -> Cell:
        look = _STATE_LOOKS.get(SEVERITY[row.state], "bad")
        since = age(model.now_s - row.since_s) if row.state in ("gone", "stale") else clock_text(row)
        return (Span(row.state, look), Span(f" {since}" if since else "", "dim"))

    def silent(row: HostRow, _: float) -> Cell:
        seconds = model.age_s(row)
        return _UNKNOWN if seconds is None else (Span(_short(seconds), "warn" if SEVERITY[row.state] else ""),)

    def lost(row: HostRow, _: float) -> Cell:
        number = row.lost + row.dropped
        return (Span(count(number), "warn"),) if number else _NONE

    def cost(row: HostRow, _: float) -> Cell:
        return _UNKNOWN if row.cost is None else (Span(fine_share(row.cost)),)

    def ahead(row: HostRow, _: float) -> Cell:
        if row.clock_s is None:
            return _UNKNOWN
        text = clock_text(row)
        return (Span(text, "bad" if abs(row.clock_s) >= CLOCK_OFF_S else "warn"),) if text else _NONE

    def note(row: HostRow, width: int) -> Cell:
        return (Span(clip(note_text(model, row), width), "warn" if SEVERITY[row.state] > 1 else "dim"),)

    return (
        Column(
            "host",
            "HOST",
            10,
            always=True,
            flexible=True,
            widest=28,
            fill=lambda row, width: (Span(clip(row.name, width), "strong"),),
            whole=lambda row, _: (Span(row.name),),
            sort=lambda row: row.name,
            value=lambda row, _: row.name,
            about="Its name: as ssh has it, or in front of its lines in the pipe.",
        ),
        Column(
            "state",
            "STATE",
            12,
            state,
            rank=1,
            sort=model.urgency,
            value=lambda row, _: row.state,
            about="up; stale: no record for five seconds, and gone after a minute, with the time since; or why nothing "
            "comes. +0.4s: its clock is so much ahead. Sorted by this: what is wrong first, then what fails most.",
        ),
        _rate_column(
            "execs", "EXECS/s", lambda row: row.execs, 5, "Programs that start each second, of the last three seconds."
        ),
        _rate_column(
            "fail",
            "FAIL/s",
            lambda row: row.failures,
            3,
            "Programs that do not start: execs that return an error.",
            "bad",
        ),
        _rate_column("calls", "CALLS/s", lambda row: row.calls, 7, "System calls each second, between two readings."),
        _rate_column("errors", "ERR/s", lambda row: row.errors, 8, "System calls that return an error each second."),
        Column(
            "lost",
            "LOST",
            5,
            lost,
            right=True,
            rank=4,
            sort=lambda row: row.lost + row.dropped,
            value=lambda row, _: row.lost + row.dropped,
            about="What happened and is not shown: what ebpftop lost there, and what its panes here did not take.",
        ),
        Column(
            "cost",
            "COST",
            5,
            cost,
            right=True,
            rank=9,
            sort=_or_least(lambda row: row.cost),
            value=lambda row, _: row.cost,
            about="CPU of ebpftop there, kernel side and process, of one CPU.",
            exported="cost_cpus",
        ),
        Column(
            "age",
            "AGE",
            4,
            silent,
            right=True,
            rank=6,
            sort=_or_least(model.age_s),
            value=lambda row, _: model.age_s(row),
            about="How long ago its last record came, by the clock here.",
            exported="age_s",
        ),
        Column(
            "clock",
            "CLOCK",
            7,
            ahead,
            right=True,
            rank=10,
            shown_from=110,
            sort=_or_least(lambda row: None if row.clock_s is None else abs(row.clock_s)),
            value=lambda row, _: row.clock_s,
            about="How much its clock is ahead of the one here. A dot: by less than 0.4 s, which records may need.",
            exported="clock_s",
        ),
        Column(
            "note",
            "WHAT IS WRONG, WHAT HELPS",
            14,
            rank=2,
            flexible=True,
            fill=note,
            whole=lambda row, _: (Span(note_text(model, row)),),
            value=lambda row, _: note_text(model, row),
            about="What ssh, sudo or ebpftop there said, and what helps; the line below the table has all of it.",
        ),
    )


def log_mark(row: Logged) -> Span:
    """Return the sign in front of a program, as in the exec log."""
    end = row.end
    if row.started.ret:
        return Span("✗", "bad")
    if end is None:
        return Span("●", "good")
    if end.signal is not None:
        return Span("†", "bad")
    return Span("!", "bad") if end.code else Span(" ")


def _outcome(row: Logged, _: float) -> Cell:
    if row.started.ret:
        return (Span(row.started.error or str(row.started.ret), "bad"),)
    end = row.end
    if end is None:
        return (Span("running", "good"),)
    if end.signal is not None:
        return (Span(end.signal, "bad"),)
    if end.code is None:
        return (Span("exited ?", "dim"),)
    return (Span(f"exit {end.code}", "bad" if end.code else "dim"),)


LOG_COLUMNS: tuple[Column[Logged], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda row, now: clock(row.started.time, now),
        rank=3,
        about="When it started, by the clock of its host.",
        value=lambda row, _: row.started.time,
        narrow=narrow_time(lambda row: row.started.time),
    ),
    Column(
        "host",
        "HOST",
        10,
        lambda row, _: (Span(row.started.host, "accent"),),
        about="The host that it started on.",
        narrow=None,
    ),
    Column(
        "duration",
        "DUR",
        6,
        lambda row, _: (
            (Span(duration(row.end.duration_s)),) if row.end is not None and row.end.duration_s is not None else _NONE
        ),
        right=True,
        rank=5,
        shown_from=100,
        value=lambda row, _: row.end.duration_s if row.end is not None else None,
        about="From its start to its end.",
        exported="duration_s",
    ),
    Column("outcome", "OUTCOME", 8, _outcome, rank=1, about="How it ended, or why it did not start; see the marks."),
    Column(
        "user",
        "USER",
        8,
        lambda row, _: user(row.started.user or str(row.started.uid), row.started.uid),
        rank=2,
        about="The user that it runs as, by the names of its host.",
    ),
    Column(
        "pid",
        "PID",
        7,
        lambda row, _: (Span(str(row.started.pid), "dim"),),
        right=True,
        rank=4,
        shown_from=90,
        about="Process id there.",
    ),
    Column(
        "command",
        "COMMAND",
        20,
        lambda row, _: (Span(row.started.command),),
        flexible=True,
        about="Its arguments as given; at most 400 characters. Its host has all of them.",
    ),
)
