"""A dict with bounds on its entries and its memory: the oldest entry is evicted first."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Item = TypeVar("Item")


class Bounded(OrderedDict[Key, Value], Generic[Key, Value]):
    """A dict whose entries are only set by `put`. If it gets too full, the entry that was put first is evicted.

    It is an OrderedDict: to find its first entry, a plain dict steps over the slots of all evicted entries.
    """

    def __init__(self, entries: int, max_bytes: int) -> None:
        super().__init__()
        self.entries = entries
        self.max_bytes = max_bytes
        self.bytes_used = 0
        self._bytes_of: dict[Key, int] = {}

    def put(self, key: Key, value: Value, size: int) -> list[Value]:
        """Store *value*, of *size* bytes, as the newest entry; return the evicted values."""
        if key in self:
            self.drop(key)
        self[key] = value
        self._bytes_of[key] = size
        self.bytes_used += size
        if len(self) <= self.entries and self.bytes_used <= self.max_bytes:
            return []
        evicted: list[Value] = []
        while len(self) > self.entries or (self.bytes_used > self.max_bytes and len(self) > 1):
            oldest = self.drop(next(iter(self)))
            if oldest is not None:
                evicted.append(oldest)
        return evicted

    def resize(self, key: Key, size: int) -> None:
        """Count an existing entry as *size* bytes from now on."""
        self.bytes_used += size - self._bytes_of[key]
        self._bytes_of[key] = size

    def drop(self, key: Key) -> Value | None:
        """Remove an entry and return its value; None if there was none."""
        if key not in self:
            return None
        self.bytes_used -= self._bytes_of.pop(key)
        return self.pop(key)


def keep_newest(recent: deque[Item], weight: Callable[[Item], int], max_bytes: int) -> None:
    """Drop the oldest of *recent* until all weigh at most *max_bytes*; the newest stays."""
    left = sum(map(weight, recent))
    while left > max_bytes and len(recent) > 1:
        left -= weight(recent.popleft())
