"""A ring of rows that have absolute sequence numbers, and a filtered view of one."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

from ebpftop.core.memory_budget import scaled
from ebpftop.core.shared import Shared

Row = TypeVar("Row")


PACE_S = 0.02
"""How long a filter may search at a time: a key that is pressed meanwhile has to wait."""

UNDECIDED_MAX = 1000
"""Rows that wait until it is known whether they match; the oldest then do not."""

RETRIES = 100
"""So many of them are checked again at a time."""

BUDGET = 43 << 20
"""Bytes that a ring may hold: 26,000 rows of an ordinary command line (1.7 kB each), fewer if arguments are huge."""


class Ring(Generic[Row]):
    """The newest rows, at most *capacity* of them and at most *budget* of their summed weights.

    A row never changes its sequence number: the first is 0, `first` is the oldest kept, `end` follows the newest.
    """

    def __init__(self, capacity: int = 100_000, budget: int = BUDGET) -> None:
        """*budget* is what it is with the default of `--memory`."""
        self.capacity = capacity
        self.budget = scaled(budget)
        self.first = 0
        self.weight = 0
        self._rows: deque[Row] = deque()
        self._weights: deque[int] = deque()
        self._shared: Shared[int] = Shared()
        self.on_evict: Callable[[Row], None] | None = None
        """Called with each row that is evicted, oldest first."""

    @property
    def end(self) -> int:
        return self.first + len(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, sequence: int) -> Row:
        if not self.first <= sequence < self.end:
            raise IndexError(sequence)
        return self._rows[sequence - self.first]

    def rows(self) -> list[Row]:
        return list(self._rows)

    def begin_at(self, sequence: int) -> None:
        """Let an empty ring begin at *sequence*, as if that many rows had been added and evicted."""
        self.first = sequence

    def append(self, row: Row, weight: int = 1) -> int:
        """Add a row and return its sequence number; evict the oldest rows if it does not fit."""
        sequence = self.end
        self._rows.append(row)
        self._weights.append(self._shared[weight])
        self.weight += weight
        while len(self._rows) > self.capacity or (self.weight > self.budget and len(self._rows) > 1):
            evicted = self._rows.popleft()
            self.weight -= self._weights.popleft()
            self.first += 1
            if self.on_evict is not None:
                self.on_evict(evicted)
        return sequence

    def replace_newest(self, row: Row, weight: int = 1) -> None:
        """Put a row in the place of the newest; a view of the ring is to `recheck` it."""
        self.weight += weight - self._weights[-1]
        self._rows[-1] = row
        self._weights[-1] = self._shared[weight]

    def slice(self, start: int, stop: int) -> list[Row]:
        """Return the rows of sequence numbers *start* up to *stop* that are still here."""
        low = max(start, self.first) - self.first
        return list(islice(self._rows, low, max(low, stop - self.first)))


class View(Generic[Row]):
    """The rows of a ring that match a filter, oldest first. Their positions stay while rows are added and evicted.

    Changing the filter is fast: afterwards `scan` searches the older rows, newest first, in steps as large as the
    caller can afford, so no key press waits for it. A filter may be slow on texts that were made to slow it down: no
    call searches for longer than `PACE_S` and one row. Without a filter positions are sequence numbers.
    """

    in_time_order = True
    """Its newest row is the last one, which can be followed."""

    def __init__(self, ring: Ring[Row]) -> None:
        self.ring = ring
        self._passes: Callable[[Row], bool | None] | None = None
        # Rows of which it is not known yet whether they match.
        self._undecided: deque[int] = deque(maxlen=UNDECIDED_MAX)
        self._matches: deque[int] = deque()
        self._first = 0
        self._scanned_from = 0
        self._next = 0
        self._lists = False
        """Whether `_matches` is used: otherwise positions are sequence numbers."""
        self._scanning = False

    @property
    def matching(self) -> int:
        """How many rows match, shown or hidden behind others."""
        return len(self)

    @property
    def filtered(self) -> bool:
        return self._passes is not None

    @property
    def first(self) -> int:
        if not self._lists:
            return self.ring.first
        # Rows may fall out of the ring long before `advance` is called again.
        while self._matches and self._matches[0] < self.ring.first:
            self._matches.popleft()
            self._first += 1
        return self._first

    @property
    def end(self) -> int:
        return self._first + len(self._matches) if self._lists else self.ring.end

    def __len__(self) -> int:
        return self.end - self.first

    def sequence(self, position: int) -> int:
        """Return the sequence number at *position*; IndexError if there is none."""
        if not self.first <= position < self.end:
            raise IndexError(position)
        return self._matches[position - self._first] if self._lists else position

    def position(self, sequence: int) -> int:
        """Return the position of the first row that is not older than *sequence*."""
        if not self._lists:
            return min(max(sequence, self.first), self.end)
        return self._first + bisect_left(self._matches, sequence)

    def find(self, row: Row) -> int | None:
        """Return the position of *row* if it can be looked up, and is shown."""
        return None

    def __getitem__(self, position: int) -> Row:
        return self.ring[self.sequence(position)]

    def rows(self) -> list[Row]:
        """Return all rows, oldest first; for a hundred thousand it takes a few milliseconds."""
        first, rows = self.ring.first, self.ring.slice(self.ring.first, self.ring.end)
        if not self._lists:
            return rows
        return [rows[sequence - first] for sequence in self._matches if sequence >= first]

    def set_filter(self, passes: Callable[[Row], bool | None] | None) -> None:
        """Show only rows that *passes* accepts (None: all). Call `scan` until it is done.

        *passes* may return None for a new row: then it is asked again whenever rows are added.
        """
        self._passes = passes
        self._lists = passes is not None
        self._undecided.clear()
        self._matches.clear()
        self._first = 0
        self._scanned_from = self._next = self.ring.end

    def advance(self) -> None:
        """Add the new rows of the ring, as far as time allows, and drop the evicted ones; `scan` adds the rest."""
        if not self._lists:
            return
        passes = self._passes
        self._next = start = max(self._next, self.ring.first)
        if passes is None:
            for sequence, row in enumerate(self.ring.slice(start, self.ring.end), start):
                self._enter(sequence, row)
            self._next = self.ring.end
            return
        until_s = time.monotonic() + PACE_S
        self._decide(passes, until_s)
        for sequence, row in enumerate(self.ring.slice(start, self.ring.end), start):
            is_match = passes(row)
            if is_match:
                self._enter(sequence, row)
            elif is_match is None:
                self._undecided.append(sequence)
            self._next = sequence + 1
            if time.monotonic() >= until_s:
                return

    def _enter(self, sequence: int, row: Row) -> None:
        """Take in a row that matches: the newest, the next older one, or one between."""
        if not self._matches or sequence > self._matches[-1]:
            self._matches.append(sequence)
        elif self._scanning:
            self._matches.appendleft(sequence)
            self._first -= 1
        else:
            insort(self._matches, sequence)

    def _leave(self, sequence: int, row: Row) -> None:
        """Take out a row that does not match any more."""
        del self._matches[bisect_left(self._matches, sequence)]

    def _holds(self, sequence: int, row: Row) -> bool:
        """Return whether a row has been taken in."""
        index = bisect_left(self._matches, sequence)
        return index < len(self._matches) and self._matches[index] == sequence

    def _decide(self, passes: Callable[[Row], bool | None], until_s: float) -> None:
        for _ in range(min(RETRIES, len(self._undecided))):
            sequence = self._undecided.popleft()
            if sequence < self.ring.first:
                continue
            row = self.ring[sequence]
            decided = passes(row)
            if decided:
                self._enter(sequence, row)
            elif decided is None:
                self._undecided.append(sequence)
            if time.monotonic() >= until_s:
                return

    @property
    def behind(self) -> bool:
        """Whether rows were added that `advance` had no time for."""
        return self._lists and self._next < self.ring.end

    def scan(self, rows: int) -> bool:
        """Search the newest rows, then the next *rows* older ones, or fewer; return whether there are more."""
        if not self._lists:
            return False
        passes = self._passes
        until_s = time.monotonic() + PACE_S
        self.advance()
        stop = self._scanned_from
        start = max(self.ring.first, stop - rows)
        self._scanning = True
        for row in reversed(self.ring.slice(start, stop)):
            if time.monotonic() >= until_s:
                break
            stop -= 1
            self._scanned_from = stop
            if passes is None or passes(row):
                self._enter(stop, row)
        self._scanning = False
        self._scanned_from = max(stop, self.ring.first)
        return self._scanned_from > self.ring.first or self.behind

    def recheck(self, sequence: int) -> None:
        """A row changed: add it or remove it."""
        if self._passes is None or not max(self._scanned_from, self.ring.first) <= sequence < self._next:
            return
        row = self.ring[sequence]
        shown, passes = self._holds(sequence, row), self._passes(row)
        if passes and not shown:
            self._enter(sequence, row)
        elif shown and not passes:
            self._leave(sequence, row)
