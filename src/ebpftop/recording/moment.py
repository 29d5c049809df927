"""What shows a moment, of the records up to it."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from operator import itemgetter

from ebpftop.core.process_records import Process
from ebpftop.core.record_lines import Foreign
from ebpftop.core.record_memory import weight
from ebpftop.core.records import Event, Header, Reading, Record
from ebpftop.probes.registry import registry
from ebpftop.recording.index import EventCounter
from ebpftop.recording.lasting import Lasting

# Memory for what happened during it. Beyond that, the oldest is left out.
MAX_BYTES = 24 << 20


class Moment:
    """Records up to a moment: the newest events of each pane, readings, states of probes; and what held before them."""

    def __init__(self, time: float, events: int, readings_since: float, lasting: Iterable[Record]) -> None:
        """Keep what shows *time*: the last *events* of each pane, readings from *readings_since* on.

        *lasting* holds before the first record. It is moved on to the oldest event kept.
        """
        self.seconds: Counter[int] = Counter()
        """All events, by whole second."""
        self.dropped = EventCounter()
        """The events that are not kept."""
        self.complete_from = 0.0
        """All events that were added, and are later, are kept."""
        self._time = time
        self._events = events
        self._readings_since = readings_since
        self._probes = registry().types
        self._lasting = Lasting(lasting)
        self._number = self._bytes = 0
        # By pane; readings, and states of probes, by themselves. Each with its place and its weight.
        self._logs: defaultdict[str | None, deque[tuple[int, Record, int]]] = defaultdict(deque)

    def is_shown(self, reading: Record) -> bool:
        """Whether a reading is kept."""
        return not isinstance(reading, (Header, Foreign)) and self._readings_since <= reading.time <= self._time

    def add(self, record: Record, added_bytes: int | None = None) -> None:
        """Add the next record; *added_bytes* is what it takes if it shares most of its memory with others."""
        if isinstance(record, (Header, Foreign)) or record.time > self._time:
            return
        log: str | None = None
        if isinstance(record, (Event, Process)):
            log = self._probes[type(record)]
            if isinstance(record, Event):
                self.seconds[int(record.time)] += 1
        elif isinstance(record, Reading):
            if not self.is_shown(record):
                return
            log = ""
        size = weight(record) if added_bytes is None else added_bytes
        self._number += 1
        self._bytes += size
        self._logs[log].append((self._number, record, size))
        if log and len(self._logs[log]) > self._events:
            self._drop(log)
        while self._bytes > MAX_BYTES:
            self._drop(min((log for log, kept in self._logs.items() if kept), key=lambda log: self._logs[log][0][0]))

    def before(self) -> list[Record]:
        """Return what held before the oldest event kept."""
        return self._lasting.records()

    def records(self) -> list[Record]:
        """Return what is kept, in its order."""
        kept = sorted((entry for log in self._logs.values() for entry in log), key=itemgetter(0))
        return [record for _, record, _ in kept]

    def _drop(self, log: str | None) -> None:
        _, record, size = self._logs[log].popleft()
        self._bytes -= size
        self._lasting.follow(record)
        if isinstance(record, Event):
            self.dropped.add(record)
            self.complete_from = max(self.complete_from, record.time)
