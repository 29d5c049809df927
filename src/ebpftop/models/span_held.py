"""What maps of a program of one's own held all through a span: their keys, and values that stayed the same.

Entries that count are compared by what they gained. Those of settings, slots and names are compared by what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ebpftop.core.load_records import MapReading, MapRow, Value
from ebpftop.models.load_values import typed

_KEYS_MAX = 8192
"""Of one map: more than its readings have rows."""
_MAPS_MAX = 256


@dataclass(slots=True)
class Entry:
    """An entry: its last row; whether it was in every reading, and with the same value; whether it is there now."""

    row: MapRow
    stayed: bool
    same: bool = True
    here: bool = True


class Held:
    """The entries of one map in a span."""

    def __init__(self) -> None:
        self._is_first = True
        self.entries: dict[str, Entry] = {}
        """All that were seen, by the bytes of their keys."""
        self.is_cut = False
        """More keys were seen than are noted, or than a reading has rows: of those nothing is known."""

    def begin(self) -> None:
        """Begin the span: what is held now was held since then."""
        self.entries = {key: Entry(one.row, stayed=True) for key, one in self.entries.items() if one.here}

    def read(self, record: MapReading) -> None:
        """Read the entries of the map; the first reading is whole."""
        is_first, self._is_first = self._is_first, False
        self.is_cut = self.is_cut or record.more > 0
        if record.whole:
            here = {row.id for row in record.rows}
            self._drop(key for key in self.entries if key not in here)
        else:
            self._drop(str(key) for (key,) in record.removed.get("rows", ()))
        for row in record.rows:
            known = self.entries.get(row.id)
            if known is not None:
                known.same = known.same and known.row.value == row.value
                known.row, known.here = row, True
            elif len(self.entries) < _KEYS_MAX:
                self.entries[row.id] = Entry(row, stayed=is_first)
            else:
                self.is_cut = True

    def _drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            if (entry := self.entries.get(key)) is not None:
                entry.stayed = entry.here = False


class SpanHeld:
    """The entries of all maps."""

    def __init__(self) -> None:
        self.maps: dict[str, Held] = {}
        self._begun = False

    def read(self, record: MapReading, *, in_span: bool) -> None:
        """Read the entries of a map. Before the span only the last readings count."""
        if in_span and not self._begun:
            self._begun = True
            for one in self.maps.values():
                one.begin()
        held = self.maps.get(record.map)
        if held is None:
            if len(self.maps) >= _MAPS_MAX:
                return
            held = self.maps[record.map] = Held()
        held.read(record)


@dataclass(frozen=True)
class Differs:
    """An entry that differs: its last row before and after, None if it was not there."""

    map: str
    before: MapRow | None
    after: MapRow | None

    @property
    def row(self) -> MapRow:
        """The last row of it."""
        row = self.after or self.before
        assert row is not None
        return row


def differing(a: Mapping[str, Held], b: Mapping[str, Held]) -> Iterator[Differs]:
    """Yield entries that one span had all the time and the other never, and those whose values stayed, but differ."""
    for name in sorted(a.keys() & b.keys()):
        one, other = a[name], b[name]
        for key in sorted(one.entries.keys() | other.entries.keys()):
            before, after = one.entries.get(key), other.entries.get(key)
            if before is None:
                if after is not None and after.stayed and not one.is_cut:
                    yield Differs(name, None, after.row)
            elif after is None:
                if before.stayed and not other.is_cut:
                    yield Differs(name, before.row, None)
            elif _is_constant(before) and _is_constant(after) and before.row.value != after.row.value:
                yield Differs(name, before.row, after.row)


def _is_constant(entry: Entry) -> bool:
    return entry.stayed and entry.same


def value_text(row: MapRow) -> str:
    """Return the value of an entry in a few words; what it stands for, if it is one number that has a name."""
    return f"{typed(row.value)} {row.names.get('value', '')}".rstrip()


def number_of(value: Value) -> float | None:
    """Return a value that is one number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
