"""A filter of the exec log as a watch: for programs that start, or that have ended if it asks how."""

from __future__ import annotations

from threading import Lock

from ebpftop.core.process_records import Exec, Exit
from ebpftop.filters.query import Query
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.processes import Lineage
from ebpftop.models.watch import Watch

RUNNING_MAX = 10_000
"""Programs whose end is waited for; the oldest are forgotten."""


class _Ends:
    """Joins the end of a program with its start. What is remembered may be searched in another thread."""

    def __init__(self, query: Query[ExecRow]) -> None:
        self._query = query
        self._running: dict[tuple[int, int], ExecRow] = {}
        self._lock = Lock()

    def started(self, record: Exec) -> bool:
        row = _row(record)
        if row.failed:
            return self._query.matches(row, record.time)
        with self._lock:
            self._running[record.pid, record.start_ns] = row
            if len(self._running) > RUNNING_MAX:
                del self._running[next(iter(self._running))]
        return False

    def ended(self, record: Exit) -> bool:
        with self._lock:
            row = self._running.pop((record.pid, record.start_ns), None)
        if row is None:
            return False
        row.ended, row.exit = record.time, record
        return self._query.matches(row, record.time)


def watch_of(label: str, query: Query[ExecRow]) -> Watch:
    """Return a watch for the programs that match *query*."""
    if query.at_end:
        ends = _Ends(query)
        return Watch(label, {Exec: ends.started, Exit: ends.ended})
    return Watch(label, {Exec: lambda record: query.matches(_row(record), record.time)})


def _row(record: Exec) -> ExecRow:
    return ExecRow(record, Lineage(record.pid, record.start_ns, record.ppid))
