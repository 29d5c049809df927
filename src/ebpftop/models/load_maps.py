"""The maps of a loaded file: their entries, what these count a second, totals, trends."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ebpftop.core.load_records import LoadedMap, MapReading, MapRow
from ebpftop.models.load_fields import Leaf, counter_of, leaves, number

KEPT = 60
"""Readings whose rates are kept of each entry."""

EVENTS = frozenset(("perf_event_array", "ringbuf"))
"""Types of maps that carry events: they have no entries to show."""

SLOTS = "prog_array"


@dataclass(eq=False, slots=True)
class Entry:
    """A key and its value, as they were read last; `rate` is what its counter gained a second."""

    row: MapRow
    count: float = 0.0
    rate: float | None = None
    is_new: bool = False
    history: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    @property
    def key(self) -> object:
        return self.row.key

    @property
    def value(self) -> object:
        return self.row.value


class MapTable:
    """One map. Rates are over the times of its readings."""

    def __init__(self, info: LoadedMap) -> None:
        self.info = info
        self.key: tuple[Leaf, ...] = ()
        self.value: tuple[Leaf, ...] = ()
        self.counter: Leaf | None = None
        """What of the value counts; None: nothing does."""
        self.entries: dict[str, Entry] = {}
        self.total = 0.0
        self.rate: float | None = None
        self.time = 0.0
        """When it was read last, Unix seconds; 0.0: not yet."""
        self.more = 0
        """Entries that were not read: there are too many."""
        self.known = 0
        """How many entries it has."""
        self.readings = 0
        self.describe(info)

    def describe(self, info: LoadedMap) -> None:
        """The file was loaded again: the map is the same, or one with other fields in its place."""
        kept = (self.info.key, self.info.value, self.info.type) == (info.key, info.value, info.type)
        self.info = info
        if not kept:
            self.entries, self.total, self.rate, self.time = {}, 0.0, None, 0.0
        self.key, self.value = leaves(info.key), leaves(info.value)
        self.counter = None if self.is_slots else counter_of(self.value, info.name)
        self.readings += 1

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def is_slots(self) -> bool:
        """Whether its values are programs."""
        return self.info.type == SLOTS

    @property
    def is_histogram(self) -> bool:
        """Whether it is drawn: its values are counts of what fell between two numbers."""
        return self.info.histogram is not None

    def read(self, reading: MapReading) -> None:
        """Take a reading, which has all entries."""
        seconds = reading.time - self.time if self.time and reading.time > self.time else None
        before, found = self.entries, {}
        for row in reading.rows:
            entry = before.get(row.id)
            if entry is None:
                entry = Entry(row, is_new=bool(self.time))
            else:
                entry.is_new = False
            self._count(entry, row, seconds)
            found[row.id] = entry
        self.entries = found
        self.total = sum(entry.count for entry in found.values())
        known = [entry.rate for entry in found.values() if entry.rate is not None]
        self.rate = sum(known) if known and seconds else None
        self.time, self.more, self.known = reading.time, reading.more, reading.entries
        self.readings += 1

    def _count(self, entry: Entry, row: MapRow, seconds: float | None) -> None:
        count = number(self.counter.read(row.value)) if self.counter is not None else 0.0
        if seconds is None:
            entry.rate = None
        else:
            # What shrank was set, or came anew under the same key: all of it is new.
            before = 0.0 if entry.is_new or count < entry.count else entry.count
            entry.rate = (count - before) / seconds
            entry.history.append(entry.rate)
        entry.row, entry.count = row, count
