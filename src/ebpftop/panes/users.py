"""Pane 2, users: who starts programs."""

from __future__ import annotations

from typing import ClassVar

from ebpftop.models.figures import count, per_second, sparkline
from ebpftop.models.scope import Step, user_step
from ebpftop.models.users import User, UsersModel
from ebpftop.panes.base import Pane
from ebpftop.panes.common import user
from ebpftop.records import ProbeName, UserRow
from ebpftop.source import Batch, Source
from ebpftop.widgets.columns import Cell, Column, Span
from ebpftop.widgets.lines import Lines
from ebpftop.widgets.sheet import Details, Sheet
from ebpftop.widgets.table import TableLines


def _name(u: User, _: float) -> Cell:
    return (Span(u.name, "strong"),) if u.row.uid < 0 else user(u.name, u.row.uid)


def _uid(u: User, _: float) -> Cell:
    return (Span(str(u.row.uid) if u.row.uid >= 0 else "", "dim"),)


def _failed(u: User, _: float) -> Cell:
    return (Span(count(u.row.failed), "bad") if u.row.failed else Span("·", "faint"),)


def _history(u: User, width: int) -> Cell:
    return (Span(sparkline(tuple(u.history), width), "spark"),)


COLUMNS: tuple[Column[User], ...] = (
    Column("user", "USER", 12, _name, sort=lambda u: u.name),
    Column("uid", "UID", 7, _uid, right=True, rank=5, sort=lambda u: -u.row.uid),
    Column("execs", "EXECS", 6, lambda u, _: (Span(count(u.row.execs)),), right=True, sort=lambda u: u.row.execs),
    Column("failed", "FAILED", 7, _failed, right=True, rank=1, sort=lambda u: u.row.failed),
    Column("rate", "RATE/s", 7, lambda u, _: (Span(per_second(u.rate)),), right=True, sort=lambda u: u.rate),
    Column("history", "HISTORY", 10, rank=3, flexible=True, fill=_history),
    Column("last", "LAST PROGRAM", 12, lambda u, _: (Span(u.row.last, "accent"),), rank=4, sort=lambda u: u.row.last),
)


def _sheet(person: User) -> Sheet:
    row = person.row
    sheet = Sheet()
    sheet.heading("User")
    sheet.fact("name", person.name, "bold", f"uid {row.uid}")
    sheet.fact("execs", f"{row.execs:,}", note="attempts since the start")
    sheet.fact("failed", f"{row.failed:,}", "$error" if row.failed else "")
    sheet.fact("rate", f"{per_second(person.rate)}/s", note="over the last reading")
    sheet.fact("last program", row.last)
    sheet.heading(f"Rate over the last {len(person.history)} readings")
    sheet.line((sparkline(tuple(person.history), min(60, len(person.history))), "$primary"))
    return sheet


class UsersPane(Pane):
    """Counters of each uid."""

    probe: ClassVar[ProbeName] = "users"
    number = 2
    label = "Users"
    waits_for = "waiting for somebody to start a program"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.model = UsersModel()

    def make_lines(self) -> Lines[User]:
        self.table = TableLines(COLUMNS, key_of=lambda u: u.row.uid, sort="execs")
        return self.table

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)

    def show(self) -> None:
        model = self.model
        if model.users:
            total = User(UserRow(uid=-1, user="total", execs=model.execs, failed=model.failed))
            total.meter = model.total
            self.table.sum = total
        self.table.show_rows(model.users.values())

    def user_step(self) -> Step | None:
        user = self.table.selected()
        return user_step(user.row.uid, user.row.user) if user else None

    def details(self, position: int) -> Details:
        person = self.table.row(position)
        return Details(title=person.name, sheet=lambda: _sheet(person), copies=person.name, copies_what="User")

    def tally(self) -> str:
        users = len(self.model.users)
        return f"{count(users)} user{'s' if users != 1 else ''}" if users else ""
