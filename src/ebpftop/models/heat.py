"""Latency over time, as a map: columns of time, rows of latency, and how many calls lie in each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeAlias

from ebpftop.models.latency import Tick

LEVELS = 5
"""Strengths of a cell in which there is a call; each begins at the same multiple of the one before."""

_FACTOR = 4
_BUCKETS = 48
"""Nothing takes longer than 2**48 ns, three days: such rows are shown only if something did."""

Histogram: TypeAlias = Sequence[int]


@dataclass(frozen=True)
class Column:
    """What returned in a time (Unix seconds): a histogram, None if that is not known."""

    begin: float
    end: float
    ns: Histogram | None


@dataclass(frozen=True)
class Heat:
    """The calls of each cell: ``counts[column][row]``; the row at the bottom, of the fastest, is 0."""

    columns: tuple[Column, ...]
    counts: tuple[tuple[int, ...], ...]
    first: int
    """The lowest bucket of the histograms that is shown."""
    per_row: int
    """Buckets of a row."""
    thresholds: tuple[int, ...]
    """From so many calls on a cell has the first, second, .. strength."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.counts[0]) if self.counts else 0

    def level(self, column: int, row: int) -> int:
        """Return the strength of a cell, 0 if there is no call."""
        count = self.counts[column][row]
        return sum(count >= threshold for threshold in self.thresholds)

    def low_ns(self, row: int) -> int:
        """Return the least latency of a row."""
        return 1 << self.first + row * self.per_row

    def buckets(self, low: int, high: int) -> range:
        """Return the buckets of the rows *low* to *high*."""
        return range(self.first + low * self.per_row, self.first + (high + 1) * self.per_row)


def thresholds(peak: int) -> tuple[int, ...]:
    """Return from how many calls on each strength begins, if most are *peak* in a cell."""
    factor = _FACTOR
    while factor**LEVELS <= peak:
        factor *= 2
    return tuple(factor**level for level in range(LEVELS))


def heat(columns: Iterable[Column], lines: int) -> Heat | None:
    """Return the map of *columns* in at most so many rows, which fill the lines; None if no call returned."""
    shown = tuple(columns)
    used = [i for column in shown for i, n in enumerate(column.ns or ()) if n]
    if not used or lines < 1:
        return None
    low, high = min(used), max(used)
    per_row = -(-(high - low + 1) // lines)
    # Rows begin at multiples of their size: they stay what they are when a faster or slower call comes.
    while high // per_row - low // per_row >= lines:
        per_row += 1
    first = low - low % per_row
    rows = (high - first) // per_row + 1
    # The room above is part of the scale.
    rows = max(rows, min(lines // (lines // rows), (_BUCKETS - first) // per_row))
    counts = tuple(
        tuple(
            sum((column.ns or ())[begin : begin + per_row]) for begin in range(first, first + rows * per_row, per_row)
        )
        for column in shown
    )
    peak = max(max(column) for column in counts)
    return Heat(shown, counts, first, per_row, thresholds(peak))


def columns_of_ticks(ticks: Sequence[Tick], width: int) -> list[Column]:
    """Return *width* columns of readings: several of them together, or each in several columns."""
    count = len(ticks)
    if not count or width < 1:
        return []
    since = [2 * ticks[0].time - ticks[1].time if count > 1 else ticks[0].time, *(tick.time for tick in ticks)]
    columns = []
    for at in range(width):
        first = at * count // width
        last = max(first + 1, (at + 1) * count // width)
        columns.append(Column(since[first], ticks[last - 1].time, added(tick.ns for tick in ticks[first:last])))
    return columns


def added(histograms: Iterable[Histogram]) -> tuple[int, ...]:
    """Return the sum of histograms, which may differ in length."""
    some = [histogram for histogram in histograms if histogram]
    return tuple(some[0]) if len(some) == 1 else tuple(map(sum, zip_longest(*some, fillvalue=0)))


def within(ns: Histogram, buckets: range) -> tuple[int, ...]:
    """Return the part of a histogram that lies in *buckets*; the others are zero."""
    return tuple(n if i in buckets else 0 for i, n in enumerate(ns))
