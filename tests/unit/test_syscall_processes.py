"""Pairs of process and call, out of what the kernel's map holds from reading to reading."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import pytest

pytest.importorskip("bcc")

from ebpftop.core.syscall_records import UserCalls
from ebpftop.core.user_records import OTHER_UID
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes import syscall_processes
from ebpftop.probes.process_names import name_in, name_place
from ebpftop.probes.syscall_processes import ProcessCounters, SyscallCounters
from ebpftop.probes.syscall_slots import Slots

CPUS = 2


class FakeModule:
    """The maps, as programs would leave them: pairs by start, pid, slot and uid, and what was counted of them."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int, int, int], tuple[int, int, int, int]] = {}
        self.made = 0
        self.ended: list[tuple[int, int]] = []
        self.ends = 0
        self.names: dict[bytes, bytes] = {}
        self.max_entries = 100

    def table(self, name: str) -> FakeTable:
        return FakeTable(name, self.max_entries)

    def count(
        self, start: int, pid: int, slot: int, uid: int, count: int, errors: int = 0, total_ns: int = 0, max_ns: int = 0
    ) -> None:
        key = start, pid, slot, uid
        if key not in self.held:
            self.made += 1
        before = self.held.get(key, (0, 0, 0, 0))
        longest = max(before[3], max_ns)
        self.held[key] = before[0] + count, before[1] + errors, before[2] + total_ns, longest

    def end(self, start: int, pid: int) -> None:
        self.ended.append((start, pid))
        self.ends += 1

    def lookup(self, table: FakeTable, key: bytes, size: int) -> bytes | None:
        if table.name == "process_calls":
            pair = struct.unpack("=QIIII", key)[:4]
            return bytes(size) if pair in self.held else None
        assert table.name == "process_names"
        return self.names.get(key, bytes(size))

    def rename(self, start: int, pid: int, name: bytes) -> None:
        first, second = struct.unpack("=QQ", name.ljust(16, b"\0"))
        written = struct.pack("=QQQQ", first, second, start, (start + pid + first + 3 * second) % (1 << 64))
        self.names[struct.pack("=I", name_place(start, pid))] = written

    def keys_and_values(self, table: FakeTable, _key_size: int, _value_size: int) -> tuple[list[bytes], list[bytes]]:
        assert table.name == "process_calls"
        found = dict(self.items())
        return list(found), list(found.values())

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for (start, pid, slot, uid), (count, errors, total_ns, max_ns) in self.held.items():
            unentered, entered, elsewhere_ns = count // 4, count - count // 3 - count // 4, total_ns // 3
            comm = f"p{pid}".encode()
            here = struct.pack("=QQQQQ16s", entered, unentered, errors, total_ns - elsewhere_ns, max_ns // 2, comm)
            there = struct.pack("=QQQQQ16s", count // 3, 0, 0, elsewhere_ns, max_ns, b"")
            yield struct.pack("=QIIII", start, pid, slot, uid, 0), here + there

    def pop_keys(self, table: FakeTable, _key_size: int, _value_size: int) -> list[bytes]:
        assert table.name == "ended_processes"
        ended, self.ended = self.ended, []
        return [struct.pack("=QII", start, pid, 0) for start, pid in ended]

    def delete_keys(self, table: FakeTable, keys: list[bytes]) -> None:
        assert table.name == "process_calls"
        for key in keys:
            self.held.pop(struct.unpack("=QIIII", key)[:4], None)

    def per_cpu_sum(self, table: FakeTable, index: int) -> int:
        assert table.name == "pair_counters"
        return (self.made, self.ends)[index]


class FakeTable(NamedTuple):
    name: str
    max_entries: int


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> FakeModule:
    fake = FakeModule()
    monkeypatch.setattr(maps, "CPUS", CPUS)
    for name in ("keys_and_values", "lookup", "pop_keys", "delete_keys", "per_cpu_sum"):
        monkeypatch.setattr(maps, name, getattr(fake, name))
    return fake


def read(counters: ProcessCounters, module: FakeModule) -> SyscallCounters:
    return counters.read(cast(Module, module))


SLOTS = Slots("x86_64")


def test_a_user_keeps_what_its_pairs_counted_when_they_fall_out(module: FakeModule) -> None:
    tally = ProcessCounters(SLOTS)
    module.count(1, 10, 0, 1000, 300, 5)
    module.count(1, 11, 0, 1001, 40)
    assert read(tally, module).users == (
        UserCalls(uid=1000, count=300, errors=5, total_ns=0, max_ns=0),
        UserCalls(uid=1001, count=40, errors=0, total_ns=0, max_ns=0),
    )
    del module.held[1, 10, 0, 1000]
    module.count(1, 11, 0, 1001, 2)
    later = read(tally, module)
    assert [(user.uid, user.count) for user in later.users] == [(1000, 300), (1001, 42)]
    assert later.evicted == 1
    module.count(1, 10, 0, 1000, 7)
    again = read(tally, module)
    assert [(user.uid, user.count) for user in again.users] == [(1000, 307), (1001, 42)]
    assert again.evicted == 1


def test_a_process_that_calls_as_two_users_is_one_process(module: FakeModule) -> None:
    module.count(1, 10, 0, 0, 30, 1)
    module.count(1, 10, 0, 1000, 12, 2)
    module.count(1, 10, 39, 1000, 5)
    told = read(ProcessCounters(SLOTS), module)
    assert [(p.pid, p.start_ns, p.comm, p.name, p.count, p.errors) for p in told.processes] == [
        (10, 1, "p10", "read", 42, 3),
        (10, 1, "p10", "getpid", 5, 0),
    ]
    assert [(total.count, total.errors) for total in told.totals] == [(47, 3)]


def test_two_processes_of_one_pid_are_two(module: FakeModule) -> None:
    module.count(1, 10, 0, 0, 30)
    module.count(2, 10, 0, 0, 12)
    told = read(ProcessCounters(SLOTS), module)
    assert [(p.start_ns, p.count) for p in told.processes] == [(1, 30), (2, 12)]


def test_only_the_busiest_are_told_but_all_calls_of_the_busiest_processes(module: FakeModule) -> None:
    for pid in range(1, 41):
        module.count(1, pid, 0, 0, 1000 - pid)
    module.count(1, 1, 39, 0, 1)
    module.count(1, 40, 39, 0, 1)
    told = read(ProcessCounters(SLOTS), module)
    assert [p.pid for p in told.processes if p.name == "read"] == [*range(1, 25)]
    assert {p.pid for p in told.processes if p.name == "getpid"} == {1, 40}, "the second: one of the few that call it"


def test_what_is_listed_stays_until_another_is_a_quarter_busier(module: FakeModule) -> None:
    def listed() -> set[int]:
        return {p.pid for p in read(counters, module).processes if p.name == "getpid"}

    counters = ProcessCounters(SLOTS)
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
    tally = ProcessCounters(SLOTS)
    for uid, count in ((1, 10), (2, 500), (3, 30), (4, 400)):
        module.count(1, uid, 0, uid, count)
    users = read(tally, module).users
    assert [(user.uid, user.count) for user in users] == [(2, 500), (4, 400), (OTHER_UID, 40)]
    module.count(1, 1, 0, 1, 5)
    later = read(tally, module).users
    assert sum(user.count for user in later) == 945
    assert len(later) <= 4


def test_sums_outlive_the_map(module: FakeModule) -> None:
    tally = ProcessCounters(SLOTS)
    module.count(1, 10, 0, 1000, 300)
    module.count(1, 11, 0, 1000, 0)
    del module.held[1, 11, 0, 1000]
    tally.save_totals(cast(Module, module))
    module.held.clear()
    module.made = 0
    module.count(9, 12, 0, 1000, 4)
    told = read(tally, module)
    assert [(user.uid, user.count) for user in told.users] == [(1000, 304)]
    assert told.evicted == 1


def test_a_process_keeps_the_name_that_it_got_when_that_falls_out(module: FakeModule) -> None:
    tally = ProcessCounters(SLOTS)
    module.count(1, 10, 0, 0, 30)
    module.count(2, 10, 0, 0, 20)  # the pid anew
    names = []
    for name in (None, b"server", b"", b"other"):
        if name:
            module.rename(1, 10, name)
        elif name is not None:
            module.names.clear()
        # A process that is renamed makes a call for it.
        module.count(1, 10, 0, 0, 1)
        told = read(tally, module)
        names.append({row.start_ns: row.comm for row in told.totals})
        assert {(row.start_ns, row.comm) for row in told.processes} == set(names[-1].items())
    assert names == [{1: name, 2: "p10"} for name in ("p10", "server", "server", "other")]


# ---- Processes that end ----


def by_user(counters: SyscallCounters) -> dict[int, tuple[int, int]]:
    return {user.uid: (user.count, user.errors) for user in counters.users}


def test_the_pairs_of_ended_processes_leave_the_map_and_nothing_is_lost_or_counted_twice(module: FakeModule) -> None:
    chance = random.Random(3)
    counters = ProcessCounters(SLOTS)
    expected: dict[int, list[int]] = {}
    made = 0
    running: list[tuple[int, int]] = []
    for reading in range(40):
        for _ in range(25):
            made += 1
            running.append((made, chance.randrange(1, 9)))  # pids are reused at once
        for start, pid in running:
            for slot in chance.sample(range(60), 4):
                uid, count = chance.choice((0, 1000)), chance.randrange(1, 50)
                errors = chance.randrange(count)
                module.count(start, pid, slot, uid, count, errors)
                sums = expected.setdefault(uid, [0, 0])
                sums[0] += count
                sums[1] += errors
        chance.shuffle(running)
        ends, running = running[:26], running[26:]
        for process in ends:
            module.end(*process)
        told = read(counters, module)
        assert by_user(told) == {uid: tuple(sums) for uid, sums in expected.items()}, reading
        assert {(start, pid) for start, pid, _, _ in module.held} <= set(running)
        assert told.evicted == 0
    assert len(counters._processes) < 600, "only what is listed is kept of those that ended"


def test_a_short_process_that_called_much_is_listed_after_its_end(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)
    for pid in range(1, 200):
        module.count(1, pid, 0, 0, 1000)
    read(counters, module)
    module.count(2, 500, 0, 0, 1_000_000, 7)
    module.count(2, 500, 39, 0, 1)
    module.end(2, 500)
    for pid in range(600, 700):
        module.count(2, pid, 0, 0, 10)
        module.end(2, pid)
    for _ in range(3):
        told = read(counters, module)
        assert [(p.name, p.count, p.errors) for p in told.processes if p.pid == 500] == [
            ("read", 1_000_000, 7),
            ("getpid", 1, 0),
        ]
        assert [(t.comm, t.count, t.errors) for t in told.totals if t.pid == 500] == [("p500", 1_000_001, 7)]
        assert not {p.pid for p in told.processes} & set(range(600, 700))


def test_a_short_process_is_listed_for_a_call_or_for_all_its_calls_together(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)
    for pid in range(1, 50):
        for slot in range(60 if pid < 10 else 40):
            module.count(1, pid, slot, 0, 100)
    read(counters, module)
    module.count(2, 500, 39, 0, 200)
    module.end(2, 500)
    for slot in range(60):
        module.count(2, 501, slot, 0, 120)
    module.end(2, 501)
    told = read(counters, module)
    assert [(p.name, p.count) for p in told.processes if p.pid == 500] == [("getpid", 200)], "rarely called"
    assert [t.count for t in told.totals if t.pid == 501] == [60 * 120]
    assert len([p for p in told.processes if p.pid == 501]) == 60, "all calls of one of the busiest"


def test_a_call_that_only_ended_processes_make_is_listed_with_the_busiest_of_them(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)
    for pid in range(1, 100):
        module.count(1, pid, 0, 0, 1_000_000)
    read(counters, module)
    for pid in range(200, 230):
        module.count(2, pid, 39, 0, pid)
        module.end(2, pid)
    told = read(counters, module)
    assert {p.pid for p in told.processes if p.name == "getpid"} == set(range(222, 230))


def test_what_is_evicted_is_told_at_once_though_pairs_are_made_while_the_map_is_read(
    module: FakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = ProcessCounters(SLOTS)
    for pid in range(1, 6):
        module.count(1, pid, 0, 0, 10)
    read(counters, module)
    del module.held[1, 3, 0, 0]

    def items(*args: Any) -> Iterator[tuple[bytes, bytes]]:
        for pid in range(50, 60):
            module.count(1, pid, 0, 0, 1)
        return module.items(*args)

    monkeypatch.setattr(maps, "items", items)
    assert read(counters, module).evicted == 1


def test_an_ended_process_is_dropped_when_busier_ones_take_its_places(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)
    module.count(1, 1, 0, 0, 5)
    module.end(1, 1)
    assert [t.pid for t in read(counters, module).totals] == [1]
    for pid in range(100, 150):
        module.count(2, pid, 0, 0, 100)
    assert 1 not in {t.pid for t in read(counters, module).totals}
    assert len(counters._processes) == 50


def test_the_total_of_a_process_never_shrinks_while_it_runs(module: FakeModule) -> None:
    chance = random.Random(5)
    counters = ProcessCounters(SLOTS)
    calls: dict[int, int] = {}
    last: dict[int, int] = {}
    for round_ in range(60):
        if round_ % 2:
            # Evicted and made again before it is read.
            for key in chance.sample(sorted(module.held), min(4, len(module.held))):
                del module.held[key]
        for pid in range(1, 6):
            for slot in range(8):
                module.count(1, pid, slot, 0, n := chance.randrange(1, 9))
                calls[pid] = calls.get(pid, 0) + n
        for key in chance.sample(sorted(module.held), 9):
            # What it counted since it was read is lost with it, and nothing else.
            del module.held[key]
        told = read(counters, module)
        now = {t.pid: t.count for t in told.totals}
        assert all(now[pid] >= count for pid, count in last.items())
        assert all(now[pid] <= calls[pid] for pid in now)
        assert told.evicted == module.made - len(module.held), "at once"
        assert sum(now.values()) == told.users[0].count
        assert sum(p.count for p in told.processes) == sum(now.values())
        last = now


def test_a_pair_that_only_one_reading_missed_is_not_counted_twice(
    module: FakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = ProcessCounters(SLOTS)
    module.count(1, 10, 0, 0, 30)
    read(counters, module)
    with monkeypatch.context() as patch:
        patch.setattr(maps, "items", lambda *_: iter(()))
        assert read(counters, module).evicted == 0
    module.count(1, 10, 0, 0, 5)
    assert by_user(read(counters, module)) == {0: (35, 0)}


def test_sums_of_running_processes_that_are_in_no_map_are_bounded(
    module: FakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscall_processes, "SUMS_MAX", 500)
    counters = ProcessCounters(SLOTS)
    for pid in range(3000):
        module.count(1, pid, pid % 7, 0, 10)
        if pid % 100 == 0:
            read(counters, module)
            module.held.clear()
    assert len(counters._processes) <= 600
    assert by_user(read(counters, module))[0][0] <= 30_000


def test_the_map_is_read_early_when_half_of_its_room_is_taken(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)

    def fills() -> bool:
        return counters.is_filling(cast(Module, module))

    for pid in range(49):
        module.count(1, pid, 0, 0, 1)
    assert not fills()
    module.count(1, 49, 0, 0, 1)
    assert fills()
    read(counters, module)
    assert not fills()
    for pid in range(50, 80):
        module.count(1, pid, 0, 0, 1)
    assert fills(), "half of the room that was left"
    for pid in range(80, 100):
        module.count(1, pid, 0, 0, 1)
    read(counters, module)
    module.count(1, 100, 0, 0, 1)
    assert not fills(), "all of these run: reading makes no room"
    for pid in range(50):
        module.end(1, pid)
    assert fills()
    read(counters, module)
    assert not fills()


def test_a_new_name_is_taken_only_by_the_process_that_it_belongs_to_and_only_whole() -> None:
    start_ns, pid = (1 << 63) + 5, 77
    first, second = struct.unpack("=QQ", b"a-name-of-15-ch\0")
    whole = struct.pack("=QQQQ", first, second, start_ns, (start_ns + pid + first + 3 * second) % (1 << 64))
    assert name_in(whole, start_ns, pid) == b"a-name-of-15-ch\0"
    assert name_in(whole, start_ns + 1, pid) is None
    assert name_in(whole, start_ns, pid + 1) is None
    assert name_in(bytes(32), start_ns, pid) is None
    for at in range(0, 16, 8):
        assert name_in(whole[:at] + b"another\0" + whole[at + 8 :], start_ns, pid) is None
    assert len({name_place(start_ns + i, pid) for i in range(1000)}) > 900


# ---- Time ----


def test_time_is_added_up_and_the_longest_call_of_all_cpus_and_users_stays(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)
    module.count(1, 10, 0, 0, 3, total_ns=70, max_ns=60)
    module.count(1, 10, 0, 1000, 1, total_ns=0)
    read(counters, module)
    # Only time: a call that was counted when it entered has returned.
    module.count(1, 10, 0, 1000, 0, total_ns=100, max_ns=100)
    module.count(1, 10, 39, 1000, 2, total_ns=9, max_ns=5)
    told = read(counters, module)
    assert [(p.name, p.count, p.total_ns, p.max_ns) for p in told.processes] == [
        ("read", 4, 170, 100),
        ("getpid", 2, 9, 5),
    ]
    assert [(t.count, t.total_ns, t.max_ns) for t in told.totals] == [(6, 179, 100)]
    assert [(u.uid, u.total_ns, u.max_ns) for u in told.users] == [(0, 70, 60), (1000, 109, 100)]
    module.end(1, 10)
    module.count(2, 11, 0, 1000, 1, total_ns=7, max_ns=7)
    module.end(2, 11)
    ended = read(counters, module)
    assert [(u.uid, u.total_ns, u.max_ns) for u in ended.users] == [(0, 70, 60), (1000, 116, 100)]
    assert [(t.pid, t.total_ns, t.max_ns) for t in ended.totals] == [(10, 179, 100), (11, 7, 7)]


def test_time_stays_when_a_pair_is_evicted_and_made_again(module: FakeModule) -> None:
    counters = ProcessCounters(SLOTS)
    module.count(1, 10, 0, 0, 30, total_ns=500, max_ns=90)
    read(counters, module)
    del module.held[1, 10, 0, 0]
    module.count(1, 10, 0, 0, 2, total_ns=20, max_ns=15)
    (row,) = read(counters, module).processes
    assert (row.count, row.total_ns, row.max_ns) == (32, 520, 90)


def test_without_durations_no_time_is_told(module: FakeModule) -> None:
    module.count(1, 10, 0, 0, 3)
    told = read(ProcessCounters(SLOTS, latency=False), module)
    times = [(row.total_ns, row.max_ns) for row in (told.processes[0], told.totals[0], told.users[0])]
    assert times == [(None, None)] * 3


@pytest.mark.parametrize("ended", [False, True])
def test_who_spends_most_time_in_a_call_is_listed_though_others_make_it_more_often(
    module: FakeModule, ended: bool
) -> None:
    counters = ProcessCounters(SLOTS)
    for pid in range(1, 101):
        module.count(1, pid, 0, 0, 1000, total_ns=1000, max_ns=1)
    read(counters, module)
    for pid in range(201, 206):
        module.count(2, pid, 0, 0, 1, total_ns=1_000_000 * pid, max_ns=1_000_000 * pid)
        module.count(2, pid, 39, 0, 1)
        if ended:
            module.end(2, pid)
    told = read(counters, module)
    assert {p.pid for p in told.processes if p.name == "read" and p.pid > 200} == set(range(201, 206))


@pytest.mark.parametrize("ended", [False, True])
def test_all_calls_of_a_process_that_works_long_in_few_are_listed_but_not_of_one_that_only_waits(
    module: FakeModule, ended: bool
) -> None:
    counters = ProcessCounters(SLOTS)
    fsync, nanosleep, getpid = 74, 35, 39
    for pid in range(1, 101):
        for slot in (fsync, nanosleep, getpid):
            module.count(1, pid, slot, 0, 1000, total_ns=10_000, max_ns=100)
    read(counters, module)
    for pid, slot in ((500, fsync), (501, nanosleep)):
        module.count(2, pid, slot, 0, 1, total_ns=1 << 40, max_ns=1 << 40)
        module.count(2, pid, getpid, 0, 1, total_ns=1, max_ns=1)
        if ended:
            module.end(2, pid)
    told = read(counters, module)
    assert {p.name for p in told.processes if p.pid == 500} == {"fsync", "getpid"}
    assert {p.name for p in told.processes if p.pid == 501} == {"nanosleep"}


def test_what_is_listed_for_its_time_stays_until_another_has_a_quarter_more(module: FakeModule) -> None:
    def listed() -> set[int]:
        return {p.pid for p in read(counters, module).processes if p.name == "getpid" and p.pid > 100}

    counters = ProcessCounters(SLOTS)
    for pid in range(1, 41):
        module.count(1, pid, 39, 0, 10_000)
        module.count(1, pid, 0, 0, 10_000, total_ns=1 << 30)
        module.count(1, pid, 1, 0, 10_000, total_ns=1 << 30)
    for pid in range(101, 121):
        module.count(1, pid, 39, 0, 1, total_ns=100 if pid < 109 else 90)
    assert listed() == set(range(101, 109))
    module.count(1, 120, 39, 0, 1, total_ns=20)
    assert listed() == set(range(101, 109)), "110 to 100"
    module.count(1, 120, 39, 0, 1, total_ns=20)
    assert 120 in listed(), "130 to 100"
    assert len(listed()) == 8
    module.count(1, 120, 39, 0, 1, total_ns=1)
    assert 120 in listed()
