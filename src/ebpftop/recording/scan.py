"""Gather, backwards from a moment, the lines that show it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ebpftop.core.snapshot import EventCounts
from ebpftop.recording import kinds
from ebpftop.recording.index import Info, by_group, state_key
from ebpftop.recording.kinds import COUNTERS, EVENT_GROUP, exec_failed, kind_of, line_at, marks_backwards

# Read in full before the scan becomes choosy.
DENSE_BYTES = 8 << 20
# Of what is rare a screenful and some more will do: older ones lie ever farther apart.
RARE_EVENTS = 1000
# A seek has to end: so much is read after that, only where there is something wanted.
SPARSE_BYTES = 10 << 20
# What a line costs beyond its bytes: a recording of damaged lines may have very many short ones.
_LINE_BYTES = 64

_TIME = re.compile(rb'"time"\s*:\s*([0-9]{1,12}(?:\.[0-9]+)?)')


class Scan:
    """Lines of the time up to a moment, newest first: events up to a number for each pane, counters, probe states."""

    def __init__(self, time: float, events: int, counters_since: float) -> None:
        """Look for at least *events* events of each pane up to *time*, and for counters since *counters_since*."""
        self.lines: list[bytes] = []
        self.states: list[bytes] = []
        self.running: list[bytes] = []
        self.running_known = False
        self.lost_seen: set[bytes] = set()
        self.seconds: Counter[bytes] = Counter()
        """Events by whole second, of what was read in full; under an empty key those of an unknown second."""
        self._dense: Counter[bytes] = Counter()
        self._failed = 0
        self._time = time
        self._counters_since = int(counters_since)
        self._events = events
        self._counts = [0, 0, 0]
        self._bytes = 0

    @property
    def dense(self) -> EventCounts:
        """Events of what was read in full."""
        of = self._dense
        return EventCounts(of[b"exec"] - self._failed, self._failed, of[b"exit"], of[b"syscall"], of[b"trace"])

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
        """Whether a group of events (`kinds.EVENT_GROUP`) has enough."""
        enough = self._events if group == 0 else min(self._events, RARE_EVENTS)
        return (group == 0 and self.running_known) or self._counts[group] >= enough

    def wants(self, counts: EventCounts) -> bool:
        """Whether a chunk with so many events has some that are wanted."""
        return any(events and self._wants(group) for group, events in enumerate(by_group(counts)))

    def wants_only_rare(self, info: Info) -> bool:
        """Whether all that is wanted of a chunk is known without reading it."""
        return info.rare is not None and (self.running_known or not by_group(info.counts)[0])

    def _wants(self, group: int) -> bool:
        if group == 0:
            return not self.running_known
        return self._counts[group] < min(self._events, RARE_EVENTS) and not self.spent

    def set_running(self, running: tuple[bytes, ...] | None) -> None:
        """End the execs here: what ran at this point is known, or cannot be."""
        self.running = list(running or ())
        self.running_known = True

    def read_all(self, data: bytes, in_question: bool) -> None:
        """Take a chunk; *in_question* where it may hold records that are later than the moment."""
        self._bytes += len(data) + _LINE_BYTES * data.count(b"\n")
        for kind, second, _, begin in marks_backwards(data):
            if in_question and not self._is_before(line_at(data, begin)):
                continue
            group = EVENT_GROUP.get(kind)
            if group is not None:
                self.seconds[second] += 1
                self._dense[kind] += 1
                if group == 0 or self._counts[group] < self._events:
                    line = line_at(data, begin)
                    self._failed += kind == b"exec" and exec_failed(line)
                    self._counts[group] += 1
                    self.lines.append(line)
            elif kind == b"lost":
                self._take_lost(line_at(data, begin))
            elif kind in COUNTERS:
                if not second or int(second) >= self._counters_since:
                    self.lines.append(line_at(data, begin))
            elif kind in (b"probe", b"process"):
                self.lines.append(line_at(data, begin))

    def read_sparse(self, data: bytes, counters: bool, events: bool) -> None:
        """Take what is still wanted of an older chunk, *counters* and *events* or one of them."""
        self._bytes += len(data) + _LINE_BYTES * data.count(b"\n")
        if not events:
            self.lines += reversed(kinds.counters(data))
            return
        for kind, _, _, begin in marks_backwards(data):
            group = EVENT_GROUP.get(kind)
            if group is None:
                if counters and kind in COUNTERS:
                    self.lines.append(line_at(data, begin))
            elif events and self._wants(group):
                self._counts[group] += 1
                self.lines.append(line_at(data, begin))

    def take_rare(self, lines: Iterable[bytes]) -> None:
        """Take what is wanted of the rare lines that the index kept of a chunk."""
        for line in reversed(list(lines)):
            group = EVENT_GROUP[kind_of(line)]
            if self._wants(group):
                self._counts[group] += 1
                self.lines.append(line)

    def _take_lost(self, line: bytes) -> None:
        key = state_key(line)
        if key not in self.lost_seen:
            self.lost_seen.add(key)
            self.lines.append(line)

    def _is_before(self, line: bytes) -> bool:
        found = _TIME.search(line)
        return found is None or float(found[1]) <= self._time
