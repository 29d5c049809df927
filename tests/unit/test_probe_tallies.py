"""Calls in flight, out of what the kernel's slots and map hold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import cast

import pytest

pytest.importorskip("bcc")

from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes import tallies
from ebpftop.probes.slots import Slots

MS = 1_000_000
ME = os.getpid()


class FakeModule:
    def table(self, name: str) -> str:
        return name


def slot(task: int, enter_ns: int, number: int = 318, tid: int = ME) -> bytes:
    return tallies.RUNNING.pack(task, enter_ns, number, 0, ME, tid)


def in_flight(
    monkeypatch: pytest.MonkeyPatch, first: bytes, again: bytes | None = None, waiting: tuple[bytes, ...] = ()
) -> list[tuple[str, int, bool]]:
    """Return name, thread and `running` of what is told when the CPUs' slots are read twice as *first* and *again*."""
    readings = iter((first, first if again is None else again))

    def items(_table: str, _key_size: int, _value_size: int) -> Iterator[tuple[bytes, bytes]]:
        yield from ((bytes(8), value) for value in waiting)

    monkeypatch.setattr(maps, "CPUS", len(first) // tallies.RUNNING.size)
    monkeypatch.setattr(maps, "lookup", lambda _table, _key, _size: next(readings))
    monkeypatch.setattr(maps, "items", items)
    found = tallies.in_flight(cast(Module, FakeModule()), Slots("x86_64"), now_ns())
    return [(call.name, call.tid, call.running) for call in found]


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_a_call_that_holds_its_cpu_is_told_beside_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = tallies.WAITING.pack(now_ns() - 300 * MS, 0, 0, 1, 2, b"sleeper")
    told = in_flight(monkeypatch, slot(7, now_ns() - 900 * MS) + slot(0, 0), waiting=(waits,))
    assert told == [("getrandom", ME, True), ("read", 2, False)]


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
    waits = tallies.WAITING.pack(at, 0xFFFFFFFE, 0, 1, 2, b"ignored")
    running = slot(7, at, number=0xFFFFFFFE) + slot(8, at, number=0xFFFFFFFF)
    assert in_flight(monkeypatch, running, waiting=(waits,)) == []
