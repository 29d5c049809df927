"""What the command of `ebpftop run` prints: the record of a line, and the newest of them."""

from __future__ import annotations

from typing import Literal

from ebpftop.core.record_memory import weight
from ebpftop.core.records import Count, Event
from ebpftop.core.source import Batch
from ebpftop.models.eventlog import EventLog


class Output(Event, frozen=True, kw_only=True, tag="output"):
    """A line that the command printed, on stdout or stderr, and what belongs between lines.

    *line* is its number, from 1. *part*: ``line``; ``open``, the line has no end yet, and another record of the same
    number replaces this one; ``lost``, so many lines as *line* were not read; ``end``, *text* says how the command
    ended.
    """

    line: Count
    text: str
    part: Literal["line", "open", "lost", "end"] = "line"

    paths = ("text",)


class OutputLog(EventLog[Output]):
    """The newest lines."""

    kind = Output

    def __init__(self, capacity: int = 100_000) -> None:
        super().__init__(capacity)
        self.lines = 0
        """How many lines were printed and read."""
        self.ended = ""
        """How the command ended; empty while it runs."""

    def searchable(self, event: Output) -> str:
        return event.text

    def feed(self, batch: Batch) -> None:
        self.processes.feed(batch)
        for record in batch.records:
            if isinstance(record, Output):
                self._add(record)
        self.view.advance()

    def _add(self, record: Output) -> None:
        ring = self.ring
        newest = ring[ring.end - 1] if len(ring) else None
        if newest is not None and newest.part == "open" and newest.line == record.line and record.part != "lost":
            ring.replace_newest(record, weight(record))
            self.view.recheck(ring.end - 1)
        else:
            ring.append(record, weight(record))
        if record.part == "end":
            self.ended = record.text
        elif record.part != "lost":
            self.lines = record.line
