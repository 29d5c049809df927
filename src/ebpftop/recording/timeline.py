"""Time travel: the data to show any moment of a recording, or of the last minutes of the live machine.

Both work the same way: chunks (`chunks.Chunks`, of a file or in memory) and an `Index` that may still be growing.
"""

from __future__ import annotations

import contextlib
import math
import re
import time as clock
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from ebpftop.core.load_records import Loaded
from ebpftop.core.record_memory import weight
from ebpftop.core.records import SCHEMA, End, Header, Lost, Probe, ProbeName, Record, SeriesKey, TableReading, series_of
from ebpftop.core.snapshot import Snapshot
from ebpftop.core.source import Batch
from ebpftop.probes.registry import registry
from ebpftop.recording.chunks import Chunk, Chunks
from ebpftop.recording.figures import figures
from ebpftop.recording.grouping import group
from ebpftop.recording.index import EventCounter, Index, time_of
from ebpftop.recording.moment import Moment
from ebpftop.recording.parse import read_lines
from ebpftop.recording.readings import WHOLE_EVERY_BYTES, WHOLE_EVERY_S, ReadingDecoder
from ebpftop.recording.writer import RecordingWriter

# A moment is rebuilt from at least this many events of each pane before it, and the readings of this many seconds.
EVENTS = 4000
WINDOW_S = 60.0
# If that is more than this, it is rebuilt from less.
RANGE_BYTES = 4 << 20
# If it is not known there what holds.
MOST_BYTES = 24 << 20
# Chunks that are read for their whole readings alone are at least this far apart.
KEYFRAMES_S = 7.0
# Seconds older than this do not count into a shown rate.
RATE_S = 10
# Probes are polled one by one, so records of one moment are at most this far apart in the file.
SLACK_S = 1.0
SLICE_S = 0.25
# How long a screen may take to draw a moment.
DRAWING_S = 0.2
# The rates of so many are computed in 3 ms.
FEW_CHUNKS = 1000
# Search at most this many chunks for one with a time: a file may end in gigabytes without a record.
_SEARCHED = 16
# Memory for what was known before a moment.
_BEFORE_BYTES = 12 << 20
# The cost of a line besides its bytes: a damaged recording may have very many short lines.
_LINE_BYTES = 64
_POINTER_BYTES = 8
_TABLES = [kind for kind, record in registry().kinds.items() if issubclass(record, TableReading)]
_KINDS = "|".join(_TABLES).encode()
_TABLE = re.compile(rb'"kind"\s*:\s*"(?:%s)"' % _KINDS)
_OUR_TABLE = re.compile(rb'\n(\{"kind":"(?:%s)".*)' % _KINDS)

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
        self._probes = registry().channels if probes is None else probes
        self._looking = 0
        self._looked_s = -math.inf
        self._last_of: tuple[int, float] = (-1, 0.0)
        self._times: dict[int, float | None] = {}
        self._rates: tuple[object, tuple[float | None, ...]] = (None, ())

    @property
    def busy(self) -> bool:
        """Whether a moment is being read or drawn: less urgent work should wait."""
        return self._looking > 0 or clock.monotonic() < self._looked_s + DRAWING_S

    @property
    def span(self) -> tuple[float, float]:
        """First and last time that can be shown; both are the start if there is nothing yet.

        What a part says of the time before it, perhaps days, was true then too, but is no moment of it.
        """
        first = next(filter(None, map(self._time_of, self._numbers()[:_SEARCHED])), self.header.started)
        last = max(first, self._last_time())
        begin = self.header.begin
        return first if begin is None or begin > last else max(first, begin), last

    @property
    def indexed(self) -> float:
        """The share of `rates` that is known, 0 to 1."""
        chunks = self._chunks.stop - self._chunks.first
        return 1.0 if chunks <= 0 else min(1.0, (self._index.stop - self._index.first) / chunks)

    @property
    def counts_fast(self) -> bool:
        """Whether `rates` takes a few milliseconds at most: all that it reads is in memory, and not much."""
        few = self._index.stop - self._index.first <= FEW_CHUNKS
        return few and self._chunks.stop - self._index.stop <= 1  # the newest one of a history is open

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
            whole = float(sum(sum(info.seconds) for info in infos)) if self.indexed == 1.0 else None
            return (whole, *(None,) * (buckets - 1))
        counts = [0.0] * buckets
        for info in infos:
            for second, events in enumerate(info.seconds):
                # Seconds that are partly outside the span: all their events happened inside.
                begin_s = max(info.second + second * info.width_s, first) - first
                end_s = min(info.second + (second + 1) * info.width_s, last) - first
                if events and begin_s <= end_s:
                    _spread(counts, events, begin_s / width_s, end_s / width_s)
        known = buckets
        if self.indexed < 1.0:
            known = min(buckets, int((infos[-1].last - first) / width_s)) if infos else 0
        return tuple(count / width_s if at < known else None for at, count in enumerate(counts))

    def snapshot_at(
        self, time: float, events: int = EVENTS, window_s: float = WINDOW_S, range_bytes: int = RANGE_BYTES
    ) -> Snapshot:
        """Return what brings empty models to their state at *time*.

        First, one batch per probe with what was known before: probe states, losses, programs still running. Then, in
        their order, the readings of the last *window_s* seconds and at least the last *events* events of each pane;
        less if *range_bytes* do not reach back that far, but never with a hole. Last, one empty batch per probe, which
        sets the clocks to *time*.
        """
        self._looking += 1
        try:
            return self._snapshot_at(time, events, window_s, range_bytes)
        finally:
            self._looking -= 1
            self._looked_s = clock.monotonic()

    def _snapshot_at(self, time: float, events: int, window_s: float, range_bytes: int) -> Snapshot:
        newest = self.find(time)
        following = self._time_of(newest + 1) if newest + 1 < self._chunks.stop else None
        if following is not None and following <= time + SLACK_S:
            newest += 1
        chunks = self._load_back(newest, range_bytes)
        start = newest + 1 - len(chunks)
        moment = Moment(time, events, time - window_s, self._lasting_at(start))
        readings = ReadingDecoder()
        for reading in self._readings_before(start, time - window_s):
            with contextlib.suppress(ValueError):
                readings.follow(reading)
            if reading.whole:
                moment.add(reading)
        for chunk in chunks:
            for record in chunk.records():
                if not isinstance(record, TableReading):
                    moment.add(record)
                    continue
                with contextlib.suppress(ValueError):
                    # A reading that is not shown need not be put together. Its rows are mostly shared with others.
                    if readings.follow(record) and moment.is_shown(record):
                        whole = readings.whole_of(record)
                        rows = sum(len(getattr(whole, name)) for name in whole.keys)
                        moment.add(whole, weight(record) + _POINTER_BYTES * rows)
        before = sorted(moment.before(), key=time_of)
        batches = (
            *group(before, float("inf")),
            *group(moment.records(), SLICE_S),
            *(Batch(probe, time, ()) for probe in self._probes),
        )
        past = self._index.before(start)
        rest = None if past is None else past.plus(moment.dropped.counts).plus(EventCounter(before).counts, -1)
        complete_from = moment.complete_from
        if start > self._chunks.first:
            complete_from = max(complete_from, self._time_of(start) or 0.0)
        return Snapshot(batches, rest, self._seconds(moment, start, time), complete_from)

    def _load_back(self, newest: int, range_bytes: int) -> deque[Chunk]:
        """Return chunks up to *newest*: *range_bytes*, or more, up to where it is known what holds."""
        chunks: deque[Chunk] = deque()
        size = 0
        for number in range(newest, self._chunks.first - 1, -1):
            chunks.appendleft(self._chunks.load(number))
            size += sum(len(part.data) for part in chunks[0].parts) + _LINE_BYTES * chunks[0].lines
            if size >= (range_bytes if self._index.may_start(number) else MOST_BYTES):
                break
        return chunks

    def _lasting_at(self, number: int) -> Iterator[Record]:
        """Yield what holds when a chunk begins: programs that run, states of probes, losses."""
        room = _BEFORE_BYTES
        for record in read_lines(b"\n".join(self._index.lasting_at(number))):
            room -= weight(record)
            if room < 0:
                break
            yield record

    def readings_before(self, number: int) -> ReadingDecoder:
        """Return what makes the readings whole from chunk *number* on."""
        readings = ReadingDecoder()
        for reading in self._readings_before(number, math.inf):
            with contextlib.suppress(ValueError):
                readings.follow(reading)
        return readings

    def _readings_before(self, start: int, since: float) -> deque[TableReading]:
        """Return the readings before chunk *start*, as written, back to a whole one of each kind.

        Of the time before these, from *since* on, it returns those of some chunks that have whole ones.
        """
        found: deque[TableReading] = deque()
        known: set[SeriesKey] = set()
        parts: set[SeriesKey] = set()
        size = 0
        oldest = (self._time_of(start) or 0.0) - 2 * WHOLE_EVERY_S if start < self._chunks.stop else 0.0
        until = math.inf
        for number in range(start - 1, self._chunks.first - 1, -1):
            # Behind this, there is a whole one of each kind, unless readings are rare or the recording is damaged.
            is_far = size >= 2 * WHOLE_EVERY_BYTES or (size and (self._time_of(number + 1) or oldest) < oldest)
            has_all = parts <= known and len({kind for kind, _ in known}) == len(_TABLES)
            if has_all or size >= MOST_BYTES or (is_far and parts <= known):
                info = self._index.info(number)
                if info is None or info.last < since:
                    break
                if not info.whole or info.last > until:
                    continue
                until = info.last - KEYFRAMES_S
            chunk = self._chunks.load(number)
            size += len(chunk.data)
            for reading in reversed(_readings_of(chunk)):
                found.appendleft(reading)
                (known if reading.whole else parts).add(series_of(reading))
        return found

    def _seconds(self, moment: Moment, start: int, time: float) -> dict[int, int]:
        """Return the events of the last seconds up to *time*, from the chunks that were read and those before them."""
        oldest = int(time) - RATE_S
        seconds = moment.seconds.copy()
        for number in range(start - 1, self._chunks.first - 1, -1):
            info = self._index.info(number)
            if info is None or info.width_s > 1:
                return {}
            if info.last < oldest:
                break
            seconds.update(dict(enumerate(info.seconds, info.second)))
        return {second: events for second, events in seconds.items() if second >= oldest and events}

    def find(self, time: float) -> int:
        """Return the number of the chunk that contains *time*; the first one if *time* is before all."""
        low, high = self._chunks.first, self._chunks.stop
        while high - low > 1:
            middle = (low + high) // 2
            # A chunk inside one very long line has no time: use the chunk before it.
            probe = middle
            found = None
            while probe > max(low, middle - _SEARCHED) and (found := self._time_of(probe)) is None:
                probe -= 1
            if probe == low or (found is not None and found <= time):
                low = middle
            else:
                high = probe
        return low

    def _time_of(self, number: int) -> float | None:
        """Return the time of the first record of a chunk, None if it has none."""
        info = self._index.info(number)
        if info is not None:
            return info.first
        if number + 1 == self._chunks.stop:  # the last one of a history grows
            return _first_time(self._chunks.load(number))
        if number not in self._times:
            self._times[number] = _first_time(self._chunks.load(number))
        return self._times[number]

    def save(
        self,
        path: str,
        record_filter: RecordFilter | None = None,
        *,
        span: tuple[float, float] | None = None,
        replace: bool = False,
        filter: tuple[str, ...] | None = None,
    ) -> int:
        """Write everything kept, or that of *span*, as a recording; return how many records it has.

        *filter* are the options that *record_filter* stands for, if they are all of it.
        Programs and probe states from before the oldest chunk come first. SourceError if the file cannot be written.
        """
        with RecordingWriter(path, replace=replace, is_copy=True) as writer:
            chosen = self.header.filter if record_filter is None else filter
            writer.write((msgspec.structs.replace(self.header, schema=SCHEMA, filter=chosen),))
            for record in self.records(span):
                part = record_filter(record) if record_filter else record
                if part is not None:
                    writer.write((part,))
        return writer.records

    def records(self, span: tuple[float, float] | None = None) -> Iterator[Record]:
        """Yield everything kept, in the order of a recording, without its header.

        Of *span* (Unix seconds), if given, to a chunk before and behind it: what held when it begins comes first.
        """
        begin, stop = self._chunks.first, self._chunks.stop
        readings = ReadingDecoder()
        if span is not None:
            begin, stop = self.find(span[0]), self.find(span[1] + SLACK_S) + 1
            readings = self.readings_before(begin)
        yield from sorted(self._lasting_at(begin), key=time_of)
        for number in range(begin, stop):
            for record in self._chunks.load(number).records(readings=readings):
                if not isinstance(record, (Header, End)):
                    yield record

    def figures(self, span: tuple[float, float]) -> Iterator[Record]:
        """Yield the records of *span* (Unix seconds) for what counts them, and what they begin with."""
        begin, stop = self.find(span[0]), self.find(span[1] + SLACK_S) + 1
        yield from (record for record in self._lasting_at(begin) if isinstance(record, (Probe, Lost, Loaded)))
        records = (record for number in range(begin, stop) for record in self._chunks.load(number).records())
        for record in figures(records, span, self.readings_before(begin)):
            if not isinstance(record, End):
                yield record

    def _last_time(self) -> float:
        stop = self._chunks.stop
        if self._index.stop == stop and self._index.last is not None:
            return self._index.last
        if self._last_of[0] != stop:
            # If the last chunks of a file have no records, its end is only known when all is indexed.
            self._last_of = (stop, self._last_of[1])
            for number in self._numbers()[: -_SEARCHED - 1 : -1]:
                *_, time = None, *map(time_of, self._chunks.load(number).records())
                if time is not None:
                    self._last_of = (stop, time)
                    break
        return self._last_of[1]

    def _numbers(self) -> range:
        return range(self._chunks.first, self._chunks.stop)


def _readings_of(chunk: Chunk) -> list[TableReading]:
    """Return the readings of a chunk, as they were written; its other lines are not decoded."""
    data = b"\n" + chunk.data
    # If none is in our format, another program may have written them.
    lines = _OUR_TABLE.findall(data) or [line for line in data.split(b"\n") if _TABLE.search(line)]
    return [record for record in read_lines(b"\n".join(lines)) if isinstance(record, TableReading)]


def _first_time(chunk: Chunk) -> float | None:
    return next((time_of(record) for record in chunk.records() if time_of(record)), None)


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
