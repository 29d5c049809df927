"""What is known of the chunks that were looked through: their times, how much happened in them, and who was running."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass

from ebpftop.past import Counts
from ebpftop.recording.chunks import Chunk, first_time, last_time
from ebpftop.recording.kinds import COUNTERS, EVENT_GROUP, exec_failed, line_at, marks

# Running programs are noted at every chunk whose number is a multiple of this.
KEY_CHUNKS = 2
# A table of running processes larger than what pid_max of a common machine allows is not a machine's.
MAX_RUNNING = 32_768
_POINTER_BYTES = 8
# Lines of traced calls and of the trace log are kept here where a chunk has few of them: or to find a screenful of them
# a second of a busy machine had to be unpacked for each.
_RARE = 16
_RARE_BYTES = 8 << 20


def by_group(counts: Counts) -> tuple[int, int, int]:
    """Return *counts* by `kinds.EVENT_GROUP`."""
    return counts.execs + counts.failed + counts.exits, counts.syscalls, counts.traces


@dataclass(frozen=True, slots=True)
class Info:
    """One chunk: Unix seconds of its first and last record, its lines, bytes, events, and these by whole second.

    `before` counts the events from the start up to this chunk; `readings` are the counters in it; `rare` holds the
    lines of its traced calls and its trace log, None where they are many. Events of lines that others formatted are not
    in `seconds`.
    """

    first: float
    last: float
    lines: int
    size: int
    counts: Counts
    before: Counts
    readings: int
    seconds: tuple[tuple[int, int], ...] = ()
    rare: tuple[bytes, ...] | None = None

    @property
    def events(self) -> int:
        """All events in it."""
        return sum(by_group(self.counts))

    @property
    def unplaced(self) -> int:
        """Events of which the second is not known."""
        return self.events - sum(events for _, events in self.seconds)


class Index:
    """Grows by `add`, in order of the chunks; shrinks from the front by `drop`. Any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: deque[Info] = deque()
        self._first = 0
        self._lines_before = 0
        self._clock = 0.0
        self._bytes_used = 0
        self._rare_bytes = 0
        self._counts = Counts()
        self._seconds: Counter[int] = Counter()
        self._unplaced = 0
        self._running: dict[bytes, bytes] = {}
        self._keys: deque[tuple[bytes, ...]] = deque()
        self._states: list[tuple[int, bytes]] = []
        self._state_of: dict[bytes, bytes] = {}
        self.done = False

    @property
    def first(self) -> int:
        """Number of the oldest chunk known."""
        return self._first

    @property
    def stop(self) -> int:
        """One more than the number of the newest chunk known."""
        return self._first + len(self._infos)

    @property
    def bytes_used(self) -> int:
        """About what this holds: lines of the rare kinds, and of who was running, when that was measured last."""
        return self._bytes_used + self._rare_bytes

    def add(self, chunk: Chunk) -> None:
        """Look through the next chunk."""
        if self.stop % KEY_CHUNKS == 0:
            self._add_key()
        data = chunk.data
        running = self._running
        counts: Counter[bytes] = Counter()
        seconds: Counter[bytes] = Counter()
        rare: list[bytes] = []
        failed = 0
        for kind, second, pid, begin in marks(data):
            counts[kind] += 1
            if kind in EVENT_GROUP:
                seconds[second] += 1
            if kind == b"exec":
                line = line_at(data, begin)
                if exec_failed(line):
                    failed += 1
                elif len(running) < MAX_RUNNING:
                    running[pid] = line
            elif kind == b"exit":
                running.pop(pid, None)
            elif kind in (b"trace", b"syscall"):
                if len(rare) <= _RARE:
                    rare.append(line_at(data, begin))
            elif kind == b"process":
                if len(running) < MAX_RUNNING:
                    running.setdefault(pid, line_at(data, begin))
            elif kind in (b"probe", b"lost"):
                self._note_state(kind, line_at(data, begin))
        found = Counts(counts[b"exec"] - failed, failed, counts[b"exit"], counts[b"syscall"], counts[b"trace"])
        first = first_time(data)
        first = self._clock if first is None else first
        last = max(first, last_time(data) or first)
        self._clock = last
        size = sum(map(len, rare))
        keep = len(rare) <= _RARE and self._rare_bytes + size <= _RARE_BYTES
        info = Info(
            first,
            last,
            chunk.lines,
            len(data),
            found,
            self._counts,
            sum(counts[kind] for kind in COUNTERS),
            tuple((int(text), count) for text, count in seconds.items() if text),
            tuple(rare) if keep else None,
        )
        with self._lock:
            self._infos.append(info)
            self._counts = self._counts.plus(found)
            self._rare_bytes += size if keep else 0
            self._seconds.update(dict(info.seconds))
            self._unplaced += info.unplaced

    def drop(self) -> None:
        """Forget the oldest chunk. Its probe states and running programs stay known in what follows."""
        with self._lock:
            dropped = self._infos.popleft()
            self._lines_before += dropped.lines
            self._rare_bytes -= sum(map(len, dropped.rare or ()))
            self._unplaced -= dropped.unplaced
            for second, events in dropped.seconds:
                self._seconds[second] -= events
                if not self._seconds[second]:
                    del self._seconds[second]
            self._first += 1
            if self._first % KEY_CHUNKS == 0 and self._keys:
                self._keys.popleft()
            # The states before the first chunk are told as they were at its start: the last of each kind.
            kept: dict[bytes, tuple[int, bytes]] = {}
            while self._states and self._states[0][0] < self._first:
                number, line = self._states.pop(0)
                kept[state_key(line)] = (number, line)
            self._states[:0] = sorted(kept.values())

    def infos(self) -> tuple[int, tuple[Info, ...]]:
        """Return the number of the oldest chunk, and what is known of it and all that follow."""
        with self._lock:
            return self._first, tuple(self._infos)

    def seconds(self) -> tuple[dict[int, int], int]:
        """Return the events of every second in which there were some, and how many are of no known second."""
        with self._lock:
            return dict(self._seconds), self._unplaced

    def first_line(self, number: int) -> int | None:
        """Return the number, from 1, of the first line of a chunk; None where that is not known yet."""
        with self._lock:
            if not self._first <= number <= self._first + len(self._infos):
                return None
            before = sum(info.lines for info, _ in zip(self._infos, range(number - self._first), strict=False))
            return 1 + self._lines_before + before

    def running_at(self, number: int) -> tuple[bytes, ...] | None:
        """Return the exec and process lines of what ran when chunk *number* began; None unless it is a noted one."""
        with self._lock:
            oldest = -(-self._first // KEY_CHUNKS)
            at, odd = divmod(number, KEY_CHUNKS)
            if odd or not 0 <= at - oldest < len(self._keys):
                return None
            return self._keys[at - oldest]

    def before(self, number: int) -> Counts | None:
        """Return how many events there were from the start up to chunk *number*; None where that is not known."""
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
            self._keys.append(tuple(self._running.values()))

    def measure(self) -> None:
        """Find out `bytes_used`; it costs a look at every line held."""
        kept = {line for key in self._keys for line in key}
        self._bytes_used = sum(map(len, kept)) + sum(_POINTER_BYTES * len(key) for key in self._keys)

    def _note_state(self, kind: bytes, line: bytes) -> None:
        key = state_key(line)
        if kind == b"lost" and self._state_of.get(key) == _count_of(line):
            return
        self._state_of[key] = _count_of(line)
        with self._lock:
            self._states.append((self.stop, line))


_PROBE = re.compile(rb'"probe"\s*:\s*"([a-z]{1,16})"')
_WHERE = re.compile(rb'"where"\s*:\s*"([a-z]{1,16})"')
_COUNT = re.compile(rb'"count"\s*:\s*([0-9]{1,20})')


def state_key(line: bytes) -> bytes:
    """Return what a probe or lost line is about: the later of two with the same key is the one that holds."""
    found = [pattern.search(line) for pattern in (_PROBE, _WHERE)]
    return b" ".join(match[1] for match in found if match)


def _count_of(line: bytes) -> bytes:
    found = _COUNT.search(line)
    return found[1] if found else b""
