"""Calls in flight, out of what the kernel's slots and map hold."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from typing import cast

import pytest

pytest.importorskip("bcc")

from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes import syscall_counters
from ebpftop.probes.syscall_slots import Slots

MS = 1_000_000
ME = os.getpid()


class FakeModule:
    def table(self, name: str) -> str:
        return name


def slot(task: int, enter_ns: int, number: int = 318, tid: int = ME) -> bytes:
    return syscall_counters.RUNNING.pack(task, enter_ns, number, 0, ME, tid, 0, 0, 0)


def in_flight(
    monkeypatch: pytest.MonkeyPatch, first: bytes, again: bytes | None = None, waiting: tuple[bytes, ...] = ()
) -> list[tuple[str, int, bool]]:
    """Return name, thread and `running` of what is told when the CPUs' slots are read twice as *first* and *again*."""
    readings = iter((first, first if again is None else again))

    def items(_table: str, _key_size: int, _value_size: int) -> Iterator[tuple[bytes, bytes]]:
        yield from ((bytes(8), value) for value in waiting)

    monkeypatch.setattr(maps, "CPUS", len(first) // syscall_counters.RUNNING.size)
    monkeypatch.setattr(maps, "lookup", lambda _table, _key, _size: next(readings))
    monkeypatch.setattr(maps, "items", items)
    found = syscall_counters.in_flight(cast(Module, FakeModule()), Slots("x86_64"), now_ns())
    return [(call.name, call.tid, call.running) for call in found]


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_a_call_that_holds_its_cpu_is_told_beside_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = syscall_counters.WAITING.pack(now_ns() - 300 * MS, 0, 0, 1, 2, b"sleeper", 0, 0)
    told = in_flight(monkeypatch, slot(7, now_ns() - 900 * MS) + slot(0, 0), waiting=(waits,))
    assert told == [("read", 2, False), ("getrandom", ME, True)]


def test_a_call_that_entered_just_now_or_has_returned_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_flight(monkeypatch, slot(7, now_ns() - 50 * MS) + slot(0, now_ns() - 900 * MS)) == []


def test_a_slot_that_changed_while_it_was_read_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    at = now_ns() - 900 * MS
    assert in_flight(monkeypatch, slot(7, at), slot(7, now_ns())) == []
    assert in_flight(monkeypatch, slot(7, at, number=0), slot(7, at, number=1)) == []
    assert in_flight(monkeypatch, slot(7, at), slot(0, at)) == []


def test_a_thread_that_has_ended_meanwhile_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_flight(monkeypatch, slot(7, now_ns() - 900 * MS, tid=(1 << 22) + 1)) == []


def test_a_call_that_is_only_remembered_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    at = now_ns() - 900 * MS
    waits = syscall_counters.WAITING.pack(at, 0xFFFFFFFE, 0, 1, 2, b"ignored", 0, 0)
    running = slot(7, at, number=0xFFFFFFFE) + slot(8, at, number=0xFFFFFFFF)
    assert in_flight(monkeypatch, running, waiting=(waits,)) == []


def test_what_cpus_counted_apart_is_one_call_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_cpu(total_ns: int, max_ns: int, buckets: dict[int, int]) -> bytes:
        return struct.pack(
            f"={2 + syscall_counters.BUCKETS}Q",
            total_ns,
            max_ns,
            *(buckets.get(i, 0) for i in range(syscall_counters.BUCKETS)),
        )

    def failed_on_a_cpu(buckets: dict[int, int]) -> bytes:
        return struct.pack(
            f"={syscall_counters.BUCKETS}Q", *(buckets.get(i, 0) for i in range(syscall_counters.BUCKETS))
        )

    slots = Slots("x86_64")
    latencies = on_a_cpu(700, 400, {8: 2}) + on_a_cpu(9000, 9000, {8: 1, 13: 1})
    held = {
        "counts": [(struct.pack("=I", 0), syscall_counters.COUNT.pack(1, 1) + syscall_counters.COUNT.pack(0, 3))],
        "failures": [(struct.pack("=II", 0, 2), struct.pack("=QQ", 1, 1)), (struct.pack("=II", 0, 9), bytes(16))],
        "failed_latencies": [(struct.pack("=I", 0), failed_on_a_cpu({8: 1}) + failed_on_a_cpu({8: 1, 13: 1}))],
        "other_calls": [(struct.pack("=II", 0, 0xFFFFFFFF), struct.pack("=Q", 4))],
        "other_failures": [(struct.pack("=IIII", 0, 0xFFFFFFFF, 38, 0), struct.pack("=Q", 4))],
    }
    monkeypatch.setattr(maps, "CPUS", 2)
    monkeypatch.setattr(maps, "items", lambda table, _key, _value: iter(held[table]))
    monkeypatch.setattr(maps, "lookup", lambda _table, _key, _size: latencies)
    counters = syscall_counters.CallCounters(slots, latency=True)
    module = cast(Module, FakeModule())
    for times in (1, 2):  # what another start of the probe counted is added
        assert counters.read(module) == {("x86_64", 0), ("x86_64", -1)}
        assert counters.read(module) == set()
        counters.save(module)
        totals = counters.totals
        read, unknown = totals["x86_64", 0], totals["x86_64", -1]
        assert (read.count, read.total_ns, read.max_ns) == (5 * times, 9700 * times, 9000)
        assert (read.ns[8], read.ns[13], sum(read.ns)) == (3 * times, times, 4 * times)
        assert (read.failed_ns[8], read.failed_ns[13], sum(read.failed_ns)) == (2 * times, times, 3 * times)
        assert {code: count for code, count in read.errors.items() if count} == {2: 2 * times}
        assert (unknown.count, unknown.errors) == (4 * times, {38: 4 * times})


def test_a_call_that_returns_when_no_other_enters_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def latency(calls: int) -> bytes:
        return struct.pack(f"={2 + syscall_counters.BUCKETS}Q", 5 * calls, 5, 0, 0, calls, *[0] * 41)

    held = {"counts": [(struct.pack("=I", 0), syscall_counters.COUNT.pack(3, 0))]}
    returned, asked = [2], []

    def lookup(_table: str, key: bytes, _size: int) -> bytes:
        asked.append(key)
        return latency(returned[0])

    monkeypatch.setattr(maps, "CPUS", 1)
    monkeypatch.setattr(maps, "items", lambda table, _key, _value: iter(held.get(table, [])))
    monkeypatch.setattr(maps, "lookup", lookup)
    counters = syscall_counters.CallCounters(Slots("x86_64"), latency=True)
    module = cast(Module, FakeModule())
    assert counters.read(module) == {("x86_64", 0)}
    assert counters.read(module) == set()
    returned[0] = 3
    assert counters.read(module) == {("x86_64", 0)}
    assert counters.totals["x86_64", 0].total_ns == 15
    asked.clear()
    assert counters.read(module) == set()
    assert asked == [], "all have returned, and none entered"
