"""Which buckets of durations are handed out, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, TypeAlias

from ebpftop.serving.reading import BUCKETS

Histograms: TypeAlias = Literal["none", "coarse", "full"]

_COARSE = range(10, 35, 4)  # 1.02 us to 17.2 s: every fourth power of two
_FULL = range(1, BUCKETS)


def powers_of(histograms: Histograms) -> range:
    """Return the upper bounds of the buckets but the last, which has none: powers of two nanoseconds."""
    return _FULL if histograms == "full" else _COARSE


def counts_up_to(counts: Sequence[int], powers: range) -> list[int]:
    """Return how many took less than each bound, and how many there are. *counts* are those of `CallTotals`."""
    up_to = list(accumulate(counts))  # up_to[k]: those of less than 2**(k+1) ns
    last = len(up_to) - 1
    return [*(up_to[min(power - 1, last)] for power in powers), up_to[last]]


def counts_between(counts: Sequence[int], powers: range) -> list[int]:
    """Return how many are in each bucket, those beyond the last bound included."""
    up_to = counts_up_to(counts, powers)
    return [here - before for before, here in zip((0, *up_to), up_to, strict=False)]
