"""Pane 2, by user: who starts programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ebpftop.core.clock import time_text
from ebpftop.core.format import brief, count, counted, per_second, sparkline
from ebpftop.filters.stack import FilterLevel, container_level, user_level
from ebpftop.models.groups import GroupsModel
from ebpftop.models.program_fields import USERS
from ebpftop.models.seccomp import CallsSeen
from ebpftop.models.subject import Subject
from ebpftop.models.user import User
from ebpftop.models.users import UsersModel
from ebpftop.ui.panes.group_view import Around, bits_seen
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.user_columns import COLUMNS, is_one
from ebpftop.ui.panes.user_details import user_sheet
from ebpftop.ui.panes.view_by import View
from ebpftop.ui.widgets.columns import Cell, Span
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView


class UsersView(View[User]):
    """Counters of each uid."""

    name = "users"
    label = "Users"
    one = "user"

    def __init__(self, model: Callable[[], UsersModel], groups: Callable[[], GroupsModel], around: Around) -> None:
        """*groups* know which calls each user made, once one of their views has been open."""
        self._model = model
        self._groups = groups
        self._around = around
        self._count = 0
        self._total: User | None = None
        self._peak = 0.0

    @property
    def model(self) -> UsersModel:
        """The users at the moment that is shown."""
        return self._model()

    def make_table(self) -> TableView[User]:
        columns = tuple(replace(c, fill=self._history) if c.key == "history" else c for c in COLUMNS)
        return TableView(columns, key_of=lambda u: u.row.uid, sort="rate", language=USERS)

    def _history(self, u: User, width: int) -> Cell:
        return (Span(sparkline(tuple(u.history), width, self._peak), "bar"),)

    def show(self) -> None:
        shown = self.model.shown
        self._count = len(shown)
        self._total = self.model.shown_total if shown else None
        # No user has more than all together.
        self._peak = max(self._total.history, default=0.0) if self._total is not None else 0.0
        self.table.scales = {"history": f"log≤{brief(self._peak)}/s"} if self._peak else {}
        self.table.show_rows(shown)

    def level(self, row: User) -> FilterLevel | None:
        return user_level(row.row.uid, row.row.user) if is_one(row) else None

    def container_level(self, row: User) -> FilterLevel | None:
        activity = self.model.activity.get(row.row.uid)
        return container_level(activity.container) if activity and activity.container else None

    def subject(self, row: User) -> Subject | None:
        return Subject("user", uid=row.row.uid, user=row.row.user) if is_one(row) else None

    def details(self, row: User) -> Details:
        return Details(
            title=row.name,
            sheet=lambda: user_sheet(self.model, row, self.now()),
            copies=row.name,
            copies_what="User",
            narrows=(lambda: self.level(row)) if is_one(row) else None,
            narrows_what="Only this user",
            subject=self.subject(row),
            place="user",
            calls_seen=lambda: self.calls_seen(row),
        )

    def calls_seen(self, row: User) -> CallsSeen | None:
        groups = self._groups()
        counted = groups.users.rows.get(row.row.uid) if is_one(row) else None
        if counted is None or not (counted.seen or counted.seen_other):
            return None
        bits = int(counted.seen or "0", 16)
        return bits_seen(groups, self._around, f"the user {row.name}", bits, is_whole=not counted.seen_other)

    def title_counts(self, of_all: str) -> Sequence[Count]:
        total = self._total
        if total is None:
            return ()
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
