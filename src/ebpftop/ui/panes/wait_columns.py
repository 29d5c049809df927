"""Columns of processes that wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ebpftop.core.format import count, whole_share
from ebpftop.models.waits import IS_QUEUED, ON_CPU, RUNS, SPAN_S, Machine, Waiter, WaitsModel, most_on
from ebpftop.ui.panes.figure_columns import share_column
from ebpftop.ui.widgets.columns import Cell, Column, Shown, SortKey, Span, clip
from ebpftop.ui.widgets.table_view import TableView

_LOOKS = {RUNS: "good", IS_QUEUED: "warn"}
_NONE = (Span("·", "dim"),)
_A_LOT = 0.005


def mark(waiter: Waiter) -> Span:
    """Return the sign in front of a process: ``!`` if at most SIGKILL ends the wait of a thread of it."""
    if any(thread.state == "uninterruptible" for thread in waiter.row.now):
        return Span("!", "bad")
    return Span(" ")


def _share_column(
    key: str,
    title: str,
    width: int,
    part: Callable[[Waiter], float],
    *,
    about: str,
    exported: str,
    rank: int,
    look: str = "",
    sort: Callable[[Waiter], SortKey] | None = None,
) -> Column[Waiter]:
    return share_column(
        key,
        title,
        width,
        part,
        about=about,
        rank=rank,
        text=lambda value: whole_share(value) if value >= _A_LOT else "·",
        look=lambda waiter: look if part(waiter) >= _A_LOT else "dim",
        sort=sort or part,
        exported=exported,
    )


def _name(waiter: Waiter, width: int) -> Cell:
    pid = f" {waiter.row.pid}"
    return (Span(clip(waiter.row.comm, width - len(pid)), "dim" if waiter.row.ended else "strong"), Span(pid, "dim"))


def _letters(waiter: Waiter, now: float) -> Cell:
    return tuple(Span(letter, _LOOKS.get(letter, "dim")) for letter in waiter.letters(now))


def _blocked_order(waiter: Waiter) -> tuple[float, float]:
    return round(waiter.blocked, 2), waiter.urgency


def wait_columns(machine: Callable[[], Machine | None]) -> tuple[Column[Waiter], ...]:
    """Return the columns; *machine* is that of the moment that is shown."""

    def on(waiter: Waiter, _: float) -> Cell:
        text = most_on(waiter, machine())
        if waiter.row.ended:
            return (Span(text, "dim"),)
        return (Span(text, "good" if text == ON_CPU else "warn" if text.startswith("CPU") else "accent"),)

    return (
        Column(
            "process",
            "PROCESS",
            14,
            always=True,
            flexible=True,
            widest=24,
            fill=_name,
            whole=lambda w, _: (Span(f"{w.row.comm} {w.row.pid}"),),
            sort=lambda w: w.row.comm,
            value=lambda w, _: w.row.comm,
            about="Its name and pid. ! in front: at most SIGKILL ends the wait of one of its threads; mostly it is for "
            "a disk or a file server.",
            exported="comm",
        ),
        Column(
            "pid",
            "PID",
            7,
            lambda w, _: (Span(str(w.row.pid)),),
            right=True,
            rank=20,
            hidden=True,
            sort=lambda w: w.row.pid,
            value=lambda w, _: w.row.pid,
            about="Its pid alone.",
        ),
        _share_column(
            "running",
            "RUNNING",
            7,
            lambda w: w.running,
            look="good",
            rank=5,
            about="How much of one CPU it had in the last 10 s, as in htop: 200% if two of its threads always ran.",
            exported="running_cpus",
        ),
        _share_column(
            "queued",
            "QUEUED",
            6,
            lambda w: w.queued,
            look="warn",
            rank=4,
            about="How much it wanted a CPU and had none: 100% if one of its threads always did. Much of it: the "
            "machine has too few.",
            exported="queued_threads",
        ),
        _share_column(
            "blocked",
            "BLOCKED",
            8,
            lambda w: w.blocked,
            sort=_blocked_order,
            rank=1,
            about="The share of its threads' time that they were blocked: until somebody woke them. Of those with as "
            "much, first come those that hang, last those that are there to wait.",
            exported="blocked_share",
        ),
        Column(
            "letters",
            f"{SPAN_S} s",
            SPAN_S,
            _letters,
            rank=3,
            value=lambda w, now: w.letters(now),
            about="What it mostly did in each of the last 10 seconds, the newest at the right: r ran, q was queued for "
            "a CPU, b was blocked; · not known.",
            exported="seconds",
        ),
        Column(
            "on",
            "MOST ON",
            20,
            on,
            rank=2,
            flexible=True,
            widest=80,
            sort=lambda w: most_on(w, machine()),
            value=lambda w, _: most_on(w, machine()),
            about="What it is mostly on: the call that it waits in and, where that is known, its other end, file, "
            "child or lock; ← who ends the wait. on CPU: it runs. CPU: it waits for one, which so many threads want.",
            exported="most_on",
        ),
        Column(
            "threads",
            "THR",
            4,
            lambda w, _: (Span(count(w.row.threads), "dim"),),
            right=True,
            rank=6,
            shown_from=110,
            sort=lambda w: w.row.threads,
            value=lambda w, _: w.row.threads,
            about="Its threads.",
            exported="threads",
        ),
        Column(
            "woken",
            "WOKEN",
            6,
            lambda w, _: (Span(count(w.wakeups)),) if w.wakeups else _NONE,
            right=True,
            rank=7,
            shown_from=110,
            sort=lambda w: w.wakeups,
            value=lambda w, _: w.wakeups,
            about="How often one of its threads was woken in the last 10 s.",
            exported="wakeups",
        ),
        Column(
            "uid",
            "UID",
            6,
            lambda w, _: (Span(str(w.row.uid), "root" if not w.row.uid else ""),),
            right=True,
            rank=8,
            hidden=True,
            sort=lambda w: w.row.uid,
            value=lambda w, _: w.row.uid,
            about="Its user's id.",
        ),
    )


def exported_waits(table: TableView[Waiter]) -> Shown[Waiter]:
    """Return the columns and rows of *table*, scrolled away or not, and the pid, for an export."""
    shown = tuple(c for c in table.columns if c.always or c.key == "pid" or c.key not in table.hidden)
    return Shown(shown, table.rows(), table.now)


def most_blocked(model: WaitsModel) -> Shown[Waiter]:
    """Return the usual columns, and all processes, those first that are blocked most, for a report."""
    columns = wait_columns(lambda: model.machine)
    shown = tuple(c for c in columns if not c.hidden or c.key == "pid")
    rows: Sequence[Waiter] = sorted(model.waiters, key=lambda w: (*_blocked_order(w), -w.row.pid), reverse=True)
    return Shown(shown, list(rows), model.latest.time if model.latest is not None else 0.0)
