"""What the status bar and the titles show: the probes, what was lost, the event rate, what ebpftop costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import get_args

from ebpftop.core.own_programs import OwnFile
from ebpftop.core.records import Cost, Event, Fullest, Lost, Probe, ProbeName, Where
from ebpftop.core.source import Batch
from ebpftop.models.rates import Window

KINDS_OF_LOSS: tuple[Where, ...] = tuple(where for where in get_args(Where) if where != "export")
"""Those that a screen can have: only `ebpftop serve` exports."""


class Overview:
    """State of all of ebpftop, from the records of every probe."""

    def __init__(self) -> None:
        self.time = 0.0
        self.batches = 0
        self.probes: dict[ProbeName, Probe] = {}
        self.lost: dict[ProbeName, dict[Where, int]] = {}
        self.lost_last: dict[Where, float] = {}
        """When something of each kind was lost last (Unix seconds)."""
        self.fullest: dict[ProbeName, Fullest] = {}
        """How full each buffer was at most."""
        self._sent: set[ProbeName] = set()
        """Probes of which there was more than their state."""
        self.own: dict[ProbeName, OwnFile] = {}
        """What is loaded of each probe, in recordings that have it."""
        self.cost: Cost | None = None
        self._events = Window()

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        self.batches += 1
        self.time = max(self.time, batch.time)
        # By the times of the records: their grouping into batches must not matter.
        events: Counter[int] = Counter({int(batch.time): 0})
        for record in batch.records:
            if not isinstance(record, (Probe, Cost)):
                self._sent.add(batch.probe)
            match record:
                case Event():
                    events[int(record.time)] += 1
                case Probe():
                    self.probes[record.probe] = record
                case Lost():
                    self._note_lost(record)
                case OwnFile():
                    self.own[record.probe] = record
                case Fullest():
                    self.fullest[record.probe] = record
                case Cost():
                    self.cost = record
                case _:
                    pass
        for second, count in events.items():
            self._events.add(second, count)

    def _note_lost(self, record: Lost) -> None:
        counts = self.lost.setdefault(record.probe, {})
        if record.count > counts.get(record.where, 0):
            self.lost_last[record.where] = max(record.time, self.lost_last.get(record.where, 0.0))
        counts[record.where] = record.count

    def recall(self, seconds: Mapping[int, int]) -> None:
        """Set the number of events of whole seconds, independent of how many were fed."""
        self._events.recall(seconds)

    @property
    def events_per_second(self) -> float:
        return self._events.rate()

    @property
    def total_lost(self) -> int:
        return sum(sum(kinds.values()) for kinds in self.lost.values())

    def lost_by_kind(self) -> dict[Where, dict[ProbeName, int]]:
        """Return how much each probe lost of each kind, in a fixed order; a kind of which nothing was lost is empty."""
        return {
            where: {probe: n for probe, kinds in self.lost.items() if (n := kinds.get(where, 0))}
            for where in KINDS_OF_LOSS
        }

    @property
    def went_missing(self) -> int:
        """How much was lost that nobody asked to leave out."""
        return self.total_lost - self.beyond_limit

    def lacks(self, probe: ProbeName) -> bool:
        """Return whether nothing came of *probe*, though what comes says which probes there are."""
        return bool(self.probes) and probe not in self.probes and probe not in self._sent

    @property
    def beyond_limit(self) -> int:
        """How many of them were left out because so many were asked for: they are counted, and nothing went wrong."""
        return sum(kinds.get("rate", 0) for kinds in self.lost.values())

    @property
    def only_kind_lost(self) -> Where | None:
        """The kind of all that was lost, but for `beyond_limit`; None if there are several or none."""
        kinds = [where for where, probes in self.lost_by_kind().items() if probes and where != "rate"]
        return kinds[0] if len(kinds) == 1 else None

    @property
    def gone(self) -> tuple[str, ...]:
        """What the filter names but what no longer exists."""
        return tuple(dict.fromkeys(one for probe in self.probes.values() for one in probe.gone))

    def losses(self, probe: ProbeName) -> list[tuple[Where, int]]:
        """Return what *probe* lost, by kind, in a fixed order; only what is not zero."""
        kinds = self.lost.get(probe, {})
        return [(where, kinds[where]) for where in KINDS_OF_LOSS if kinds.get(where)]
