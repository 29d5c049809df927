"""Groups of processes without a kernel: how counters are summed up, what is known of cgroups, how long a line is."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ebpftop.core.group_records import OTHER_COMM, CgroupRow, Cgroups, CommRow, Comms
from ebpftop.core.record_lines import encode
from ebpftop.core.user_records import OTHER_UID
from ebpftop.kernel import cgroups, maps
from ebpftop.kernel.cgroups import Hierarchy
from ebpftop.kernel.loader import Module
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes import group_totals
from ebpftop.probes.cgroup_facts import CgroupKey, CgroupTable
from ebpftop.probes.group_rows import GroupRows, figures
from ebpftop.probes.group_totals import OTHER_CGROUP, GroupTotals, Table, Totals
from ebpftop.probes.rows_room import rows_that_fit
from ebpftop.recording.parse import MAX_LINE_BYTES, MAX_VALUES, read_line

SIZE = 344  # struct group_count
CPUS = 2
KEY = CgroupKey("v2", 7)


def counters(
    calls: int = 0, *, errors: int = 0, ns: dict[int, int] | None = None, seen: Sequence[int] = (), unreturned: int = 0,
    execs: int = 0, exec_ns: int = 0, max_ns: int = 0,
) -> bytes:  # fmt: skip
    """Return struct group_count of one CPU."""
    bits = sum(1 << nr for nr in seen)
    words = [bits >> 64 * i & (1 << 64) - 1 for i in range(8)]
    buckets = [(ns or {}).get(i, 0) for i in range(32)]
    raw = struct.pack(
        "=27Q32I", calls, errors, execs, 0, 0, max_ns, exec_ns, 0, *words, unreturned, 0, 0, *[0] * 8, *buckets
    )
    assert len(raw) == SIZE
    return raw


def group(id: int = 7, *, v1: int = 0, uid: int = 0, comm: bytes = b"sh") -> bytes:
    return struct.pack("=QII16s", id, v1, uid, comm)


class Kernel:
    """The maps of the probe: a key's values of all CPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, entries: int = 100) -> None:
        self.groups: dict[bytes, bytes] = {}
        self.overflow = bytes(SIZE * CPUS)
        self.table_of_groups = maps.Map(1, entries)
        monkeypatch.setattr(maps, "CPUS", CPUS)
        monkeypatch.setattr(maps, "keys_and_values", lambda *_: (list(self.groups), list(self.groups.values())))
        monkeypatch.setattr(maps, "lookup", lambda *_: self.overflow)
        monkeypatch.setattr(maps, "pop", lambda *_: self.pop())
        self.module = cast(Module, SimpleNamespace(table=lambda _name: self.table_of_groups))

    def pop(self) -> tuple[list[bytes], list[bytes]]:
        found, self.groups = self.groups, {}
        return list(found), list(found.values())


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_the_same_counters_are_summed_up_by_cgroup_by_name_and_by_user(kernel: Kernel) -> None:
    totals = GroupTotals()
    kernel.groups = {
        group(comm=b"sh"): counters(5, errors=1, seen=[0, 63, 64, 511]) + counters(2, seen=[1]),
        group(comm=b"cc", uid=3): counters(10) + counters(),
        group(8, v1=1, comm=b"cc"): counters(100, unreturned=1) + counters(),
    }
    totals.read(kernel.module)
    assert {key: one.calls for key, one in totals.cgroups.totals.items()} == {KEY: 17, CgroupKey("v1", 8): 101}
    assert {key: one.calls for key, one in totals.comms.totals.items()} == {"sh": 7, "cc": 111}
    assert {key: one.calls for key, one in totals.uids.totals.items()} == {0: 108, 3: 10}
    assert totals.comms.totals["sh"].errors == 1
    assert totals.comms.totals["sh"].seen == 1 | 1 << 63 | 1 << 64 | 1 << 511 | 2


def test_a_reading_adds_what_came_since_also_where_a_counter_of_32_bits_begins_again(kernel: Kernel) -> None:
    totals = GroupTotals()
    kernel.groups = {group(): counters(1, ns={3: 0xFFFFFFFF}, max_ns=9) + counters()}
    totals.read(kernel.module)
    kernel.groups = {group(): counters(3, ns={3: 1}, max_ns=9) + counters(max_ns=4)}
    totals.read(kernel.module)
    (total,) = totals.cgroups.totals.values()
    assert (total.calls, total.ns[3], total.max_ns) == (3, 0xFFFFFFFF + 2, 9)


def test_the_program_that_was_started_last_is_that_of_the_newest_exec(kernel: Kernel) -> None:
    totals = GroupTotals()
    kernel.groups = {
        group(comm=b"new"): counters(execs=1, exec_ns=20) + counters(),
        group(comm=b"old"): counters(execs=1, exec_ns=10) + counters(execs=1, exec_ns=15),
        group(comm=b"none"): counters(9) + counters(),
    }
    totals.read(kernel.module)
    assert totals.cgroups.totals[KEY].last == "new"


def test_a_map_that_fills_is_emptied_and_nothing_counts_twice_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, totals = Kernel(monkeypatch, entries=3), GroupTotals()
    one, other = group(comm=b"one"), group(comm=b"other")
    kernel.groups = {one: counters(5) + counters()}
    totals.read(kernel.module)
    assert kernel.groups
    read = maps.keys_and_values

    def counts_meanwhile(*arguments: object) -> tuple[list[bytes], list[bytes]]:
        found = read(*arguments)  # type: ignore[arg-type]
        kernel.groups[other] = counters(2) + counters()
        return found

    monkeypatch.setattr(maps, "keys_and_values", counts_meanwhile)
    kernel.groups[other] = counters(1) + counters()
    totals.read(kernel.module)
    assert not kernel.groups
    kernel.groups = {one: counters(1) + counters()}
    totals.read(kernel.module)
    assert (totals.comms.totals["one"].calls, totals.comms.totals["other"].calls) == (6, 2)


def test_what_the_map_has_no_room_for_is_in_the_rows_of_all_others(kernel: Kernel) -> None:
    totals = GroupTotals()
    totals.read(kernel.module)
    assert not totals.cgroups.totals
    for calls in (4, 6):
        kernel.overflow = counters(calls, execs=1, exec_ns=5) + counters()
        totals.read(kernel.module)
    for table, key in ((totals.cgroups, OTHER_CGROUP), (totals.comms, OTHER_COMM), (totals.uids, OTHER_UID)):
        (row,) = table.totals.items()
        assert (row[0], row[1].calls, row[1].last) == (key, 6, "")


def test_totals_go_on_after_a_toggle(kernel: Kernel) -> None:
    totals = GroupTotals()
    for _ in range(2):
        kernel.groups = {group(): counters(5) + counters()}
        totals.read(kernel.module)
        totals.start()
    assert totals.cgroups.totals[KEY].calls == 10


def test_keys_beyond_the_rows_are_counted_together_and_so_is_what_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_totals, "ROWS_MAX", 2)
    table = Table("others")
    for key in "aabcc":
        table.add(key, Totals(calls=1))
    assert {key: one.calls for key, one in table.totals.items()} == {"a": 2, "b": 1, "others": 2}
    rows = GroupRows(table, lambda key, totals: (key, totals.calls))
    assert rows.read() == (("a", 2), ("b", 1), ("others", 2))
    table.fold("a")
    assert rows.read() == (("b", 1), ("others", 4))


def test_a_row_that_did_not_change_stays_the_same_object() -> None:
    table = Table("others")
    table.add("a", Totals(calls=1))
    table.add("b", Totals(calls=1))
    rows = GroupRows(table, lambda key, totals: [key, totals.calls])
    before = rows.read()
    assert rows.read() is before
    table.add("b", Totals(calls=1))
    assert rows.read()[0] is before[0]
    assert rows.read()[1] == ["b", 2]


def test_a_histogram_is_that_of_a_call_and_the_calls_seen_are_a_number() -> None:
    totals = Totals(calls=2, seen=1 << 59 | 1)
    totals.ns[6] = 2
    assert figures(totals)["histogram_ns"] == (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)  # 2^10 ns
    assert figures(totals)["seen"] == "800000000000001"
    assert (figures(Totals())["histogram_ns"], figures(Totals())["seen"]) == ((), "")


# ---- Cgroups ----


class Root:
    """What stays root: the names of containers."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.asked: list[tuple[str, int | None]] = []

    def container_names(self, containers: Sequence[tuple[str, int | None]]) -> list[str | None]:
        self.asked += containers
        return [self.names.get(id) for id, _ in containers]


class Machine:
    """A hierarchy of cgroups in a folder, and what is asked about it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root / "unified"
        self.root.mkdir()
        self.now_s = 100.0
        self.names = Root()
        monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(self.root, v1=False),))
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)
        self.table = CgroupTable(cast(RootWork, self.names))

    def make(self, path: str, procs: str = "", events: str = "populated 1\nfrozen 0\n") -> CgroupKey:
        folder = self.root / path
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text(procs)
        (folder / "cgroup.events").write_text(events)
        return CgroupKey("v2", folder.stat().st_ino)

    def remove(self, path: str) -> None:
        for file in (self.root / path).iterdir():
            file.unlink()
        (self.root / path).rmdir()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_cgroup_is_found_by_its_id_and_keeps_its_names_when_it_is_gone(machine: Machine) -> None:
    key = machine.make("system.slice/ssh.service", "1\n2\n")
    machine.table.refresh([key], None)
    facts = machine.table.facts[key]
    assert (facts.path, facts.unit, facts.running, facts.gone) == ("/system.slice/ssh.service", "ssh.service", 2, False)
    machine.remove("system.slice/ssh.service")
    machine.table.refresh([key], None)
    assert machine.table.facts[key] == facts._replace(running=0, blocked=0, gone=True)


def test_a_cgroup_that_was_made_again_is_another_one(machine: Machine) -> None:
    key = machine.make("x.service", "1\n")
    machine.table.refresh([key], None)
    (machine.root / "x.service").rename(machine.root / "old")  # so that its inode is not used again
    again = machine.make("x.service", "2\n3\n")
    machine.now_s += 60
    machine.table.refresh([key, again], None)
    assert (machine.table.facts[key].gone, machine.table.facts[again].gone) == (True, False)
    assert machine.table.facts[again].running == 2


def test_one_that_was_made_while_the_probe_is_on_has_its_path_from_the_kernel(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = CgroupKey("v1", 12345)
    asked = []

    def lookup(_table: object, raw: bytes, size: int) -> bytes:
        asked.append(raw)
        return b"/run\xff/gone.scope".ljust(size, b"\0")

    monkeypatch.setattr(maps, "lookup", lookup)
    machine.table.refresh([key], maps.Map(1, 1))
    assert asked == [struct.pack("=QQ", 12345, 1)]
    assert machine.table.facts[key].path == "/run\\xff/gone.scope"
    assert machine.table.facts[key].unit == "gone.scope"


def test_folders_are_not_walked_at_each_reading_for_one_that_cannot_be_found(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[Path] = []
    folders = cgroups.folders

    def walk(root: Path) -> dict[int, str]:
        walks.append(root)
        return folders(root)

    monkeypatch.setattr(cgroups, "folders", walk)
    unknown = CgroupKey("v2", 1 << 60)
    for _ in range(10):
        machine.table.refresh([unknown], None)
        machine.now_s += 1
    assert len(walks) == 1
    assert machine.table.facts[unknown].path is None
    machine.table.refresh([unknown, machine.make("new")], None)
    assert len(walks) == 2  # there is a new one


def test_blocked_threads_are_those_of_the_processes_that_are_in_a_cgroup(machine: Machine) -> None:
    key = machine.make("x.service", "10\n11\n")
    nowhere = CgroupKey("v2", 1 << 60)
    machine.table.refresh([key, nowhere], None)
    blocked = {10: 3, 11: 1, 12: 50}
    machine.table.count_blocked(lambda pids: None if pids is None else sum(blocked[pid] for pid in pids))
    assert (machine.table.facts[key].blocked, machine.table.facts[nowhere].blocked) == (4, None)
    machine.remove("x.service")
    machine.table.refresh([key], None)
    assert machine.table.facts[key].blocked == 0


ID = "ab" * 32


def test_a_container_has_its_engine_s_name_as_soon_as_the_engine_has_written_it(machine: Machine) -> None:
    key = machine.make(f"user.slice/user-1000.slice/libpod-{ID}.scope/container", "1\n")
    machine.table.refresh([key], None)
    assert machine.table.facts[key].container_name is None
    assert machine.names.asked == [(ID, 1000)]
    machine.names.names[ID] = "web\x1b[31m"
    machine.now_s += 1
    machine.table.refresh([key], None)
    assert len(machine.names.asked) == 1  # not so soon
    machine.now_s += 10
    machine.table.refresh([key], None)
    assert machine.table.facts[key].container_name == "web\\x1b[31m"
    machine.now_s += 10
    machine.table.refresh([key], None)
    assert len(machine.names.asked) == 2  # it is known


def test_a_container_that_is_known_by_its_name_has_that(machine: Machine) -> None:
    key = machine.make("lxc/web")
    machine.table.refresh([key], None)
    assert (machine.table.facts[key].container, machine.table.facts[key].container_name) == ("web", "web")
    assert not machine.names.asked


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ("populated 1\nfrozen 0\n", "running"),
        ("populated 1\nfrozen 1\n", "paused"),
        ("populated 0\nfrozen 0\n", "exited"),
        ("populated 1\n", "running"),
    ],
)
def test_the_state_of_a_container_is_that_of_its_own_cgroup(machine: Machine, events: str, state: str) -> None:
    machine.make(f"docker-{ID}.scope", events=events)
    key = machine.make(f"docker-{ID}.scope/below", events="populated 0\nfrozen 0\n")
    machine.table.refresh([key], None)
    assert machine.table.facts[key].state == state


def test_of_very_many_cgroups_each_is_looked_at_in_turn(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebpftop.probes.cgroup_facts.LOOKED_AT", 2)
    keys = [machine.make(f"{i}", "1\n") for i in range(5)]
    machine.table.refresh(keys, None)
    assert [machine.table.facts[key].running for key in keys].count(1) == 2
    for _ in range(2):
        machine.table.refresh(keys, None)
    assert [machine.table.facts[key].running for key in keys] == [1] * 5


# ---- Records ----


def test_a_reading_of_the_most_groups_is_a_line_that_can_be_read() -> None:
    full = Totals(calls=1 << 60, seen=(1 << 512) - 1, total_ns=1 << 62, ns=[1 << 60] * 32)
    rows = tuple(
        CgroupRow(hierarchy="v2", id=i, path="/" + "x" * 4000, **figures(full)) for i in range(group_totals.ROWS_MAX)
    )
    kept = rows_that_fit(rows, lambda row: row.calls)
    assert 500 < len(kept) < len(rows)
    comms = tuple(CommRow(comm=f"{i:015}", **figures(full)) for i in range(group_totals.ROWS_MAX))
    for reading in (Cgroups(time=1.0, rows=kept), Comms(time=1.0, rows=comms)):
        line = encode(reading)
        assert len(line) <= MAX_LINE_BYTES
        assert line.count(b",") <= MAX_VALUES
        assert read_line(line) == reading
