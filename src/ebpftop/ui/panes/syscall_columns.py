"""The columns of the system calls: rates, counts, errors and latencies of each."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.core.format import nanoseconds, per_second, share, sparkline
from ebpftop.models.syscalls import Call
from ebpftop.syscalls.families import MAY_WAIT
from ebpftop.ui.panes.figure_columns import count_column, errors_column, failed_share_column
from ebpftop.ui.widgets.columns import Cell, Column, Span


def call_columns(
    name: Callable[[Call, float], Cell],
    last: Callable[[], bool],
    working_ns: Callable[[], int],
    peak: Callable[[], float],
    name_in: Callable[[Call, int], Cell] | None = None,
) -> tuple[Column[Call], ...]:
    """Return the columns, of the last reading alone if *last*.

    *name* is the cell of the name, *name_in* the same in so many cells; *working_ns* is the time in all calls that do
    not wait, *peak* the top of the trends.
    """

    def trend(c: Call, width: int) -> Cell:
        return (Span(sparkline(tuple(c.history), width, peak()), "bar"),)

    def portion(c: Call) -> float | None:
        if c.row.name in MAY_WAIT:
            return None
        return c.spent_ns(last=last()) / working_ns() if working_ns() else 0.0

    def portion_cell(c: Call, _: float) -> Cell:
        part = portion(c)
        return (Span("wait" if part is None else share(part), "dim"),) if part != 0 else (Span("·", "dim"),)

    def portion_order(c: Call) -> float:
        part = portion(c)
        return -1.0 if part is None else part

    def spent(c: Call, _: float) -> Cell:
        ns = c.spent_ns(last=last())
        return (Span(nanoseconds(ns)) if ns else Span("·", "dim"),)

    return (
        Column(
            "name",
            "SYSCALL",
            10,
            name,
            flexible=True,
            widest=24,
            always=True,
            fill=name_in,
            whole=name,
            sort=lambda c: c.row.name,
            about="Its name, and its ABI if that is not the machine's. Its look is its handler: see the marks.",
        ),
        Column(
            "rate",
            "CALLS/s",
            8,
            lambda c, _: (Span(per_second(c.rate)),),
            right=True,
            sort=lambda c: (c.rate, c.count(last=last())),
            about="Calls per second, over the last reading.",
            exported="calls_per_s",
        ),
        Column(
            "trend",
            "TREND",
            10,
            rank=6,
            flexible=True,
            widest=24,
            fill=trend,
            about="CALLS/s of the readings so far, the newest at the right. The title says the top of its scale.",
        ),
        Column(
            "spent",
            "TIME",
            6,
            spent,
            right=True,
            rank=7,
            sort=lambda c: c.spent_ns(last=last()),
            about="Time that all threads together spent in it, waiting included: ns, µs, ms, s, then m and h.",
            exported="time_ns",
        ),
        Column(
            "share",
            "SHARE",
            5,
            portion_cell,
            right=True,
            rank=3,
            sort=portion_order,
            value=lambda c, _: portion(c),
            about="Its share of the time in all calls that do not wait, in percent; wait: it may wait, as read does.",
            exported="time_share",
        ),
        failed_share_column(
            "failed",
            lambda c: c.failure_rate(last=last()),
            rank=1,
            about="Share of its calls that returned an error, in percent; red from 50%.",
            exported="failed_share",
        ),
        _latency(
            "p50",
            4,
            lambda c: c.quantile(0.5, last=last()),
            "Half of its calls took this long or less: the median.",
        ),
        _latency("p90", 8, lambda c: c.quantile(0.9, last=last()), "Nine of ten calls took this long or less."),
        _latency("p99", 2, lambda c: c.quantile(0.99, last=last()), "99 of 100 calls took this long or less."),
        _latency("max", 5, lambda c: c.longest(last=last()), "The longest call that has returned.", title="MAX"),
        count_column(
            "count",
            "COUNT",
            6,
            lambda c: c.count(last=last()),
            rank=9,
            about="Calls since ebpftop started, since Z, or since the filter was set; in the last reading after v.",
        ),
        errors_column(
            lambda c: c.errors(last=last()),
            rank=10,
            about="Calls that returned an error. Many are normal: a search, a poll without news.",
        ),
    )


def _latency(key: str, rank: int, value: Callable[[Call], float | None], about: str, title: str = "") -> Column[Call]:
    def cell(c: Call, _: float) -> Cell:
        ns = value(c)
        return (Span(nanoseconds(ns), "dim" if ns is None else _slowness(ns)),)

    return Column(
        key,
        title or key,
        5,
        cell,
        right=True,
        rank=rank,
        sort=lambda c: value(c) or 0.0,
        value=lambda c, _: value(c),
        exported=f"{key}_ns",
        about=about,
    )


def _slowness(ns: float) -> str:
    """What is slow depends on the call; a second is long for any."""
    return "" if ns < 1e7 else "warn" if ns < 1e9 else "signal"
