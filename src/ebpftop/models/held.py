"""What a paused screen holds back: batches with their takers, bounded in records and in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from ebpftop.core.group_records import Cgroups, Comms, Uids
from ebpftop.core.load_records import MapReading
from ebpftop.core.memory_budget import scaled
from ebpftop.core.program_records import Programs
from ebpftop.core.record_memory import weight, weight_beside
from ebpftop.core.records import Cost, Fullest, Header, Lost, Probe, Record, SeriesKey, TableReading, series_of
from ebpftop.core.source import Batch
from ebpftop.core.state_records import States
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users

RECORDS_MAX = 200_000
BYTES_MAX = 20 << 20
"""Bounds of what is held: records and rows, and memory."""

_WITH_ROWS = (Users, Syscalls, Programs, Cgroups, Comms, Uids, States, MapReading)

Taker = TypeVar("Taker")


class Held(Generic[Taker]):
    """A queue of batches. If it is full, the oldest batches come out again."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop all batches."""
        self._batches: deque[tuple[Taker, Batch, int]] = deque()
        """Who takes a batch, the batch, and its bytes."""
        self._readings: dict[SeriesKey, TableReading] = {}
        """The last of each series: most rows of the next one are the same objects."""
        self.weight = 0
        """Records and rows."""
        self.bytes = 0
        self.has_overflowed = False

    def __len__(self) -> int:
        return len(self._batches)

    def put(self, taker: Taker, batch: Batch) -> Iterator[tuple[Taker, Batch]]:
        """Hold *batch* without the records of the stream itself, and yield what no longer fits.

        States of a probe stay beside what it read: counters do not go on from before they were detached.
        """
        held = tuple(r for r in batch.records if not isinstance(r, (Lost, Fullest, Cost, Header)))
        if all(isinstance(record, Probe) for record in held):
            return
        size = sum(map(self._bytes_of, held))
        self._batches.append((taker, Batch(batch.probe, batch.time, held), size))
        self.weight += _weight(held)
        self.bytes += size
        while (self.weight > RECORDS_MAX or self.bytes > scaled(BYTES_MAX)) and len(self) > 1:
            self.has_overflowed = True
            yield self._pop()

    def take(self, records: int) -> Iterator[tuple[Taker, Batch]]:
        """Yield the oldest batches, *records* or a few more."""
        until = self.weight - records
        while self._batches and self.weight > until:
            yield self._pop()

    def _pop(self) -> tuple[Taker, Batch]:
        taker, batch, size = self._batches.popleft()
        self.weight -= _weight(batch.records)
        self.bytes -= size
        return taker, batch

    def _bytes_of(self, record: Record) -> int:
        if not isinstance(record, TableReading):
            return weight(record)
        series = series_of(record)
        before, self._readings[series] = self._readings.get(series), record
        return weight_beside(record, before)


def _weight(records: Iterable[Record]) -> int:
    return sum(1 + len(r.rows) if isinstance(r, _WITH_ROWS) else 1 for r in records)
