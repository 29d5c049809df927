"""The columns of the system calls: rates, counts, errors and latencies of each."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.core.format import nanoseconds, per_second, share
from ebpftop.models.syscalls import Call
from ebpftop.ui.panes.figure_columns import bar_column, count_column, errors_column, share_column
from ebpftop.ui.widgets.columns import Cell, Column, Span


def call_columns(
    name: Callable[[Call, float], Cell],
    last: Callable[[], bool],
    all_calls: Callable[[], int],
    peak: Callable[[], float],
) -> tuple[Column[Call], ...]:
    """Return the columns, of the last reading alone if *last*.

    *name* is the cell of the name, *all_calls* how many calls were made in all, *peak* the rate of the busiest one.
    """

    def failed(c: Call, _: float) -> Cell:
        part = c.failure_rate(last=last())
        return (Span(share(part), "bad" if part >= 0.5 else "") if part > 0 else Span("·", "faint"),)

    def portion(c: Call) -> float:
        return c.count(last=last()) / all_calls() if all_calls() else 0.0

    def spent(c: Call, _: float) -> Cell:
        ns = c.spent_ns(last=last())
        return (Span(nanoseconds(ns)) if ns else Span("·", "faint"),)

    return (
        Column(
            "name",
            "SYSCALL",
            16,
            name,
            flexible=True,
            widest=24,
            sort=lambda c: c.row.name,
            about="Its name, and its ABI if that is not the machine's. Its look is its handler: see the marks.",
        ),
        bar_column(
            lambda c: c.rate, peak, width=6, rank=6, widest=24, about="RATE/s as a bar: the busiest call fills it."
        ),
        Column(
            "rate",
            "RATE/s",
            7,
            lambda c, _: (Span(per_second(c.rate)),),
            right=True,
            sort=lambda c: c.rate,
            about="Calls per second, over the last reading.",
            exported="calls_per_s",
        ),
        count_column(
            "count",
            "COUNT",
            6,
            lambda c: c.count(last=last()),
            rank=1,
            about="Calls since ebpftop started, since Z, or since the filter was set; in the last reading after v.",
        ),
        share_column("share", "SHARE", 6, portion, rank=10, sorts=True, about="Its share of all calls, in percent."),
        Column(
            "spent",
            "TIME",
            5,
            spent,
            right=True,
            rank=4,
            sort=lambda c: c.spent_ns(last=last()),
            about="Time that all threads together spent in it, waiting included: ns, µs, ms, s, then m and h.",
            exported="time_ns",
        ),
        errors_column(
            lambda c: c.errors(last=last()),
            rank=3,
            about="Calls that returned an error. Many are normal: a search, a poll without news.",
        ),
        Column(
            "failed",
            "FAIL",
            5,
            failed,
            right=True,
            rank=8,
            sort=lambda c: c.failure_rate(last=last()),
            about="Share of its calls that returned an error, in percent; red from 50%.",
            exported="failed_share",
        ),
        _latency(
            "p50",
            5,
            lambda c: c.quantile(0.5, last=last()),
            "Half of its calls took this long or less: the median.",
        ),
        _latency("p90", 9, lambda c: c.quantile(0.9, last=last()), "Nine of ten calls took this long or less."),
        _latency("p99", 2, lambda c: c.quantile(0.99, last=last()), "99 of 100 calls took this long or less."),
        _latency("max", 7, lambda c: c.longest(last=last()), "The longest call that has returned."),
    )


def _latency(key: str, rank: int, value: Callable[[Call], float | None], about: str) -> Column[Call]:
    def cell(c: Call, _: float) -> Cell:
        ns = value(c)
        return (Span(nanoseconds(ns), "faint" if ns is None else _slowness(ns)),)

    return Column(
        key,
        key,
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
