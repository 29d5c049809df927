"""The columns of the tables of units, containers, cgroups and programs: the same, as far as they have a meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ebpftop.core.format import age, nanoseconds, sparkline
from ebpftop.models.groups import By, Group
from ebpftop.ui.panes.common import number, rate
from ebpftop.ui.panes.execve_columns import rate_columns, total_columns
from ebpftop.ui.panes.figure_columns import failed_share_column, time_column
from ebpftop.ui.widgets.columns import Cell, Column, Span, clip_front


class Named(NamedTuple):
    """What the column of the names is called, its cells, and what it says."""

    title: str
    width: int
    widest: int
    about: str


NAMES: dict[By, Named] = {
    "units": Named("UNIT", 14, 30, "Its name: the innermost systemd unit that the processes are in."),
    "containers": Named("CONTAINER", 12, 30, "What its engine calls it, else its id."),
    "cgroups": Named(
        "CGROUP",
        18,
        44,
        "Its path, in the unified hierarchy or that of v1's pids controller; only its own processes.",
    ),
    "programs": Named("PROGRAM", 10, 16, "The command name of the processes, as the kernel has it."),
}


def _name(g: Group, width: int) -> Cell:
    look = "dim" if g.gone else "strong" if not g.is_one else "note" if g.by == "containers" else ""
    return (Span(clip_front(g.name, width) if g.by == "cgroups" else g.name, look),)


def _p99(g: Group, _: float) -> Cell:
    ns = g.p99_ns
    return (Span(nanoseconds(ns), "dim" if ns is None else "warn" if ns >= 1e9 else ""),)


def _state(g: Group, _: float) -> Cell:
    if g.gone:
        return (Span("gone", "dim"),)
    return (Span(g.state or "–", {"running": "good", "paused": "warn"}.get(g.state or "", "dim")),)


def _known(value: int | None, look: str) -> Cell:
    return (Span("–", "dim"),) if value is None else number(value, look)


def _since_last(g: Group, now: float) -> Cell:
    return (Span("–" if g.active is None else age(max(0.0, now - g.active)), "dim" if g.active is None else ""),)


def group_columns(by: By, peak: Callable[[], float]) -> tuple[Column[Group], ...]:
    """Return the columns of a view; *peak* is the top of the trends."""
    named = NAMES[by]

    def trend(g: Group, width: int) -> Cell:
        return (Span(sparkline(tuple(g.history), width, peak()), "bar"),)

    return (
        Column(
            "name",
            named.title,
            named.width,
            flexible=True,
            widest=named.widest,
            always=True,
            fill=_name,
            whole=lambda g, _: (Span(g.name),),
            sort=lambda g: g.name,
            about=named.about,
            value=lambda g, _: g.name,
            exported=by.removesuffix("s"),
        ),
        *_state_column(by),
        *rate_columns(
            lambda g: g.rate,
            lambda g: g.failed_rate,
            # Of those that start nothing now, the one that calls most comes first.
            lambda g: (g.rate, g.calls_rate),
        ),
        Column(
            "history",
            "TREND",
            10,
            rank=7,
            flexible=True,
            widest=24,
            fill=trend,
            sort=lambda g: sum(g.history),
            about="EXECS/s of the readings so far, the newest at the right. The title says the top of its scale.",
        ),
        Column(
            "calls",
            "CALLS/s",
            7,
            lambda g, _: rate(g.calls_rate),
            right=True,
            rank=2,
            sort=lambda g: g.calls_rate,
            about="System calls that returned, per second, over the last reading.",
            exported="calls_per_s",
        ),
        failed_share_column(
            "calls_failed",
            lambda g: g.calls_failed,
            rank=3,
            about="Share of these calls that returned an error, in percent; red from 50%.",
            exported="calls_failed_share",
        ),
        time_column(
            "calls_time",
            "TIME/s",
            6,
            lambda g: g.calls_ns,
            rank=4,
            about="Time that all its threads together spent in system calls, per second, waiting included.",
            exported="calls_ns_per_s",
        ),
        Column(
            "p99",
            "p99",
            5,
            _p99,
            right=True,
            rank=5,
            sort=lambda g: g.p99_ns or 0.0,
            value=lambda g, _: g.p99_ns,
            exported="p99_ns",
            about="99 of 100 calls took this long or less, since the probe was attached or the filter set.",
        ),
        Column(
            "blocked",
            "BLOCKED",
            7,
            lambda g, _: _known(g.blocked, ""),
            right=True,
            rank=6,
            # Recordings of older versions do not have it.
            filled=lambda g: g.blocked is not None,
            sort=lambda g: -1 if g.blocked is None else g.blocked,
            value=lambda g, _: g.blocked,
            exported="blocked_threads",
            about="Its threads that are blocked now: they wait for something, and do not want a CPU. W shows for what. "
            "–: that cannot be read.",
        ),
        *_last_columns(by),
        *total_columns(lambda g: g.total.execs, lambda g: g.total.failed, since="the probe was attached", rank=10),
    )


def _state_column(by: By) -> tuple[Column[Group], ...]:
    if by != "containers":
        return ()
    return (
        Column(
            "state",
            "STATE",
            7,
            _state,
            rank=3,
            sort=lambda g: "gone" if g.gone else g.state or "",
            about="running, paused or exited, as its cgroup says; gone: that was removed.",
            value=lambda g, _: "gone" if g.gone else g.state,
        ),
        Column(
            "id",
            "ID",
            12,
            lambda g, _: (Span(g.container or "", "dim"),),
            rank=12,
            hidden=True,
            sort=lambda g: g.container or "",
            about="Its id, of which twelve digits are shown.",
            value=lambda g, _: g.container,
        ),
    )


def _last_columns(by: By) -> tuple[Column[Group], ...]:
    if by == "programs":
        return (
            Column(
                "last",
                "LAST",
                4,
                _since_last,
                right=True,
                rank=8,
                sort=lambda g: g.active or 0.0,
                value=lambda g, _: g.active,
                exported="last_start",
                about="How long ago it was started last, as far as readings show it. –: not since they began.",
            ),
        )
    return (
        Column(
            "running",
            "RUNS",
            4,
            lambda g, _: _known(g.running, "good"),
            right=True,
            rank=8,
            sort=lambda g: -1 if g.running is None else g.running,
            about="The processes that are in it now. –: that cannot be read.",
        ),
        Column(
            "last",
            "LAST",
            10,
            lambda g, _: (Span(g.last, "accent"),),
            rank=9,
            sort=lambda g: g.last,
            about="Command name of the program that was started last in it.",
        ),
    )
