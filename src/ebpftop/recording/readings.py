"""Write readings as what changed in them, and put them together again.

In memory a reading is always whole. In a stream it is whole at least once a minute (a keyframe). The others hold only
the rows that changed, each with its totals since the start: a line that is missing makes a row late, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import msgspec

from ebpftop.core.record_lines import encode
from ebpftop.core.records import Probe, Record, SeriesKey, TableReading, series_of
from ebpftop.recording.hosts import add_host

WHOLE_EVERY_S = 60.0
# Readings come a little early or late, and one a minute is whole at least.
_EARLY_S = 0.3
# The same in bytes of the stream: a reader that seeks reads back to a whole reading.
WHOLE_EVERY_BYTES = 2 << 20
# Rows of one reading: 16,384 users and the rest; calls of five ABIs; pairs of process and call.
MAX_ROWS = 20_000
# Maps of one file: a program may use 64.
MAX_SERIES = 1_024

Key: TypeAlias = tuple[str | int, ...]
_Rows: TypeAlias = dict[Key, Any]
_R = TypeVar("_R", bound=Record)


class ReadingEncoder:
    """Encodes the records of one output: the first reading of each series whole, later ones as what changed."""

    def __init__(self, host: str | None = None) -> None:
        """*host*: its name is in every line."""
        self._host = host
        self._last: dict[SeriesKey, _Written] = {}
        self._bytes = 0

    def encode(self, record: Record) -> bytes:
        """Return the line of *record*, without its newline."""
        if isinstance(record, Probe):
            # The kernel may count anew from here.
            self._last.clear()
        elif isinstance(record, TableReading) and record.keys:
            record = self._part(record)
        line = encode(record)
        if self._host is not None:
            line = add_host(line, record, self._host)
        self._bytes += len(line)
        return line

    def last_readings(self) -> list[TableReading]:
        """Return the last reading of each series that readings to come go on from, whole."""
        return [written.reading for written in self._last.values()]

    def _part(self, reading: TableReading) -> TableReading:
        """Return what is to be written of a whole *reading*."""
        series = series_of(reading)
        last = self._last.get(series)
        # What was not read again is the same object.
        tables = {
            name: last.tables[name]
            if last is not None and getattr(reading, name) is getattr(last.reading, name)
            else _by_key(reading, name)
            for name in reading.keys
        }
        regular = frozenset(
            name
            for name, rows in tables.items()
            if (last is not None and rows is last.tables[name] and name in last.regular)
            or _is_regular(rows, len(getattr(reading, name)))
        )
        if (
            last is not None
            and last.reading.time <= reading.time < last.whole_s + WHOLE_EVERY_S - _EARLY_S
            and self._bytes < last.whole_bytes + WHOLE_EVERY_BYTES
            and len(regular) == len(tables)
            and (part := _difference(last, reading, tables)) is not None
        ):
            self._last[series] = _Written(reading, tables, regular, last.whole_s, last.whole_bytes)
            return part
        self._last[series] = _Written(reading, tables, regular, reading.time, self._bytes)
        return reading


@dataclass(frozen=True, slots=True)
class _Written:
    """The last reading that was written, and when, and at which byte, the last whole one was."""

    reading: TableReading
    tables: Mapping[str, _Rows]
    regular: frozenset[str]
    """The tables that a reader can put together: see `_is_regular`."""
    whole_s: float
    whole_bytes: int


def _difference(last: _Written, reading: TableReading, tables: Mapping[str, _Rows]) -> TableReading | None:
    """Return what changed; None if a reader could not continue with it, or it would not be shorter."""
    fields: dict[str, Any] = {"whole": False}
    removed: dict[str, tuple[Key, ...]] = {}
    written = rows = 0
    for name in reading.__struct_fields__:
        if name in ("time", "whole", "removed"):
            continue
        before, now = getattr(last.reading, name), getattr(reading, name)
        if name in tables and tables[name] is last.tables[name] and name not in reading.ages:
            fields[name] = ()
            rows += len(now)
        elif name in tables:
            old, same = last.tables[name], _comparison(last.reading, reading, name)
            fields[name] = tuple(
                row for key, row in tables[name].items() if (known := old.get(key)) is None or not same(known, row)
            )
            if gone := tuple(key for key in old if key not in tables[name]):
                removed[name] = gone
            written += len(fields[name]) + len(gone)
            rows += len(now)
        elif isinstance(now, dict) and isinstance(before, dict):
            if any(now.get(key, -1) < total for key, total in before.items()):
                return None
            fields[name] = {key: total for key, total in now.items() if before.get(key) != total}
        elif type(now) is not type(before) or (isinstance(now, int) and now < before and name not in reading.may_fall):
            return None
    if written > rows:
        return None
    return msgspec.structs.replace(reading, removed=removed, **fields)


def _is_regular(rows: _Rows, count: int) -> bool:
    """Whether *count* rows are in the order of their keys, each key once: a reader puts them in this order."""
    return len(rows) == count and list(rows) == sorted(rows)


def _comparison(last: TableReading, reading: TableReading, table: str) -> Callable[[Any, Any], bool]:
    """Return what compares two rows; the age of a row has to be as much more as the clock is."""
    age = reading.ages.get(table)
    if age is None:
        return lambda old, row: old is row or old == row
    passed_ns = getattr(reading, _CLOCK) - getattr(last, _CLOCK)
    return lambda old, row: bool(_older(old, age, passed_ns) == row)


_CLOCK = "boot_ns"
_AGE_MAX = (1 << 63) - 1


def _older(row: Any, age: str, passed_ns: int) -> Any:
    # A recording may say anything of its clock, and an age is not negative, nor beyond 64 bits.
    return msgspec.structs.replace(row, **{age: min(max(0, getattr(row, age) + passed_ns), _AGE_MAX)})


def _by_key(reading: TableReading, table: str) -> _Rows:
    key = _key_of(reading, table)
    return {key(row): row for row in getattr(reading, table)}


def _key_of(reading: TableReading, table: str) -> Callable[[Any], Key]:
    names = reading.keys[table]
    get: Callable[[Any], Any] = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


class ReadingDecoder:
    """Puts the readings of one input together again. It must get all of them, in their order."""

    def __init__(self) -> None:
        self._known: dict[SeriesKey, _Known] = {}

    def whole(self, record: _R) -> _R | None:
        """Return *record*; if it is a part of a reading, the whole reading, or None if that is not known yet.

        Raises ValueError if it has more rows than any reading, or is of more tables than any recording has.
        """
        return self.whole_of(record) if self.follow(record) else None

    def whole_of(self, record: _R) -> _R:
        """Return the whole reading after *record*, the last that was followed."""
        if isinstance(record, TableReading) and not record.whole:
            return self._known[series_of(record)].reading(record)
        return record

    def readings(self) -> list[TableReading]:
        """Return the last reading of each series, whole."""
        return [known.reading(known.last) for known in self._known.values()]

    def follow(self, record: Record) -> bool:
        """Note what changed, without making a reading of it. Return whether the whole reading is known."""
        if not isinstance(record, TableReading):
            return True
        series = series_of(record)
        if record.whole:
            if series not in self._known and len(self._known) >= MAX_SERIES:
                raise ValueError(f"readings of more than {MAX_SERIES} tables")
            self._known[series] = _Known(record)
        elif series in self._known:
            try:
                self._known[series].change(record)
            except ValueError:
                del self._known[series]
                raise
        return series in self._known


class _Known:
    """The rows of a reading by their keys."""

    def __init__(self, reading: TableReading) -> None:
        self.last = reading
        self._tables: dict[str, _Rows] = {}
        self._in_order: dict[str, tuple[Any, ...]] = {}
        """The rows of the tables that did not change since they were asked for: most do not."""

    def change(self, part: TableReading) -> None:
        """Make the changes of *part*."""
        last = self.last
        if not self._tables:
            self._tables = {name: _by_key(last, name) for name in last.keys}
        fields: dict[str, Any] = {}
        for name in part.__struct_fields__:
            value, before = getattr(part, name), getattr(last, name)
            if name in self._tables:
                self._change_table(name, part)
            elif isinstance(before, dict) and name != "removed":
                fields[name] = {**before, **(value or {})}
                if len(fields[name]) > MAX_ROWS:
                    raise ValueError(_TOO_MANY)
            elif value is None:
                fields[name] = before
        self.last = msgspec.structs.replace(part, whole=True, removed={}, **fields)

    def _change_table(self, name: str, part: TableReading) -> None:
        rows, age = self._tables[name], part.ages.get(name)
        if getattr(part, name) or part.removed.get(name) or (rows and age is not None):
            self._in_order.pop(name, None)
        key_of = _key_of(part, name)
        for key in part.removed.get(name, ()):
            rows.pop(key, None)
        if age is not None:
            # Ages are noted as of the time of the reading.
            passed_ns = getattr(part, _CLOCK) - getattr(self.last, _CLOCK)
            for key, row in rows.items():
                rows[key] = _older(row, age, passed_ns)
        for row in getattr(part, name):
            rows[key_of(row)] = row
        if len(rows) > MAX_ROWS:
            raise ValueError(_TOO_MANY)

    def reading(self, part: _R) -> _R:
        """Return the whole reading after *part*, its rows in the order of their keys."""
        for name, rows in self._tables.items():
            if name not in self._in_order:
                self._in_order[name] = tuple(row for _, row in sorted(rows.items(), key=_key))
        return msgspec.structs.replace(self.last, **self._in_order)  # type: ignore[return-value]  # of the class of *part*


def _key(item: tuple[Key, Any]) -> Key:
    return item[0]


_TOO_MANY = f"more than {MAX_ROWS} rows of one kind together"
