"""Quantiles of the kernel's log2 histograms: bucket i counts calls that took 2**i <= ns < 2**(i+1)."""

from __future__ import annotations

from collections.abc import Sequence
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
