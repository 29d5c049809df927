"""The lines that BPF programs print."""

from __future__ import annotations

from ebpftop.models.ring import Ring, View
from ebpftop.records import Trace
from ebpftop.source import Batch


class TraceLog:
    """The newest lines of the trace pipe, and the filtered view of them."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ring: Ring[Trace] = Ring(capacity)
        self.view = View(self.ring)

    def feed(self, batch: Batch) -> None:
        """Take in the lines of one batch."""
        for record in batch.records:
            if isinstance(record, Trace):
                self.ring.append(record, 200 + len(record.message))
        self.view.advance()


def searchable(line: Trace) -> str:
    """Return all fields of a line as one text, for the filter."""
    return f"{line.pid} {line.task} cpu{line.cpu} {line.message}"
