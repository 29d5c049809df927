"""What is known of the chunks that were looked through: their times, how much happened in them, and who was running.

Lines are told apart by their first bytes and never decoded here: an hour of a busy machine is millions of lines, and
the screen shows a few thousand of them. Lines that others formatted take a slower way to the same result.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass

from ebpftop.recording.chunks import Chunk, first_time, last_time

# Running programs are noted at every chunk whose number is a multiple of this.
KEY_CHUNKS = 4
# A table of running processes larger than what pid_max of a common machine allows is not a machine's.
MAX_RUNNING = 32_768
_POINTER_BYTES = 8
# Events, by the pane that shows them; the other kinds are counters and states.
EVENT_GROUP = {b"exec": 0, b"exit": 0, b"syscall": 1, b"trace": 2}

_PREFIX = b'{"kind":"'
_TIME = b'","time":'
_KIND = re.compile(rb'"kind"\s*:\s*"([a-z]{1,16})"')
_PID = re.compile(rb'"pid"\s*:\s*([0-9]{1,10})')
_FAILED = re.compile(rb'"ret"\s*:\s*-')


def kind_of(line: bytes) -> bytes:
    """Return the kind of a line, empty where it names none."""
    if line.startswith(_PREFIX):
        return line[9 : line.find(b'"', 9, 32)]
    found = _KIND.search(line)
    return found[1] if found else b""


def pid_of(line: bytes) -> bytes:
    """Return the digits of a line's first "pid", empty where it has none."""
    at = line.find(b'"pid":')
    if at >= 0 and line.startswith(_PREFIX):
        return line[at + 6 : line.find(b",", at, at + 18)]
    found = _PID.search(line)
    return found[1] if found else b""


def exec_failed(line: bytes) -> bool:
    """Whether an exec line is of an execve that failed; a text cannot fool this, its quotes are escaped."""
    return b'"ret":-' in line if line.startswith(_PREFIX) else _FAILED.search(line) is not None


@dataclass(frozen=True, slots=True)
class Info:
    """One chunk: Unix seconds of its first and last record, its lines, its events by group, and by whole second.

    Events of lines that others formatted are not in `seconds`.
    """

    first: float
    last: float
    lines: int
    events: tuple[int, int, int]
    seconds: tuple[tuple[int, int], ...] = ()


class Index:
    """Grows by `add`, in order of the chunks; shrinks from the front by `drop`. Any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: deque[Info] = deque()
        self._first = 0
        self._lines_before = 0
        self._clock = 0.0
        self._bytes_used = 0
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
        """About what this held when it was measured last: the lines of who was running, and the lists of them."""
        return self._bytes_used

    def add(self, chunk: Chunk) -> None:
        """Look through the next chunk."""
        events = [0, 0, 0]
        if self.stop % KEY_CHUNKS == 0:
            self._add_key()
        lines = chunk.data.split(b"\n")
        running = self._running
        seconds: Counter[bytes] = Counter()
        for line in lines:
            kind = kind_of(line)
            group = EVENT_GROUP.get(kind)
            if group is not None:
                events[group] += 1
                # The time follows the kind in every line that is ours; ten digits are a second from 2001 to 2286.
                at = len(_PREFIX) + len(kind) + len(_TIME)
                seconds[line[at : at + 10]] += 1
                if kind == b"exec":
                    if not exec_failed(line) and len(running) < MAX_RUNNING:
                        running[pid_of(line)] = line
                elif kind == b"exit":
                    running.pop(pid_of(line), None)
            elif kind == b"process":
                if len(running) < MAX_RUNNING:
                    running.setdefault(pid_of(line), line)
            elif kind in (b"probe", b"lost"):
                self._note_state(kind, line)
        first = first_time(chunk.data)
        first = self._clock if first is None else first
        last = max(first, last_time(chunk.data) or first)
        self._clock = last
        with self._lock:
            told = tuple((int(text), count) for text, count in seconds.items() if len(text) == 10 and text.isdigit())
            self._infos.append(Info(first, last, chunk.lines, (events[0], events[1], events[2]), told))

    def drop(self) -> None:
        """Forget the oldest chunk. Its probe states and running programs stay known in what follows."""
        with self._lock:
            self._lines_before += self._infos.popleft().lines
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
