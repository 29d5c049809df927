"""Collect, backwards from a moment, the lines that show it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ebpftop.core.snapshot import EventCounts
from ebpftop.recording import kinds
from ebpftop.recording.index import Info, by_group, count_events, state_key
from ebpftop.recording.kinds import COUNTERS, EVENT_GROUP, GROUPS, exec_failed, kind_of, line_at, marks_backwards

# Read in full before the scan becomes selective.
DENSE_BYTES = 8 << 20
# For rare events a screenful and some more is enough: the older they are, the farther apart.
RARE_EVENTS = 1000
# A seek must end: after that at most this much is read, and only chunks with needed lines.
SPARSE_BYTES = 10 << 20
# The cost of a line besides its bytes: a damaged recording may have very many short lines.
_LINE_BYTES = 64

_TIME = re.compile(rb'"time"\s*:\s*([0-9]{1,12}(?:\.[0-9]+)?)')


class Scan:
    """Lines up to a moment, newest first: a bounded number of events for each pane, counters, probe states."""

    def __init__(self, time: float, events: int, counters_since: float) -> None:
        """Collect at least *events* events of each pane up to *time*, and the counters since *counters_since*."""
        self.lines: list[bytes] = []
        self.states: list[bytes] = []
        self.running: list[bytes] = []
        self.running_known = False
        self.lost_seen: set[bytes] = set()
        self.seconds: Counter[bytes] = Counter()
        """Events by whole second, of the chunks read in full; the empty key counts those of an unknown second."""
        self._dense: Counter[bytes] = Counter()
        self._failed = 0
        self._time = time
        self._counters_since = int(counters_since)
        self._events = events
        self._counts = [0] * GROUPS
        self._bytes = 0

    @property
    def dense(self) -> EventCounts:
        """Events of the chunks that were read in full."""
        return count_events(self._dense, self._failed)

    @property
    def dense_enough(self) -> bool:
        """Whether the scan should become selective now."""
        return self._bytes >= DENSE_BYTES or self._counts[0] >= self._events

    @property
    def spent(self) -> bool:
        """Whether the bound on bytes is reached, even if something is missing."""
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
        """Whether a chunk with these counts has events that are still needed."""
        return any(events and self._wants(group) for group, events in enumerate(by_group(counts)))

    def wants_only_rare(self, info: Info) -> bool:
        """Whether the index has all that is needed of a chunk, so it need not be read."""
        return info.rare is not None and (self.running_known or not by_group(info.counts)[0])

    def _wants(self, group: int) -> bool:
        if group == 0:
            return not self.running_known
        return self._counts[group] < min(self._events, RARE_EVENTS) and not self.spent

    def set_running(self, running: tuple[bytes, ...] | None) -> None:
        """End the execs here: the programs that ran at this point are known, or cannot be known."""
        self.running = list(running or ())
        self.running_known = True

    def read_all(self, data: bytes, in_question: bool) -> None:
        """Read a whole chunk; *in_question* if it may hold records that are later than the moment."""
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
        """Read what is still needed of an older chunk: *counters*, *events* or both."""
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
        """Add what is needed of the rare lines that the index kept for a chunk."""
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
