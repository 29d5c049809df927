"""The lines that BPF programs print."""

from __future__ import annotations

from ebpftop.core.record_memory import weight
from ebpftop.core.records import Exec, Exit, Process, Trace
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.filters.spec import Filter
from ebpftop.models.bounded import Bounded
from ebpftop.models.filter_match import matches
from ebpftop.models.processes import Processes
from ebpftop.models.ring import Ring, View

BUDGET = 16 << 20
"""Bytes of kept lines."""

OWNERS = 20_000
OWNERS_BYTES = 8 << 20
"""Bounds on the processes that are kept to find the owner of a line."""


class TraceLog:
    """The newest lines of the trace pipe, and the filtered view of them."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ring: Ring[Trace] = Ring(capacity, BUDGET)
        self.view = View(self.ring)
        # The owner of a line: the newest exec of its pid.
        self._owners: Bounded[int, Exec] = Bounded(OWNERS, OWNERS_BYTES)
        self._processes = Processes()

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The log is empty."""
        self.ring.begin_at(before.of("trace"))

    def feed(self, batch: Batch) -> None:
        """Add the lines of one batch, and the records of the exec log that show their owners."""
        for record in batch.records:
            match record:
                case Trace():
                    self.ring.append(record, weight(record))
                case Exec():
                    self._owners.put(record.pid, record, weight(record))
                    if record.ret >= 0:
                        self._processes.started(record)
                case Process():
                    self._processes.started(record)
                case Exit():
                    self._processes.exited(record)
                case _:
                    pass
        self.view.advance()

    def apply_filter(self, scope: Filter, kernel_filter_since: float) -> None:
        """Show only lines that match *scope*. Those from *kernel_filter_since* (Unix seconds) on matched in the kernel.

        An older line is only shown if the exec log knows its owner, and that matches. `view.scan` then searches the
        older ones.
        """
        self.view.set_filter(
            None if not scope else lambda line: line.time >= kernel_filter_since or self._matches(scope, line)
        )

    def _matches(self, scope: Filter, line: Trace) -> bool:
        owner = self._owners.get(line.pid)
        return owner is not None and matches(scope, owner, self._processes)


def searchable(line: Trace) -> str:
    """Return all fields of a line as one text, for the filter."""
    tid = f" {line.tid}" if line.tid not in (None, line.pid) else ""
    return f"{line.pid}{tid} {line.task} cpu{line.cpu} {line.message}"
