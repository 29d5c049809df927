"""The index of the chunks that were read: their times, their events by second, and what holds when each begins."""

from __future__ import annotations

import threading
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ebpftop.core.load_records import Code, Loaded
from ebpftop.core.own_programs import OwnFile
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.record_lines import Foreign, encode
from ebpftop.core.records import Event, Fullest, Header, Lost, Probe, Record, TableReading
from ebpftop.core.snapshot import EventCounts
from ebpftop.probes.registry import kind_of

# No real machine has a table of running processes larger than the usual pid_max.
MAX_RUNNING = 32_768
MAX_RUNNING_BYTES = 4 << 20
# A bound on the lines that no longer hold; beyond it, what holds is known at every second chunk only, every fourth ..
MAX_PAST_BYTES = 24 << 20
# The events of a chunk are counted by the second, or by more if it has a longer time: 32 MiB of 65,536 chunks.
MAX_BUCKETS = 128
# The cost of a line besides its bytes, and of what is known of a chunk.
_LINE_BYTES = 200
_INFO_BYTES = 800

Key: TypeAlias = "int | str | tuple[str, str]"


@dataclass(frozen=True, slots=True)
class Info:
    """One chunk: Unix seconds of its first and last record, the number of its first line, the events before it.

    `seconds` has the events of `width_s` seconds each, the first from the Unix second `second` on. `whole`: it has a
    whole reading.
    """

    first: float
    last: float
    line: int
    before: EventCounts
    whole: bool
    second: int
    width_s: int
    seconds: array[int]


def time_of(record: Record) -> float:
    """Return the time of *record*, of a header the start of the recording."""
    return record.started if isinstance(record, Header) else record.time


def key_of(record: Record) -> Key | None:
    """Return what *record* starts, changes or ends: a process, the state of a probe, losses, how full a buffer was.

    Also what is loaded of a probe, the file that `load` runs, and the code of one of its programs. None for the
    others. Of two records with the same key, the later one holds.
    """
    if isinstance(record, (Exec, Exit, Process)):
        return None if isinstance(record, Exec) and record.ret < 0 else record.pid
    if isinstance(record, Probe):
        return record.probe
    if isinstance(record, Fullest):
        return (record.probe, "fullest")
    if isinstance(record, OwnFile):
        return (record.probe, "own")
    if isinstance(record, Loaded):
        return ("load", "file")
    if isinstance(record, Code):
        return ("code", record.program)
    return (record.probe, record.where) if isinstance(record, Lost) else None


class EventCounter:
    """Counts events, one by one."""

    def __init__(self, events: Iterable[Record] = ()) -> None:
        self._kinds: Counter[type[Record]] = Counter()
        self._failed = 0
        for record in events:
            if isinstance(record, Event):
                self.add(record)

    def add(self, event: Event) -> None:
        """Count one more."""
        self._kinds[type(event)] += 1
        self._failed += isinstance(event, Exec) and event.ret < 0

    @property
    def counts(self) -> EventCounts:
        """What was counted."""
        return EventCounts({kind_of(kind): count for kind, count in self._kinds.items()}, self._failed)


def _by_second(events: Mapping[int, int]) -> tuple[int, int, array[int]]:
    """Return the first second with events, seconds per entry, and the entries: at most `MAX_BUCKETS`."""
    if not events:
        return 0, 1, array("I")
    begin, span_s = min(events), max(events) - min(events)
    width_s = 1 + span_s // MAX_BUCKETS
    counts = array("I", [0] * (1 + span_s // width_s))
    for second, count in events.items():
        counts[(second - begin) // width_s] += count
    return begin, width_s, counts


class Index:
    """Grows by `add`, in order of the chunks; shrinks from the front by `drop`. Any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: deque[Info] = deque()
        self.first = 0
        """Number of the oldest known chunk."""
        self.line = 1
        """Number of the first line that is not known."""
        self._counts = EventCounts()
        self.last_record: Record | None = None
        self.last: float | None = None
        """The time of the last record."""
        self._now: dict[Key, tuple[int, bytes]] = {}
        """The lines that hold, each with the number of its chunk."""
        self._now_bytes = 0
        self._past: deque[tuple[int, int, bytes]] = deque()
        """The lines that held when a chunk began: behind the first number, up to the second one, which only grows."""
        self._past_bytes = 0
        self._stride = 1

    @property
    def stop(self) -> int:
        """One more than the number of the newest known chunk."""
        return self.first + len(self._infos)

    @property
    def bytes_used(self) -> int:
        """About the memory of this."""
        return self._now_bytes + self._past_bytes + _INFO_BYTES * len(self._infos)

    def add(self, records: Iterable[Record], lines: int) -> None:
        """Add the *records* of the next chunk, which has *lines*."""
        number = self.stop
        events = EventCounter()
        seconds: Counter[int] = Counter()
        whole = False
        first = last = record = None
        fresh: dict[Key, Record] = {}
        for record in records:
            if isinstance(record, Event):
                events.add(record)
                last = record.time
                seconds[int(last)] += 1
            elif not isinstance(record, Foreign) or record.time:
                last = time_of(record)
                whole |= isinstance(record, TableReading) and record.whole
            first = last if first is None else first
            key = key_of(record)
            if key is None or (isinstance(record, Process) and (key in fresh or key in self._now)):
                continue
            # What ends in the chunk where it began is never kept.
            if fresh.pop(key, None) is None and key in self._now:
                self._end(key, number)
            if not isinstance(record, Exit):
                fresh[key] = record
        self.last_record = record or self.last_record
        by_second = _by_second(seconds)
        with self._lock:
            before = self._counts
            self._counts = before.plus(events.counts)
            if first is None or last is None:
                first = last = self.last or 0.0
            else:
                self.last = last
            self._infos.append(Info(first, max(first, last), self.line, before, whole, *by_second))
            self.line += lines
            for key, record in fresh.items():
                line = encode(record)
                size = len(line) + _LINE_BYTES
                if len(self._now) < MAX_RUNNING and self._now_bytes + size <= MAX_RUNNING_BYTES:
                    self._now[key] = (number, line)
                    self._now_bytes += size
            while self._past_bytes > MAX_PAST_BYTES:
                self._stride *= 2
                self._past = deque(
                    (since, until, line)
                    for since, until, line in self._past
                    if since // self._stride < until // self._stride or since < self.first <= until
                )
                self._past_bytes = sum(len(line) + _LINE_BYTES for _, _, line in self._past)

    def drop(self, chunks: int) -> None:
        """Drop the oldest *chunks*. Later ones still know what holds."""
        with self._lock:
            for _ in range(chunks):
                self._infos.popleft()
            self.first += chunks
            while self._past and self._past[0][1] < self.first:
                self._past_bytes -= len(self._past.popleft()[2]) + _LINE_BYTES

    def _end(self, key: Key, number: int) -> None:
        """Note that a line holds no more from chunk *number* on."""
        with self._lock:
            since, line = self._now.pop(key)
            self._now_bytes -= len(line) + _LINE_BYTES
            if since // self._stride < number // self._stride:
                self._past.append((since, number, line))
                self._past_bytes += len(line) + _LINE_BYTES

    def infos(self) -> tuple[int, tuple[Info, ...]]:
        """Return the number of the oldest chunk, and the infos of it and of all later ones."""
        with self._lock:
            return self.first, tuple(self._infos)

    def info(self, number: int) -> Info | None:
        """Return what is known of a chunk; None if it is not indexed."""
        with self._lock:
            at = number - self.first
            return self._infos[at] if 0 <= at < len(self._infos) else None

    def before(self, number: int) -> EventCounts | None:
        """Return how many events there were from the start up to chunk *number*; None if that is not known."""
        with self._lock:
            at = number - self.first
            if at == len(self._infos):
                return self._counts
            return self._infos[at].before if 0 <= at < len(self._infos) else None

    def may_start(self, number: int) -> bool:
        """Whether it is known what holds when chunk *number* begins; also if nothing is known of it yet."""
        return not number % self._stride or number == self.first or number > self.stop

    def lasting_at(self, number: int) -> tuple[bytes, ...]:
        """Return the lines that hold when chunk *number* begins: of programs, states of probes, losses.

        If it is not indexed yet, only states of probes: those known so far.
        """
        with self._lock:
            if number > self.first + len(self._infos):
                return tuple(line for key, (_, line) in self._now.items() if isinstance(key, str))
            past = (line for since, until, line in self._past if since < number <= until)
            return (*past, *(line for since, line in self._now.values() if since < number))
