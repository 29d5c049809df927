"""A box of the heat map: a span of time and a range of latency; and records as if only what is in it had happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Event, Record
from ebpftop.core.snapshot import EventCounts, Snapshot
from ebpftop.core.syscall_records import ProcessCalls, ProcessTotal, Syscall, SyscallRow, Syscalls, UserCalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.baseline import Baseline, Sum
from ebpftop.models.latency import difference


@dataclass(frozen=True)
class Box:
    """From `begin`, which is not part of it, to `end` (Unix seconds); latencies of these `buckets`, None: of all."""

    begin: float
    end: float
    buckets: range | None = None


def only(past: Snapshot, box: Box) -> Snapshot:
    """Return *past*, a moment at the end of *box*, as if only what is in the box had happened.

    Counters begin with the last reading before the box. Processes that began before are known, but not listed.
    """
    cutter = _Cutter(box)
    batches = (replace(batch, records=tuple(cutter.cut(batch.records))) for batch in past.batches)
    return replace(past, batches=tuple(batches), before=EventCounts())


class _Cutter:
    """Leaves out what is not in a box."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._users: Users | None = None
        self._user_rows: Mapping[int, UserRow] = {}
        self._calls: Baseline | None = None

    def cut(self, records: Iterable[Record]) -> Iterable[Record]:
        """Yield what is left of *records*."""
        for record in records:
            if isinstance(record, Users):
                yield self._cut_users(record)
            elif isinstance(record, Syscalls):
                yield self._cut_calls(record)
            elif isinstance(record, Event) and record.time <= self._box.begin:
                yield from _known(record)
            elif not isinstance(record, Syscall) or self._is_in_range(record):
                yield record

    def _is_in_range(self, call: Syscall) -> bool:
        buckets = self._box.buckets
        return buckets is None or (call.ns is not None and max(0, call.ns.bit_length() - 1) in buckets)

    def _cut_users(self, reading: Users) -> Users:
        if self._users is None or reading.time <= self._box.begin:
            self._users = reading
            self._user_rows = {row.uid: row for row in reading.rows}
            return msgspec.structs.replace(reading, rows=())
        rows = []
        for row in reading.rows:
            before = self._user_rows.get(row.uid)
            if before is row:
                continue
            made = row
            if before is not None and row.execs >= before.execs:
                failed = max(0, row.failed - before.failed)
                made = msgspec.structs.replace(row, execs=row.execs - before.execs, failed=failed)
            if made.execs:
                rows.append(made)
        return msgspec.structs.replace(reading, rows=tuple(rows))

    def _cut_calls(self, reading: Syscalls) -> Syscalls:
        if self._calls is None or reading.time <= self._box.begin:
            self._calls = Baseline.at(reading, "Z")
            return _without_counts(reading)
        self._calls = base = self._calls.completed(reading)
        zero = base.reading
        rows = []
        for row in reading.rows:
            before = base.rows.get((row.abi, row.nr))
            if before is row:
                continue
            made, buckets = _less(row, before), self._box.buckets
            if made.count and (buckets is None or any(made.histogram_ns[buckets.start : buckets.stop])):
                rows.append(made)
        listed = {(row.abi, row.nr) for row in rows}
        # Until it is known which process had made how many, none is listed.
        pairs = tuple(_pairs(reading, base)) if base.callers is not None else ()
        totals = tuple(_totals(reading, base)) if base.callers is not None else ()
        known = {calls.uid: calls for calls in (base.callers or reading).users}
        return msgspec.structs.replace(
            reading,
            rows=tuple(rows),
            in_flight=tuple(
                call for call in reading.in_flight if self._box.buckets is None or (call.abi, call.nr) in listed
            ),
            processes=pairs,
            process_totals=totals,
            users=tuple(_calls_of(reading, known)) if base.callers is not None else (),
            evicted=max(0, reading.evicted - zero.evicted),
            families=_gained(reading.families, zero.families),
            io_uring=None if reading.io_uring is None else _gained(reading.io_uring, zero.io_uring or {}),
        )


def _known(event: Event) -> Iterable[Record]:
    """Yield what an event before the box says of the processes in it."""
    if isinstance(event, Exit):
        yield event
    elif isinstance(event, Exec) and event.ret >= 0:
        yield Process(
            time=event.time,
            pid=event.pid,
            ppid=event.ppid,
            uid=event.uid,
            user=event.user,
            comm=event.comm,
            argv=event.argv,
            start_ns=event.start_ns,
        )


def _without_counts(reading: Syscalls) -> Syscalls:
    return msgspec.structs.replace(
        reading, rows=(), in_flight=(), processes=(), process_totals=(), users=(), evicted=0, families={}
    )


def _less(row: SyscallRow, before: SyscallRow | None) -> SyscallRow:
    if before is None or row.count < before.count:
        return row
    return msgspec.structs.replace(
        row,
        count=row.count - before.count,
        errors=max(0, row.errors - before.errors),
        histogram_ns=difference(row.histogram_ns, before.histogram_ns),
        failed_histogram_ns=difference(row.failed_histogram_ns, before.failed_histogram_ns),
        total_ns=max(0, row.total_ns - before.total_ns),
        # Of a longest call that was longer before, it is not known how long the longest here was.
        max_ns=row.max_ns if row.max_ns > before.max_ns else 0,
        errnos=_gained(row.errnos, before.errnos),
    )


def _pairs(reading: Syscalls, base: Baseline) -> Iterable[ProcessCalls]:
    for pair in reading.processes:
        made = Sum.of(pair).since(base.pair((pair.pid, pair.start_ns), (pair.abi, pair.nr)))
        if made.count > 0:
            yield _made(pair, made)


def _totals(reading: Syscalls, base: Baseline) -> Iterable[ProcessTotal]:
    for total in reading.process_totals:
        made = Sum.of(total).since(base.process((total.pid, total.start_ns)))
        if made.count > 0:
            yield _made(total, made)


def _calls_of(reading: Syscalls, known: Mapping[int, UserCalls]) -> Iterable[UserCalls]:
    for calls in reading.users:
        made = Sum.of(calls).since(Sum.of(known.get(calls.uid)))
        if made.count > 0:
            yield _made(calls, made)


_Row = TypeVar("_Row", ProcessCalls, ProcessTotal, UserCalls)


def _made(row: _Row, made: Sum) -> _Row:
    return msgspec.structs.replace(
        row, count=made.count, errors=made.errors, total_ns=made.total_ns, max_ns=made.max_ns
    )


def _gained(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}
