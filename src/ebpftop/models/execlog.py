"""Every program that started or failed to, joined with how it ended."""

from __future__ import annotations

from bisect import bisect_right

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.record_memory import weight
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.core.user_records import Users
from ebpftop.filters.query import Query
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.folded_view import FoldedView
from ebpftop.models.folding import Grouping
from ebpftop.models.processes import Lineage, Processes, ProcessInfo
from ebpftop.models.ring import Ring

VARIED_S = 0.5
"""So often running programs are checked again if the filter is about how long they have run."""

# Memory of a row besides its record.
_ROW_BYTES = 360


class ExecLog:
    """The newest rows in a ring, the processes behind them, and the filtered view."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ring: Ring[ExecRow] = Ring(capacity)
        self.view = FoldedView(self.ring)
        self._grouping = Grouping(self.ring, self.view)
        self.processes = Processes()
        self.view_filter = ViewFilter()
        self.query: Query[ExecRow] | None = None
        self.now = 0.0
        """Time of the newest batch (Unix seconds)."""
        self._varied = 0.0
        self.execs = 0
        self.failed = 0
        self.exits = 0
        self._counted = 0.0, 0.0
        """The times of the last two readings of the users' counters (Unix seconds)."""
        # (pid, start) identifies a process for good; the value is the sequence number of its current row.
        self._open: dict[tuple[int, int], int] = {}

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The log is empty."""
        self.ring.begin_at(before.of("exec"))
        self.execs, self.failed = before.of("exec") - before.failed, before.failed
        self.exits = before.of("exit")

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        self.now = max(self.now, batch.time)
        for record, process in zip(batch.records, self.processes.feed(batch), strict=True):
            if isinstance(record, Exec):
                assert process is not None
                self._exec(record, process.lineage)
            elif isinstance(record, Exit):
                self._exit(record)
            elif isinstance(record, Users) and record.time > self._counted[1]:
                self._counted = self._counted[1], record.time
        self.view.advance()
        if self.query is not None and self.query.varies and self.now >= self._varied + VARIED_S:
            self._varied = self.now
            for sequence in self._open.values():
                self.view.recheck(sequence)
        if len(self._open) > 2 * len(self.ring):
            self._open = {key: sequence for key, sequence in self._open.items() if sequence >= self.ring.first}

    def apply_filter(self, view_filter: ViewFilter, query: Query[ExecRow] | None = None) -> None:
        """Show only the rows that match both; then `view.scan` searches the older ones."""
        self.view_filter = view_filter
        self.query = query
        self.view.set_filter(self.matches if view_filter or query is not None else None)

    def matches(self, row: ExecRow) -> bool | None:
        """Return whether *row* is shown; None if that is not known yet."""
        matches = self.view_filter.matches_exec(row.exec, row.lineage, self.processes)
        if matches is False or self.query is None:
            return matches
        return matches if self.query.matches(row, self.now) else False

    def rate(self, now: float) -> float:
        """Return execve calls per second, failed ones included, over the last reading of the users' counters.

        So it is what their title says. If there is no such reading, over the last second.
        """
        begin, end = self._counted
        if not begin or now - end > 2 * (end - begin) + 1:
            begin, end = now - 1, now
        ring = self.ring
        if ring.first and len(ring):
            begin = max(begin, ring[ring.first].exec.time)  # what came before is not known any more
        places = range(ring.first, ring.end)
        low, high = (bisect_right(places, time, key=lambda at: ring[at].exec.time) for time in (begin, end))
        return (high - low) / (end - begin) if end > begin else 0.0

    def parent(self, row: ExecRow) -> str:
        """Return the name of the program that started this one, empty if it is not known."""
        if row.exec.pcomm:
            return row.exec.pcomm
        ancestors = self.ancestors(row)
        return ancestors[0].comm if ancestors else ""

    def ancestors(self, row: ExecRow) -> list[ProcessInfo]:
        return self.processes.ancestors(row.exec.ppid, row.exec.start_ns)

    def row_of(self, process: ProcessInfo) -> ExecRow | None:
        """Return the row of the program that *process* runs, or ran last; else of the last that it could not run."""
        key = process.pid, process.start_ns
        sequence = self._open.get(key, -1)
        if self.ring.first <= sequence < self.ring.end:
            return self.ring[sequence]
        failed = None
        for row in reversed(self.ring.rows()):
            if row.exec.pid == process.pid and row.exec.start_ns == process.start_ns:
                if not row.failed:
                    return row
                failed = failed or row
        return failed

    def _exec(self, record: Exec, lineage: Lineage) -> None:
        row = ExecRow(record, lineage)
        row.sequence = sequence = self.ring.append(row, _ROW_BYTES + weight(record))
        self._grouping.started(row)
        if record.ret < 0:
            self.failed += 1
            return
        self.execs += 1
        key = (record.pid, record.start_ns)
        self._end(self._open.get(key), record.time, None)
        self._open[key] = sequence

    def _exit(self, record: Exit) -> None:
        self.exits += 1
        self._grouping.exited(record.pid, record.start_ns)
        self._end(self._open.pop((record.pid, record.start_ns), None), record.time, record)

    def _end(self, sequence: int | None, time: float, ending: Exit | None) -> None:
        if sequence is None or sequence < self.ring.first:
            return
        row = self.ring[sequence]
        row.ended = time
        row.exit = ending
        row.replaced = ending is None
        self.view.recheck(sequence)
        self._grouping.settled(row)
