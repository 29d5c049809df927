"""What processes ask of the kernel: counters of each system call, in all and since the last reading."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from ebpftop.models.latency import Tick, difference, quantile
from ebpftop.models.rates import Meter
from ebpftop.models.ring import Ring
from ebpftop.past import Counts
from ebpftop.records import Abi, Handler, Syscall, SyscallRow, Syscalls
from ebpftop.source import Batch

CallKey: TypeAlias = tuple[Abi, int]

TICKS = 240
"""Readings that the heat map of a call remembers."""


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
        """Return which share of the calls failed, 0 to 1."""
        count = self.count(last=last)
        return self.errors(last=last) / count if count > 0 else 0.0

    def errnos(self) -> dict[str, int]:
        """Return the failures by name since the start, or since `base`."""
        known = self.base.errnos if self.base else {}
        left = {name: count - known.get(name, 0) for name, count in self.row.errnos.items()}
        return {name: count for name, count in left.items() if count > 0}

    def buckets(self, *, last: bool) -> tuple[int, ...]:
        """Return the histogram: how many calls returned after 2**i <= ns < 2**(i+1)."""
        start = self._from(last)
        return difference(self.row.ns, start.ns) if start else self.row.ns

    def quantile(self, q: float, *, last: bool) -> float | None:
        """Return a quantile of the latency in ns; None where no call has returned."""
        value = quantile(self.buckets(last=last), q)
        return min(value, float(self.row.max_ns)) if value is not None and self.row.max_ns else value

    def longest(self, *, last: bool) -> float | None:
        """Return the longest latency in ns; where an older call was longer, the upper edge of the bucket it is in."""
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

    def time_share(self, *, last: bool) -> float:
        """Return the CPUs' worth of time that threads spend in this call: 1.0 is one thread in it all the time."""
        if self.seconds <= 0:
            return 0.0
        spent = self.row.total_ns - self.before.total_ns if last and self.before else 0
        return spent / 1e9 / self.seconds


class SyscallsModel:
    """All calls seen, the newest reading, and the newest traced calls."""

    def __init__(self, traced: int = 5000) -> None:
        self.calls: dict[CallKey, Call] = {}
        self.total = Meter()
        self.latest: Syscalls | None = None
        self.traced: Ring[Syscall] = Ring(traced)
        self.readings = 0
        self.since: float | None = None
        self._asked: dict[CallKey, tuple[Handler, int]] = {}

    def begin_after(self, before: Counts) -> None:
        """Go on, empty as this is, from where so much had happened."""
        self.traced.begin_at(before.syscalls)

    def feed(self, batch: Batch) -> None:
        """Take in the counters and traced calls of one batch."""
        for record in batch.records:
            if isinstance(record, Syscalls):
                self._read(record)
            elif isinstance(record, Syscall):
                self.traced.append(record, 500 + sum(60 + len(arg) for arg in record.args))

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
                    call.ticks.append(Tick(record.time, row.ns))
            elif row.count >= call.row.count:
                call.before = call.row
                call.ticks.append(Tick(record.time, difference(row.ns, call.row.ns)))
            else:
                # Counters that shrank were started anew (another start of ebpftop on the pipe): all of it is new.
                call.before = call.base = None
                call.ticks.append(Tick(record.time, row.ns))
            call.row = row
            call.seconds = record.time - before if before is not None else 0.0
            call.meter.read(row.count, record.time)
        self.latest = record
        self.total.read(sum(row.count for row in record.rows), record.time)
        self._asked = {
            key: (handler, reading)
            for key, (handler, reading) in self._asked.items()
            # A reading may have been on its way when it was asked for.
            if self.readings < reading + 2 and key in self.calls and self.calls[key].row.handler != handler
        }

    def count_anew(self) -> None:
        """Let all totals start from here."""
        for call in self.calls.values():
            call.base = call.row
        self.since = self.latest.time if self.latest else None

    def count_from_start(self) -> None:
        """Show totals since the start of the probe again."""
        for call in self.calls.values():
            call.base = None
        self.since = None

    def ask(self, key: CallKey, handler: Handler) -> None:
        """Note that the kernel was asked to handle a call so: shown until a reading can tell."""
        self._asked[key] = handler, self.readings

    def forget(self, key: CallKey) -> None:
        """It was refused."""
        self._asked.pop(key, None)

    def handler(self, call: Call) -> Handler:
        """Return what the kernel does with a call."""
        asked = self._asked.get(call.key)
        return asked[0] if asked else call.row.handler

    @property
    def count(self) -> int:
        return sum(call.row.count for call in self.calls.values())

    @property
    def errors(self) -> int:
        return sum(call.row.errors for call in self.calls.values())
