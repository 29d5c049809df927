"""Time travel: what the screen needs to show any moment of a recording, or of the last minutes of the live machine.

One mechanism for both: chunks (`chunks.Chunks`, of a file or of memory) and an `Index` that may still be growing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from ebpftop.recording.batches import group
from ebpftop.recording.chunks import Chunks, first_time, last_time
from ebpftop.recording.index import KEY_CHUNKS, Index, kind_of, state_key
from ebpftop.recording.lines import read_lines
from ebpftop.recording.writer import RecordingWriter
from ebpftop.records import PROBE_NAMES, End, Header, ProbeName, Record
from ebpftop.source import Batch

# What a moment is rebuilt from: at least so many events of each pane before it, and the counters of so many seconds.
EVENTS = 5000
WINDOW_S = 60.0
# However much is missing then, this much is read back and no more: a seek has to end.
SCAN_BYTES = 32 << 20
# Probes are polled one by one, so records of one moment lie this far apart in the file at most.
SLACK_S = 1.0
SLICE_S = 0.25

# Given a record, what to save of it: itself, a smaller one, or None for nothing.
Narrow: TypeAlias = Callable[[Record], Record | None]

_TIME = re.compile(rb'"time"\s*:\s*([0-9]{1,12}(?:\.[0-9]+)?)')
_EVENT_GROUP = {b"exec": 0, b"exit": 0, b"syscall": 1, b"trace": 2}
_SNAPSHOTS = frozenset({b"users", b"syscalls", b"cost"})


class Timeline:
    """The moments of a recording or a history, by Unix time."""

    def __init__(
        self, header: Header, chunks: Chunks, index: Index, probes: tuple[ProbeName, ...] = PROBE_NAMES
    ) -> None:
        """Look at *chunks*, which may grow and lose their oldest, by the light of *index*, which follows them."""
        self.header = header
        self._chunks = chunks
        self._index = index
        self._probes = probes
        self._last_of: tuple[int, float] = (-1, 0.0)

    @property
    def span(self) -> tuple[float, float]:
        """First and last time that can be shown; both the start where there is nothing yet."""
        first = next(filter(None, map(self._chunks.time_of, self._numbers())), self.header.started)
        return first, max(first, self._last_time())

    @property
    def indexed(self) -> float:
        """How much is known of what `rates` tells, 0 to 1."""
        chunks = self._chunks.stop - self._chunks.first
        return 1.0 if chunks <= 0 else min(1.0, (self._index.stop - self._index.first) / chunks)

    def rates(self, buckets: int) -> tuple[float | None, ...]:
        """Return events per second in *buckets* equal parts of `span`, None where that is not known yet."""
        first, last = self.span
        width_s = (last - first) / buckets
        _, infos = self._index.infos()
        if width_s <= 0:
            return (float(sum(info.events for info in infos)),) + (0.0,) * (buckets - 1)
        counts = [0.0] * buckets
        for info in infos:
            _spread(counts, info.events, (info.first - first) / width_s, (info.last - first) / width_s)
        known = buckets
        if self.indexed < 1.0:
            known = min(buckets, int((infos[-1].last - first) / width_s)) if infos else 0
        return tuple(count / width_s if at < known else None for at, count in enumerate(counts))

    def at(self, time: float, events: int = EVENTS, window_s: float = WINDOW_S) -> tuple[Batch, ...]:
        """Return batches that bring empty models to where they stood at *time*.

        First, as one batch a probe, what was known before: probe states, losses, programs still running. Then the
        counters of the last *window_s* seconds and at least the last *events* events of each pane, as they came. Last
        an empty batch a probe, which sets the clocks to *time*.
        """
        scan = self._scan(time, events, window_s)
        before = sorted(_records(scan.states + scan.running), key=_time_of)
        during = [record for record in _records(reversed(scan.lines)) if _time_of(record) <= time]
        return (
            *group(before, float("inf")),
            *group(during, SLICE_S),
            *(Batch(probe, time, ()) for probe in self._probes),
        )

    def find(self, time: float) -> int:
        """Return the number of the chunk in which *time* lies; the first one for a time before all."""
        start, infos = self._index.infos()
        if infos and infos[-1].last >= time:
            return start + max(0, bisect_right(infos, time, key=lambda info: info.first) - 1)
        low, high = self._chunks.first, self._chunks.stop
        while high - low > 1:
            middle = (low + high) // 2
            # A chunk in the midst of one very long line has no time: the one before it decides.
            probe = middle
            while probe > low and (found := self._chunks.time_of(probe)) is None:
                probe -= 1
            if probe == low or (found is not None and found <= time):
                low = middle
            else:
                high = probe
        return low

    def save(self, path: str, narrow: Narrow | None = None, *, replace: bool = False) -> int:
        """Write everything kept as a recording; return how many records it has.

        Programs and probe states from before the oldest chunk come first. SourceError where the file cannot be written.
        """
        with RecordingWriter(path, self.header, replace=replace) as writer:
            for record in self._all():
                kept = narrow(record) if narrow else record
                if kept is not None:
                    writer.write((kept,))
        return writer.records

    def _all(self) -> Iterator[Record]:
        first = self._chunks.first
        older = [*self._index.states_before(first), *(self._index.running_at(first) or ())]
        yield from sorted(_records(older), key=_time_of)
        for number in self._numbers():
            for record in read_lines(self._chunks.load(number).data, _pass_over, _pass_over):
                if not isinstance(record, (Header, End)):
                    yield record

    def _scan(self, time: float, events: int, window_s: float) -> _Scan:
        """Read back from *time* until there is enough, only telling lines apart; see `at`."""
        scan = _Scan(time, events, window_s)
        newest = self.find(time)
        following = self._chunks.time_of(newest + 1) if newest + 1 < self._chunks.stop else None
        if following is not None and following <= time + SLACK_S:
            newest += 1
        oldest = self._chunks.first
        start, infos = self._index.infos()
        number = newest
        for number in range(newest, oldest - 1, -1):
            known = infos[number - start] if 0 <= number - start < len(infos) else None
            if scan.window_done and known is not None and not known.events:
                continue
            data = self._chunks.load(number).data
            scan.read(data, in_question=number >= newest - 1)
            if number % KEY_CHUNKS == 0 and scan.at_key(self._index.running_at(number)):
                break
        if scan.running_unknown:
            scan.running = list(self._index.running_at(number) or ())
        scan.states = [line for line in self._states_before(number) if state_key(line) not in scan.lost_seen]
        return scan

    def _states_before(self, number: int) -> list[bytes]:
        if number <= self._index.stop or number == self._chunks.first:
            return self._index.states_before(number)
        # Not looked through so far: the start of the recording says at least which probes were on.
        lines = self._chunks.load(self._chunks.first).data.split(b"\n")
        return [line for line in lines if kind_of(line) == b"probe"]

    def _last_time(self) -> float:
        start, infos = self._index.infos()
        stop = self._chunks.stop
        if infos and start + len(infos) == stop:
            return infos[-1].last
        if self._last_of[0] != stop:
            for number in reversed(self._numbers()):
                time = last_time(self._chunks.load(number).data)
                if time is not None:
                    self._last_of = (stop, time)
                    break
        return self._last_of[1]

    def _numbers(self) -> range:
        return range(self._chunks.first, self._chunks.stop)


class _Scan:
    """Lines gathered backwards from a moment, newest first."""

    def __init__(self, time: float, events: int, window_s: float) -> None:
        self.lines: list[bytes] = []
        self.states: list[bytes] = []
        self.running: list[bytes] = []
        self.running_unknown = True
        self.lost_seen: set[bytes] = set()
        self.window_done = False
        self._time = time
        self._events = events
        self._window_start = time - window_s
        self._counts = [0, 0, 0]
        self._bytes = 0

    def read(self, data: bytes, in_question: bool) -> None:
        """Take what counts of a chunk; *in_question* where it may hold records that are later than the moment."""
        self._bytes += len(data)
        lines, counts = self.lines, self._counts
        for line in reversed(data.split(b"\n")):
            kind = kind_of(line)
            place = _EVENT_GROUP.get(kind)
            if place is not None:
                if place == 0:
                    if not self.running_unknown:
                        continue
                elif counts[place] >= self._events:
                    continue
                if in_question and not self._is_before(line):
                    continue
                counts[place] += 1
                lines.append(line)
            elif kind in _SNAPSHOTS:
                if not self.window_done and not (in_question and not self._is_before(line)):
                    lines.append(line)
            elif kind == b"lost":
                key = state_key(line)
                if key not in self.lost_seen and not (in_question and not self._is_before(line)):
                    self.lost_seen.add(key)
                    lines.append(line)
            elif kind in (b"probe", b"process") and not (in_question and not self._is_before(line)):
                lines.append(line)
        oldest = first_time(data)
        self.window_done = self.window_done or (oldest is not None and oldest <= self._window_start)

    def at_key(self, running: tuple[bytes, ...] | None) -> bool:
        """Whether enough is gathered, asked at a chunk at whose start the programs that ran are known (or None)."""
        spent = self._bytes >= SCAN_BYTES
        if self.running_unknown and (self._counts[0] >= self._events or spent):
            self.running = list(running or ())
            self.running_unknown = False
        return spent or (self.window_done and min(self._counts) >= self._events)

    def _is_before(self, line: bytes) -> bool:
        found = _TIME.search(line)
        return found is None or float(found[1]) <= self._time


def _records(lines: Iterable[bytes]) -> Iterator[Record]:
    for line in lines:
        yield from read_lines(line, _pass_over, _pass_over)


def _time_of(record: Record) -> float:
    return record.started if isinstance(record, Header) else record.time


def _pass_over(*_: object) -> None:
    """Lines that cannot be read are counted where the recording is played, not at every look back."""


def _spread(counts: list[float], events: int, begin: float, end: float) -> None:
    """Add *events* evenly to the buckets from *begin* to *end*, which may lie outside in a damaged recording."""
    last = len(counts) - 1
    low, high = (min(max(int(edge), 0), last) for edge in (begin, end))
    high = max(low, high)
    if low == high:
        counts[low] += events
        return
    length = end - begin
    for at in range(low, high + 1):
        counts[at] += events * max(0.0, min(at + 1, end) - max(at, begin)) / length
