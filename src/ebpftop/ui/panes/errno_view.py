"""Pane 2, by errno: which errors system calls return, and which calls they are of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from ebpftop.core import format
from ebpftop.core.format import count, counted, per_second
from ebpftop.core.records import ProbeName
from ebpftop.models.errnos import Errno, by_errno
from ebpftop.models.group_fields import ERRNOS
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.panes.common import rate
from ebpftop.ui.panes.figure_columns import count_column, share_column
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.view_by import View
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.table_view import TableView

MOST = 30
BAR = 16


def _most(e: Errno, _: float) -> Cell:
    others = len(e.calls) - 1
    return (Span(e.most.name), *([Span(f" +{others}", "dim")] if others else ()))


COLUMNS: tuple[Column[Errno], ...] = (
    Column(
        "errno",
        "ERRNO",
        9,
        lambda e, _: (Span(e.name, "bad"),),
        flexible=True,
        widest=16,
        always=True,
        sort=lambda e: e.name,
        about="The error, by name.",
    ),
    Column(
        "rate",
        "TIMES/s",
        7,
        lambda e, _: rate(e.rate),
        right=True,
        # Of those that nothing returns now, the most frequent comes first.
        sort=lambda e: (e.rate, e.count),
        about="How often a system call returned it, per second, over the last reading.",
        exported="times_per_s",
    ),
    share_column(
        "share", "SHARE", 5, lambda e: e.share, rank=3, about="Its share of all errors that were counted, in percent."
    ),
    Column(
        "most",
        "MOST BY",
        12,
        _most,
        rank=1,
        flexible=True,
        widest=24,
        sort=lambda e: e.most.name,
        about="The call that returned it most often. +3: and three others.",
        value=lambda e, _: e.most.name,
        exported="call",
    ),
    Column(
        "meaning",
        "MEANING",
        14,
        lambda e, _: (Span(e.meaning, "dim"),),
        rank=2,
        flexible=True,
        widest=44,
        sort=lambda e: e.meaning,
        about="What it means, as the C library says.",
    ),
    count_column(
        "times",
        "TIMES",
        6,
        lambda e: e.count,
        rank=4,
        about="How often a system call returned it since ebpftop started, since Z, or since the filter was set.",
    ),
)


class ErrnosView(View[Errno]):
    """The errors, from the counters of system calls."""

    name = "errnos"
    label = "Errnos"
    one = "errno"
    probe: ClassVar[ProbeName] = "syscalls"

    def __init__(self, model: Callable[[], SyscallsModel]) -> None:
        self._model = model
        self._shown: list[Errno] = []

    def make_table(self) -> TableView[Errno]:
        return TableView(COLUMNS, key_of=lambda e: e.name, sort="rate", language=ERRNOS, id="errnos")

    def show(self) -> None:
        self._shown = by_errno(self._model().calls.values())
        self.table.show_rows(self._shown)

    def list_filter(self, row: Errno) -> tuple[str, str]:
        return f"ret:{row.name}", f"errno:{row.name}"

    def details(self, row: Errno) -> Details:
        return Details(
            title=row.name,
            sheet=lambda: self._sheet(row.name),
            copies=row.name,
            copies_what="Name",
            narrows_what="Only this errno",
            finds=self.list_filter(row),
        )

    def _sheet(self, name: str) -> Sheet:
        found = {errno.name: errno for errno in by_errno(self._model().calls.values())}
        sheet = Sheet()
        sheet.heading("Error")
        sheet.fact("name", name, "$error bold")
        errno = found.get(name)
        if errno is None:
            sheet.line(("no call returned it since counting began", "$dim"))
            return sheet
        sheet.fact("number", errno.code)
        sheet.fact("means", errno.meaning)
        sheet.fact("times", f"{errno.count:,}", note=f"{format.share(errno.share)} of all errors")
        sheet.fact("rate", f"{per_second(errno.rate)}/s" if errno.rate else "0/s", note="over the last reading")
        sheet.heading(f"Returned by ({len(errno.calls)})")
        for call in errno.calls[:MOST]:
            bar = format.bar(call.count / errno.most.count, BAR)
            each = f"{per_second(call.rate)}/s" if call.rate else ""
            sheet.line((f"{call.count:>9,} {each:>8}  ", ""), (f"{bar:<{BAR}}  ", "$error"), (call.name, "bold"))
        if len(errno.calls) > MOST:
            sheet.line((f"{'…':>9}  and {len(errno.calls) - MOST:,} more", "$dim"))
        return sheet

    def title_counts(self, of_all: str) -> Sequence[Count]:
        if not self._shown:
            return ()
        each = sum(errno.rate for errno in self._shown)
        return [
            Count(f"{per_second(each)}/s" if each else "0/s"),
            Count(f"{of_all}{counted(len(self._shown), 'errno')}", 0 if of_all else 2),
            Count(f"{count(sum(errno.count for errno in self._shown))} errors", 3),
        ]

    def subtitle(self) -> str:
        baseline = self._model().baseline
        return "" if baseline is None else baseline.text

    def empty(self) -> list[Span] | None:
        return None if self._model().latest is None else [Span("No system call has returned an error.", "dim")]
