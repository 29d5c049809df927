"""The maps of a loaded file: their entries, what these count a second, totals, trends."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from ebpftop.core.load_records import LoadedMap, MapReading, MapRow
from ebpftop.models.load_fields import Leaf, counters_of, leaves, number

KEPT = 60
"""Readings whose rates are kept of each counter."""

EVENTS = frozenset(("perf_event_array", "ringbuf"))
"""Types of maps that carry events: they have no entries to show."""

SLOTS = "prog_array"


class Gain:
    """What a counter of an entry stands at, what it gained a second over the last reading, and over those before."""

    __slots__ = ("count", "history", "rate")

    def __init__(self) -> None:
        self.count = 0.0
        self.rate: float | None = None
        self.history = array("f")

    def read(self, count: float, seconds: float | None, *, is_new: bool) -> None:
        """Take what it stands at after *seconds*; None: it was not read before."""
        if seconds is None:
            self.rate = None
        else:
            # What shrank was set, or came anew under the same key: all of it is new.
            self.rate = (count - (0.0 if is_new or count < self.count else self.count)) / seconds
            self.history.append(self.rate)
            if len(self.history) > KEPT:
                del self.history[0]
        self.count = count


@dataclass(eq=False, slots=True)
class Entry:
    """A key and its value, as they were read last, with the gains of the counters in it."""

    row: MapRow
    gains: tuple[Gain, ...] = ()
    is_new: bool = False
    written: float | None = None
    """When its value was set from the screen, Unix seconds, until a reading shows it: what was set was not counted."""

    @property
    def key(self) -> object:
        return self.row.key

    @property
    def value(self) -> object:
        return self.row.value

    def gain(self, counter: int) -> Gain:
        """Return that of a counter; nothing if it was read when its map had other fields, and fewer."""
        return self.gains[counter] if counter < len(self.gains) else Gain()


@dataclass(slots=True)
class Sum:
    """What a counter stands at in all entries of a map together, and what that gains a second."""

    total: float = 0.0
    rate: float | None = None


class MapTable:
    """One map. Rates are over the times of its readings."""

    def __init__(self, info: LoadedMap) -> None:
        self.info = info
        self.key: tuple[Leaf, ...] = ()
        self.value: tuple[Leaf, ...] = ()
        self.counters: tuple[Leaf, ...] = ()
        """What of the value counts, in its order: each has totals and rates."""
        self.entries: dict[str, Entry] = {}
        self.sums: tuple[Sum, ...] = ()
        """Of each counter."""
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
            self.entries, self.sums, self.time = {}, (), 0.0
        self.key, self.value = leaves(info.key), leaves(info.value)
        self.counters = () if self.is_slots else counters_of(self.value, info.name)
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
                entry = Entry(row, tuple(Gain() for _ in self.counters), is_new=bool(self.time))
            else:
                entry.is_new = False
            was_written = entry.written is not None and reading.time >= entry.written
            self._count(entry, row, None if was_written else seconds)
            if was_written:
                entry.written = None
            found[row.id] = entry
        self.entries = found
        self.sums = tuple(self._sum(at, is_known=bool(seconds)) for at in range(len(self.counters)))
        self.time, self.more, self.known = reading.time, reading.more, reading.entries
        self.readings += 1

    def _count(self, entry: Entry, row: MapRow, seconds: float | None) -> None:
        for leaf, gain in zip(self.counters, entry.gains, strict=True):
            gain.read(number(leaf.read(row.value)), seconds, is_new=entry.is_new)
        entry.row = row

    def _sum(self, at: int, *, is_known: bool) -> Sum:
        gains = [entry.gains[at] for entry in self.entries.values()]
        rates = [gain.rate for gain in gains if gain.rate is not None]
        return Sum(sum(gain.count for gain in gains), sum(rates) if rates and is_known else None)
