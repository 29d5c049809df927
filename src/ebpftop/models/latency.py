"""Quantiles of the kernel's log2 histograms: bucket i counts calls that took 2**i <= ns < 2**(i+1)."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(buckets: Sequence[int], q: float) -> float | None:
    """Return the *q* quantile (0 to 1) in nanoseconds; None of an empty histogram.

    Within its bucket the value is interpolated on the logarithmic scale, so it is exact to a factor of two at worst.
    """
    total = sum(buckets)
    if not total:
        return None
    wanted = q * total
    seen = 0
    for i, n in enumerate(buckets):
        if n and seen + n >= wanted:
            return float(2 ** (i + max(0.0, wanted - seen) / n))
        seen += n
    return float(2 ** len(buckets))


def difference(now: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    """Return what was added to a histogram since *before* (shorter ones count as zero beyond their end)."""
    padded = (*before, *(0,) * (len(now) - len(before)))
    return tuple(max(0, a - b) for a, b in zip(now, padded, strict=False))
