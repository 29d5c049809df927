"""Collect the records that show a moment, from chunks in their order."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence

from ebpftop.core.record_memory import weight
from ebpftop.core.records import Header, Record, TableReading
from ebpftop.core.snapshot import EventCounts
from ebpftop.probes.registry import registry
from ebpftop.recording.index import Running, count_events, state_key
from ebpftop.recording.kinds import EVENT_GROUP, GROUPS, READINGS, exec_failed, is_part, line_at, marks, readings_of
from ebpftop.recording.parse import read_each, read_good_lines
from ebpftop.recording.readings import ReadingDecoder

TABLES = frozenset(kind.encode() for kind, record in registry().kinds.items() if issubclass(record, TableReading))

# Bytes of lines that are decoded at a time.
_DECODED_BYTES = 512 << 10
_POINTER_BYTES = 8
_TIME = re.compile(rb'"time"\s*:\s*([0-9]{1,12}(?:\.[0-9]+)?)')

_Line = tuple[int, bytes]  # its place among the lines


class Moment:
    """Lines up to a moment: events of each pane, the newest if there are many, readings, states of probes."""

    def __init__(self, time: float, events: int, readings_since: float, running: Running) -> None:
        """Keep what shows *time*: the last *events* of each pane, readings from *readings_since* on.

        *running* has the programs that run when the first chunk begins. It is moved on to the oldest event kept.
        """
        self.losses: set[bytes] = set()
        self.seconds: Counter[bytes] = Counter()
        """Events by whole second; the empty key counts those of an unknown second."""
        self._time = time
        self._readings_since = readings_since
        self._kinds: Counter[bytes] = Counter()
        self._failed = 0
        self._number = 0
        self._lines: list[_Line] = []
        self._alone: list[_Line] = []
        self._readings: list[_Line] = []
        self._running = running
        self._events = events
        self._execs: deque[tuple[bytes, bytes, _Line]] = deque()  # kind and pid
        self._groups: list[deque[_Line]] = [deque(maxlen=events) for _ in range(GROUPS)]
        self._lost: dict[bytes, _Line] = {}

    @property
    def counts(self) -> EventCounts:
        """All events up to the moment."""
        return count_events(self._kinds, self._failed)

    def add_whole_readings(self, data: bytes) -> None:
        """Add the whole readings of a chunk, and nothing else."""
        self._alone += (self._placed(line) for line in readings_of(data) if not is_part(line))

    def add(self, data: bytes, in_question: bool) -> None:
        """Add a chunk; *in_question* if it may hold records that are later than the moment."""
        for kind, second, pid, begin in marks(data):
            group = EVENT_GROUP.get(kind)
            if in_question and not self._is_before(line_at(data, begin)):
                continue
            if group is not None:
                self.seconds[second] += 1
                self._kinds[kind] += 1
                self._failed += kind == b"exec" and exec_failed(line_at(data, begin))
            if group == 0 or kind == b"process":
                self._execs.append((kind, pid, self._placed(line_at(data, begin))))
                if len(self._execs) > self._events:
                    old_kind, old_pid, (_, line) = self._execs.popleft()
                    self._running.add(old_kind, old_pid, line)
            elif group is not None:
                self._groups[group].append(self._placed(line_at(data, begin)))
            elif kind in READINGS:
                self._readings.append(self._placed(line_at(data, begin)))
            elif kind == b"lost":
                line = line_at(data, begin)
                self._lost[state_key(line)] = self._placed(line)
                self.losses.add(state_key(line))
            elif kind == b"probe":
                self._lines.append(self._placed(line_at(data, begin)))

    def records(self, most: int) -> list[Record]:
        """Return the records in their order, up to a weight of *most*: the oldest are left out."""
        found = self._whole_readings(most)
        left = most - sum(size for _, _, size in found)
        execs = (line for _, _, line in self._execs)
        events = (line for group in self._groups for line in group)
        lines = sorted([*self._lines, *self._lost.values(), *execs, *events])
        records = [(number, record) for number, record, _ in found]
        end = len(lines)
        while end and left > 0:
            begin = size = 0
            for begin in range(end - 1, -1, -1):
                size += len(lines[begin][1])
                if size >= _DECODED_BYTES:
                    break
            block = lines[begin:end]
            for (number, _), record in reversed(list(zip(block, read_each([line for _, line in block]), strict=True))):
                if record is None:
                    continue
                left -= weight(record)
                if left < 0:
                    break
                records.append((number, record))
            end = begin
        records.sort(key=lambda item: item[0])
        return [record for _, record in records if _time_of(record) <= self._time]

    @staticmethod
    def decode(lines: Sequence[bytes], most: int) -> list[Record]:
        """Return the records of *lines* in their order, up to a weight of *most*."""
        records: list[Record] = []
        left = most
        begin = size = 0
        for end, line in enumerate(lines, start=1):
            size += len(line)
            if size < _DECODED_BYTES and end < len(lines):
                continue
            for record in read_good_lines(lines[begin:end]):
                left -= weight(record)
                if left < 0:
                    return records
                records.append(record)
            begin, size = end, 0
        return records

    def _whole_readings(self, most: int) -> list[tuple[int, Record, int]]:
        """Return the readings, whole, each with its place and weight; the rows of a reading are mostly shared."""
        decoder = ReadingDecoder()
        found: deque[tuple[int, Record, int]] = deque()
        total = 0
        # What was read alone is not the base of the parts that follow: there may be others between.
        for number, line in (*self._alone, *self._readings):
            (record,) = read_each([line])
            if record is None or _time_of(record) > self._time:
                continue
            size = weight(record)
            try:
                is_known = number <= len(self._alone) or decoder.follow(record)
                if not is_known or _time_of(record) < self._readings_since:
                    continue
                whole = decoder.whole_of(record)
            except ValueError:
                continue
            if isinstance(whole, TableReading):
                size += _POINTER_BYTES * sum(len(getattr(whole, name)) for name in whole.keys)
            found.append((number, whole, size))
            total += size
            while total > most:
                total -= found.popleft()[2]
        return list(found)

    def _placed(self, line: bytes) -> _Line:
        self._number += 1
        return self._number, line

    def _is_before(self, line: bytes) -> bool:
        found = _TIME.search(line)
        return found is None or float(found[1]) <= self._time


def _time_of(record: Record) -> float:
    return record.started if isinstance(record, Header) else record.time
