"""What a match was about, in words: a line for the record, and the rows and figures of a reading."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebpftop.core.format import clock_text, counted, duration, nanoseconds
from ebpftop.core.load_records import BpfEvent, MapReading, MapRow
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Lost, Probe, Record, TableReading
from ebpftop.core.syscall_records import Syscall
from ebpftop.core.trace_records import Trace
from ebpftop.models.exec_row import killed_by
from ebpftop.probes.registry import kind_of

if TYPE_CHECKING:
    from ebpftop.filters.expression_named import Figure, Named

_LONGEST = 200
"""Characters of a summary."""

_FOUND_MAX = 3
"""Rows that a summary names; the others are counted."""

_NAMES = ("name", "comm", "pid", "tid", "user", "uid", "abi", "nr")
"""What the name of a row already says."""


@dataclass(frozen=True, slots=True)
class Found:
    """What of a reading matched: figures of it, or a row, which has the same `key` in the next reading."""

    key: Hashable
    words: str


def found_in(record: Record, named: Named | None) -> tuple[Found, ...]:
    """Return what of *record*, which matches, an expression is about: the rows that it finds, and figures."""
    if named is None:
        return ()
    found = [
        Found(
            (search.field_name, _key(record, search.field_name, row)),
            _words_of_row(search.field_name, row, search.figures),
        )
        for search in named.rows
        for row in search.matching(record)
    ]
    if words := _words_of(named.figures, record):
        found.append(Found("", words))
    return tuple(found)


def _key(record: Record, field: str, row: Any) -> Hashable:
    keys = record.keys.get(field, ()) if isinstance(record, TableReading) else ()
    return (field, *(getattr(row, key) for key in keys))


def _words_of_row(field: str, row: Any, figures: Iterable[Figure]) -> str:
    """Return `ada: failed 412`, `in flight: read of db[9]: 12.0s`."""
    where = "" if field == "rows" else f"{field.replace('_', ' ')}: "
    words = _words_of([figure for figure in figures if figure.label not in _NAMES], row)
    return f"{where}{_name_of(row)}" + (f": {words}" if words else "")


def _name_of(row: Any) -> str:
    """Return what a row is called: its call, its process, its user; whichever of these it has."""
    call, comm, pid = (getattr(row, name, None) for name in ("name", "comm", "pid"))
    process = f"{comm}[{pid}]" if comm is not None and pid is not None else ""
    if call or process:
        return " of ".join(filter(None, (call, process)))
    if isinstance(row, MapRow):
        return row.names.get("key") or f"key {row.key}"
    uid = getattr(row, "uid", None)
    return getattr(row, "user", None) or (f"uid {uid}" if uid is not None else "a row")


def _words_of(figures: Iterable[Figure], of: Any) -> str:
    """Return each figure with its value."""
    return ", ".join(_figure(figure, figure.value(of)) for figure in figures)


def _figure(figure: Figure, value: Any) -> str:
    label = figure.label
    if figure.unit in ("s", "ns"):
        # The value says its unit.
        label = "" if label == "ns" else label.removesuffix(f"_{figure.unit}")
    return f"{label} {_value(figure, value)}".strip()


def _value(figure: Figure, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (int, float)):  # the member of an event may be of any type
        return str(value)
    if figure.unit == "time":
        return clock_text(value)
    if figure.unit == "s":
        return duration(value)
    if figure.unit == "ns":
        return nanoseconds(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}"


def summary_of(record: Record, found: Sequence[Found] = ()) -> str:
    """Return *record* in one line, as a notice or a line of a log has it; of a reading, what was *found* in it."""
    if found:
        more = len(found) - _FOUND_MAX
        words = "; ".join(one.words for one in found[:_FOUND_MAX])
        return _cut(f"{kind_of(type(record))}: {words}", f"; {counted(more, 'row')} more" if more > 0 else "")
    return _cut(_summary(record))


def _summary(record: Record) -> str:
    match record:
        case Exec(ret=0):
            return f"{_who(record)} started: {shlex.join(record.argv or (record.file,))}"
        case Exec():
            return f"{_who(record)} could not start {record.file}: {record.error or record.ret}"
        case Exit():
            how = record.signal or ("exited" if record.code is None else f"exit {record.code}")
            how = f"{how} {killed_by(record)}".rstrip()
            core = ", core dumped" if record.core else ""
            after = f" after {duration(record.duration_s)}" if record.duration_s is not None else ""
            return f"{_who(record)} ended: {how}{core}{after}"
        case Syscall():
            result = "?" if record.ret is None else record.error or str(record.ret)
            took = f" in {duration(record.ns / 1e9)}" if record.ns is not None else ""
            return f"{_who(record)} {record.name}({', '.join(record.args)}) = {result}{took}"
        case Trace():
            return f"{record.task}[{record.pid}] printed: {record.message}"
        case BpfEvent():
            members = (
                f"{name} {value}{f' {record.names[name]}' if name in record.names else ''}"
                for name, value in record.fields.items()
                if isinstance(value, (str, int, float))
            )
            return f"{record.map}: {', '.join(members)}"
        case MapReading():
            return f"a reading of the map {record.map}"
        case Lost():
            return f"{record.probe} lost {record.count:,} ({record.where})"
        case Probe():
            return f"probe {record.probe} is {record.state}" + (f": {record.reason}" if record.reason else "")
        case TableReading():
            return f"a reading of {kind_of(type(record))}"
        case _:
            some = [f"{name} {value}" for name in record.__struct_fields__ if (value := _plain(record, name))]
            return " ".join((kind_of(type(record)), *some))


def _who(record: Exec | Exit | Syscall) -> str:
    return f"{record.comm}[{record.pid}]"


def _plain(record: Record, name: str) -> str:
    value = getattr(record, name)
    return str(value) if name != "time" and isinstance(value, (str, int, float)) else ""


def _cut(text: str, end: str = "") -> str:
    room = _LONGEST - len(end)
    return (text if len(text) <= room else text[: room - 1] + "…") + end
