"""A moment of the past, as a source gives it to the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebpftop.core.source import Batch


@dataclass(frozen=True, slots=True)
class EventCounts:
    """How many events there were: programs that started, failed to, ended; traced calls; lines of the trace log."""

    execs: int = 0
    failed: int = 0
    exits: int = 0
    syscalls: int = 0
    traces: int = 0

    def plus(self, other: EventCounts, times: int = 1) -> EventCounts:
        """Return the sum, or with *times* -1 the difference."""
        return EventCounts(
            self.execs + times * other.execs,
            self.failed + times * other.failed,
            self.exits + times * other.exits,
            self.syscalls + times * other.syscalls,
            self.traces + times * other.traces,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment: batches that bring empty models there, and what the batches do not contain.

    `before` counts the events before those in the batches, None if that is not known yet. `seconds` holds the number of
    events in each of the last whole seconds, empty if not all of them are known.
    """

    batches: tuple[Batch, ...]
    before: EventCounts | None
    seconds: Mapping[int, int]
