"""The tables of the details of one call: its latencies, its errors, who makes it, the paths of its traced calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ebpftop.core.format import nanoseconds
from ebpftop.filters import kinds
from ebpftop.filters.kinds import Number
from ebpftop.filters.query import Field, Language
from ebpftop.models.baseline import failed_share
from ebpftop.models.callers import Caller
from ebpftop.models.program_fields import ERRNO
from ebpftop.models.syscall_fields import CALLERS
from ebpftop.models.syscalls import Call
from ebpftop.models.traced_paths import PATHS, PathCalls
from ebpftop.ui.panes.figure_columns import (
    bar_column,
    count_column,
    failed_share_column,
    share_column,
    time_column,
)
from ebpftop.ui.widgets.columns import Cell, Column, Span, without_middle
from ebpftop.ui.widgets.table_view import TableView

RETURNED, FAILED = "█▒"


@dataclass(frozen=True)
class Bucket:
    """Calls that took 2**power <= ns < 2**(power + 1), those that failed, and their share of all that returned."""

    power: int
    calls: int
    failed: int
    part: float
    of_peak: float

    def bar(self, cells: int) -> Cell:
        """Return the bar, *cells* at the peak; its end are the calls that failed.

        One failure is a cell of a longer bar. A bar of one cell looks as most of the calls ended.
        """
        whole = math.ceil(self.of_peak * cells)
        failed = (2 * self.failed * whole + self.calls) // (2 * self.calls) if self.calls else 0
        if self.failed and whole > 1:
            failed = max(1, failed)
        return (Span(RETURNED * (whole - failed), "bar"), Span(FAILED * failed, "bad"))


@dataclass(frozen=True)
class Failure:
    """An error by name, its count, and its share of all calls."""

    name: str
    count: int
    part: float


FAILURES: Language[Failure] = Language(
    (
        Field("errno", ERRNO, lambda f, _: (None, f.name), "", ("ret",)),
        Field("times", Number(), lambda f, _: f.count, "", ("count",)),
        Field("rate", kinds.share(), lambda f, _: f.part, "share of all calls"),
    ),
    lambda f: f.name,
)


def histogram(call: Call) -> list[Bucket]:
    """Return the buckets from the first to the last that hold a call, the fastest first."""
    buckets = call.buckets(last=False)
    total = sum(buckets)
    if not total:
        return []
    failed = dict(enumerate(call.failed_buckets()))
    used = [i for i, n in enumerate(buckets) if n]
    peak = max(buckets)
    return [
        Bucket(i, buckets[i], failed.get(i, 0), buckets[i] / total, buckets[i] / peak)
        for i in range(used[0], used[-1] + 1)
    ]


def callers_table(most: Callable[[], float]) -> TableView[Caller]:
    """Return the table of the processes that make a call; *most*: the calls of the one with most."""
    return TableView(
        (
            Column(
                "comm",
                "PROCESS",
                15,
                _comm,
                sort=lambda c: c.comm,
                about="A process that makes this call; others: those beyond the busiest, together.",
            ),
            Column("pid", "PID", 8, _pid, right=True, rank=2, about="Process id."),
            bar_column(
                lambda c: c.count,
                most,
                width=4,
                rank=3,
                about="CALLS as a bar: the process that makes it most often fills it.",
            ),
            count_column("count", "CALLS", 7, lambda c: c.count, rank=1, about="How often the process made this call."),
            time_column(
                "time",
                "TIME",
                6,
                lambda c: c.total_ns,
                rank=0,
                about="Time that its threads spent in this call, waiting included. –: unknown.",
                exported="time_ns",
            ),
            time_column(
                "max",
                "MAX",
                5,
                lambda c: c.max_ns,
                rank=3,
                about="The longest of these. –: unknown, or one before those that are counted was longer.",
                exported="max_ns",
            ),
            failed_share_column(
                "errors",
                lambda c: failed_share(c.errors, c.count),
                rank=2,
                about="Share of these that returned an error, in percent; red from 50%.",
                exported="failed_share",
            ),
        ),
        key_of=lambda c: (c.pid, c.start),
        sort="time",
        language=CALLERS,
        id="callers",
    )


def paths_table() -> TableView[PathCalls]:
    """Return the table of the paths of its traced calls."""
    return TableView(
        (
            Column(
                "path",
                "TRACED PATH",
                14,
                lambda p, _: (Span(p.path, "strong"),),
                flexible=True,
                fill=lambda p, width: (Span(without_middle(p.path, width), "strong"),),
                sort=lambda p: p.path,
                about="The first path of the newest 1,000 traced calls; of others none is known.",
            ),
            count_column("calls", "CALLS", 6, lambda p: p.calls, about="How many of the traced calls have it."),
            count_column(
                "failed", "FAILED", 6, lambda p: p.failed, rank=1, about="How many of these returned an error."
            ),
        ),
        key_of=lambda p: p.path,
        sort="calls",
        language=PATHS,
        id="paths",
    )


def buckets_table() -> TableView[Bucket]:
    """Return the table of its latencies."""
    return TableView(
        (
            Column(
                "from",
                "LATENCY",
                13,
                _range,
                right=True,
                about="Calls that took from the first time up to the second; each line is twice the one above.",
            ),
            count_column(
                "calls",
                "CALLS",
                6,
                lambda b: b.calls,
                rank=1,
                sorts=False,
                about="How many calls took so long.",
            ),
            share_column(
                "part",
                "",
                5,
                lambda b: b.part,
                rank=2,
                about="Their share of all calls that returned, in percent.",
            ),
            Column(
                "bar",
                f"{RETURNED} all {FAILED} failed",
                14,
                flexible=True,
                fill=Bucket.bar,
                about="CALLS as a bar: the most frequent latency fills it. Its end are the calls that failed.",
            ),
        ),
        key_of=lambda b: b.power,
        sort="",
        id="buckets",
    )


def failures_table(path: Callable[[Failure, int], Cell]) -> TableView[Failure]:
    """Return the table of its errors; *path* draws the one that failed most in so many cells."""
    return TableView(
        (
            Column(
                "name",
                "ERROR",
                9,
                lambda f, _: (Span(f.name, "bad"),),
                flexible=True,
                widest=16,
                sort=lambda f: f.name,
                about="The error that the call returned, by name; errno(3) lists them.",
            ),
            count_column("count", "TIMES", 6, lambda f: f.count, about="How often it was returned."),
            share_column("part", "OF ALL", 6, lambda f: f.part, rank=1, about="Its share of all calls, in percent."),
            Column(
                "path",
                "TRACED MOST",
                11,
                flexible=True,
                rank=2,
                fill=path,
                about="The path for which the newest 1,000 traced calls returned it most often.",
            ),
        ),
        key_of=lambda f: f.name,
        sort="count",
        language=FAILURES,
        id="failures",
    )


def _range(bucket: Bucket, _: float) -> Cell:
    return (
        Span(f"{nanoseconds(2**bucket.power):>5}", ""),
        Span(f" … {nanoseconds(2 ** (bucket.power + 1)):>5}", "dim"),
    )


def _pid(caller: Caller, _: float) -> Cell:
    return (Span(str(caller.pid) if caller.pid is not None else "", "dim"),)


def _comm(caller: Caller, _: float) -> Cell:
    return (Span(caller.comm, "strong" if caller.pid is not None else "dim"),)
