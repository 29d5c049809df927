"""Group records into the batches that a Source yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ebpftop.core.record_memory import weight
from ebpftop.core.records import End, Header, ProbeName, Record
from ebpftop.core.source import Batch
from ebpftop.probes.registry import registry

# A slice ends early if it takes more memory: all records of a recording may have the same time.
MAX_SLICE_BYTES = 4 << 20

# A record further behind is not late: the clock was set back, or a damaged record was far ahead.
BACKWARDS_S = 10.0


class Grouper:
    """Collects records into slices of *width_s* seconds. The first record of the next slice completes the one before.

    Only recorded time and `MAX_SLICE_BYTES` cut slices, so the same recording always gives the same batches. A record
    that is a little late stays in the open slice.
    """

    def __init__(self, width_s: float) -> None:
        self._width_s = width_s
        self._slice = 0
        self._records: dict[ProbeName, list[Record]] = {}
        self._sizes: dict[ProbeName, int] = {}
        self._size = 0

    def add(self, record: Record) -> Sequence[Batch]:
        """Add one record; return the batches that it completed, mostly none."""
        if isinstance(record, (Header, End)):
            return ()
        probe = registry().probe_of(record)
        if probe is None:
            return ()
        done: Sequence[Batch] = ()
        number = int(record.time / self._width_s)
        if number > self._slice or record.time < (self._slice * self._width_s) - BACKWARDS_S:
            done = self.flush()
            self._slice = number
        elif self._size > MAX_SLICE_BYTES:
            done = self.flush()
        size = weight(record)
        self._size += size
        self._sizes[probe] = self._sizes.get(probe, 0) + size
        self._records.setdefault(probe, []).append(record)
        return done

    def flush(self) -> Sequence[Batch]:
        """Return the collected records, oldest first; `time` of a batch is the time of its newest record."""
        batches = [
            Batch(
                probe,
                max(r.time for r in records if not isinstance(r, Header)),
                tuple(records),
                size=self._sizes[probe],
            )
            for probe, records in self._records.items()
        ]
        self._records, self._sizes, self._size = {}, {}, 0
        return batches


def group(records: Iterable[Record], width_s: float) -> Iterator[Batch]:
    """Yield *records* as batches of slices of *width_s* seconds."""
    grouper = Grouper(width_s)
    for record in records:
        yield from grouper.add(record)
    yield from grouper.flush()
