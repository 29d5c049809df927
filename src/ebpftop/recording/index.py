"""The index of the chunks that were read: their times, their numbers of events, and the running processes."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from ebpftop.core.records import Where
from ebpftop.core.snapshot import EventCounts
from ebpftop.probes.registry import registry
from ebpftop.recording.chunks import Chunk, first_time, last_time
from ebpftop.recording.kinds import EVENT_GROUP, GROUPS, READINGS, exec_failed, is_part, line_at, marks

# A table of running programs is kept for every chunk whose number is a multiple of this.
KEY_CHUNKS = 2
# No real machine has a table of running processes larger than the usual pid_max.
MAX_RUNNING = 32_768
MAX_RUNNING_BYTES = 4 << 20
# A bound on the tables and the lines that only they hold; beyond it every second table is dropped.
MAX_KEY_BYTES = 24 << 20
# At most this many seconds with events are counted one by one, over 13 hours; then by two, by four ..
MAX_SECONDS = 50_000
# Changes of the state or the losses of a probe.
MAX_STATES = 4096
_MAX_STATE_BYTES = 8 << 10
_POINTER_BYTES = 8
_LINE_BYTES = 64


def by_group(counts: EventCounts) -> list[int]:
    """Return *counts* by `kinds.EVENT_GROUP`."""
    groups = [0] * GROUPS
    for kind, count in counts.kinds.items():
        groups[EVENT_GROUP[kind.encode()]] += count
    return groups


def count_events(kinds: Mapping[bytes, int], failed: int) -> EventCounts:
    """Return the events among *kinds*, of whose execs *failed* failed."""
    return EventCounts({kind.decode(): count for kind, count in kinds.items() if kind in EVENT_GROUP}, failed)


@dataclass(frozen=True, slots=True)
class Info:
    """One chunk: Unix seconds of its first and last record, its lines, bytes, events, and its events by whole second.

    `before` counts the events from the start up to this chunk. `whole` names the readings that are whole in it, `parts`
    those that hold only what changed. Events in lines that another program formatted are not in `seconds`.
    """

    first: float
    last: float
    lines: int
    size: int
    counts: EventCounts
    before: EventCounts
    whole: frozenset[bytes]
    parts: frozenset[bytes]
    seconds: tuple[tuple[int, int], ...] = ()

    @property
    def events(self) -> int:
        """All events in it."""
        return sum(self.counts.kinds.values())

    @property
    def unplaced(self) -> int:
        """Events whose second is not known."""
        return self.events - sum(events for _, events in self.seconds)


class _Contents:
    """Collects what an `Info` says, line by line."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._kinds: Counter[bytes] = Counter()
        self._seconds: Counter[bytes] = Counter()
        self._whole: set[bytes] = set()
        self._parts: set[bytes] = set()
        self._failed = 0

    def add(self, kind: bytes, second: bytes, begin: int) -> None:
        if kind in EVENT_GROUP:
            self._kinds[kind] += 1
            self._seconds[second] += 1
            self._failed += kind == b"exec" and exec_failed(line_at(self._data, begin))
        elif kind in READINGS:
            (self._parts if is_part(line_at(self._data, begin)) else self._whole).add(kind)

    def info(self, lines: int, clock: float, before: EventCounts) -> Info:
        """Return it; *clock* is the time of the last record before these."""
        first = first_time(self._data)
        first = clock if first is None else first
        return Info(
            first,
            max(first, last_time(self._data) or first),
            lines,
            len(self._data),
            count_events(self._kinds, self._failed),
            before,
            frozenset(self._whole),
            frozenset(self._parts),
            tuple((int(text), count) for text, count in self._seconds.items() if text),
        )


def describe(chunk: Chunk) -> Info:
    """Return what there is to know of a chunk by itself."""
    contents = _Contents(chunk.data)
    for kind, second, _, begin in marks(chunk.data):
        contents.add(kind, second, begin)
    return contents.info(chunk.lines, 0.0, EventCounts())


class Running:
    """The exec or process line of each program that runs, by its pid."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self._by_pid: dict[bytes, bytes] = {}
        self._bytes = 0
        self._fresh: dict[bytes, int] = {}
        for _, _, pid, begin in marks(data := b"\n".join(lines)):
            self._start(pid, line_at(data, begin))

    @property
    def lines(self) -> tuple[bytes, ...]:
        """All of them."""
        return tuple(self._by_pid.values())

    def add(self, kind: bytes, pid: bytes, line: bytes) -> None:
        """Add a line of the exec log."""
        if kind == b"exit":
            self._end(pid)
        elif kind == b"process":
            if pid not in self._by_pid:
                self._start(pid, line)
        elif not exec_failed(line):
            self._start(pid, line)

    def take_growth(self) -> int:
        """Return the bytes of the lines that came since this was called last."""
        growth = sum(self._fresh.values())
        self._fresh.clear()
        return growth

    def _start(self, pid: bytes, line: bytes) -> None:
        self._end(pid)
        if len(self._by_pid) < MAX_RUNNING and self._bytes + len(line) <= MAX_RUNNING_BYTES:
            self._by_pid[pid] = line
            self._bytes += len(line)
            self._fresh[pid] = len(line) + _LINE_BYTES

    def _end(self, pid: bytes) -> None:
        line = self._by_pid.pop(pid, None)
        if line is not None:
            self._bytes -= len(line)
            self._fresh.pop(pid, None)


class Index:
    """Grows by `add`, in order of the chunks; shrinks from the front by `drop`. Any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: deque[Info] = deque()
        self._first = 0
        self._lines_before = 0
        self._clock = 0.0
        self._bytes_used = 0
        self._counts = EventCounts()
        self._seconds: Counter[int] = Counter()
        self._pairs = 0
        self._width_s = 1
        self._unplaced = 0
        self._running = Running()
        self._keys: deque[tuple[bytes, ...] | None] = deque()
        self._key_bytes = 0
        self._key_stride = 1
        self._states: list[tuple[int, bytes]] = []
        self._state_of: dict[bytes, bytes] = {}
        self.newest: tuple[int, float] | None = None
        """The number of the newest known chunk, and the time of its last record. Readable without the lock."""

    @property
    def first(self) -> int:
        """Number of the oldest known chunk."""
        return self._first

    @property
    def stop(self) -> int:
        """One more than the number of the newest known chunk."""
        return self._first + len(self._infos)

    @property
    def bytes_used(self) -> int:
        """About the memory of this: the tables of running programs as last measured."""
        return self._bytes_used

    def add(self, chunk: Chunk) -> None:
        """Add the next chunk."""
        if self.stop % KEY_CHUNKS == 0:
            self._add_key()
        data = chunk.data
        contents = _Contents(data)
        for kind, second, pid, begin in marks(data):
            contents.add(kind, second, begin)
            if kind in (b"exec", b"exit", b"process"):
                self._running.add(kind, pid, line_at(data, begin))
            elif kind in (b"probe", b"lost"):
                self._note_state(kind, line_at(data, begin))
        info = contents.info(chunk.lines, self._clock, self._counts)
        self._clock = info.last
        with self._lock:
            info = replace(info, seconds=self._widened(info.seconds))
            self._infos.append(info)
            self.newest = self._first + len(self._infos) - 1, info.last
            self._counts = self._counts.plus(info.counts)
            self._seconds.update(dict(info.seconds))
            self._pairs += len(info.seconds)
            self._unplaced += info.unplaced
            while self._pairs > MAX_SECONDS:
                self._widen()

    def drop(self) -> None:
        """Drop the oldest chunk. Later chunks still know its probe states and running programs."""
        with self._lock:
            dropped = self._infos.popleft()
            self._lines_before += dropped.lines
            self._unplaced -= dropped.unplaced
            self._pairs -= len(dropped.seconds)
            for second, events in dropped.seconds:
                self._seconds[second] -= events
                if not self._seconds[second]:
                    del self._seconds[second]
            if self._first % KEY_CHUNKS == 0:
                self._keys.popleft()
            self._first += 1
            # Of the states before the first chunk, keep the last of each kind: the state at its start.
            last: dict[bytes, tuple[int, bytes]] = {}
            while self._states and self._states[0][0] < self._first:
                number, line = self._states.pop(0)
                last[state_key(line)] = (number, line)
            self._states[:0] = sorted(last.values())

    def infos(self) -> tuple[int, tuple[Info, ...]]:
        """Return the number of the oldest chunk, and the infos of it and of all later ones."""
        with self._lock:
            return self._first, tuple(self._infos)

    def seconds(self) -> tuple[dict[int, int], int, int]:
        """Return the events by time, how many seconds each entry covers, and the events whose second is not known.

        The time is the first second of an entry. An entry covers one second, or a power of two if there would be too
        many entries.
        """
        with self._lock:
            return dict(self._seconds), self._width_s, self._unplaced

    def first_line(self, number: int) -> int | None:
        """Return the number, from 1, of the first line of a chunk; None if that is not known yet."""
        with self._lock:
            if not self._first <= number <= self._first + len(self._infos):
                return None
            before = sum(info.lines for info, _ in zip(self._infos, range(number - self._first), strict=False))
            return 1 + self._lines_before + before

    def info(self, number: int) -> Info | None:
        """Return what is known of a chunk; None if it is not indexed."""
        with self._lock:
            at = number - self._first
            return self._infos[at] if 0 <= at < len(self._infos) else None

    def running_at(self, number: int) -> tuple[bytes, ...] | None:
        """Return the exec and process lines of what ran when chunk *number* began; None if it has no table."""
        with self._lock:
            at = self._key_at(number)
            return None if at is None else self._keys[at]

    def may_start(self, number: int) -> bool:
        """Whether chunk *number* has a table of what runs; also if nothing is known of it yet."""
        with self._lock:
            at = self._key_at(number)
            return number > self._first + len(self._infos) or (at is not None and self._keys[at] is not None)

    def _key_at(self, number: int) -> int | None:
        oldest = -(-self._first // KEY_CHUNKS)
        at, odd = divmod(number, KEY_CHUNKS)
        return None if odd or not 0 <= at - oldest < len(self._keys) else at - oldest

    def before(self, number: int) -> EventCounts | None:
        """Return how many events there were from the start up to chunk *number*; None if that is not known."""
        with self._lock:
            if number == self._first + len(self._infos):
                return self._counts
            at = number - self._first
            return self._infos[at].before if 0 <= at < len(self._infos) else None

    def states_before(self, number: int) -> list[bytes]:
        """Return the last probe and lost lines of each probe before chunk *number*, oldest first."""
        with self._lock:
            stop = bisect_right(self._states, (number, b""))
            last = {state_key(line): line for _, line in self._states[:stop]}
            return list(last.values())

    def _add_key(self) -> None:
        with self._lock:
            noted = (self._first + len(self._infos)) // KEY_CHUNKS % self._key_stride == 0
            self._keys.append(self._running.lines if noted else None)
            if not noted:
                return
            self._key_bytes += self._running.take_growth() + _POINTER_BYTES * len(self._running.lines)
            while self._key_bytes > MAX_KEY_BYTES and self._forget_keys():
                self._key_bytes = self._bytes_of_keys()

    def _forget_keys(self) -> bool:
        """Drop every second table; return whether there was one to drop."""
        self._key_stride *= 2
        oldest = -(-self._first // KEY_CHUNKS)
        forgotten = 0
        # The oldest stays: no earlier table could be used instead.
        for at in range(1, len(self._keys)):
            if self._keys[at] is not None and (oldest + at) % self._key_stride:
                self._keys[at] = None
                forgotten += 1
        return forgotten > 0

    def measure(self) -> None:
        """Compute `bytes_used`; this visits every line held."""
        with self._lock:
            self._bytes_used = self._key_bytes = self._bytes_of_keys()

    def _bytes_of_keys(self) -> int:
        keys = [key for key in self._keys if key is not None]
        lines = {line for key in keys for line in key}
        return sum(map(len, lines)) + _LINE_BYTES * len(lines) + sum(_POINTER_BYTES * len(key) for key in keys)

    def _widened(self, seconds: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        if self._width_s == 1:
            return tuple(seconds)
        wide: Counter[int] = Counter()
        for second, events in seconds:
            wide[second - second % self._width_s] += events
        return tuple(wide.items())

    def _widen(self) -> None:
        """Count by entries of twice as many seconds."""
        self._width_s *= 2
        self._infos = deque(replace(info, seconds=self._widened(info.seconds)) for info in self._infos)
        self._seconds = Counter(dict(self._widened(self._seconds.items())))
        self._pairs = sum(len(info.seconds) for info in self._infos)

    def _note_state(self, kind: bytes, line: bytes) -> None:
        key = state_key(line)
        if len(line) > _MAX_STATE_BYTES or (key not in self._state_of and not _may_keep(key, len(self._state_of))):
            return
        if kind == b"lost" and self._state_of.get(key) == _count_of(line):
            return
        self._state_of[key] = _count_of(line)
        with self._lock:
            self._states.append((self._first + len(self._infos), line))
            if len(self._states) > MAX_STATES:
                # Of the older half, keep the last of each kind.
                half = len(self._states) // 2
                last = {state_key(line): (number, line) for number, line in self._states[:half]}
                self._states[:half] = sorted(last.values())


# For each probe: its state, and each kind of its losses.
_WHERES = frozenset(where.encode() for where in ("", *get_args(Where)))
_STATE_KEYS = frozenset(f"{probe} ".encode() + where for probe in registry().names for where in _WHERES)
# Beyond these, as many as the probes have that are not installed here.
_STATE_KEYS_MAX = len(_STATE_KEYS) + 256
_PROBE = re.compile(rb'"probe"\s*:\s*"([a-z]{1,16})"')
_WHERE = re.compile(rb'"where"\s*:\s*"([a-z]{1,16})"')
_COUNT = re.compile(rb'"count"\s*:\s*([0-9]{1,20})')


def state_key(line: bytes) -> bytes:
    """Return the subject of a probe or lost line: of two with the same key, the later one is valid."""
    probe, where = _PROBE.search(line), _WHERE.search(line)
    return (probe[1] if probe else b"") + b" " + (where[1] if where else b"")


def _may_keep(key: bytes, kept: int) -> bool:
    probe, _, where = key.partition(b" ")
    return key in _STATE_KEYS or (probe != b"" and where in _WHERES and kept < _STATE_KEYS_MAX)


def _count_of(line: bytes) -> bytes:
    found = _COUNT.search(line)
    return found[1] if found else b""
