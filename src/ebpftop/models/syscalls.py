"""What processes ask of the kernel: counters of each system call, in total and since the last reading."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from ebpftop.models.latency import difference, quantile
from ebpftop.models.rates import Meter
from ebpftop.records import Abi, Syscall, SyscallRow, Syscalls
from ebpftop.source import Batch

CallKey: TypeAlias = tuple[Abi, int]


class Call:
    """One system call. `since` holds the counters that a shown figure starts from: zero, or the reading before."""

    __slots__ = ("before", "meter", "row", "seconds")

    def __init__(self, row: SyscallRow) -> None:
        self.row = row
        self.before: SyscallRow | None = None
        self.meter = Meter()
        self.seconds = 0.0

    @property
    def key(self) -> CallKey:
        return self.row.abi, self.row.nr

    @property
    def rate(self) -> float:
        return self.meter.rate

    @property
    def history(self) -> deque[float]:
        return self.meter.history

    def count(self, *, last: bool) -> int:
        """Return how many calls there were, in all or since the reading before."""
        return self.row.count - self.before.count if last and self.before else self.row.count

    def errors(self, *, last: bool) -> int:
        return self.row.errors - self.before.errors if last and self.before else self.row.errors

    def quantile(self, q: float, *, last: bool) -> float | None:
        """Return a quantile of the latency in ns; None where no call has returned."""
        buckets = difference(self.row.ns, self.before.ns) if last and self.before else self.row.ns
        return quantile(buckets, q)

    def time_share(self, *, last: bool) -> float:
        """Return the CPUs' worth of time that threads spend in this call: 1.0 is one thread in it all the time."""
        if self.seconds <= 0:
            return 0.0
        spent = self.row.total_ns - self.before.total_ns if last and self.before else 0
        return spent / 1e9 / self.seconds


class SyscallsModel:
    """All calls seen, the busiest pairs and the longest waits, and the newest traced calls."""

    def __init__(self, traced: int = 1000) -> None:
        self.calls: dict[CallKey, Call] = {}
        self.total = Meter()
        self.latest: Syscalls | None = None
        self.traced: deque[Syscall] = deque(maxlen=traced)

    def feed(self, batch: Batch) -> None:
        """Take in the counters and traced calls of one batch."""
        for record in batch.records:
            if isinstance(record, Syscalls):
                self._read(record)
            elif isinstance(record, Syscall):
                self.traced.append(record)

    def _read(self, record: Syscalls) -> None:
        before = self.latest.time if self.latest else None
        for row in record.rows:
            key = (row.abi, row.nr)
            call = self.calls.get(key)
            if call is None:
                call = self.calls[key] = Call(row)
                if before is not None:
                    call.meter.read(0, before)
            else:
                # Counters that shrank were started anew (the probe was off and on again): all of it is new.
                call.before = call.row if row.count >= call.row.count else None
            call.row = row
            call.seconds = record.time - before if before is not None else 0.0
            call.meter.read(row.count, record.time)
        self.latest = record
        self.total.read(sum(row.count for row in record.rows), record.time)

    @property
    def count(self) -> int:
        return sum(call.row.count for call in self.calls.values())

    @property
    def errors(self) -> int:
        return sum(call.row.errors for call in self.calls.values())

    @property
    def ambiguous(self) -> bool:
        """True where calls of more than one ABI were seen, so that a name alone does not say which."""
        return len({abi for abi, _ in self.calls}) > 1
