"""Pane 2, users: who starts programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from ebpftop.core.clock import time_text
from ebpftop.core.format import brief, count, counted, per_second, sparkline
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.core.user_records import OTHER_UID
from ebpftop.filters.stack import FilterLevel, container_level, user_level
from ebpftop.models.base import Model
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.program_fields import USERS
from ebpftop.models.subject import Subject
from ebpftop.models.user import User
from ebpftop.models.users import UsersModel
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.common import user
from ebpftop.ui.panes.figure_columns import failed_share_column, time_column
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.user_details import user_sheet
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView
from ebpftop.ui.words import Mark


def _is_one(u: User) -> bool:
    """Tell a user from the total, and from all that the kernel's map had no room for."""
    return 0 <= u.row.uid < OTHER_UID


def _name(u: User, _: float) -> Cell:
    if not _is_one(u):
        return (Span(u.name, "strong"),)
    return (*user(u.name, u.row.uid), *(() if u.row.ns_uid is None else (Span(f" ={u.row.ns_uid}", "note"),)))


def _uid(u: User, _: float) -> Cell:
    return (Span(str(u.row.uid) if _is_one(u) else "", "dim"),)


def _ns_uid(u: User, _: float) -> Cell:
    return (Span("" if u.row.ns_uid is None else f"={u.row.ns_uid}", "note"),)


def _number(value: int, look: str = "") -> Cell:
    return (Span(count(value), look) if value else Span("·", "dim"),)


def _per_second(rate: float, look: str = "") -> Cell:
    return (Span(per_second(rate), look) if rate else Span("·", "dim"),)


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
    Column(
        "rate",
        "EXECS/s",
        7,
        lambda u, _: _per_second(u.rate),
        right=True,
        # Of those that start nothing now, the one that started most comes first.
        sort=lambda u: (u.rate, u.row.execs),
        about="execve calls per second, over the last reading, those that failed included.",
        exported="execs_per_s",
    ),
    Column(
        "failed_rate",
        "FAIL/s",
        6,
        lambda u, _: _per_second(u.failed_rate, "bad"),
        right=True,
        rank=1,
        sort=lambda u: u.failed_rate,
        about="How many of these did not start a program, per second: each attempt of a search in PATH is one.",
        exported="failed_per_s",
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
        lambda u, _: _number(u.running, "good"),
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
    Column(
        "execs",
        "EXECS",
        6,
        lambda u, _: _number(u.row.execs),
        right=True,
        rank=8,
        sort=lambda u: u.row.execs,
        about="execve calls since ebpftop started, or since the filter was set, those that failed included.",
    ),
    Column(
        "failed",
        "FAILED",
        7,
        lambda u, _: _number(u.row.failed, "bad"),
        right=True,
        rank=9,
        sort=lambda u: u.row.failed,
        about="How many of these did not start a program.",
    ),
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


class UsersPane(Pane):
    """Counters of each uid."""

    probe: ClassVar[ProbeName] = "users"
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("execs", "syscalls")
    label = "Users"
    empty_text = "Nobody has started a program"
    about: ClassVar[str] = (
        "Who starts programs: a row for each user, the busiest first. Counted in the kernel, so that no exec is too "
        "fast for it. Enter shows the programs that a user ran last; u filters all panes to that user.\n"
        "The title counts execve calls, and those that failed, since ebpftop started or the filter was set. Each "
        "attempt of a search in PATH is such a call, so there are more than programs that did not start, which the "
        "title of the exec log counts."
    )
    marks: ClassVar[tuple[Mark, ...]] = (
        Mark("root", "uid 0", "root"),
        Mark("=33", "the uid in its user namespace, such as a container's", "note"),
        Mark("≥", "at least: rows of this user were evicted from the kernel's map, and are not counted", "dim"),
        Mark("▁▂▄█", "execve calls per second, reading by reading; blank is nothing", "bar"),
        Mark("other", "all users that have no room of their own in the kernel's map, counted together", "strong"),
    )

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: UsersModel = UsersModel()
        self._count = 0
        self._total: User | None = None
        self._peak = 0.0

    def make_lines(self) -> RowView[User]:
        columns = tuple(replace(c, fill=self._history) if c.key == "history" else c for c in COLUMNS)
        self.table = TableView(columns, key_of=lambda u: u.row.uid, sort="rate", language=USERS)
        return self.table

    def _history(self, u: User, width: int) -> Cell:
        return (Span(sparkline(tuple(u.history), width, self._peak), "bar"),)

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)

    def show(self) -> None:
        shown = self.model.shown
        self._count = len(shown)
        self._total = self.model.shown_total if shown else None
        # No user has more than all together.
        self._peak = max(self._total.history, default=0.0) if self._total is not None else 0.0
        self.table.scales = {"history": f"log≤{brief(self._peak)}/s"} if self._peak else {}
        self.table.show_rows(shown)

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        super().set_model(model, view_filter)
        if self.model.view_filter.filter != view_filter.filter:
            self.model.apply_filter(view_filter)

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self.model.apply_filter(view_filter)
        self.show()
        self.describe()

    def user_level(self) -> FilterLevel | None:
        row = self.table.selected()
        return user_level(row.row.uid, row.row.user) if row and _is_one(row) else None

    def container_level(self) -> FilterLevel | None:
        row = self.table.selected()
        activity = self.model.activity.get(row.row.uid) if row else None
        return container_level(activity.container) if activity and activity.container else None

    def subject(self, row: User) -> Subject | None:
        return Subject("user", uid=row.row.uid, user=row.row.user) if _is_one(row) else None

    def details(self, row: User) -> Details:
        return Details(
            title=row.name,
            sheet=lambda: user_sheet(self.model, row, self.lines.now),
            copies=row.name,
            copies_what="User",
            narrows=(lambda: user_level(row.row.uid, row.row.user)) if _is_one(row) else None,
            narrows_what="Only this user",
            subject=self.subject(row),
            place="user",
        )

    def title_counts(self) -> Sequence[Count]:
        total = self._total
        if total is None:
            return ()
        of_all = self.shown_of_all()
        counts = [
            Count(f"{per_second(total.rate)}/s" if total.rate else "0/s"),
            Count(f"{of_all}{counted(self._count, 'user')}", 0 if of_all else 2),
            Count(counted(total.row.execs, "exec"), 3),
        ]
        if total.row.failed:
            counts.append(Count(f"{count(total.row.failed)} execve failed", 1))
        if total.calls_rate:
            counts.append(Count(f"calls {per_second(total.calls_rate)}/s", 4))
        return counts

    def subtitle(self) -> str:
        if not self.model.view_filter:
            return ""
        since = self.model.since
        return "filtered; counters not reset" if since is None else f"since {time_text(since)}, the filter"
