"""By how much two figures differ at least, whatever chance did: bounds of factors.

Things come in bursts, so it is measured how much a figure scatters between slices of time, and nothing is taken to
scatter less than independent events do (Poisson). docs/changed.md says it in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import NormalDist

from ebpftop.models.latency import quantile

FALSE_ALARMS = 0.01
"""How often a comparison of two spans in which nothing differs may find something, all its rows together."""

_LEAST_SLICES = 3
"""A mean of fewer slices has no scatter to speak of."""


def deviations(comparisons: int) -> float:
    """Return how many standard deviations off a figure must be, if so many are compared."""
    return NormalDist().inv_cdf(1 - FALSE_ALARMS / (2 * max(1, comparisons)))


def _widened(z: float, freedom: int) -> float:
    """Return *z* for a scatter that was measured with so many degrees of freedom: about Student's t."""
    return z + (z**3 + z) / (4 * max(1, freedom))


@dataclass(frozen=True)
class Counted:
    """How often something happened in each slice of a span, and how many seconds of the slice are known."""

    slices: Sequence[float]
    seconds: Sequence[float]

    @property
    def count(self) -> float:
        """How often it happened."""
        return sum(self.slices)

    @property
    def known_s(self) -> float:
        """How many seconds of the span are known."""
        return sum(self.seconds)

    @property
    def rate(self) -> float:
        """How often a second."""
        return self.count / self.known_s if self.known_s > 0 else 0.0

    def rates(self) -> tuple[float | None, ...]:
        """Return how often a second it happened in each slice; None if that is not known."""
        pairs = zip_longest(self.slices, self.seconds, fillvalue=0.0)
        return tuple(count / seconds if seconds > 0 else None for count, seconds in pairs)

    def scatter(self) -> tuple[float, int]:
        """Return chi squared against an even rate, and its degrees of freedom."""
        rate, chi, known = self.rate, 0.0, 0
        if rate <= 0:
            return 0.0, 0
        for count, seconds in zip_longest(self.slices, self.seconds, fillvalue=0.0):
            if seconds > 0:
                expected = rate * seconds
                chi += (count - expected) ** 2 / expected
                known += 1
        return chi, max(0, known - 1)


def rate_factor(low: Counted, high: Counted, z: float) -> float:
    """Return how many times the rate of *low* that of *high* is at least; 0 if it may be any.

    Square roots of counts scatter evenly, whatever the count (Anscombe 1948), nothing included: so this asks which
    factor leaves *z* deviations between them.
    """
    (chi, freedom), (more_chi, more) = low.scatter(), high.scatter()
    freedom += more
    scatter = max(1.0, (chi + more_chi) / freedom) if freedom else 1.0
    k = _widened(z, freedom) ** 2 * scatter / 4
    a, b = low.count + 0.375, high.count + 0.375
    if b <= k or not low.known_s or not high.known_s:
        return 0.0
    root = (b - k) / (math.sqrt(a * b) + math.sqrt(k * (a + b - k)))
    return root * root * low.known_s / high.known_s


@dataclass(frozen=True)
class Timed:
    """How long calls took: the total (ns) and a histogram of base 2 of each slice."""

    total_ns: Sequence[float]
    calls: Sequence[float]
    histograms: Sequence[Sequence[int]] = ()

    @property
    def mean_ns(self) -> float:
        """How long a call took on average."""
        calls = sum(self.calls)
        return sum(self.total_ns) / calls if calls > 0 else 0.0

    def means(self) -> tuple[float | None, ...]:
        """Return how long a call took on average in each slice; None if there was none."""
        pairs = zip(self.total_ns, self.calls, strict=True)
        return tuple(ns / calls if calls > 0 else None for ns, calls in pairs)

    def histogram(self) -> tuple[int, ...]:
        """Return that of all slices."""
        return tuple(map(sum, zip_longest(*self.histograms, fillvalue=0)))

    def mean_error(self) -> tuple[float, int]:
        """Return the standard error of the mean as a share of it, and its degrees of freedom; 0 if not known."""
        slices = [(ns, calls) for ns, calls in zip(self.total_ns, self.calls, strict=True) if calls > 0]
        mean, calls = self.mean_ns, sum(calls for _, calls in slices)
        if len(slices) < _LEAST_SLICES or mean <= 0:
            return 0.0, 0
        squares = sum((ns - mean * made) ** 2 for ns, made in slices)
        return math.sqrt(squares * len(slices) / (len(slices) - 1)) / calls / mean, len(slices) - 1

    def range_of(self, q: float, z: float) -> tuple[float, float]:
        """Return between which bounds (ns) the *q* quantile is; the upper one may be infinite."""
        whole = self.histogram()
        calls = sum(whole)
        if not calls:
            return 0.0, math.inf
        scatter, freedom = self._scatter(whole, q)
        reach = _widened(z, freedom) * math.sqrt(scatter * q * (1 - q) / calls)
        low = quantile(whole, q - reach) if q > reach else None
        high = quantile(whole, q + reach) if q + reach < 1 else None
        return low or 0.0, math.inf if high is None else high

    def _scatter(self, whole: Sequence[int], q: float) -> tuple[float, int]:
        """Return by how much the share of calls beyond the quantile scatters more than that of independent calls."""
        calls = sum(whole)
        above = [sum(whole[bucket:]) / calls for bucket in range(len(whole))]
        edge = min(range(len(whole)), key=lambda bucket: abs(above[bucket] - (1 - q)))
        share = above[edge]
        slices = [one for one in self.histograms if any(one)]
        freedom = len(slices) - 1
        if not 0 < share < 1 or freedom < 1:
            return 1.0, max(1, freedom)
        chi = sum((sum(one[edge:]) - share * sum(one)) ** 2 / (sum(one) * share * (1 - share)) for one in slices)
        return max(1.0, chi / freedom), freedom


def mean_factor(low: Timed, high: Timed, z: float) -> float:
    """Return how many times the mean of *low* that of *high* is at least; 0 if it may be any."""
    (error, freedom), (other, more) = low.mean_error(), high.mean_error()
    if not freedom or not more or not low.mean_ns:
        return 0.0
    reach = _widened(z, min(freedom, more)) * math.hypot(error, other)
    return high.mean_ns / low.mean_ns * math.exp(-reach)


def quantile_factor(low: Timed, high: Timed, q: float, z: float) -> float:
    """Return how many times the *q* quantile of *low* that of *high* is at least; 0 if it may be any.

    A bucket is a factor of two wide, and calls that all take the same time may step over its edge. So a quantile alone
    counts half; all of it only as far as the mean moved, too.
    """
    highest = low.range_of(q, z)[1]
    if not 0 < highest < math.inf:
        return 0.0
    factor = high.range_of(q, z)[0] / highest
    return max(factor / 2, min(factor, mean_factor(low, high, z)))


def distance(a: Iterable[int], b: Iterable[int]) -> float:
    """Return how far two histograms are apart, in doublings of time: what an average call has to be moved."""
    pairs = list(zip_longest(a, b, fillvalue=0))
    calls, others = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    if not calls or not others:
        return 0.0
    ahead = moved = 0.0
    for one, other in pairs:
        ahead += one / calls - other / others
        moved += abs(ahead)
    return moved
