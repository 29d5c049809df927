"""Counters that only grow, with a bounded number of labels."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Growth(Generic[Key]):
    """How much totals grow. A total that is lower than before is passed over, and counts again once it is higher."""

    def __init__(self) -> None:
        self._totals: dict[Key, int] = {}

    def of(self, key: Key, total: int) -> int:
        """Return how much the total of *key* grew; the first time, all of it."""
        grown = max(0, total - self._totals.get(key, 0))
        if grown:
            self._totals[key] = total
        return grown

    def forget(self, key: Key) -> int:
        """Forget a key that will not come again; return its last total."""
        return self._totals.pop(key, 0)


class Labels(Generic[Key]):
    """Which keys have a label of their own: the first *most* that come, for good. The others share *other*.

    Were the choice ever made anew, a counter would fall when it loses its label.
    """

    def __init__(self, most: int, other: Key) -> None:
        self._most = most
        self._other: Key = other
        self._own: set[Key] = set()

    def label(self, key: Key) -> Key:
        """Return *key* or the label of the others."""
        if key not in self._own and key != self._other:
            if len(self._own) >= self._most:
                return self._other
            self._own.add(key)
        return key


class Counters(Generic[Key]):
    """Totals by label, each the sum of those of its keys. None ever falls, whatever totals are given."""

    def __init__(self, labels: Labels[Key]) -> None:
        self._labels: Labels[Key] = labels
        self._growth: Growth[Key] = Growth()
        self.by_label: dict[Key, int] = {}

    def set(self, key: Key, total: int) -> None:
        """Note the *total* of *key* since the start."""
        label = self._labels.label(key)
        self.by_label[label] = self.by_label.get(label, 0) + self._growth.of(key, total)
