"""The last lines of one host, and what held before them: what its panes begin with when they are opened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

RECENT_BYTES = 512 << 10
"""Bytes of lines of events, about twenty seconds of a busy host."""
_RUNNING_MAX = 4_000
_RUNNING_BYTES = 2 << 20
_READING_BYTES = 2 << 20
_SERIES_MAX = 64
_NAMED_MAX = 256


class Kept:
    """Bounded: lines of events as they came; the readings since the last whole one of each kind; what still holds.

    Each line or chunk has a number, by which they are in order again when they are read.
    """

    def __init__(self, recent_bytes: int = RECENT_BYTES) -> None:
        self._recent_bytes = recent_bytes
        self.begin(b"")

    def begin(self, header: bytes) -> None:
        """A run of ebpftop begins with *header*: nothing of before holds."""
        self.header = header
        self._recent: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._number = 0
        self._named: dict[tuple[str, ...], tuple[int, bytes]] = {}
        self._running: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._running_size = 0
        self._readings: dict[str, list[tuple[int, bytes]]] = {}

    def next(self) -> None:
        """What comes from now on is newer."""
        self._number += 1

    def add(self, lines: bytes) -> None:
        """Keep *lines*, whole ones, of events."""
        if not lines:
            return
        self._recent.append((self._number, lines))
        self._size += len(lines)
        while self._size > self._recent_bytes and len(self._recent) > 1:
            self._size -= len(self._recent.popleft()[1])

    def started(self, pid: int, start_ns: int, line: bytes) -> None:
        """A process runs; *line* says what."""
        before = self._running.pop((pid, start_ns), None)
        self._running_size += len(line) - (len(before[1]) if before is not None else 0)
        self._running[pid, start_ns] = self._number, line
        while len(self._running) > _RUNNING_MAX or self._running_size > _RUNNING_BYTES:
            _, dropped = self._running.pop(next(iter(self._running)))
            self._running_size -= len(dropped)

    def ended(self, pid: int, start_ns: int) -> None:
        """A process has ended."""
        gone = self._running.pop((pid, start_ns), None)
        if gone is not None:
            self._running_size -= len(gone[1])

    def named(self, *name: str, line: bytes) -> None:
        """Keep the last *line* of those that have this name: the state of a probe, a loss."""
        if name in self._named or len(self._named) < _NAMED_MAX:
            self._named[name] = self._number, line

    def reading(self, series: str, line: bytes, *, whole: bool) -> None:
        """Keep a reading: one that is not whole goes on from the one before."""
        if whole:
            if series in self._readings or len(self._readings) < _SERIES_MAX:
                self._readings[series] = [(self._number, line)]
            return
        since = self._readings.get(series)
        if since is None:
            return
        since.append((self._number, line))
        if len(since) % 64 == 0 and sum(len(one) for _, one in since) > _READING_BYTES:
            del self._readings[series]  # until the next whole one

    def lines(self) -> Iterator[bytes]:
        """Yield all, the header first: whole lines."""
        yield self.header + b"\n"
        oldest = self._recent[0][0] if self._recent else self._number + 1
        parts = [
            *self._named.values(),
            *((number, line) for number, line in self._running.values() if number < oldest),
            *(one for since in self._readings.values() for one in since),
        ]
        parts = [(number, line + b"\n") for number, line in parts]
        parts += self._recent
        parts.sort(key=lambda part: part[0])
        for _, lines in parts:
            yield lines
