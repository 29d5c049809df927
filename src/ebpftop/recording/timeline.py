"""Time travel: the data to show any moment of a recording, or of the last minutes of the live machine.

Both work the same way: chunks (`chunks.Chunks`, of a file or in memory) and an `Index` that may still be growing.
"""

from __future__ import annotations

import contextlib
import math
import time as clock
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from ebpftop.core.records import SCHEMA, End, Event, Exec, Header, ProbeName, Record
from ebpftop.core.snapshot import EventCounts, Snapshot
from ebpftop.core.source import Batch
from ebpftop.probes.registry import kind_of, registry
from ebpftop.recording.chunks import Chunks, last_time
from ebpftop.recording.grouping import group
from ebpftop.recording.index import MAX_STATES, Index, Info, Running, by_group, describe, state_key
from ebpftop.recording.kinds import GROUPS, line_at, marks, readings_of
from ebpftop.recording.moment import TABLES, Moment
from ebpftop.recording.parse import read_good_lines, read_lines
from ebpftop.recording.readings import ReadingDecoder
from ebpftop.recording.writer import RecordingWriter

# A moment is rebuilt from at least this many events of each pane before it, and the readings of this many seconds.
EVENTS = 4000
WINDOW_S = 60.0
# If that is more than this, it is rebuilt from less.
RANGE_BYTES = 4 << 20
# Where a damaged recording has no whole reading, or no table of what runs.
MOST_BYTES = 24 << 20
# Chunks that are read for their whole readings alone.
MOST_KEYFRAMES = 8
# Seconds older than this do not count into a shown rate.
RATE_S = 10
# Probes are polled one by one, so records of one moment are at most this far apart in the file.
SLACK_S = 1.0
SLICE_S = 0.25
# How long a screen may take to draw a moment.
DRAWING_S = 0.2
# Search at most this many chunks for one with a time: a file may end in gigabytes without a record.
_SEARCHED = 16
# Memory for a moment: for what was known before, and for what happened during it. Beyond that, the oldest is left out.
_BEFORE_BYTES = 12 << 20
_DURING_BYTES = 24 << 20
# The cost of a line besides its bytes: a damaged recording may have very many short lines.
_LINE_BYTES = 64

# Returns what to save of a record: the record itself, a smaller one, or None for nothing.
RecordFilter: TypeAlias = Callable[[Record], Record | None]


class Timeline:
    """The moments of a recording or a history, by Unix time."""

    def __init__(
        self, header: Header, chunks: Chunks, index: Index, probes: tuple[ProbeName, ...] | None = None
    ) -> None:
        """Use *chunks*, which may grow and drop their oldest, and their *index*, which follows them."""
        self.header = header
        self._chunks = chunks
        self._index = index
        self._probes = registry().names if probes is None else probes
        self._looking = 0
        self._looked_s = -math.inf
        self._last_of: tuple[int, float] = (-1, 0.0)
        self._described: dict[int, Info] = {}
        self._rates: tuple[object, tuple[float | None, ...]] = (None, ())

    @property
    def busy(self) -> bool:
        """Whether a moment is being read or drawn: less urgent work should wait."""
        return self._looking > 0 or clock.monotonic() < self._looked_s + DRAWING_S

    @property
    def span(self) -> tuple[float, float]:
        """First and last time that can be shown; both are the start if there is nothing yet."""
        first = next(filter(None, map(self._chunks.time_of, self._numbers()[:_SEARCHED])), self.header.started)
        return first, max(first, self._last_time())

    @property
    def indexed(self) -> float:
        """The share of `rates` that is known, 0 to 1."""
        chunks = self._chunks.stop - self._chunks.first
        return 1.0 if chunks <= 0 else min(1.0, (self._index.stop - self._index.first) / chunks)

    def rates(self, buckets: int) -> tuple[float | None, ...]:
        """Return events per second in *buckets* equal parts of `span`, None if that is not known yet."""
        first, last = span = self.span
        state = span, buckets, self._index.first, self._index.stop
        if self._rates[0] != state:
            self._rates = state, self._rates_of(first, last, buckets)
        return self._rates[1]

    def _rates_of(self, first: float, last: float, buckets: int) -> tuple[float | None, ...]:
        width_s = (last - first) / buckets
        _, infos = self._index.infos()
        if width_s <= 0:
            # All records have one time, so there is no rate: return the number of events instead.
            whole = float(sum(info.events for info in infos)) if self.indexed == 1.0 else None
            return (whole, *(None,) * (buckets - 1))
        counts = [0.0] * buckets
        seconds, length_s, unplaced = self._index.seconds()
        for second, events in seconds.items():
            # A second that is partly outside the span: all its events happened inside.
            begin, end = (max(second, first) - first) / width_s, (min(second + length_s, last) - first) / width_s
            if int(begin) == int(end) and 0 <= begin < buckets:
                counts[int(begin)] += events
            elif begin <= end:
                _spread(counts, events, begin, end)
        for info in infos if unplaced else ():
            if info.unplaced:
                _spread(counts, info.unplaced, (info.first - first) / width_s, (info.last - first) / width_s)
        known = buckets
        if self.indexed < 1.0:
            known = min(buckets, int((infos[-1].last - first) / width_s)) if infos else 0
        return tuple(count / width_s if at < known else None for at, count in enumerate(counts))

    def at(self, time: float, events: int = EVENTS, window_s: float = WINDOW_S) -> tuple[Batch, ...]:
        """Return batches that bring empty models to their state at *time*.

        First, one batch per probe with what was known before: probe states, losses, programs still running. Then, in
        their order, the readings of the last *window_s* seconds and at least the last *events* events of each pane;
        less if `RANGE_BYTES` do not reach back that far, but never with a hole. Last, one empty batch per probe, which
        sets the clocks to *time*.
        """
        return self.snapshot_at(time, events, window_s).batches

    def snapshot_at(self, time: float, events: int = EVENTS, window_s: float = WINDOW_S) -> Snapshot:
        """Return the batches of `at`, and the counts of the events before them."""
        self._looking += 1
        try:
            return self._snapshot_at(time, events, window_s)
        finally:
            self._looking -= 1
            self._looked_s = clock.monotonic()

    def _snapshot_at(self, time: float, events: int, window_s: float) -> Snapshot:
        newest = self.find(time)
        following = self._chunks.time_of(newest + 1) if newest + 1 < self._chunks.stop else None
        if following is not None and following <= time + SLACK_S:
            newest += 1
        start = self._start(newest, time, time - window_s, events)
        running = Running(self._index.running_at(start) or ())
        moment = Moment(time, events, time - window_s, running)
        for number in self._keyframes(start, time - window_s):
            moment.add_whole_readings(self._chunks.load(number).data)
        for number in range(start, newest + 1):
            moment.add(self._chunks.load(number).data, in_question=number >= newest - 1)
        states = [line for line in self._states_before(start) if state_key(line) not in moment.losses]
        before = sorted(moment.decode([*states, *running.lines], _BEFORE_BYTES), key=_time_of)
        during = moment.records(_DURING_BYTES)
        batches = (
            *group(before, float("inf")),
            *group(during, SLICE_S),
            *(Batch(probe, time, ()) for probe in self._probes),
        )
        past = self._index.before(start)
        rest = None if past is None else past.plus(moment.counts).plus(_count(before), -1).plus(_count(during), -1)
        return Snapshot(batches, rest, self._seconds(moment, start, time))

    def _start(self, newest: int, time: float, since: float, events: int) -> int:
        """Return the chunk to read from, to show *time* in chunk *newest*: at a table of what runs, if there is one.

        Every reading is whole at least once from there to *time*, unless that is more than `MOST_BYTES` away.
        """
        size = 0
        counts = [0] * GROUPS
        unknown: set[bytes] = set()
        for number in range(newest, self._chunks.first - 1, -1):
            info = self._info(number)
            size += info.size + _LINE_BYTES * info.lines
            counts = [sum(pair) for pair in zip(counts, by_group(info.counts), strict=True)]
            unknown |= info.parts
            if info.last <= time:
                unknown -= info.whole
            is_far = size >= RANGE_BYTES or (min(counts) >= events and info.first <= since)
            if (is_far and not unknown and self._index.may_start(number)) or size >= MOST_BYTES:
                return number
        return self._chunks.first

    def _keyframes(self, stop: int, since: float) -> list[int]:
        """Return chunks before *stop* whose whole readings show the time from *since* on; some, if there are many."""
        found = []
        for number in range(stop - 1, self._chunks.first - 1, -1):
            info = self._info(number) if self._index.stop > number else None
            if info is None or info.last < since:
                break
            if info.whole & TABLES:
                found.append(number)
        stride = -(-len(found) // MOST_KEYFRAMES)
        return found[:: max(1, stride)][::-1]

    def _info(self, number: int) -> Info:
        """Return what there is to know of a chunk, also of one that is not indexed yet."""
        info = self._index.info(number)
        if info is None:
            if len(self._described) > _SEARCHED * 4:
                self._described.clear()
            info = self._described.get(number) or describe(self._chunks.load(number))
            if number + 1 < self._chunks.stop:  # the last one of a history grows
                self._described[number] = info
        return info

    def readings_before(self, number: int) -> ReadingDecoder:
        """Return what makes the readings whole from chunk *number* on."""
        readings = ReadingDecoder()
        start = self._start(number - 1, math.inf, -math.inf, 0) if number > self._chunks.first else number
        for at in range(start, number):
            for record in read_good_lines(readings_of(self._chunks.load(at).data)):
                with contextlib.suppress(ValueError):
                    readings.follow(record)
        return readings

    def _seconds(self, moment: Moment, start: int, time: float) -> dict[int, int]:
        """Return the events of the last seconds up to *time*, from the chunks that were read and those before them."""
        first, infos = self._index.infos()
        _, length_s, _ = self._index.seconds()
        if (
            length_s > 1
            or b"" in moment.seconds
            or (start > self._chunks.first and not first < start <= first + len(infos))
        ):
            return {}
        oldest = int(time) - RATE_S
        seconds = Counter({int(text): events for text, events in moment.seconds.items()})
        for at in range(start - first - 1, -1, -1):
            if infos[at].last < oldest:
                break
            seconds.update(dict(infos[at].seconds))
        return {second: events for second, events in seconds.items() if second >= oldest}

    def find(self, time: float) -> int:
        """Return the number of the chunk that contains *time*; the first one if *time* is before all."""
        start, infos = self._index.infos()
        if infos and infos[-1].last >= time:
            return start + max(0, bisect_right(infos, time, key=lambda info: info.first) - 1)
        low, high = self._chunks.first, self._chunks.stop
        while high - low > 1:
            middle = (low + high) // 2
            # A chunk inside one very long line has no time: use the chunk before it.
            probe = middle
            found = None
            while probe > max(low, middle - _SEARCHED) and (found := self._chunks.time_of(probe)) is None:
                probe -= 1
            if probe == low or (found is not None and found <= time):
                low = middle
            else:
                high = probe
        return low

    def save(self, path: str, record_filter: RecordFilter | None = None, *, replace: bool = False) -> int:
        """Write everything kept as a recording; return how many records it has.

        Programs and probe states from before the oldest chunk come first. SourceError if the file cannot be written.
        """
        with RecordingWriter(path, replace=replace, is_copy=True) as writer:
            writer.write((msgspec.structs.replace(self.header, schema=SCHEMA),))
            for record in self.records():
                part = record_filter(record) if record_filter else record
                if part is not None:
                    writer.write((part,))
        return writer.records

    def records(self) -> Iterator[Record]:
        """Yield everything kept, in the order of a recording, without its header."""
        first = self._chunks.first
        older = [*self._index.states_before(first), *(self._index.running_at(first) or ())]
        yield from sorted(read_good_lines(older), key=_time_of)
        readings = ReadingDecoder()
        for number in self._numbers():
            for record in read_lines(self._chunks.load(number).data, _pass_over, _pass_over, readings):
                if not isinstance(record, (Header, End)):
                    yield record

    def _states_before(self, number: int) -> list[bytes]:
        if number <= self._index.stop or number == self._chunks.first:
            return self._index.states_before(number)
        # Not indexed so far: the start of the recording at least shows which probes were on.
        data = self._chunks.load(self._chunks.first).data
        return [line_at(data, begin) for kind, _, _, begin in marks(data) if kind == b"probe"][:MAX_STATES]

    def _last_time(self) -> float:
        newest = self._index.newest
        stop = self._chunks.stop
        if newest is not None and newest[0] + 1 == stop:
            return newest[1]
        if self._last_of[0] != stop:
            # If the last chunks of a file have no records, its end is only known when all is indexed.
            self._last_of = (stop, self._last_of[1])
            for number in self._numbers()[: -_SEARCHED - 1 : -1]:
                time = last_time(self._chunks.load(number).data)
                if time is not None:
                    self._last_of = (stop, time)
                    break
        return self._last_of[1]

    def _numbers(self) -> range:
        return range(self._chunks.first, self._chunks.stop)


def _count(records: Sequence[Record]) -> EventCounts:
    """Count the events among *records*."""
    kinds = Counter(kind_of(type(record)) for record in records if isinstance(record, Event))
    return EventCounts(kinds, sum(isinstance(record, Exec) and record.ret < 0 for record in records))


def _time_of(record: Record) -> float:
    return record.started if isinstance(record, Header) else record.time


def _pass_over(*_: object) -> None:
    """Ignore faults here: they are counted when the recording is played, not at every seek."""


def _spread(counts: list[float], events: int, begin: float, end: float) -> None:
    """Add *events* evenly to the buckets from *begin* to *end*, which may be outside in a damaged recording."""
    last = len(counts) - 1
    low, high = (min(max(int(edge), 0), last) for edge in (begin, end))
    high = max(low, high)
    if low == high:
        counts[low] += events
        return
    length = end - begin
    for at in range(low, high + 1):
        counts[at] += events * max(0.0, min(at + 1, end) - max(at, begin)) / length
