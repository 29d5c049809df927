"""What a program of one's own counted in a span: its events, its runs, and what entries of its maps gained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from ebpftop.core.load_records import BpfEvent, Field, Loaded, MapReading, MapRow, ProgramRun, ProgramRuns, Value
from ebpftop.models.slices import Histograms, Slices, Sums
from ebpftop.models.span_fields import SpanFields
from ebpftop.models.span_held import SpanHeld
from ebpftop.models.span_items import Item
from ebpftop.models.span_tables import SpanTable

_COUNTS = frozenset(("", "bytes", "ns"))
"""What a number means that is added up."""
_NUMBERS = frozenset(("int", "uint"))
_BUFFERS = frozenset(("ringbuf", "perf_event_array"))
_TABLES_MAX = 256
_STATES_MAX = 64
# More than any counter has that was not there in the reading before: that is a time, as many programs keep of each
# call that has not returned.
_NO_COUNTER = 10**10


class _Total(NamedTuple):
    """A number of an entry: the entry, the names of its key, which number, and what it is now."""

    key: str
    name: str
    member: str
    total: int


class SpanLoaded:
    """Adds up what the records of a loaded file say."""

    def __init__(self, slices: Slices, items: Sums[Item], histograms: Histograms[Item], total_ns: Sums[Item]) -> None:
        self._slices = slices
        self._items = items
        self.fields = SpanFields(slices, items, histograms, total_ns)
        self.held = SpanHeld()
        self.states: list[Loaded] = []
        """What became of the file: what held when the span began, then each time that it was loaded, or could not be;
        of many the first and the last ones."""
        self._members: dict[str, frozenset[str]] = {}
        """The members of a map's values that are counters; the whole is ``""``."""
        self._tables: dict[str, SpanTable[_Total]] = {}
        self.not_counters: set[str] = set()
        """Maps whose numbers are no counters."""
        self._runs: SpanTable[ProgramRun] = SpanTable(slices, attrgetter("program"), attrgetter("runs"), self._add_run)

    def note(self, loaded: Loaded, *, in_span: bool) -> None:
        """Learn what the maps and buffers of the file hold."""
        for one in loaded.maps:
            if one.value is not None:
                self._members[one.name] = frozenset(_counters(one.value))
                if one.type in _BUFFERS:
                    self.fields.note(one.name, one.value)
        if loaded.state in ("on", "failed"):
            if not in_span:
                self.states.clear()
            elif len(self.states) == _STATES_MAX:
                self.states.pop()
            self.states.append(loaded)

    @property
    def running(self) -> Loaded | None:
        """What ran last; None if nothing did."""
        return next((one for one in reversed(self.states) if one.generation), None)

    def event(self, event: BpfEvent) -> None:
        """Count an event of the span."""
        self._items.add(Item("event", event.map), self._slices.at(event.time), 1)
        self.fields.add(event)

    def read_runs(self, record: ProgramRuns, *, is_first: bool) -> None:
        """Read the run counts; *is_first*: what they have is not of the span."""
        if is_first:
            self._runs.begin(record.rows, whole=record.whole)
        else:
            self._runs.read(record.time, record.rows)

    def read_map(self, record: MapReading, *, in_span: bool) -> None:
        """Read the entries of a map."""
        self.held.read(record, in_span=in_span)
        known = self._members.get(record.map, frozenset(("",)))
        rows = [total for row in record.rows for total in _totals(row, known)]
        table = self._tables.get(record.map)
        if table is None:
            if len(self._tables) == _TABLES_MAX:
                return
            table = self._tables[record.map] = SpanTable(
                self._slices, attrgetter("key", "member"), attrgetter("total"), _Adder(self, record.map)
            )
            table.begin(rows, whole=record.whole)
        elif in_span:
            if any(row.total >= _NO_COUNTER and not table.knows((row.key, row.member)) for row in rows):
                self.not_counters.add(record.map)
            table.read(record.time, rows)
        else:
            table.begin(rows, whole=record.whole)

    def close(self) -> None:
        """Add up what is open."""
        self._runs.close()
        self.fields.close()
        for table in self._tables.values():
            table.close()

    def _add_run(self, row: ProgramRun, before: ProgramRun | None, number: int) -> None:
        if (runs := row.runs - (before.runs if before else 0)) > 0:
            self._items.add(Item("run", row.program), number, runs)

    def add(self, name: str, row: _Total, before: _Total | None, number: int) -> None:
        """Add what an entry of the map *name* gained."""
        gained = row.total - (before.total if before else 0)
        if gained > 0 and name not in self.not_counters:
            self._items.add(Item("entry", f"{row.name} {row.member}".rstrip(), name), number, gained)


class _Adder:
    def __init__(self, loaded: SpanLoaded, name: str) -> None:
        self._loaded = loaded
        self._name = name

    def __call__(self, row: _Total, before: _Total | None, number: int) -> None:
        self._loaded.add(self._name, row, before, number)


def _counters(field: Field, path: str = "") -> Iterator[str]:
    if field.kind == "struct":
        for one in field.fields:
            yield from _counters(one, f"{path}.{one.name}" if path else one.name)
    elif field.kind in _NUMBERS and field.meaning in _COUNTS:
        yield path


def _totals(row: MapRow, members: frozenset[str]) -> Iterator[_Total]:
    name = key_text(row)
    for member in members:
        value: Value = row.value
        for part in filter(None, member.split(".")):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            yield _Total(row.id, name, member, value)


def key_text(row: MapRow) -> str:
    """Return the key of an entry in a few words, with what its numbers stand for: ``1000 ann``, ``uid 0 root``."""
    if isinstance(row.key, Mapping):
        parts = (
            f"{name} {_plain(value)}{f' {found}' if (found := row.names.get(f'key.{name}')) else ''}"
            for name, value in row.key.items()
        )
        return ", ".join(parts)
    name = row.names.get("key")
    return f"{_plain(row.key)} {name}" if name else _plain(row.key)


def _plain(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
