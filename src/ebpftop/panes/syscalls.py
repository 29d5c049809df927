"""Pane 3, syscalls: what processes ask of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from ebpftop.models.figures import bar, count, nanoseconds, per_second, share
from ebpftop.models.syscalls import Call, SyscallsModel
from ebpftop.panes.base import Pane
from ebpftop.panes.syscall_details import syscall_details
from ebpftop.records import ProbeName, SyscallRow
from ebpftop.source import Batch, Source
from ebpftop.widgets.columns import Cell, Column, Span
from ebpftop.widgets.lines import Lines
from ebpftop.widgets.sheet import Details
from ebpftop.widgets.table import TableLines

TOTAL_NR = -1


class SyscallsPane(Pane):
    """Counters of each system call."""

    probe: ClassVar[ProbeName] = "syscalls"
    number = 3
    label = "Syscalls"
    waits_for = "waiting for the first counters"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "v",
            "period",
            "Total/last",
            show=False,
            tooltip="Since the start, or since the last reading",
            id="syscalls.period",
        ),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.model = SyscallsModel()
        self.last = False
        self._sum: Call | None = None
        self._peak = 0.0
        self._count = 0

    def make_lines(self) -> Lines[Call]:
        self.table = TableLines(self._columns(), key_of=lambda c: c.key, sort="rate")
        return self.table

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)

    def show(self) -> None:
        calls = self.model.calls.values()
        self._peak = max((c.rate for c in calls), default=0.0)
        self._count = sum(c.count(last=self.last) for c in calls)
        self.table.sum = self._total()
        self.table.show_rows(calls)

    def details(self, position: int) -> Details:
        return syscall_details(self.model, self.table.row(position))

    def tally(self) -> str:
        calls = len(self.model.calls)
        return f"{calls} calls, {per_second(self.model.total.rate)}/s" if calls else ""

    def remark(self) -> str:
        return "since last reading" if self.last else ""

    def action_period(self) -> None:
        """Switch between figures since the start and since the last reading."""
        self.last = not self.last
        self.show()
        self.describe()

    def _total(self) -> Call | None:
        calls = list(self.model.calls.values())
        if not calls:
            return None
        total = self._sum = self._sum or Call(_sum_row([]))
        total.before = _sum_row([c.before for c in calls if c.before])
        total.row = _sum_row([c.row for c in calls])
        total.meter = self.model.total
        total.seconds = max(c.seconds for c in calls)
        return total

    # The columns.

    def _columns(self) -> tuple[Column[Call], ...]:
        def quantile(q: float) -> tuple[Callable[[Call, float], Cell], Callable[[Call], float]]:
            def value(c: Call) -> float:
                return c.quantile(q, last=self.last) or 0.0

            def cell(c: Call, _: float) -> Cell:
                ns = c.quantile(q, last=self.last)
                return (Span(nanoseconds(ns), "faint" if ns is None else _slowness(ns)),)

            return cell, value

        def counted(c: Call, _: float) -> Cell:
            return (Span(count(c.count(last=self.last))),)

        def errors(c: Call, _: float) -> Cell:
            n = c.errors(last=self.last)
            return (Span(count(n), "bad") if n else Span("·", "faint"),)

        def portion(c: Call) -> float:
            return c.count(last=self.last) / self._count if self._count else 0.0

        p50, p50_value = quantile(0.5)
        p99, p99_value = quantile(0.99)
        return (
            Column("name", "SYSCALL", 16, self._call, flexible=True, sort=lambda c: c.row.name),
            Column("bar", "", 6, rank=3, flexible=True, fill=self._bar),
            Column("rate", "RATE/s", 7, lambda c, _: (Span(per_second(c.rate)),), right=True, sort=lambda c: c.rate),
            Column("count", "COUNT", 6, counted, right=True, rank=1, sort=lambda c: c.count(last=self.last)),
            Column(
                "share", "SHARE", 6, lambda c, _: (Span(share(portion(c)), "dim"),), right=True, rank=6, sort=portion
            ),
            Column("errors", "ERRORS", 7, errors, right=True, rank=4, sort=lambda c: c.errors(last=self.last)),
            Column("p50", "p50", 5, p50, right=True, rank=5, sort=p50_value),
            Column("p99", "p99", 5, p99, right=True, rank=2, sort=p99_value),
        )

    def _call(self, c: Call, _: float) -> Cell:
        if c.row.nr == TOTAL_NR:
            return (Span("total", "strong"),)
        look = {"ignore": "struck", "trace": "warn", "exec": "accent", "timer": "note"}.get(c.row.handler, "")
        abi = [Span(f" {c.row.abi}", "dim")] if c.row.abi != self.source.header.abi else []
        return (Span(c.row.name, look), *abi)

    def _bar(self, c: Call, width: int) -> Cell:
        if c.row.nr == TOTAL_NR or not self._peak:
            return ()
        return (Span(bar(c.rate / self._peak, width), "bar"),)


def _slowness(ns: float) -> str:
    """Slow is a matter of what one waits for; a second is long for anything."""
    return "" if ns < 1e7 else "warn" if ns < 1e9 else "signal"


def _sum_row(rows: list[SyscallRow]) -> SyscallRow:
    buckets = [0] * max((len(r.ns) for r in rows), default=0)
    for r in rows:
        for i, n in enumerate(r.ns):
            buckets[i] += n
    return SyscallRow(
        abi="x86_64",
        nr=TOTAL_NR,
        name="total",
        count=sum(r.count for r in rows),
        errors=sum(r.errors for r in rows),
        ns=tuple(buckets),
        total_ns=sum(r.total_ns for r in rows),
    )
