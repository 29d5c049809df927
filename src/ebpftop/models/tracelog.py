"""The lines that BPF programs print; ebpftop's own greetings are one row."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Callable

from ebpftop.core.printed import is_greeting
from ebpftop.core.trace_records import Trace
from ebpftop.models.eventlog import EventLog
from ebpftop.models.ring import Ring, View


class TraceView(View[Trace]):
    """A view in which all greetings are one row: the newest, which stands for all that match."""

    def __init__(self, ring: Ring[Trace]) -> None:
        super().__init__(ring)
        self._lists = True
        self.is_opened = False
        self.tasks: Counter[str] = Counter()
        """Greetings that match, by the name of the task in which they were printed."""
        self._greetings: deque[int] = deque()
        ring.on_evict = self._evicted

    @property
    def hidden(self) -> int:
        """How many lines are behind the row of greetings."""
        return 0 if self.is_opened else max(0, len(self._greetings) - 1)

    @property
    def matching(self) -> int:
        return len(self) + self.hidden

    def stands_for(self, row: Trace) -> int:
        """Return how many greetings *row* stands for; 0 if it is a line alone."""
        return len(self._greetings) if self.hidden and is_greeting(row) else 0

    def set_filter(self, passes: Callable[[Trace], bool | None] | None) -> None:
        super().set_filter(passes)
        self._lists = True
        self._greetings.clear()
        self.tasks.clear()

    def position(self, sequence: int) -> int:
        if self.hidden and self.ring.first <= sequence < self.ring.end and is_greeting(self.ring[sequence]):
            sequence = self._greetings[-1]
        return super().position(sequence)

    def all_rows(self) -> list[Trace]:
        """Return all lines that match, shown or hidden, oldest first."""
        first, rows = self.ring.first, self.ring.slice(self.ring.first, self.ring.end)
        return [rows[sequence - first] for sequence in sorted({*self._matches, *self._greetings}) if sequence >= first]

    def toggle(self, row: Trace) -> bool:
        """Show each greeting, or fold them again; return whether *row* is one of several."""
        if not is_greeting(row) or len(self._greetings) < 2:
            return False
        self.is_opened = not self.is_opened
        if self.is_opened:
            self._matches = deque(sorted({*self._matches, *self._greetings}))
        else:
            hidden = set(self._greetings) - {self._greetings[-1]}
            self._matches = deque(at for at in self._matches if at not in hidden)
        return True

    def _enter(self, sequence: int, row: Trace) -> None:
        if is_greeting(row):
            greetings = self._greetings
            self.tasks[row.task] += 1
            if not greetings or sequence > greetings[-1]:
                if greetings and not self.is_opened:
                    self._hide(greetings[-1])
                greetings.append(sequence)
            else:
                if sequence < greetings[0]:
                    greetings.appendleft(sequence)
                else:
                    insort(greetings, sequence)
                if not self.is_opened:
                    return
        super()._enter(sequence, row)

    def _hide(self, sequence: int) -> None:
        matches = self._matches
        at = len(matches) - 1
        # It is near the end, unless other programs print much more: a deque is slow in its middle.
        for _ in range(_NEAR):
            if at < 0 or matches[at] <= sequence:
                break
            at -= 1
        else:
            at = bisect_left(matches, sequence)
        if 0 <= at < len(matches) and matches[at] == sequence:
            del matches[at]

    def _evicted(self, row: Trace) -> None:
        sequence = self.ring.first - 1
        if self._greetings and self._greetings[0] == sequence:
            self._greetings.popleft()
            self.tasks[row.task] -= 1
            if not self.tasks[row.task]:
                del self.tasks[row.task]
        if self._matches and self._matches[0] == sequence:
            self._matches.popleft()
            self._first += 1


_NEAR = 32


class TraceLog(EventLog[Trace]):
    """The newest lines of the trace pipe, and the filtered view of them."""

    kind = Trace
    view: TraceView

    def __init__(self, capacity: int = 100_000) -> None:
        super().__init__(capacity)
        self.view = TraceView(self.ring)

    def matches(self, event: Trace) -> bool | None:
        return self.view_filter.matches_line(event, self.processes)

    def about(self, event: Trace) -> str:
        return event.message

    def searchable(self, event: Trace) -> str:
        tid = f" {event.tid}" if event.tid not in (None, event.pid) else ""
        by = f" {event.program}" if event.program else ""
        return f"{event.pid}{tid} {event.task} cpu{event.cpu}{by} {event.message}"
