"""How much memory a record takes. All bounds on stored or queued records are counted in this."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import Cost, End, Fullest, Header, Lost, Probe, Record, TableReading
from ebpftop.core.shared import ENVIRONMENTS
from ebpftop.core.state_records import States
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users

# A struct with its numbers and short texts, as tracemalloc measured it.
_EXEC = 850
_EXIT = 900
_SMALL = 400
_ROW = 300
_NUMBER = 36
_SMALL_TEXT = 60
_POINTER = 8


def weight(record: Record) -> int:
    """Return about how many bytes *record* takes, never much less than it does."""
    if isinstance(record, Exec):
        long = len(record.file) + len(record.cgroup) + len(record.interp or "")
        return _EXEC + long + texts(record.argv) + _of_places(record) + _of_environment(record)
    if isinstance(record, Exit):
        return _EXIT
    if isinstance(record, Trace):
        return _SMALL + text(record.message) + (text(record.program.name) if record.program else 0)
    if isinstance(record, Process):
        return _SMALL + texts(record.argv)
    if isinstance(record, Syscall):
        return _SMALL + texts(record.args)
    if isinstance(record, Users):
        return _SMALL + _ROW * len(record.rows)
    if isinstance(record, Syscalls):
        numbers = sum(len(row.histogram_ns) + len(row.failed_histogram_ns) + 4 * len(row.errnos) for row in record.rows)
        others = len(record.in_flight) + len(record.processes) + len(record.process_totals) + len(record.users)
        return _SMALL + _NUMBER * numbers + _ROW * (len(record.rows) + others + len(record.table))
    if isinstance(record, States):
        parts = sum(len(row.blocked) + len(row.wakers) + len(row.now) for row in record.rows)
        return _SMALL + _ROW * (len(record.machine.cpus) + len(record.rows) + parts)
    if isinstance(record, Probe):
        return _SMALL + _ROW * len(record.attempts) + len(f"{record.via}{record.reason}{record.remedy}")
    if isinstance(record, Foreign):
        return _SMALL + len(record.line)
    if isinstance(record, _FIXED):
        return _SMALL
    return _SMALL + sum(_weight_of_value(getattr(record, name)) for name in record.__struct_fields__)


def _of_places(record: Exec) -> int:
    """Return about how many bytes it takes to say where a program runs; older recordings do not."""
    if record.cwd is None and not record.stdio:
        return 0
    if record.env:
        return texts((*record.env, *record.env.values())) + texts(_places(record))
    return texts(_places(record))


def _of_environment(record: Exec) -> int:
    names, differs = record.env_names, record.env_differs
    size = 0 if names is None or ENVIRONMENTS.has(names) else texts(names)
    if differs is None:
        return size
    different = (*differs.new, *differs.changed, *differs.gone)
    return size + (_SMALL + texts(different) if different else _SMALL_TEXT)


def _places(record: Exec) -> tuple[str, ...]:
    places = (record.exe, record.cwd, record.root, record.tty, *record.stdio)
    return tuple(place for place in places if place)


_FIXED = (Header, Lost, Fullest, Cost, End)


def _weight_of_value(value: object) -> int:
    """Return about how many bytes a field of a record of any probe takes."""
    if value is None or value is True or value is False or value == ():
        return _POINTER
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (tuple, list)):
        return _ROW + sum(map(_weight_of_value, value))
    if isinstance(value, dict):
        return _ROW + sum(_weight_of_value(key) + _weight_of_value(item) for key, item in value.items())
    if isinstance(value, msgspec.Struct):
        return _ROW + sum(_weight_of_value(getattr(value, name)) for name in value.__struct_fields__)
    return _NUMBER


def weight_beside(record: TableReading, before: TableReading | None) -> int:
    """Return about how many bytes *record* takes beside the reading *before*: what is the same object is free."""
    if before is None:
        return weight(record)
    rows = {name: getattr(record, name) for name in record.keys}
    known = {id(row) for name in rows for row in getattr(before, name)}
    new = {name: tuple(row for row in rows[name] if id(row) not in known) for name in rows}
    return weight(msgspec.structs.replace(record, **new)) + _POINTER * sum(map(len, rows.values()))


def weight_of(records: Iterable[Record]) -> int:
    """Return the weight of all *records*."""
    return sum(map(weight, records))


def texts(many: tuple[str, ...]) -> int:
    """Return about how many bytes a tuple of texts takes."""
    return _SMALL_TEXT * (1 + len(many)) + _characters("".join(many))


def text(one: str) -> int:
    """Return about how many bytes a text takes. (`sys.getsizeof` grows when a text is encoded.)"""
    return _SMALL_TEXT + _characters(one)


def _characters(one: str) -> int:
    return len(one) if one.isascii() else 4 * len(one)
