"""A filter narrows what is saved to the programs that pass it, with all that belongs to them."""

from __future__ import annotations

from pathlib import Path

from ebpftop.history import History
from ebpftop.recording import Timeline
from ebpftop.recording.narrow import narrow_to
from ebpftop.records import Exec, Lost, Probe, Process, Record, Syscall, UserRow, Users
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


def call_at(time: float, pid: int) -> Syscall:
    return Syscall(time=time, pid=pid, comm="x", abi="x86_64", nr=39, name="getpid", args=(), ret=0, ns=10)


def is_seven(record: Exec | Process) -> bool:
    return record.comm == "job7"


def test_what_belongs_to_the_programs_stays_and_nothing_else() -> None:
    lost = Lost(time=START, probe="execs", where="ring", count=1)
    both = (UserRow(uid=1000, user="ann", execs=2, failed=0), UserRow(uid=0, user="root", execs=9, failed=1))
    story: list[tuple[Record, Record | None]] = [
        (record, record) for record in [HEADER, *probes_on(START), lost, exec_at(START, 7)]
    ]
    story += [
        (exec_at(START, 8), None),
        (trace_at(START + 1, 7), trace_at(START + 1, 7)),
        (trace_at(START + 1, 8), None),
        (call_at(START + 1, 7), call_at(START + 1, 7)),
        (call_at(START + 1, 8), None),
        (Users(time=START + 1, rows=both), Users(time=START + 1, rows=both[:1])),
        (syscalls_at(START + 1, 5), None),
        (exit_at(START + 2, 8), None),
        (exit_at(START + 2, 7), exit_at(START + 2, 7)),
        # The number is used again, by a program that was not asked for.
        (trace_at(START + 3, 7), None),
    ]
    narrow = narrow_to(is_seven)
    assert [narrow(record) for record, _ in story] == [wanted for _, wanted in story]


def test_a_process_that_becomes_another_program_is_let_go_but_not_by_an_execve_that_fails() -> None:
    narrow = narrow_to(is_seven)
    other = exec_at(START, 8)
    failed = Exec(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "pid": 7, "ret": -2, "error": "ENOENT"})
    became = Exec(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "pid": 7})
    assert narrow(exec_at(START, 7))
    assert narrow(failed) is None
    assert narrow(trace_at(START, 7))
    assert narrow(became) is None
    assert narrow(trace_at(START, 7)) is None


def test_what_is_kept_in_memory_is_saved_narrowed(tmp_path: Path) -> None:
    history = History()
    history.add([*probes_on(START), exec_at(START, 7), exec_at(START, 8), exit_at(START + 1, 7), exit_at(START + 1, 8)])
    Timeline(HEADER, history, history.index).save(str(tmp_path / "r.jsonl.zst"), narrow_to(is_seven))
    records, source = play(tmp_path / "r.jsonl.zst")
    assert [record for record in records if not isinstance(record, Probe)] == [exec_at(START, 7), exit_at(START + 1, 7)]
    assert source.damage.report() == []
