"""Every program that started or failed to, joined with how it ended."""

from __future__ import annotations

import shlex

from ebpftop.core.record_memory import weight
from ebpftop.core.records import Exec, Exit
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.filters.regex import Pattern
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Lineage, Processes, ProcessInfo
from ebpftop.models.ring import Ring, View

# Memory of a row besides its record.
_ROW_BYTES = 300


class ExecRow:
    """One execve and how the program ended: `ended` is the time, `exit` the reason; `replaced`: by another execve."""

    __slots__ = ("ended", "exec", "exit", "lineage", "replaced", "sequence")

    def __init__(self, record: Exec, lineage: Lineage) -> None:
        self.exec = record
        self.lineage = lineage
        self.exit: Exit | None = None
        self.ended: float | None = None
        self.replaced = False
        self.sequence = -1

    @property
    def failed(self) -> bool:
        return self.exec.ret < 0

    @property
    def running(self) -> bool:
        return self.ended is None and not self.failed

    def seconds(self, now: float) -> float | None:
        """Return how long the program ran, or has been running at *now*; None if it never did."""
        if self.failed:
            return None
        if self.ended is None:
            return now - self.exec.time
        if self.exit is not None and self.exit.code is None and self.exit.signal is None:
            return None
        if self.exit is not None and self.exit.duration_s is not None:
            return self.exit.duration_s
        return self.ended - self.exec.time

    @property
    def outcome(self) -> str:
        """How it ended in one word: an errno, a signal, an exit code, ``exec``; empty while it runs."""
        if self.failed:
            return self.exec.error or str(self.exec.ret)
        if self.exit is None:
            return "exec" if self.replaced else ""
        if self.exit.signal:
            return self.exit.signal
        return "exited (not seen)" if self.exit.code is None else str(self.exit.code)

    @property
    def user(self) -> str:
        return self.exec.user if self.exec.user is not None else str(self.exec.uid)

    def searchable(self) -> str:
        """Return all fields as one text, for the filter."""
        e = self.exec
        return (
            f"{e.pid} {e.ppid} {e.pcomm} {e.uid} {self.user} {e.comm} {e.file} {' '.join(e.argv)} {self.outcome}"
            f" {e.interp or ''} {e.cgroup} {e.container or ''} {e.unit or ''}"
        )


def command_line(argv: tuple[str, ...]) -> str:
    """Return *argv* in the syntax of a shell."""
    return shlex.join(argv)


class ExecLog:
    """The newest rows in a ring, the processes behind them, and the filtered view."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ring: Ring[ExecRow] = Ring(capacity)
        self.view = View(self.ring)
        self.processes = Processes()
        self.view_filter = ViewFilter()
        self.pattern: Pattern | None = None
        self.execs = 0
        self.failed = 0
        self.exits = 0
        # (pid, start) identifies a process for good; the value is the sequence number of its current row.
        self._open: dict[tuple[int, int], int] = {}

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The log is empty."""
        self.ring.begin_at(before.of("exec"))
        self.execs, self.failed = before.of("exec") - before.failed, before.failed
        self.exits = before.of("exit")

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        for record, process in zip(batch.records, self.processes.feed(batch), strict=True):
            if isinstance(record, Exec):
                assert process is not None
                self._exec(record, process.lineage)
            elif isinstance(record, Exit):
                self._exit(record)
        self.view.advance()
        if len(self._open) > 2 * len(self.ring):
            self._open = {key: sequence for key, sequence in self._open.items() if sequence >= self.ring.first}

    def apply_filter(self, view_filter: ViewFilter, pattern: Pattern | None = None) -> None:
        """Show only the rows that match both; then `view.scan` searches the older ones."""
        self.view_filter = view_filter
        self.pattern = pattern
        self.view.set_filter(self.matches if view_filter or pattern else None)

    def matches(self, row: ExecRow) -> bool | None:
        """Return whether *row* is shown; None if that is not known yet."""
        matches = self.view_filter.matches_exec(row.exec, row.lineage, self.processes)
        if matches is False or self.pattern is None:
            return matches
        return matches if self.pattern.matches(row.searchable()) else False

    def parent(self, row: ExecRow) -> str:
        """Return the name of the program that started this one, empty if it is not known."""
        if row.exec.pcomm:
            return row.exec.pcomm
        ancestors = self.ancestors(row)
        return ancestors[0].comm if ancestors else ""

    def ancestors(self, row: ExecRow) -> list[ProcessInfo]:
        return self.processes.ancestors(row.exec.ppid, row.exec.start_ns)

    def _exec(self, record: Exec, lineage: Lineage) -> None:
        row = ExecRow(record, lineage)
        row.sequence = sequence = self.ring.append(row, _ROW_BYTES + weight(record))
        if row.failed:
            self.failed += 1
            return
        self.execs += 1
        key = (record.pid, record.start_ns)
        self._end(self._open.get(key), record.time, None)
        self._open[key] = sequence

    def _exit(self, record: Exit) -> None:
        self.exits += 1
        self._end(self._open.pop((record.pid, record.start_ns), None), record.time, record)

    def _end(self, sequence: int | None, time: float, ending: Exit | None) -> None:
        if sequence is None or sequence < self.ring.first:
            return
        row = self.ring[sequence]
        row.ended = time
        row.exit = ending
        row.replaced = ending is None
        self.view.recheck(sequence)
