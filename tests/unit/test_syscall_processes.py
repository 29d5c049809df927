"""Pairs of process and call, out of what the kernel's map holds from reading to reading."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import cast

import pytest

pytest.importorskip("bcc")

from ebpftop.core.records import OTHER_UID, UserCalls
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes import syscall_processes
from ebpftop.probes.syscall_processes import ProcessCounters
from ebpftop.probes.syscall_slots import Slots

CPUS = 2


class FakeModule:
    """The two maps, as programs would leave them: pairs by start, pid, slot and uid, and how many were ever made."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        self.made = 0
        self.names: dict[bytes, bytes] = {}

    def table(self, name: str) -> str:
        return name

    def count(self, start: int, pid: int, slot: int, uid: int, count: int, errors: int = 0) -> None:
        key = start, pid, slot, uid
        if key not in self.held:
            self.made += 1
        before = self.held.get(key, (0, 0))
        self.held[key] = before[0] + count, before[1] + errors

    def lookup(self, table: str, key: bytes, size: int) -> bytes | None:
        assert table == "process_names"
        name = self.names.get(key)
        return None if name is None else name.ljust(size, b"\0")

    def rename(self, start: int, pid: int, name: bytes) -> None:
        self.names[struct.pack("=QII", start, pid, 0)] = name

    def items(self, _table: str, _key_size: int, _value_size: int) -> Iterator[tuple[bytes, bytes]]:
        for (start, pid, slot, uid), (count, errors) in self.held.items():
            unentered = count // 4
            here = struct.pack("=QQQ16s", count - count // 3 - unentered, unentered, errors, f"p{pid}".encode())
            there = struct.pack("=QQQ16s", count // 3, 0, 0, b"")
            yield struct.pack("=QIIII", start, pid, slot, uid, 0), here + there


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> FakeModule:
    fake = FakeModule()
    monkeypatch.setattr(maps, "CPUS", CPUS)
    monkeypatch.setattr(maps, "items", fake.items)
    monkeypatch.setattr(maps, "lookup", fake.lookup)
    monkeypatch.setattr(maps, "per_cpu_sum", lambda _table, _index: fake.made)
    return fake


SLOTS = Slots("x86_64")


def test_a_user_keeps_what_its_pairs_counted_when_they_fall_out(module: FakeModule) -> None:
    tally = ProcessCounters()
    module.count(1, 10, 0, 1000, 300, 5)
    module.count(1, 11, 0, 1001, 40)
    assert tally.read(cast(Module, module), SLOTS).users == (
        UserCalls(uid=1000, count=300, errors=5),
        UserCalls(uid=1001, count=40, errors=0),
    )
    del module.held[1, 10, 0, 1000]
    module.count(1, 11, 0, 1001, 2)
    later = tally.read(cast(Module, module), SLOTS)
    assert [(user.uid, user.count) for user in later.users] == [(1000, 300), (1001, 42)]
    assert later.evicted == 1
    module.count(1, 10, 0, 1000, 7)
    again = tally.read(cast(Module, module), SLOTS)
    assert [(user.uid, user.count) for user in again.users] == [(1000, 307), (1001, 42)]
    assert again.evicted == 1


def test_a_process_that_calls_as_two_users_is_one_process(module: FakeModule) -> None:
    module.count(1, 10, 0, 0, 30, 1)
    module.count(1, 10, 0, 1000, 12, 2)
    module.count(1, 10, 39, 1000, 5)
    told = ProcessCounters().read(cast(Module, module), SLOTS)
    assert [(p.pid, p.start_ns, p.comm, p.name, p.count, p.errors) for p in told.processes] == [
        (10, 1, "p10", "read", 42, 3),
        (10, 1, "p10", "getpid", 5, 0),
    ]
    assert [(total.count, total.errors) for total in told.totals] == [(47, 3)]


def test_two_processes_of_one_pid_are_two(module: FakeModule) -> None:
    module.count(1, 10, 0, 0, 30)
    module.count(2, 10, 0, 0, 12)
    told = ProcessCounters().read(cast(Module, module), SLOTS)
    assert [(p.start_ns, p.count) for p in told.processes] == [(1, 30), (2, 12)]


def test_only_the_busiest_are_told_but_all_calls_of_the_busiest_processes(module: FakeModule) -> None:
    for pid in range(1, 41):
        module.count(1, pid, 0, 0, 1000 - pid)
    module.count(1, 1, 39, 0, 1)
    module.count(1, 40, 39, 0, 1)
    told = ProcessCounters().read(cast(Module, module), SLOTS)
    assert [p.pid for p in told.processes if p.name == "read"] == [*range(1, 25)]
    assert {p.pid for p in told.processes if p.name == "getpid"} == {1, 40}, "the second: one of the few that call it"


def test_what_is_listed_stays_until_another_is_a_quarter_busier(module: FakeModule) -> None:
    def listed() -> set[int]:
        return {p.pid for p in counters.read(cast(Module, module), SLOTS).processes if p.name == "getpid"}

    counters = ProcessCounters()
    for pid in range(1, 31):
        module.count(1, pid, 0, 0, 10_000)
    for pid in range(101, 121):
        module.count(1, pid, 39, 0, 100 if pid < 109 else 90)
    assert listed() == set(range(101, 109))
    module.count(1, 120, 39, 0, 20)
    assert listed() == set(range(101, 109)), "110 to 100"
    module.count(1, 120, 39, 0, 20)
    assert 120 in listed(), "130 to 100"
    assert len(listed()) == 8


def test_too_many_users_are_counted_together(module: FakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall_processes, "USERS_MAX", 3)
    tally = ProcessCounters()
    for uid, count in ((1, 10), (2, 500), (3, 30), (4, 400)):
        module.count(1, uid, 0, uid, count)
    users = tally.read(cast(Module, module), SLOTS).users
    assert [(user.uid, user.count) for user in users] == [(2, 500), (4, 400), (OTHER_UID, 40)]
    module.count(1, 1, 0, 1, 5)
    later = tally.read(cast(Module, module), SLOTS).users
    assert sum(user.count for user in later) == 945
    assert len(later) <= 4


def test_sums_outlive_the_map(module: FakeModule) -> None:
    tally = ProcessCounters()
    module.count(1, 10, 0, 1000, 300)
    module.count(1, 11, 0, 1000, 0)
    del module.held[1, 11, 0, 1000]
    tally.save_totals(cast(Module, module), SLOTS)
    module.held.clear()
    module.made = 0
    module.count(9, 12, 0, 1000, 4)
    told = tally.read(cast(Module, module), SLOTS)
    assert [(user.uid, user.count) for user in told.users] == [(1000, 304)]
    assert told.evicted == 1


def test_a_process_keeps_the_name_that_it_got_when_that_falls_out(module: FakeModule) -> None:
    tally = ProcessCounters()
    module.count(1, 10, 0, 0, 30)
    module.count(2, 10, 0, 0, 20)  # the pid anew
    names = []
    for name in (None, b"server", b"", b"other"):
        if name:
            module.rename(1, 10, name)
        elif name is not None:
            module.names.clear()
        told = tally.read(cast(Module, module), SLOTS)
        names.append({row.start_ns: row.comm for row in told.totals})
        assert {(row.start_ns, row.comm) for row in told.processes} == set(names[-1].items())
    assert names == [{1: name, 2: "p10"} for name in ("p10", "server", "server", "other")]
