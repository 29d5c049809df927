"""Sums of a span by slices of its time. How long the span is need not be known: slices become wider with it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

SLICES_MAX = 24

KEYS_MAX = 10_000
"""Names of one kind: programs may be called anything."""

K = TypeVar("K", bound=Hashable)


class Slices:
    """The slices of a span that begins at `begin` (Unix seconds)."""

    def __init__(self) -> None:
        self.begin = 0.0
        self.width_s = 1.0
        self._sums: list[_Merging] = []

    def follow(self, sums: _Merging) -> None:
        """Let *sums* be merged when slices become wider."""
        self._sums.append(sums)

    def at(self, time: float) -> int:
        """Return the number of the slice of *time*; slices become wider if there were too many of them."""
        while (time - self.begin) / self.width_s >= SLICES_MAX:
            self.width_s *= 2
            for sums in self._sums:
                sums.merge()
        return max(0, int((time - self.begin) / self.width_s))

    def seconds(self, begin: float, end: float) -> list[float]:
        """Return how much of each slice is between two times."""
        seconds: list[float] = []
        for number in range(self.at(end) + 1):
            edge = self.begin + number * self.width_s
            seconds.append(max(0.0, min(end, edge + self.width_s) - max(begin, edge)))
        return seconds


class _Merging:
    def merge(self) -> None:
        """Make one slice of each two."""
        raise NotImplementedError


class Sums(_Merging, Generic[K]):
    """How often something happened, by key and slice. Beyond `KEYS_MAX` keys the others are counted in `left_out`."""

    def __init__(self, slices: Slices) -> None:
        self._slices: dict[K, list[float]] = {}
        self.left_out = 0.0
        slices.follow(self)

    def add(self, key: K, number: int, amount: float = 1) -> None:
        """Add *amount* to a slice."""
        counts = self._slices.get(key)
        if counts is None:
            if len(self._slices) >= KEYS_MAX:
                self.left_out += amount
                return
            counts = self._slices[key] = []
        if number >= len(counts):
            counts.extend([0] * (number + 1 - len(counts)))
        counts[number] += amount

    def all_keys(self) -> frozenset[K]:
        """Return the keys."""
        return frozenset(self._slices)

    def of(self, key: K) -> Sequence[float]:
        """Return the sums of a key; later slices have nothing."""
        return self._slices.get(key, ())

    def rename(self, key: K, new: K) -> None:
        """Count what a key has under another one, beside what that has."""
        for number, amount in enumerate(self._slices.pop(key, ())):
            self.add(new, number, amount)

    def merge(self) -> None:
        for key, counts in self._slices.items():
            self._slices[key] = [sum(counts[at : at + 2]) for at in range(0, len(counts), 2)]


class Histograms(_Merging, Generic[K]):
    """Histograms by key and slice."""

    def __init__(self, slices: Slices) -> None:
        self._slices: dict[K, list[list[int]]] = {}
        slices.follow(self)

    def add(self, key: K, number: int, counts: Sequence[int]) -> None:
        """Add *counts* to a slice."""
        if key not in self._slices and len(self._slices) >= KEYS_MAX:
            return
        slices = self._slices.setdefault(key, [])
        while len(slices) <= number:
            slices.append([])
        slices[number] = _sum(slices[number], counts)

    def of(self, key: K) -> Sequence[Sequence[int]]:
        """Return those of a key; later slices have none."""
        return self._slices.get(key, ())

    def merge(self) -> None:
        for key, slices in self._slices.items():
            pairs = (slices[at : at + 2] for at in range(0, len(slices), 2))
            self._slices[key] = [_sum(*pair) if len(pair) == 2 else pair[0] for pair in pairs]


def _sum(one: Sequence[int], other: Sequence[int]) -> list[int]:
    short, long = (one, list(other)) if len(one) < len(other) else (other, list(one))
    for at, count in enumerate(short):
        long[at] += count
    return long
