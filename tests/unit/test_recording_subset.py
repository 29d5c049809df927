"""A filter narrows what is saved to the programs that pass it, with all that belongs to them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ebpftop.core.group_records import CgroupRow, Cgroups, CommRow, Comms, UidRow, Uids
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Fullest, Lost, Probe, Record
from ebpftop.core.state_records import ProcessStates, States
from ebpftop.core.syscall_records import Syscall
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.spec import Filter
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.program_fields import EXECS
from ebpftop.models.subset import Subset
from ebpftop.recording import Timeline
from ebpftop.sources.history import History
from tests.unit.recording_samples import (
    HEADER,
    START,
    exec_at,
    exit_at,
    play,
    probes_on,
    syscalls_at,
    trace_at,
)
from tests.unit.state_samples import reading, row


def call_at(time: float, pid: int) -> Syscall:
    return Syscall(time=time, pid=pid, comm="x", abi="x86_64", nr=39, name="getpid", args=(), ret=0, ns=10)


def seven(*records: Record) -> Subset:
    return Subset(ViewFilter(), EXECS.parse("job7"), records)


def test_what_belongs_to_the_programs_stays_and_nothing_else() -> None:
    lost = Lost(time=START, probe="execs", where="ring", count=1)
    full = Fullest(time=START, probe="execs", share=0.5, size=4096)
    both = (UserRow(uid=1000, user="ann", execs=2, failed=0), UserRow(uid=0, user="root", execs=9, failed=1))
    uids = (UidRow(uid=1000, calls=2), UidRow(uid=0, calls=9))
    story: list[tuple[Record, Record | None]] = [
        (record, record) for record in [HEADER, *probes_on(START), lost, full, exec_at(START, 7)]
    ]
    story += [
        (exec_at(START, 8), None),
        (trace_at(START + 1, 7), trace_at(START + 1, 7)),
        (trace_at(START + 1, 8), None),
        (call_at(START + 1, 7), call_at(START + 1, 7)),
        (call_at(START + 1, 8), None),
        (Users(time=START + 1, rows=both), Users(time=START + 1, rows=both[:1])),
        (syscalls_at(START + 1, 5), None),
        (Cgroups(time=START + 1, rows=(CgroupRow(hierarchy="v2", id=1, path="/"),)), None),
        (Comms(time=START + 1, rows=(CommRow(comm="job8"),)), None),
        (Uids(time=START + 1, rows=uids), Uids(time=START + 1, rows=uids[:1])),
        (exit_at(START + 2, 8), None),
        (exit_at(START + 2, 7), exit_at(START + 2, 7)),
        # The number is used again, by a program that was not asked for.
        (trace_at(START + 3, 7), None),
    ]
    narrow = seven(*(record for record, _ in story))
    assert [narrow(record) for record, _ in story] == [wanted for _, wanted in story]


def test_a_process_that_becomes_another_program_is_let_go_but_not_by_an_execve_that_fails() -> None:
    other = exec_at(START, 8)
    failed = Exec(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "pid": 7, "ret": -2, "error": "ENOENT"})
    became = Exec(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "pid": 7})
    narrow = seven(exec_at(START, 7), failed, became)
    assert narrow(exec_at(START, 7))
    assert narrow(failed) is None
    assert narrow(trace_at(START, 7))
    assert narrow(became) is None
    assert narrow(trace_at(START, 7)) is None


def test_what_is_kept_in_memory_is_saved_narrowed(tmp_path: Path) -> None:
    history = History()
    history.add([*probes_on(START), exec_at(START, 7), exec_at(START, 8), exit_at(START + 1, 7), exit_at(START + 1, 8)])
    timeline = Timeline(HEADER, history, history.index)
    timeline.save(str(tmp_path / "r.jsonl.zst"), seven(*timeline.records()))
    records, source = play(tmp_path / "r.jsonl.zst")
    assert [record for record in records if not isinstance(record, Probe)] == [exec_at(START, 7), exit_at(START + 1, 7)]
    assert source.damage.report() == []


def test_of_why_processes_wait_stays_what_is_of_the_programs_that_stay_their_last_reading_too() -> None:
    def states(at: float, *rows: ProcessStates) -> States:
        return msgspec.structs.replace(reading(at, *rows), time=START + at)

    mine, other, again = row(1, 0, 0, pid=7), row(1, 0, 0, pid=8), row(2, 0, 0, pid=7, start_ns=9)
    last = row(2, 0, 0, pid=7, ended=True)
    story: list[tuple[Record, Record | None]] = [
        (exec_at(START, 7), exec_at(START, 7)),
        (exec_at(START, 8), None),
        (states(1, mine, other), states(1, mine)),
        (states(2, other), states(2)),
        (exit_at(START + 3, 7), exit_at(START + 3, 7)),
        (states(3, last, other), states(3, last)),
        # The number is used again.
        (states(4, other, again), states(4)),
        (states(5, msgspec.structs.replace(again, ended=True)), states(5)),
    ]
    narrow = seven(*(record for record, _ in story))
    assert [narrow(record) for record, _ in story] == [wanted for _, wanted in story]


def test_a_filter_keeps_why_a_process_waits_that_started_no_program() -> None:
    forked, other = row(1, 0, 0, pid=30, uid=5, start_ns=3), row(1, 0, 0, pid=31, uid=6, start_ns=4)
    states = reading(1, forked, other)
    kept = Subset(ViewFilter(Filter(uids=(5,))), None, [states])(states)
    assert isinstance(kept, States)
    assert kept.rows == (forked,)


def ran_before(pid: int, ppid: int, comm: str, uid: int = 0) -> Process:
    return Process(
        time=START, pid=pid, ppid=ppid, uid=uid, user=None, comm=comm, argv=(comm,), start_ns=pid * 10_000_000
    )


BEFORE = (
    ran_before(7, 6, "cc", uid=1000),  # told ahead of its parent
    ran_before(6, 5, "make"),
    ran_before(1, 0, "init"),
    ran_before(5, 1, "sh"),
    ran_before(8, 1, "cc2"),
)


@pytest.mark.parametrize(
    ("scope", "pids"),
    [
        (Filter(pids=(5,)), {5, 6, 7}),
        (Filter(pids=(6,), uids=(1000,)), {7}),
        (Filter(uids=(0,)), {1, 5, 6, 8}),
        (Filter(comms=("cc",)), {7}),
        (Filter(comms=("cc*", "init")), {1, 7, 8}),
        (Filter(cgroups=("/",)), {1, 5, 6, 7, 8}),
        (Filter(cgroups=("/x",)), set()),
    ],
)
def test_what_ran_before_is_saved_where_the_scope_takes_it(scope: Filter, pids: set[int]) -> None:
    records: list[Record] = [*BEFORE, exec_at(START + 1, 20)]
    narrow = Subset(ViewFilter(scope), None, records)
    assert {record.pid for record in BEFORE if narrow(record)} == pids


def test_what_is_saved_is_what_the_pattern_shows_at_the_end() -> None:
    def ended(pid: int, code: int) -> Exit:
        return Exit(
            time=START + 2,
            pid=pid,
            uid=0,
            comm="x",
            code=code,
            signal=None,
            duration_s=1,
            start_ns=exec_at(0, pid).start_ns,
        )

    programs = [exec_at(START, pid) for pid in (21, 22, 23)]
    again = exec_at(START + 1, 23)
    records: list[Record] = [*BEFORE, *programs, again, ended(21, 201), ended(22, 0)]

    def saved(typed: str) -> list[bool]:
        narrow = Subset(ViewFilter(), EXECS.parse(typed), records)
        return [narrow(record) is not None for record in (*programs, again)]

    assert saved("exit:201") == [True, False, False, False], "by how it ended"
    assert saved("state:replaced") == [False, False, True, False], "it ran another program"
    assert saved("!exit:201,0") == [False, False, True, True]
    assert not any(map(Subset(ViewFilter(), EXECS.parse("cc"), records), BEFORE))
