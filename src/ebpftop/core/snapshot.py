"""A moment of the past, as a source gives it to the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebpftop.core.source import Batch


@dataclass(frozen=True, slots=True)
class EventCounts:
    """How many events there were of each kind, none of them zero; `failed` is how many of the execs failed."""

    kinds: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0

    def of(self, kind: str) -> int:
        """Return how many there were of one kind."""
        return self.kinds.get(kind, 0)

    def plus(self, other: EventCounts, times: int = 1) -> EventCounts:
        """Return the sum, or with *times* -1 the difference."""
        kinds = {kind: self.of(kind) + times * other.of(kind) for kind in {**self.kinds, **other.kinds}}
        return EventCounts({kind: count for kind, count in kinds.items() if count}, self.failed + times * other.failed)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment: batches that bring empty models there, and what the batches do not contain.

    `before` counts the events before those in the batches, None if that is not known yet. `seconds` holds the number of
    events in each of the last whole seconds, empty if not all of them are known.
    """

    batches: tuple[Batch, ...]
    before: EventCounts | None
    seconds: Mapping[int, int]
    complete_from: float = 0.0
    """All events from this time on are in the batches."""
