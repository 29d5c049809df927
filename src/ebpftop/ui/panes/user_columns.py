"""The columns of the table of users."""

from __future__ import annotations

from ebpftop.core.format import per_second
from ebpftop.core.user_records import OTHER_UID
from ebpftop.models.user import User
from ebpftop.ui.panes.common import number, user
from ebpftop.ui.panes.execve_columns import rate_columns, total_columns
from ebpftop.ui.panes.figure_columns import failed_share_column, time_column
from ebpftop.ui.widgets.columns import Cell, Column, Span


def is_one(u: User) -> bool:
    """Tell a user from the total, and from all that the kernel's map had no room for."""
    return 0 <= u.row.uid < OTHER_UID


def _name(u: User, _: float) -> Cell:
    if not is_one(u):
        return (Span(u.name, "strong"),)
    return (*user(u.name, u.row.uid), *(() if u.row.ns_uid is None else (Span(f" ={u.row.ns_uid}", "note"),)))


def _uid(u: User, _: float) -> Cell:
    return (Span(str(u.row.uid) if is_one(u) else "", "dim"),)


def _ns_uid(u: User, _: float) -> Cell:
    return (Span("" if u.row.ns_uid is None else f"={u.row.ns_uid}", "note"),)


def _calls(u: User, _: float) -> Cell:
    if not u.calls_rate:
        return (Span("·", "dim"),)
    return (Span("≥" if u.calls_at_least else "", "dim"), Span(per_second(u.calls_rate)))


def _last(u: User, _: float) -> Cell:
    return (Span(u.row.last, "accent"),)


COLUMNS: tuple[Column[User], ...] = (
    Column(
        "user",
        "USER",
        8,
        _name,
        flexible=True,
        widest=16,
        always=True,
        sort=lambda u: u.name,
        about="Its name, or its uid if it has none. =33 behind it: its uid in a user namespace, such as a container's.",
        value=lambda u, _: u.name,
    ),
    Column(
        "uid",
        "UID",
        7,
        _uid,
        right=True,
        rank=10,
        hidden=True,
        sort=lambda u: -u.row.uid,
        about="User id, a number.",
        value=lambda u, _: u.row.uid,
    ),
    Column(
        "ns_uid",
        "NS UID",
        7,
        _ns_uid,
        right=True,
        rank=11,
        hidden=True,
        sort=lambda u: -1 if u.row.ns_uid is None else u.row.ns_uid,
        value=lambda u, _: u.row.ns_uid,
        about="Its uid in a user namespace, such as a container's.",
    ),
    *rate_columns(
        lambda u: u.rate,
        lambda u: u.failed_rate,
        # Of those that start nothing now, the one that started most comes first.
        lambda u: (u.rate, u.row.execs),
    ),
    Column(
        "history",
        "TREND",
        10,
        rank=4,
        flexible=True,
        widest=24,
        sort=lambda u: sum(u.history),
        about="EXECS/s of the readings so far, the newest at the right. The title says the top of its scale.",
    ),
    Column(
        "running",
        "RUNS",
        4,
        lambda u, _: number(u.running, "good"),
        right=True,
        rank=6,
        sort=lambda u: u.running,
        about="Its running processes, as far as the exec log knows them.",
    ),
    Column(
        "calls",
        "CALLS/s",
        7,
        _calls,
        right=True,
        rank=2,
        sort=lambda u: u.calls_rate,
        about="Its system calls per second, since it was read last which process makes them: with each reading while a "
        "list of them is open, else every 5 s. ≥: some were evicted from the kernel's map.",
        exported="calls_per_s",
    ),
    failed_share_column(
        "calls_failed",
        lambda u: u.calls_failed,
        rank=3,
        about="Share of these calls that returned an error, in percent; red from 50%.",
        exported="calls_failed_share",
    ),
    time_column(
        "calls_time",
        "TIME/s",
        6,
        lambda u: u.calls_ns,
        rank=5,
        about="Time that all its threads together spent in system calls, per second, waiting included. –: unknown.",
        exported="calls_ns_per_s",
    ),
    *total_columns(lambda u: u.row.execs, lambda u: u.row.failed, since="ebpftop started", rank=8),
    Column(
        "last",
        "LAST",
        10,
        _last,
        rank=7,
        sort=lambda u: u.row.last,
        about="Command name of the program that it started last.",
    ),
)
