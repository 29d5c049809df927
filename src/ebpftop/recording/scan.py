"""Gather, backwards from a moment, the lines that show it."""

from __future__ import annotations

import re

from ebpftop.recording.index import EVENT_GROUP, kind_of, state_key

# Read in full before the scan becomes choosy.
DENSE_BYTES = 8 << 20
# A seek has to end: so much is read after that, only where there is something wanted.
SPARSE_BYTES = 10 << 20

_TIME = re.compile(rb'"time"\s*:\s*([0-9]{1,12}(?:\.[0-9]+)?)')
_COUNTERS = frozenset({b"users", b"syscalls", b"cost"})


class Scan:
    """Lines of the time up to a moment, newest first: events up to a number for each pane, counters, probe states."""

    def __init__(self, time: float, events: int) -> None:
        """Look for at least *events* events of each pane up to *time*."""
        self.lines: list[bytes] = []
        self.states: list[bytes] = []
        self.running: list[bytes] = []
        self.running_known = False
        self.lost_seen: set[bytes] = set()
        self._time = time
        self._events = events
        self._counts = [0, 0, 0]
        self._bytes = 0

    @property
    def dense_enough(self) -> bool:
        """Whether it is time to become choosy."""
        return self._bytes >= DENSE_BYTES or self._counts[0] >= self._events

    @property
    def spent(self) -> bool:
        """Whether enough was read, whatever is missing."""
        return self._bytes >= DENSE_BYTES + SPARSE_BYTES

    @property
    def all_full(self) -> bool:
        """Whether no pane needs more events."""
        return all(self.full(group) for group in range(len(self._counts)))

    def full(self, group: int) -> bool:
        """Whether a group of events (`index.EVENT_GROUP`) has enough."""
        return (group == 0 and self.running_known) or self._counts[group] >= self._events

    def wants(self, events: tuple[int, int, int]) -> bool:
        """Whether a chunk with so many events of each group has some that are wanted."""
        return bool(
            (events[0] and not self.running_known)
            or (events[1] and self._wants_more(1))
            or (events[2] and self._wants_more(2))
        )

    def _wants_more(self, group: int) -> bool:
        return self._counts[group] < self._events and not self.spent

    def set_running(self, running: tuple[bytes, ...] | None) -> None:
        """End the execs here: what ran at this point is known, or cannot be."""
        self.running = list(running or ())
        self.running_known = True

    def read_all(self, data: bytes, in_question: bool) -> None:
        """Take a chunk; *in_question* where it may hold records that are later than the moment."""
        self._bytes += len(data)
        for line in reversed(data.split(b"\n")):
            kind = kind_of(line)
            if not kind or (in_question and not self._is_before(line)):
                continue
            group = EVENT_GROUP.get(kind)
            if group is not None:
                if group == 0 or self._counts[group] < self._events:
                    self._counts[group] += 1
                    self.lines.append(line)
            elif kind == b"lost":
                self._take_lost(line)
            elif kind != b"header":
                self.lines.append(line)

    def read_sparse(self, data: bytes, counters: bool, events: bool) -> None:
        """Take what is still wanted of an older chunk, *counters* and *events* or one of them."""
        self._bytes += len(data)
        for line in reversed(data.split(b"\n")):
            kind = kind_of(line)
            group = EVENT_GROUP.get(kind)
            if group is not None:
                wanted = events and (not self.running_known if group == 0 else self._wants_more(group))
                self._counts[group] += wanted
            else:
                wanted = counters and kind in _COUNTERS
            if wanted:
                self.lines.append(line)

    def _take_lost(self, line: bytes) -> None:
        key = state_key(line)
        if key not in self.lost_seen:
            self.lost_seen.add(key)
            self.lines.append(line)

    def _is_before(self, line: bytes) -> bool:
        found = _TIME.search(line)
        return found is None or float(found[1]) <= self._time
