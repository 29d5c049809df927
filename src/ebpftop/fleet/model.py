"""The state of the whole fleet as the screen shows it. It has no clock: what it is told has the time in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ebpftop.fleet.rows import SEVERITY, EndRow, HostRow, HostState, LogRow, News
from ebpftop.models.ring import Ring, View

LOG_ROWS = 20_000
ORDER_EVERY_S = 5.0
"""Seconds for which rows stay in their order while no state changes: a list that moves all the time cannot be read."""
CLOCK_OFF_S = 1.0
"""A difference of clocks from which on a host is one to look at."""


class Logged:
    """A row of the merged log: what started, and how it ended once that is known."""

    __slots__ = ("end", "started")

    def __init__(self, started: LogRow) -> None:
        self.started = started
        self.end: EndRow | None = None

    @property
    def key(self) -> tuple[str, int, int, int]:
        """Host, pid and start of the process, and the number of the row: a process may execute several programs."""
        return self.started.host, self.started.pid, self.started.start_ns, self.started.id


class FleetModel:
    """Rows of hosts by name, and the merged log."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostRow] = {}
        self.ring: Ring[Logged] = Ring(LOG_ROWS)
        self.view: View[Logged] = View(self.ring)
        self.version = 0
        """Changes with each news."""
        self.now_s = 0.0
        """The monotonic clock at the last news: ages are counted up to it."""
        self.left_out = self.stray = 0
        self.input_ended = False
        self.failed = ""
        self.trouble = ""
        self._by_id: dict[int, int] = {}
        self._order: dict[str, tuple[float, float]] = {}
        self._ordered_s = float("-inf")
        self._states: dict[str, tuple[HostState, bool]] = {}
        self.ring.on_evict = self._evicted

    def take(self, news: Iterable[News], now_s: float) -> None:
        """Take what is new at *now_s*."""
        for one in news:
            for row in one.hosts:
                self.hosts[row.name] = row
            for started in one.log:
                self._by_id[started.id] = self.ring.append(Logged(started), 200 + len(started.command))
            for end in one.ends:
                self._end(end)
            self.left_out, self.stray = one.left_out, one.stray
            self.input_ended |= one.input_ended
            self.failed = self.failed or one.failed
            self.trouble = one.trouble
        self.now_s = now_s
        self.version += 1
        states = {name: (row.state, self.is_off(row)) for name, row in self.hosts.items()}
        if states != self._states or now_s - self._ordered_s >= ORDER_EVERY_S:
            self._states, self._ordered_s = states, now_s
            self._order = {name: self._urgency(row) for name, row in self.hosts.items()}

    def _evicted(self, row: Logged) -> None:
        self._by_id.pop(row.started.id, None)

    def _end(self, end: EndRow) -> None:
        sequence = self._by_id.get(end.id)
        if sequence is not None:
            self.ring[sequence].end = end
            self.view.recheck(sequence)

    @staticmethod
    def is_off(row: HostRow) -> bool:
        """Whether a host that is up needs a look: a probe failed, its clock differs, records are dropped or broken."""
        clock_s = row.clock_s or 0.0
        return bool(row.said) or abs(clock_s) >= CLOCK_OFF_S or row.dropped > 0 or row.broken > 0

    def _urgency(self, row: HostRow) -> tuple[float, float]:
        return SEVERITY[row.state] + (0.5 if self.is_off(row) else 0.0), round(row.failures or 0.0, 1)

    def urgency(self, row: HostRow) -> tuple[float, float]:
        """Return how wrong a host is, as it was when rows were put in order last: what is worst is largest."""
        return self._order.get(row.name) or self._urgency(row)

    def rows(self) -> list[HostRow]:
        """Return all hosts by name."""
        return sorted(self.hosts.values(), key=lambda row: row.name)

    def age_s(self, row: HostRow) -> float | None:
        """Return how long ago the last record came; None if none did."""
        return None if row.last_s is None else max(0.0, self.now_s - row.last_s)

    def states(self) -> Counter[str]:
        """Return how many hosts are in each state: those that are up, then the others, the worst first."""
        counted = Counter(row.state for row in self.hosts.values())
        order = sorted(SEVERITY, key=lambda state: (state != "up", -SEVERITY[state]))
        return Counter({state: counted[state] for state in order if counted[state]})

    @property
    def execs(self) -> float:
        """Programs that start on all hosts each second."""
        return sum(row.execs or 0.0 for row in self.hosts.values())
