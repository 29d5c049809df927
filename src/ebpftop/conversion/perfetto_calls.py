"""The slow system calls of a Perfetto trace: slices on the tracks of their threads."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from ebpftop.conversion.input import ns
from ebpftop.conversion.perfetto_writer import Arg
from ebpftop.core.records import Record
from ebpftop.core.syscall_records import InFlight, Syscall, Syscalls
from ebpftop.models.opens import Open
from ebpftop.models.wait_text import target_text

_THREADS = 10_000
"""Threads that are remembered; beyond that, those that rest are forgotten."""
_LATE_NS = 3 * 10**9
"""Records come at most so much later than those of other probes: by then the process of a call is known."""


_SAME_NS = 1_000_000
"""A call that began so close to another one of its thread is the same: a reading says it to the microsecond."""


@dataclass(order=True, slots=True)
class Call:
    """A call of a thread, Unix ns."""

    begin_ns: int
    end_ns: int
    tid: int
    pid: int = field(compare=False)
    comm: str = field(compare=False)
    name: str = field(compare=False)
    category: str = field(compare=False)
    args: dict[str, Arg] = field(compare=False)


class SlowCalls:
    """Yields calls of at least *slower_ns*, those of a thread one after the other, never over each other."""

    def __init__(self, slower_ns: int, begin_ns: int) -> None:
        """Nothing begins before *begin_ns*, where the trace begins."""
        self._slower_ns = slower_ns
        self._begin_ns = begin_ns
        self._pending: list[tuple[int, Call]] = []
        self._until: dict[int, int] = {}
        """Where the last call of a thread ended."""
        self._flights: dict[tuple[int, int], _Flight] = {}
        self._landed: dict[tuple[int, int], Call] = {}
        """Calls that were seen in flight, and are not yielded yet."""
        self._traced: dict[tuple[int, int], int] = {}
        """Where the last traced call of a thread began: a reading of before its end may come later."""
        self._now_ns = 0

    def follow(self, record: Record) -> Iterator[Call]:
        """Add *record*; yield the calls that nothing can come before any more."""
        if isinstance(record, Syscall):
            self._drop_flight(record)
            if record.ns is not None and record.ns >= self._slower_ns:
                self._add(_traced(record))
        elif isinstance(record, Open):
            if record.ns >= self._slower_ns:
                self._add(_opened(record))
        elif isinstance(record, Syscalls):
            self._follow_flights(record)
        else:
            return
        self._now_ns = max(self._now_ns, ns(record.time))
        yield from self._due(self._now_ns - _LATE_NS)

    def finish(self) -> Iterator[Call]:
        """Yield the others: the recording ends."""
        for key in [*self._flights]:
            self._land(key)
        yield from self._due(None)

    def _drop_flight(self, record: Syscall) -> None:
        """Drop what was seen of a traced call while it was in flight."""
        key, begin_ns = (record.pid, record.tid or record.pid), ns(record.time)
        if len(self._traced) > _THREADS:
            self._traced.clear()
        self._traced[key] = begin_ns
        flight, landed = self._flights.get(key), self._landed.get(key)
        if flight is not None and abs(flight.begin_ns - begin_ns) < _SAME_NS:
            del self._flights[key]
        if landed is not None and abs(landed.begin_ns - begin_ns) < _SAME_NS:
            landed.end_ns = landed.begin_ns
            del self._landed[key]

    def _add(self, call: Call) -> None:
        heapq.heappush(self._pending, (call.end_ns, call))

    def _due(self, until_ns: int | None) -> Iterator[Call]:
        while self._pending and (until_ns is None or self._pending[0][0] <= until_ns):
            _, call = heapq.heappop(self._pending)
            if self._landed.get((call.pid, call.tid)) is call:
                del self._landed[call.pid, call.tid]
            # Unix seconds have steps of 0.2 us; and another probe may report the same call.
            call.begin_ns = max(call.begin_ns, self._until.get(call.tid, self._begin_ns))
            if call.end_ns > call.begin_ns:
                self._until[call.tid] = call.end_ns
                yield call
        if until_ns is not None and len(self._until) > _THREADS:
            self._until = {tid: end for tid, end in self._until.items() if end > until_ns}

    def _follow_flights(self, record: Syscalls) -> None:
        """Note which calls have not returned; what is not in a reading any more has, since the one before."""
        at_ns = ns(record.time)
        rows = {(row.pid, row.tid): row for row in record.in_flight}
        gone = self._flights.keys() - rows.keys() if record.whole else record.removed.get("in_flight", ())
        for key in gone:
            self._land(key)  # type: ignore[arg-type]  # the keys of in_flight
        for key, row in rows.items():
            begin_ns = at_ns - row.ns
            known = self._flights.get(key)
            if known is not None and not known.is_same(row, begin_ns):
                self._land(key)
                known = None
            if known is not None:
                known.row = row
            elif abs(self._traced.get(key, 0) - begin_ns) >= _SAME_NS:
                self._flights[key] = _Flight(row, begin_ns, at_ns)
        for flight in self._flights.values():
            flight.seen_ns = at_ns

    def _land(self, key: tuple[int, int]) -> None:
        flight = self._flights.pop(key, None)
        if flight is not None and flight.seen_ns - flight.begin_ns >= self._slower_ns:
            self._landed[key] = call = flight.call()
            self._add(call)


@dataclass(slots=True)
class _Flight:
    """A call that has not returned when it was last seen."""

    row: InFlight
    begin_ns: int
    seen_ns: int

    def is_same(self, row: InFlight, begin_ns: int) -> bool:
        return row.nr == self.row.nr and row.abi == self.row.abi and abs(begin_ns - self.begin_ns) < _SAME_NS

    def call(self) -> Call:
        row = self.row
        waited_s = (self.seen_ns - self.begin_ns) / 1e9
        args: dict[str, Arg] = {
            "waits_for": target_text(row) or None,
            "kernel_stack": row.kernel_stack,
            "abi": row.abi,
            "returned": "not seen: in flight at least until here",
            "s": waited_s,
        }
        if row.before:
            args["entered"] = "earlier: it was there when the probe was attached"
        return Call(self.begin_ns, self.seen_ns, row.tid, row.pid, row.comm, row.name, "in_flight", args)


def _traced(record: Syscall) -> Call:
    begin_ns = ns(record.time)
    args: dict[str, Arg] = {
        "args": record.args,
        "ret": record.result or record.ret,
        "error": record.error,
        "thread": record.comm,
        "abi": record.abi,
        "stack": record.stack,
        "kernel_stack": record.kernel_stack,
    }
    end_ns = begin_ns + (record.ns or 0)
    return Call(begin_ns, end_ns, record.tid or record.pid, record.pid, record.comm, record.name, "syscall", args)


def _opened(record: Open) -> Call:
    begin_ns = ns(record.time)
    args: dict[str, Arg] = {"path": record.path, "flags": record.flags, "ret": record.ret, "error": record.error}
    return Call(begin_ns, begin_ns + record.ns, record.tid, record.pid, record.comm, record.call, "open", args)
