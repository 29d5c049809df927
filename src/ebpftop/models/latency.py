"""Quantiles of the kernel's log2 histograms: bucket i counts calls that took 2**i <= ns < 2**(i+1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub
from typing import NamedTuple


def quantile(buckets: Sequence[int], q: float) -> float | None:
    """Return the *q* quantile (0 to 1) in nanoseconds; None if the histogram is empty.

    Within its bucket the value is interpolated on the logarithmic scale, so it is wrong by a factor of two at most.
    """
    total = sum(buckets)
    if not total:
        return None
    target = q * total
    seen = 0
    for i, n in enumerate(buckets):
        if n and seen + n >= target:
            return float(2 ** (i + max(0.0, target - seen) / n))
        seen += n
    return float(2 ** len(buckets))


def difference(now: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    """Return what was added to a histogram since *before* (shorter ones count as zero beyond their end)."""
    padded = (*before, *(0,) * (len(now) - len(before)))
    gained = tuple(map(sub, now, padded))
    return gained if min(gained, default=0) >= 0 else tuple(max(0, n) for n in gained)


class Tick(NamedTuple):
    """The calls that returned between two readings, as a histogram."""

    time: float
    ns: tuple[int, ...]


LEVELS = 8
"""Number of strengths in a heat map: 0 is nothing, the others are logarithmic."""


@dataclass(frozen=True)
class Heat:
    """Latency over time: `columns[tick][bucket - first]` is the strength of a bucket; time runs to the right."""

    first: int
    columns: tuple[tuple[int, ...], ...]
    began: float
    ended: float

    @property
    def rows(self) -> int:
        """How many buckets it shows."""
        return len(self.columns[0]) if self.columns else 0


def heat(ticks: Sequence[Tick], width: int) -> Heat | None:
    """Return the last *width* ticks as a heat map of the buckets that occur in them; None if no call returned."""
    shown = list(ticks)[-width:] if width > 0 else []
    used = [i for tick in shown for i, n in enumerate(tick.ns) if n]
    if not used:
        return None
    first, last = min(used), max(used)
    peak = math.log2(1 + max(max(tick.ns, default=0) for tick in shown))

    def level(n: int) -> int:
        return 1 + min(LEVELS - 2, int(math.log2(1 + n) / peak * (LEVELS - 1))) if n else 0

    return Heat(
        first=first,
        columns=tuple(
            tuple(level(tick.ns[i]) if i < len(tick.ns) else 0 for i in range(first, last + 1)) for tick in shown
        ),
        began=shown[0].time,
        ended=shown[-1].time,
    )
