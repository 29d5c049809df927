"""What rows of totals gained in a span, of readings as they were written: whole, or what changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

from ebpftop.models.slices import Slices

Row = TypeVar("Row")
Key: TypeAlias = Hashable

# Adds to a slice what a row gained since an older one; None: since nothing was counted.
Add: TypeAlias = Callable[[Any, Any, int], None]


class SpanTable(Generic[Row]):
    """Follows the rows of one table. What a row gained in a slice is added up once, when the slice is over."""

    def __init__(self, slices: Slices, key: Callable[[Row], Key], count: Callable[[Row], int], add: Add) -> None:
        self._slices = slices
        self._key = key
        self._count = count
        self._add = add
        self._last: dict[Key, Row] = {}
        self._open: dict[Key, tuple[float, Row | None]] = {}
        """Rows that gained in the slice of a time, and what they were before."""

    def begin(self, rows: Iterable[Row], *, whole: bool) -> None:
        """Note rows of a time before the span, or at its begin: what they have is not of the span."""
        if whole:
            self._last.clear()
        self._last.update((self._key(row), row) for row in rows)

    def read(self, time: float, rows: Iterable[Row], first: Callable[[Row], bool] = lambda _: True) -> None:
        """Read the *rows* of a time in the span. One that was not known counts from nothing if *first* says so."""
        number = self._slices.at(time)
        for row in rows:
            key = self._key(row)
            last = self._last.get(key)
            self._last[key] = row
            if last is row:
                continue
            if last is None and not first(row):
                continue
            if last is not None and self._count(row) < self._count(last):
                self._settle(key, last)
                last = None
            opened = self._open.get(key)
            if opened is not None and self._slices.at(opened[0]) != number:
                self._settle(key, last)
                opened = None
            if opened is None:
                self._open[key] = (time, last)

    def knows(self, key: Key) -> bool:
        """Whether a row was read before."""
        return key in self._last

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget rows that are gone."""
        for key in keys:
            if (last := self._last.get(key)) is not None:
                self._settle(key, last)
                del self._last[key]

    def keep(self, rows: Iterable[Row]) -> None:
        """Forget all rows but these."""
        kept = {self._key(row) for row in rows}
        self.drop([key for key in self._last if key not in kept])

    def close(self) -> None:
        """Add up what is open."""
        for key in list(self._open):
            self._settle(key, self._last.get(key))

    def rows(self) -> Iterable[Row]:
        """Return the last rows."""
        return self._last.values()

    def _settle(self, key: Key, last: Row | None) -> None:
        opened = self._open.pop(key, None)
        if opened is not None and last is not None:
            self._add(last, opened[1], self._slices.at(opened[0]))
