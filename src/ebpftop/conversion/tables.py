"""Tables, as CSV has them: one kind of records, a row each; of readings, a row of each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ebpftop.conversion.columns import Column, columns_of, row_type, scalars_of
from ebpftop.conversion.exec_tree import Ended, ExecTree, Failed
from ebpftop.conversion.input import Input, ns, with_boot_offset
from ebpftop.conversion.loaded_tables import PREFIXES, LoadedTable
from ebpftop.core import format
from ebpftop.core.load_records import BpfEvent, MapReading
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Header, Record, TableReading
from ebpftop.core.spreadsheet import Cell, csv_value, guard
from ebpftop.probes.registry import kind_of, registry

RUNS = "exec+exit"
"""The table of programs that started, each with its end."""

_STREAM = frozenset(("header", "end"))
_NOT_CELLS = frozenset(("whole", "removed"))
_TOGETHER = 512
_SEEN_MAX = 200


def tables() -> tuple[str, ...]:
    """Return the names of all tables: kinds of records, and what readings hold besides `rows` behind a dot."""
    return (RUNS, *(name for name in _tables()))


def is_table(name: str) -> bool:
    """Whether *name* is one of `tables`, or that of a table of one map or buffer: ``map.counts``, ``event.output``."""
    return name in tables() or any(name.startswith(prefix) and name != prefix for prefix in PREFIXES)


def to_csv(
    source: Input, table: str, *, exact: bool = False, report: Callable[[str], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield *table* as CSV (RFC 4180). Texts that a spreadsheet would run get an apostrophe in front unless *exact*.

    *report* gets, at the end, what the table does not have; if it is empty, which tables have rows.
    """
    columns: list[Column]
    rows: Iterator[Any]
    number = 0
    seen: dict[str, int] = {}
    if table != RUNS and table not in tables():
        one = LoadedTable(table)
        columns, rows = one.read(_noted(source.records, seen))
    else:
        one = None
        noted = replace(source, records=_noted(source.records, seen))
        if table == RUNS:
            columns, rows = _RUN_COLUMNS, runs(noted)
        else:
            kind, field = _tables()[table]
            columns, rows = _columns(kind, field), _rows(noted.records, kind, field)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(name for name, _ in columns)
    getters = [get for _, get in columns]
    for number, row in enumerate(rows, 1):
        cells = (csv_value(get(row)) for get in getters)
        writer.writerow(cells if exact else map(guard, cells))
        if number % _TOGETHER == 0:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()
    for note in one.notes() if one is not None else ():
        report(note)
    if not number:
        there = ", ".join(f"{name} ({format.counted(count, 'record')})" for name, count in sorted(seen.items()))
        report(f"no row of {table} is in it" + (f"; --kind has others: {there}" if there else ""))


def _noted(records: Iterable[Record], seen: dict[str, int]) -> Iterator[Record]:
    """Yield *records*; count in *seen* how many there are of each table, and of each map and buffer."""
    for record in records:
        if type(record) in registry().types:
            name = kind_of(type(record))
            if isinstance(record, (MapReading, BpfEvent)) and len(seen) < _SEEN_MAX:
                name += f".{record.map}"
            seen[name] = seen.get(name, 0) + 1
        yield record


def _tables() -> dict[str, tuple[type[Record], str | None]]:
    """Return the record of each table, and the field that holds its rows; None if a record is a row."""
    found: dict[str, tuple[type[Record], str | None]] = {}
    for name, kind in registry().kinds.items():
        if name in _STREAM:
            continue
        if not (issubclass(kind, TableReading) and kind.keys):
            found[name] = kind, None
            continue
        for field in kind.keys:
            found[name if field == "rows" else f"{name}.{field}"] = kind, field
    return found


def _columns(kind: type[Record], field: str | None) -> list[Column]:
    """Return the columns of a table. Rows of a reading have those of the reading itself in front."""
    if field is None:
        return columns_of(kind)
    row = columns_of(row_type(kind, field))
    names = {name for name, _ in row}
    reading = [column for column in scalars_of(kind, _NOT_CELLS) if column[0] not in names]
    return [
        *((name, _first(get)) for name, get in reading),
        *((name, _second(get)) for name, get in row),
    ]


def _first(get: Callable[[Any], Cell]) -> Callable[[Any], Cell]:
    return lambda row: get(row[0])


def _second(get: Callable[[Any], Cell]) -> Callable[[Any], Cell]:
    return lambda row: get(row[1])


def _rows(records: Iterable[Record], kind: type[Record], field: str | None) -> Iterator[Any]:
    for record in records:
        if type(record) is kind:
            if field is None:
                yield record
            else:
                yield from ((record, row) for row in getattr(record, field))


def runs(source: Input) -> Iterator[tuple[Exec, Ended | None]]:
    """Yield each program that started, and each that did not, with its end: in the order of the ends.

    Those that still run come last.
    """
    offset_ns, records = with_boot_offset(source.records)
    tree = ExecTree(ns(source.begin), offset_ns)
    last_ns = 0
    for record in records:
        if isinstance(record, Header):
            continue
        last_ns = max(last_ns, ns(record.time))
        for change in tree.follow(record):
            if isinstance(change, Failed):
                yield change.exec, None
            elif isinstance(change, Ended) and isinstance(change.program.start, Exec):
                yield change.program.start, change
    for end in tree.finish(last_ns):
        if isinstance(end.program.start, Exec):
            yield end.program.start, end


def _outcome(run: tuple[Exec, Ended | None]) -> str:
    """Return how a program ended, in a word."""
    _, end = run
    if end is None:
        return "failed"
    if end.next is not None:
        return "exec"
    if end.exit is None:
        return "running" if end.is_cut else "unknown"
    return "exited" if end.exit.code is not None else "signal" if end.exit.signal is not None else "unknown"


def _end_time(run: tuple[Exec, Ended | None]) -> Cell:
    _, end = run
    if end is None or end.is_cut:
        return None
    return end.exit.time if end.exit else end.next.time if end.next else None


def _of_exit(get: Callable[[Any], Cell]) -> Callable[[Any], Cell]:
    return lambda run: None if run[1] is None or run[1].exit is None else get(run[1].exit)


_OF_BOTH = frozenset(("time", "pid", "ppid", "uid", "comm", "start_ns"))
_RUN_COLUMNS: list[Column] = [
    *((name, _first(get)) for name, get in columns_of(Exec)),
    ("outcome", _outcome),
    ("end_time_unix_s", _end_time),
    *((name, _of_exit(get)) for name, get in columns_of(Exit, _OF_BOTH)),
]
