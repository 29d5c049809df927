"""Folded stacks: of the exec tree by time, CPU and number, and of traced calls."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec
import pytest

from ebpftop.conversion import exec_tree, folded
from ebpftop.conversion.input import Input
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Record
from ebpftop.core.syscall_records import Syscall
from tests.unit.recording_samples import HEADER, START, exec_at, exit_at

BOOT_S = 5000.0


def start(time: float, pid: int, ppid: int, comm: str, pcomm: str = "") -> Exec:
    began = round((BOOT_S + time - START - 0.001) * 1e9)
    return msgspec.structs.replace(exec_at(time, pid), ppid=ppid, comm=comm, pcomm=pcomm, start_ns=began)


def end(time: float, of: Exec, **fields: object) -> Exit:
    return msgspec.structs.replace(exit_at(time, of.pid), comm=of.comm, start_ns=of.start_ns, **fields)


def stacks_of(lines: Iterable[bytes]) -> dict[str, int]:
    found = {}
    for line in b"".join(lines).decode().splitlines():
        stack, _, value = line.rpartition(" ")
        assert " " not in stack
        assert stack not in found
        found[stack] = int(value)
    return found


def tree(records: Sequence[Record], value: folded.Value = "wall") -> dict[str, int]:
    return stacks_of(folded.programs(Input(HEADER, records, START), value))


SYSTEMD = Process(time=START, pid=1, ppid=0, uid=0, user="root", comm="systemd", argv=(), start_ns=10**7)
CRON = Process(time=START, pid=5, ppid=1, uid=0, user="root", comm="cron", argv=(), start_ns=10**7)
SH = start(START + 1, 20, 5, "sh")
BACKUP = start(START + 2, 21, 20, "backup-db")
TAR = start(START + 3, 22, 21, "tar")


def test_the_time_of_a_program_is_that_without_its_children() -> None:
    records = [SYSTEMD, CRON, SH, BACKUP, TAR, end(START + 7, TAR), end(START + 8, BACKUP), end(START + 8.5, SH)]
    assert tree(records) == {
        "systemd;cron;sh": 1_500_000,
        "systemd;cron;sh;backup-db": 2_000_000,
        "systemd;cron;sh;backup-db;tar": 4_000_000,
    }


def test_children_that_run_at_the_same_time_cover_it_once() -> None:
    one, two = start(START + 2, 21, 20, "a"), start(START + 3, 22, 20, "b")
    records = [SH, one, two, end(START + 5, one), end(START + 6, two), end(START + 10, SH)]
    assert tree(records) == {"sh": 5_000_000, "sh;a": 3_000_000, "sh;b": 3_000_000}


def test_a_child_that_outlives_its_parent_covers_it_to_its_end() -> None:
    assert tree([SH, BACKUP, end(START + 5, SH), end(START + 9, BACKUP)]) == {
        "sh": 1_000_000,
        "sh;backup-db": 7_000_000,
    }


def test_what_still_runs_counts_to_the_end_of_the_recording() -> None:
    assert tree([SH, BACKUP, msgspec.structs.replace(CRON, time=START + 4)]) == {
        "sh": 1_000_000,
        "sh;backup-db": 2_000_000,
    }


def test_a_process_that_becomes_another_program_has_two_stacks() -> None:
    second = msgspec.structs.replace(start(START + 3, 20, 5, "exim"), start_ns=SH.start_ns)
    assert tree([CRON, SH, second, end(START + 4, second)]) == {"cron;sh": 2_000_000, "cron;exim": 1_000_000}


def test_forks_that_execute_nothing_are_below_their_parent() -> None:
    fork = msgspec.structs.replace(
        exit_at(START + 5, 30), comm="sh", ppid=20, forked=True, duration_s=None, start_ns=round((BOOT_S + 3) * 1e9)
    )
    assert tree([SH, fork, end(START + 6, SH)])["sh;sh"] == pytest.approx(2_000_000, abs=1000)
    assert tree([SH, fork, end(START + 6, SH)])["sh"] == pytest.approx(3_000_000, abs=1000)


def test_names_cannot_pretend_to_be_stacks() -> None:
    evil = start(START + 1, 20, 5, "a;b c")
    assert tree([evil, end(START + 2, evil)]) == {"a\\x3bb\\x20c": 1_000_000}


def test_cpu_time_is_that_of_the_ends_and_count_that_of_the_starts() -> None:
    failed = msgspec.structs.replace(BACKUP, ret=-2, error="ENOENT")
    records = [CRON, SH, failed, BACKUP, end(START + 4, BACKUP, user_s=0.5, system_s=0.25), end(START + 5, SH)]
    assert tree(records, "cpu") == {"cron;sh;backup-db": 750_000}
    assert tree(records, "count") == {"cron;sh": 1, "cron;sh;backup-db": 1}


def test_any_tree_adds_up_to_the_time_that_each_program_was_not_waiting_for_another() -> None:
    """The oracle looks at a thousand moments: who runs, and has no child that runs."""
    chance = random.Random(12)
    for _ in range(20):
        spans: dict[int, tuple[int, int, int]] = {1: (0, 0, 1000)}
        for pid in range(2, 30):
            parent = chance.choice([*spans])
            _, low, high = spans[parent]
            begin, stop = sorted(chance.sample(range(low, high + 1), 2)) if high - low > 4 else (low, high)
            if begin < stop:
                spans[pid] = parent, begin, stop
        programs = {pid: start(START + low, pid, parent, f"p{pid}") for pid, (parent, low, _) in spans.items()}
        events: list[tuple[float, int, int, Record]] = []
        for pid, (_, low, high) in spans.items():
            events.append((low, 1, pid, programs[pid]))
            events.append((high, 0, -pid, end(START + high, programs[pid])))
        expected = dict.fromkeys(spans, 0)
        for moment in range(1000):
            running = {pid for pid, (_, low, high) in spans.items() if low <= moment < high}
            for pid in running - {spans[other][0] for other in running}:
                expected[pid] += 1
        records = [record for *_, record in sorted(events, key=lambda event: event[:3])]
        found = {int(stack.rpartition("p")[2]): value for stack, value in tree(records).items()}
        assert found == {pid: value * 1_000_000 for pid, value in expected.items() if value}


def call(ns: int | None, stack: tuple[str, ...] | None, kernel: tuple[str, ...] | None = None) -> Syscall:
    return Syscall(
        time=START,
        pid=5,
        comm="my app",
        abi="x86_64",
        nr=0,
        name="read",
        args=(),
        ret=0,
        ns=ns,
        stack=stack,
        kernel_stack=kernel,
    )


def test_stacks_of_calls_have_the_program_its_functions_and_the_kernel() -> None:
    user = ("__read+0x4d (libc.so.6)", "operator()(int)+0x1 (app)", "main+0x60 (app)")
    calls = [
        call(500, user, ("schedule+0x23", "vfs_read+0x1f4")),
        call(700, user, ("schedule+0x99", "vfs_read+0x1f4")),
        call(40, ("[unknown]",)),
        call(30, None),  # not asked for
        call(None, user),
    ]
    main = "my\\x20app;app`main;app`operator()(int);libc.so.6`__read"
    assert stacks_of(folded.calls(calls, "wall")) == {
        f"{main};vfs_read_[k];schedule_[k]": 1200,
        "my\\x20app;[unknown];read_[k]": 40,
    }
    assert stacks_of(folded.calls(calls, "count"))[f"{main};read_[k]"] == 1


def test_stacks_without_end_are_folded_into_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded, "_STACKS", 3)
    starts = [start(START + n, 100 + n, 5, f"job{n}") for n in range(10)]
    found = tree([*starts], "count")
    assert len(found) == 4
    assert found["[other]"] == 7


def test_parents_that_are_learnt_one_by_one_make_no_endless_stacks() -> None:
    chain = [start(START + n / 1000, 5000 - n, 4999 - n, f"c{n}", f"p{n}") for n in range(500)]
    ends = [end(START + 1, one, user_s=1.0, system_s=0.0) for one in chain]
    found = tree([*chain, *ends], "cpu")
    assert max(stack.count(";") for stack in found) == exec_tree.DEEPEST
    assert sum(found.values()) == 500 * 1_000_000


def test_many_intervals_take_little_memory_and_stay_exact() -> None:
    union = folded._Union(0)
    for n in range(20_000):
        union.add(10 * n, 10 * n + 5)
    assert len(union._islands) <= 4096
    assert union.length(200_000) == 100_000
