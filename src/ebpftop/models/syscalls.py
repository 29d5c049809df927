"""Counters of each system call, in total and since the last reading."""

from __future__ import annotations

import math
from collections import deque

from ebpftop.core.memory_budget import scaled
from ebpftop.core.record_memory import weight
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import Handler, InFlight, Syscall, SyscallRow, Syscalls
from ebpftop.filters.query import Query
from ebpftop.models.asked import Asked
from ebpftop.models.baseline import Baseline, CallKey, failed_share
from ebpftop.models.bounded import keep_newest
from ebpftop.models.callers import Caller, callers
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.latency import Tick, difference, quantile
from ebpftop.models.processes import Processes
from ebpftop.models.rates import Meter
from ebpftop.models.ring import Ring, View

RECENT = 4
"""Readings that are kept whole."""

TICKS = 240
"""Readings in the heat map of a call."""

BUCKETS_MAX = 250_000
"""Counters in all heat maps together, 8 to 40 bytes each; beyond that the older half is dropped."""

CALLS_MAX = 6000
RECENT_BYTES = 6 << 20
TRACED_BYTES = 6 << 20

ENDED_KEPT = 5000
"""Processes that are kept after their end, to find out whose a traced call was."""


class Call:
    """One system call. Its figures are totals since the start (or since `base`), or those of the last reading alone."""

    __slots__ = ("base", "before", "meter", "row", "seconds", "ticks")

    def __init__(self, row: SyscallRow) -> None:
        self.row = row
        self.before: SyscallRow | None = None
        self.base: SyscallRow | None = None
        self.meter = Meter()
        self.seconds = 0.0
        self.ticks: deque[Tick] = deque(maxlen=TICKS)

    @property
    def key(self) -> CallKey:
        return self.row.abi, self.row.nr

    @property
    def rate(self) -> float:
        return self.meter.rate

    @property
    def history(self) -> deque[float]:
        return self.meter.history

    def _from(self, last: bool) -> SyscallRow | None:
        return self.before or self.base if last else self.base

    def count(self, *, last: bool) -> int:
        """Return how many calls there were."""
        start = self._from(last)
        return self.row.count - start.count if start else self.row.count

    def errors(self, *, last: bool) -> int:
        """Return how many of them failed."""
        start = self._from(last)
        return self.row.errors - start.errors if start else self.row.errors

    def failure_rate(self, *, last: bool) -> float:
        """Return the share of the calls that failed, 0 to 1."""
        return failed_share(self.errors(last=last), self.count(last=last))

    def errnos(self) -> dict[str, int]:
        """Return the failures by name since the start, or since `base`."""
        known = self.base.errnos if self.base else {}
        left = {name: count - known.get(name, 0) for name, count in self.row.errnos.items()}
        return {name: count for name, count in left.items() if count > 0}

    def buckets(self, *, last: bool) -> tuple[int, ...]:
        """Return the histogram: how many calls returned after 2**i <= ns < 2**(i+1)."""
        start = self._from(last)
        return difference(self.row.histogram_ns, start.histogram_ns) if start else self.row.histogram_ns

    def failed_buckets(self) -> tuple[int, ...]:
        """Return those of the calls in `buckets` that failed, since the start or `base`."""
        known = self.base.failed_histogram_ns if self.base else ()
        return difference(self.row.failed_histogram_ns, known)

    def quantile(self, q: float, *, last: bool) -> float | None:
        """Return a quantile of the latency in ns; None if no call has returned."""
        value = quantile(self.buckets(last=last), q)
        return min(value, float(self.row.max_ns)) if value is not None and self.row.max_ns else value

    def longest(self, *, last: bool) -> float | None:
        """Return the longest latency in ns; if an older call was longer, the upper edge of the highest bucket."""
        buckets = self.buckets(last=last)
        top = max((i for i, n in enumerate(buckets) if n), default=None)
        if top is None:
            return None
        edge = float(2 ** (top + 1))
        return min(edge, float(self.row.max_ns)) if self.row.max_ns else edge

    def spent_ns(self, *, last: bool) -> int:
        """Return the time that threads spent in this call."""
        start = self._from(last)
        return self.row.total_ns - start.total_ns if start else self.row.total_ns


class SyscallsModel:
    """All calls seen, the newest reading, and the newest traced calls.

    The filter leaves out traced calls, and processes in lists. It cannot leave out what a counter contains.
    """

    def __init__(self, traced: int = 5000) -> None:
        self.calls: dict[CallKey, Call] = {}
        self.total = Meter()
        self.latest: Syscalls | None = None
        self._with_callers: Syscalls | None = None
        """The newest reading in which the callers are as new as all the rest, if there was one."""
        self.traced: Ring[Syscall] = Ring(traced, TRACED_BYTES)
        self.readings = 0
        self.baseline: Baseline | None = None
        """Where all totals begin; None: with the probe."""
        self._ground: Baseline | None = None
        self._ground_due = math.inf
        self._recent: deque[Syscalls] = deque(maxlen=RECENT)
        self._buckets = 0
        self._noted: dict[CallKey, tuple[Handler, tuple[str, ...], int]] = {}
        """What was requested, and how many readings there were then."""
        self.requests = 0
        """How often something was requested, or dropped again."""
        self._asked: tuple[Syscalls | None, Asked] = (None, Asked())
        self.view_filter = ViewFilter()
        self.processes = Processes(ENDED_KEPT)

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The model is empty."""
        self.traced.begin_at(before.of("syscall"))

    def feed(self, batch: Batch) -> None:
        """Add the counters and traced calls of one batch, and the records of the exec log that show whose they are."""
        self.processes.feed(batch)
        for record in batch.records:
            if isinstance(record, Syscalls):
                self._read(record)
            elif isinstance(record, Syscall):
                self.traced.append(record, weight(record))

    # What the filter leaves.

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """List only what matches from now on. `filter_changed` resets the counters."""
        self.view_filter = view_filter

    def traced_view(self, key: CallKey | None = None) -> View[Syscall]:
        """Return the traced calls that match, or those of one call alone; `scan` searches the older ones."""
        view = View(self.traced)
        self.filter_traced(view, key)
        return view

    def filter_traced(self, view: View[Syscall], key: CallKey | None, query: Query[Syscall] | None = None) -> None:
        """Let *view* show the traced calls that match, of all calls or of one; also *query*, if that is given."""

        def shown(call: Syscall) -> bool | None:
            if key is not None and (call.abi, call.nr) != key:
                return False
            return self._matches(call) if query is None or query.matches(call) else False

        is_filtered = key is not None or query is not None or bool(self.view_filter)
        view.set_filter(shown if is_filtered else None)

    def _matches(self, call: Syscall) -> bool | None:
        return self.view_filter.matches_event(call, self.processes)

    def callers(self, key: CallKey) -> list[Caller]:
        """Return the processes that make a call and match: the busiest first, and at the end all that are not listed.

        Who is not listed individually is not known, so that the filter does not apply to their sum.
        """
        since = self.since if self.since is not None else -math.inf
        reading = self._with_callers
        return callers(
            self.latest if reading is not None and reading.time < since else reading,
            key,
            self.baseline,
            lambda calls: self.view_filter.matches_caller(calls, since, self.processes),
        )

    @property
    def in_flight(self) -> tuple[InFlight, ...]:
        """The calls in flight that match, in the newest reading."""
        if self.latest is None:
            return ()
        matches, time = self.view_filter.matches_waiting, self.latest.time
        return tuple(call for call in self.latest.in_flight if matches(call, time, self.processes))

    def _read(self, record: Syscalls) -> None:
        before = self.latest.time if self.latest else None
        self.readings += 1
        for row in record.rows:
            key = (row.abi, row.nr)
            call = self.calls.get(key)
            if call is None:
                call = self.calls[key] = Call(row)
                if before is not None:
                    call.meter.read(0, before)
                    self._tick(call, record.time, row.histogram_ns)
            elif row.count >= call.row.count:
                call.before = call.row
                same = row is call.row
                self._tick(call, record.time, () if same else difference(row.histogram_ns, call.row.histogram_ns))
            else:
                # The counters shrank, so they were reset (ebpftop was started again on the pipe): all of it is new.
                call.before = None
                self._ground = None
                self._count_from(None)
                self._tick(call, record.time, row.histogram_ns)
            call.row = row
            call.seconds = record.time - before if before is not None else 0.0
            call.meter.read(row.count, record.time)
        self._bound(record)
        self.latest = record
        if record.callers_time == record.time or self._with_callers is None:
            self._with_callers = record
        self._ground = self._ground and self._ground.completed(record)
        self.baseline = self.baseline and self.baseline.completed(record)
        self._recent.append(record)
        keep_newest(self._recent, weight, scaled(RECENT_BYTES))
        self._begin_where_due(record)
        self.total.read(sum(row.count for row in record.rows), record.time)
        if self._noted:
            asked = Asked.of_reading(record)
            self._noted = {
                key: (handler, conditions, reading)
                for key, (handler, conditions, reading) in self._noted.items()
                # A reading may have been on its way when the handler was requested.
                if self.readings < reading + 2 and asked.of(key) != (handler, conditions)
            }

    def _bound(self, record: Syscalls) -> None:
        """If there are too many, drop the calls that are no longer in a reading, and the oldest ticks."""
        if len(self.calls) > CALLS_MAX:
            listed = {(row.abi, row.nr) for row in record.rows}
            self.calls = {key: call for key, call in self.calls.items() if key in listed}
        if self._buckets > scaled(BUCKETS_MAX):
            # Since they were counted, some ticks were evicted from the bounded deque of their call.
            self._buckets = self._count_buckets()
            if self._buckets > scaled(BUCKETS_MAX) // 2:
                for call in self.calls.values():
                    for _ in range(-(-len(call.ticks) // 2)):
                        call.ticks.popleft()
                self._buckets = self._count_buckets()

    def _tick(self, call: Call, time: float, ns: tuple[int, ...]) -> None:
        # Nearly always no call returned: then the zeros are not stored.
        call.ticks.append(Tick(time, ns if any(ns) else ()))
        self._buckets += len(call.ticks[-1].ns)

    def _count_buckets(self) -> int:
        return sum(len(tick.ns) for call in self.calls.values() for tick in call.ticks)

    # Where counting begins: with the probe, with the last change of the filter, or when Z was pressed.

    def reset(self) -> None:
        """Count all totals from the newest reading on."""
        if self.latest is not None:
            self._count_from(Baseline.at(self.latest, "Z"))

    def undo_reset(self) -> None:
        """Go back to totals since the filter's last change, or since the start of the probe."""
        self._count_from(self._ground)

    def filter_changed(self, kernel_filter_since: float) -> None:
        """Count all totals from the first reading at or after *kernel_filter_since* (Unix seconds).

        Older totals stay in the kernel's counters, so only a seek leads back to them.
        """
        self._ground_due = kernel_filter_since
        # That reading may already be here: readings can arrive before this call.
        for reading in tuple(self._recent):
            self._begin_where_due(reading)

    def begin_with(self, ground: Baseline | None, zero: Baseline | None) -> None:
        """Copy the baselines of another model of the same counters, except those that are still in the future."""

        def unless_future(one: Baseline | None) -> Baseline | None:
            return one if one and self.latest and self.latest.time >= one.reading.time else None

        self._ground = unless_future(ground)
        self._count_from(unless_future(zero))

    @property
    def filter_baseline(self) -> Baseline | None:
        """Where totals begin without Z."""
        return self._ground

    @property
    def since(self) -> float | None:
        """When totals began (Unix seconds), if not with the probe."""
        return self.baseline.reading.time if self.baseline else None

    def ticks(self, call: Call) -> tuple[Tick, ...]:
        """Return the latencies of a call at each reading since totals began."""
        since = self.since
        return tuple(tick for tick in call.ticks if since is None or tick.time > since)

    @property
    def families(self) -> dict[str, int]:
        """How often the handlers of programs and timers ran."""
        now = self.latest.families if self.latest else {}
        before = self.baseline.reading.families if self.baseline else {}
        return {family: count - before.get(family, 0) for family, count in now.items()}

    @property
    def io_uring(self) -> dict[str, int]:
        """How often io_uring started each of its operations; the busiest first."""
        now = (self.latest.io_uring if self.latest else None) or {}
        before = (self.baseline.reading.io_uring if self.baseline else None) or {}
        counts = {operation: count - before.get(operation, 0) for operation, count in now.items()}
        return dict(sorted(((name, n) for name, n in counts.items() if n), key=lambda one: (-one[1], one[0])))

    def shown(self, *, last: bool) -> list[Call]:
        """Return the calls that were made since totals began, and those that are ignored or traced."""
        if self.baseline is None or last:
            return list(self.calls.values())
        return [c for c in self.calls.values() if c.count(last=False) or self.handler(c) in ("ignore", "trace")]

    def _count_from(self, zero: Baseline | None) -> None:
        self.baseline = zero
        for call in self.calls.values():
            base = zero.rows.get(call.key) if zero else None
            call.base = base if base and base.count <= call.row.count else None

    def _begin_where_due(self, reading: Syscalls) -> None:
        if reading.time >= self._ground_due:
            self._ground_due = math.inf
            self._ground = Baseline.at(reading, "filter")
            self._count_from(self._ground)

    def ask(self, key: CallKey, handler: Handler, conditions: tuple[str, ...] = ()) -> None:
        """Note that a handler was requested for a call: it is shown until a reading confirms it."""
        self._noted[key] = handler, conditions, self.readings
        self.requests += 1

    def forget(self) -> None:
        """Drop all requests: the last one was refused."""
        self._noted.clear()
        self.requests += 1

    def handler(self, call: Call) -> Handler:
        """Return what the kernel does with a call."""
        noted = self._noted.get(call.key)
        return noted[0] if noted else call.row.handler

    @property
    def asked(self) -> Asked:
        """Which calls are traced, on which conditions, and which are ignored: as requested, and as the reading says."""
        if self._asked[0] is not self.latest:
            self._asked = self.latest, Asked.of_reading(self.latest)
        return self._asked[1].noted({key: (handler, some) for key, (handler, some, _) in self._noted.items()})

    def conditions(self, key: CallKey) -> tuple[str, ...]:
        """Return on which conditions a traced call is reported; none: always."""
        return self.asked.of(key)[1]

    @property
    def count(self) -> int:
        return sum(call.row.count for call in self.calls.values())

    @property
    def errors(self) -> int:
        return sum(call.row.errors for call in self.calls.values())
