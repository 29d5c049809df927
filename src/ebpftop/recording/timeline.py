"""Time travel: what the screen needs to show any moment of a recording, or of the last minutes of the live machine.

One mechanism for both: chunks (`chunks.Chunks`, of a file or of memory) and an `Index` that may still be growing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from ebpftop.recording.batches import group
from ebpftop.recording.chunks import Chunks, last_time
from ebpftop.recording.index import KEY_CHUNKS, Index, kind_of, state_key
from ebpftop.recording.lines import read_line, read_lines
from ebpftop.recording.scan import Scan
from ebpftop.recording.writer import RecordingWriter
from ebpftop.records import PROBE_NAMES, End, Exec, Exit, Header, ProbeName, Record, Syscall, Trace
from ebpftop.source import Batch

# What a moment is rebuilt from: at least so many events of each pane before it, and the counters of so many seconds.
EVENTS = 4000
WINDOW_S = 60.0
EVENTS_KINDS = (Exec, Exit, Syscall, Trace)
# The counters of the window come from so many places in it, evenly, where reading all of it would take too long.
COUNTER_LOADS = 8
# Probes are polled one by one, so records of one moment lie this far apart in the file at most.
SLACK_S = 1.0
SLICE_S = 0.25

# Given a record, what to save of it: itself, a smaller one, or None for nothing.
Narrow: TypeAlias = Callable[[Record], Record | None]


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
        self.busy = False
        """A moment is being looked up: what is less urgent had better wait."""
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
            # All at one moment: no rate can be told, so the events of that moment stand for it.
            whole = float(sum(sum(info.events) for info in infos)) if self.indexed == 1.0 else None
            return (whole, *(None,) * (buckets - 1))
        counts = [0.0] * buckets
        for info in infos:
            rest = sum(info.events)
            for second, events in info.seconds:
                # A second that lies partly outside: what happened in it happened inside.
                begin, end = max(second, info.first), min(second + 1, info.last)
                if begin <= end and rest >= events:
                    rest -= events
                    _spread(counts, events, (begin - first) / width_s, (end - first) / width_s)
            if rest:
                _spread(counts, rest, (info.first - first) / width_s, (info.last - first) / width_s)
        known = buckets
        if self.indexed < 1.0:
            known = min(buckets, int((infos[-1].last - first) / width_s)) if infos else 0
        return tuple(count / width_s if at < known else None for at, count in enumerate(counts))

    def at(self, time: float, events: int = EVENTS, window_s: float = WINDOW_S) -> tuple[Batch, ...]:
        """Return batches that bring empty models to where they stood at *time*.

        First, as one batch a probe, what was known before: probe states, losses, programs still running. Then the
        counters of the last *window_s* seconds (all of the last few, then samples) and at least the last *events*
        events of each pane, as they came; fewer where `scan.SPARSE_BYTES` do not reach back so far, never with a hole.
        Last an empty batch a probe, which sets the clocks to *time*.
        """
        self.busy = True
        try:
            return self._at(time, events, window_s)
        finally:
            self.busy = False

    def _at(self, time: float, events: int, window_s: float) -> tuple[Batch, ...]:
        scan = self._scan(time, events, window_s)
        before = sorted(_records(scan.states + scan.running), key=_time_of)
        during = [record for record in _records(reversed(scan.lines)) if _time_of(record) <= time]
        return (
            *group(before, float("inf")),
            *group(during, SLICE_S),
            *(Batch(probe, time, ()) for probe in self._probes),
        )

    def is_whole(self, batches: Iterable[Batch], time: float) -> bool:
        """Tell whether *batches*, which `at` gave for *time*, have every event from the start on up to then."""
        start, infos = self._index.infos()
        if start or self._chunks.first or self.find(time) > self._index.stop:
            # The start is dropped, or not all of what follows it has been looked through.
            return False
        past = [info for info in infos if info.last <= time]
        if not past:
            return True
        known = sum(sum(info.events) for info in past)
        given = sum(
            isinstance(record, EVENTS_KINDS) and record.time <= past[-1].last
            for batch in batches
            for record in batch.records
        )
        return given >= known

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
        with RecordingWriter(path, replace=replace) as writer:
            writer.write((self.header,))
            for record in self.records():
                kept = narrow(record) if narrow else record
                if kept is not None:
                    writer.write((kept,))
        return writer.records

    def records(self) -> Iterator[Record]:
        """Yield everything kept, in the order of a recording, without its header."""
        first = self._chunks.first
        older = [*self._index.states_before(first), *(self._index.running_at(first) or ())]
        yield from sorted(_records(older), key=_time_of)
        for number in self._numbers():
            for record in read_lines(self._chunks.load(number).data, _pass_over, _pass_over):
                if not isinstance(record, (Header, End)):
                    yield record

    def _scan(self, time: float, events: int, window_s: float) -> Scan:
        """Read back from *time* until there is enough, only telling lines apart; see `at`."""
        scan = Scan(time, events)
        newest = self.find(time)
        following = self._chunks.time_of(newest + 1) if newest + 1 < self._chunks.stop else None
        if following is not None and following <= time + SLACK_S:
            newest += 1
        number = newest
        for number in range(newest, self._chunks.first - 1, -1):
            scan.read_all(self._chunks.load(number).data, in_question=number >= newest - 1)
            if number % KEY_CHUNKS == 0 and scan.dense_enough:
                break
        scan.states = [line for line in self._states_before(number) if state_key(line) not in scan.lost_seen]
        number = self._scan_sparsely(scan, number, time - window_s)
        if not scan.running_known:
            scan.set_running(self._index.running_at(number))
        return scan

    def _scan_sparsely(self, scan: Scan, stop: int, window_start: float) -> int:
        """Go on before chunk *stop*, only where the index knows of something wanted, and for counters now and then.

        Returns the number of the oldest chunk that was considered.
        """
        first, infos = self._index.infos()
        window = self.find(window_start)
        stride = max(1, (stop - window) // COUNTER_LOADS)
        number = stop
        while True:
            if number % KEY_CHUNKS == 0:
                if not scan.running_known and (scan.full(0) or scan.spent or not infos):
                    scan.set_running(self._index.running_at(number))
                if number <= window and (scan.all_full or scan.spent):
                    return number
            if number <= self._chunks.first or (number <= window and not infos):
                return number
            number -= 1
            known = infos[number - first] if 0 <= number - first < len(infos) else None
            counters = number >= window and (stop - number) % stride == 0
            if counters or (known is not None and scan.wants(known.events)):
                # Of chunks that the index does not know, some are skipped: events from between them would have holes.
                scan.read_sparse(self._chunks.load(number).data, counters=counters, events=known is not None)

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


def _records(lines: Iterable[bytes]) -> Iterator[Record]:
    for line in lines:
        try:
            record = read_line(line)
        except ValueError:
            continue
        if record is not None:
            yield record


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
