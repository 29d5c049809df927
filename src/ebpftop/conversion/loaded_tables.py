"""Tables of one map or one buffer of a program of one's own: a column for each member of its keys, values and events.

Their columns follow from the types that `loaded` has of it, the first time that it has them; without those, as in a
stream that was joined late, from the first row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ebpftop.conversion.columns import Column, json_cell, plain_cell
from ebpftop.core.load_records import BpfEvent, Field, Loaded, MapReading, MapRow, Value
from ebpftop.core.records import Record
from ebpftop.core.spreadsheet import Cell

PREFIXES = ("map.", "event.")
"""What the names of these tables begin with; then comes that of the map."""

_COLUMNS_MAX = 500
_NAMED = frozenset(("uid", "pid", "tid", "errno", "ret", "syscall", "signal", "stack"))
"""What numbers mean that have names beside them."""
_BUFFERS = frozenset(("perf_event_array", "ringbuf"))
_WITH_MEMBERS = frozenset(("struct", "union"))

_Path: TypeAlias = tuple[str, ...]
Pair: TypeAlias = tuple[Record, MapRow | None]
"""A reading and one of its rows, or an event and None."""


def names_in(records: Iterable[Record]) -> tuple[str, ...]:
    """Return the names of the tables that the programs of one's own in *records* have."""
    maps = (one for record in records if isinstance(record, Loaded) for one in record.maps)
    return tuple(sorted({f"{'event' if one.type in _BUFFERS else 'map'}.{one.name}" for one in maps}))


class LoadedTable:
    """The table of one map or one buffer."""

    def __init__(self, name: str) -> None:
        """*name* begins with one of `PREFIXES`."""
        self._of_events = name.startswith("event.")
        self.map = name.partition(".")[2]
        self._left_out: set[str] = set()
        self._is_cut = False

    def read(self, records: Iterable[Record]) -> tuple[list[Column], Iterator[Pair]]:
        """Return the columns, and the rows of *records*, which are read as far as that needs."""
        rest = iter(records)
        columns: list[Column] | None = None
        for record in rest:
            if isinstance(record, Loaded):
                columns = columns or self._by_types(record)
            elif found := list(self._rows(record)):
                return columns or self._by_row(*found[0]), self._all(found, rest)
        return columns or self._columns({part: {(): None} for part in self._parts}), iter(())

    def notes(self) -> Iterator[str]:
        """Yield what the table does not have."""
        if self._left_out:
            what = "event" if self._of_events else "map"
            yield (
                f"{what} {self.map} had other members before or after a reload, which have no column: "
                f"{', '.join(sorted(self._left_out))}; convert that part by itself, as FILE@FROM.."
            )
        if self._is_cut:
            yield f"{self.map} has more than {_COLUMNS_MAX} members: those beyond have no column"

    @property
    def _parts(self) -> tuple[str, ...]:
        return ("fields",) if self._of_events else ("key", "value")

    def _all(self, first: Sequence[Pair], rest: Iterator[Record]) -> Iterator[Pair]:
        for record, row in first:
            self._note(record, row)
            yield record, row
        for later in rest:
            for record, row in self._rows(later):
                self._note(record, row)
                yield record, row

    def _rows(self, record: Record) -> Iterator[Pair]:
        if self._of_events:
            if isinstance(record, BpfEvent) and record.map == self.map:
                yield record, None
        elif isinstance(record, MapReading) and record.map == self.map:
            yield from ((record, row) for row in record.rows)

    def _note(self, record: Record, row: MapRow | None) -> None:
        """Note what of a row has no column."""
        for part in self._parts:
            for path in _paths(_part(part, record, row)):
                # A part of what has a column is in that one's JSON.
                if not any((part, *path[:size]) in self._known for size in range(len(path) + 1)):
                    self._left_out.add(".".join((part, *path)))

    def _by_types(self, loaded: Loaded) -> list[Column] | None:
        found = next((one for one in loaded.maps if one.name == self.map), None)
        if found is None or found.value is None or (found.key is None and not self._of_events):
            return None
        if self._of_events:
            # What is no structure is in one field of this name.
            is_one = found.value.kind not in _WITH_MEMBERS
            return self._columns({"fields": {("data",): found.value} if is_one else dict(_members(found.value))})
        assert found.key is not None
        return self._columns({"key": dict(_members(found.key)), "value": dict(_members(found.value))})

    def _by_row(self, record: Record, row: MapRow | None) -> list[Column]:
        return self._columns({part: dict.fromkeys(_paths(_part(part, record, row))) for part in self._parts})

    def _columns(self, parts: Mapping[str, Mapping[_Path, Field | None] | Mapping[_Path, Field]]) -> list[Column]:
        columns: list[Column] = [("time_unix_s", lambda pair: pair[0].time)]
        if self._of_events:
            columns += [_of_event(name) for name in ("program", "cpu", "pid", "uid", "comm", "size", "cut")]
        else:
            columns.append(("id", lambda pair: pair[1].id))
        members: list[Column] = []
        self._known = set()
        for part, paths in parts.items():
            for path, field in paths.items():
                self._known.add((part, *path))
                members.append((".".join((part, *path)), _value(part, path)))
                if field is None or field.meaning in _NAMED:
                    members.append((".".join((part, *path, "name")), _name(part, path)))
        self._is_cut = len(members) > _COLUMNS_MAX
        columns += members[:_COLUMNS_MAX]
        if not self._of_events:
            columns.append(("cpus", lambda pair: json_cell(pair[1].cpus) if pair[1].cpus else None))
        return columns

    _known: set[_Path]


def _members(field: Field, path: _Path = ()) -> Iterator[tuple[_Path, Field]]:
    """Yield the path and the type of all that is in a type and has no members itself."""
    if field.kind not in _WITH_MEMBERS or not field.fields:
        yield path, field
        return
    for one in field.fields:
        yield from _members(one, (*path, one.name) if one.name else path)


def _paths(value: Value) -> Iterator[_Path]:
    """Yield the paths of all that is in a value and is no object itself."""
    if not isinstance(value, Mapping):
        yield ()
        return
    for name, one in value.items():
        yield from ((name, *path) for path in _paths(one))


def _part(part: str, record: Record, row: MapRow | None) -> Any:
    return getattr(record if row is None else row, part)


def _of_event(name: str) -> Column:
    return name, lambda pair: getattr(pair[0], name)


def _value(part: str, path: _Path) -> Callable[[Pair], Cell]:
    def cell(pair: Pair) -> Cell:
        value = _part(part, *pair)
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return plain_cell(value)

    return cell


def _name(part: str, path: _Path) -> Callable[[Pair], Cell]:
    # The names of an event are by the names of its members alone.
    place = ".".join(path if part == "fields" else (part, *path))

    def cell(pair: Pair) -> Cell:
        names: Mapping[str, str] = _part("names", *pair)
        return names.get(place)

    return cell
