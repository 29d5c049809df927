"""The lines that BPF programs print."""

from __future__ import annotations

from ebpftop.core.record_memory import weight
from ebpftop.core.records import Trace
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Processes
from ebpftop.models.ring import Ring, View

BUDGET = 16 << 20
"""Bytes of kept lines."""

ENDED_KEPT = 20_000
ENDED_BYTES = 8 << 20
"""Bounds on the ended processes that are kept to find the owner of a line."""


class TraceLog:
    """The newest lines of the trace pipe, and the filtered view of them."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ring: Ring[Trace] = Ring(capacity, BUDGET)
        self.view = View(self.ring)
        self.processes = Processes(ENDED_KEPT, ENDED_BYTES)

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The log is empty."""
        self.ring.begin_at(before.of("trace"))

    def feed(self, batch: Batch) -> None:
        """Add the lines of one batch, and the records of the exec log that show their owners."""
        for record in batch.records:
            match record:
                case Trace():
                    self.ring.append(record, weight(record))
                case _:
                    self.processes.note(record)
        self.view.advance()

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only lines that match; `view.scan` then searches the older ones."""
        processes = self.processes
        self.view.set_filter((lambda line: view_filter.matches_line(line, processes)) if view_filter else None)


def searchable(line: Trace) -> str:
    """Return all fields of a line as one text, for the filter."""
    tid = f" {line.tid}" if line.tid not in (None, line.pid) else ""
    return f"{line.pid}{tid} {line.task} cpu{line.cpu} {line.message}"
