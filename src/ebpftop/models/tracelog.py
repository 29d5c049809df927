"""The lines that BPF programs print."""

from __future__ import annotations

from ebpftop.core.records import Trace
from ebpftop.models.eventlog import EventLog


class TraceLog(EventLog[Trace]):
    """The newest lines of the trace pipe, and the filtered view of them."""

    kind = Trace

    def matches(self, event: Trace) -> bool | None:
        return self.view_filter.matches_line(event, self.processes)

    def searchable(self, event: Trace) -> str:
        tid = f" {event.tid}" if event.tid not in (None, event.pid) else ""
        return f"{event.pid}{tid} {event.task} cpu{event.cpu} {event.message}"
