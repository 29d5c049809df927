"""Threads become processes: sums, those that ended, calls and wakers by name, what goes on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ebpftop.core.state_records import THREADS_MAX, ProcessStates, States
from ebpftop.kernel.compiled import INSN, with_percpu_variables
from ebpftop.probes.registry import decode
from ebpftop.probes.state_processes import CallNames, Identity, Processes
from ebpftop.probes.state_threads import (
    BLOCKED,
    CALL_BEFORE,
    MATCHES,
    NO_CALL,
    RUNNABLE,
    RUNNING,
    STOPPED,
    UNINTERRUPTIBLE,
    WAKER_INTERRUPT,
    WAKER_IRQ,
    WAKER_SOFTIRQ,
    CallTime,
    Thread,
)
from ebpftop.recording.parse import read_line

NOW, ASLEEP = 1_000, 50
READ, FUTEX = 0, 202


def thread(tid: int = 7, pid: int = 7, **more: object) -> Thread:
    plain = Thread(
        task=tid,
        since_ns=NOW,
        running_ns=0,
        runnable_ns=0,
        blocked_ns=0,
        preempted=0,
        wakeups=0,
        start_ns=5,
        tgid=pid,
        tid=tid,
        uid=1000,
        state=RUNNING,
        decision=MATCHES,
        call=NO_CALL,
        comm=b"work\0",
    )
    return plain._replace(**more)  # type: ignore[arg-type]  # of any field


def processes() -> Processes:
    return Processes(CallNames(("x86_64", "i386", "x32")))


def rows(
    made: Processes,
    threads: Sequence[Thread] = (),
    ended: Sequence[Thread] = (),
    moved: dict[Identity, list[CallTime]] | None = None,
    calls_before: dict[int, int] | None = None,
) -> tuple[tuple[ProcessStates, ...], list[Identity]]:
    return made.rows(
        threads,
        ended,
        moved or {},
        calls_before=calls_before or {},
        matches=lambda thread: thread.decision == MATCHES,
        now_ns=NOW,
        asleep_ns=ASLEEP,
    )


def test_a_process_is_the_sum_of_its_threads_and_of_what_goes_on() -> None:
    (row,), gone = rows(
        processes(),
        [
            thread(7, since_ns=900, running_ns=10, runnable_ns=20, blocked_ns=30, preempted=1, wakeups=2),
            thread(8, since_ns=800, state=RUNNABLE, running_ns=1, comm=b"other"),
            thread(9, since_ns=700, state=BLOCKED, call=FUTEX, calls=(CallTime(FUTEX, 50, 40, 3),)),
        ],
    )
    assert not gone
    assert (row.pid, row.start_ns, row.comm, row.uid, row.threads) == (7, 5, "work", 1000, 3)
    assert (row.running_ns, row.runnable_ns, row.blocked_ns) == (10 + 100 + 1, 20 + 200, 30 + 300)
    assert (row.preempted, row.wakeups, row.ended) == (1, 2, False)
    (call,) = row.blocked
    assert (call.syscall, call.ns, call.max_ns, call.count, call.threads) == ("futex", 350, 300, 4, 1)
    assert call.since_ns == 700 + ASLEEP
    assert [(now.tid, now.state, now.since_ns) for now in row.now] == [
        (8, "runnable", 850),
        (7, "running", 950),
        (9, "blocked", 750),
    ]


def test_a_thread_that_changed_after_the_reading_began_adds_nothing_yet() -> None:
    (row,), _ = rows(processes(), [thread(since_ns=NOW + 5, running_ns=10)])
    assert row.running_ns == 10


def test_threads_that_ended_stay_in_the_sum_and_the_process_is_told_once_more() -> None:
    made = processes()
    (row,), gone = rows(made, [thread(7)], [thread(8, running_ns=10, wakers=((3, 2),))])
    assert (row.threads, row.running_ns, row.wakers[0].count, gone) == (1, 10, 2, [])
    moved = {(7, 5): [CallTime(READ, 5, 5, 1)]}
    (row,), gone = rows(made, [], [thread(7, running_ns=5, calls=(CallTime(READ, 4, 4, 2),))], moved)
    assert (row.ended, row.threads, row.running_ns, row.now) == (True, 0, 15, ())
    assert [(call.syscall, call.ns, call.max_ns, call.count) for call in row.blocked] == [("read", 9, 5, 3)]
    assert gone == [(7, 5)]
    assert rows(made) == ((), [])


def test_a_pid_that_is_used_again_is_another_process() -> None:
    found, gone = rows(processes(), [thread(7, start_ns=9)], [thread(7, start_ns=5)])
    assert [(row.pid, row.start_ns, row.ended) for row in found] == [(7, 5, True), (7, 9, False)]
    assert gone == [(7, 5)]


def test_calls_have_the_names_of_their_abi() -> None:
    calls = [READ, 1 << 31 | 162, 1 << 30 | 520, NO_CALL, 1 << 31 | 1 << 30]
    times = tuple(CallTime(call, 100 - at, 1, 1) for at, call in enumerate(calls))
    (row,), _ = rows(processes(), [thread(calls=times)])
    assert [(call.abi, call.nr, call.syscall) for call in row.blocked] == [
        ("x86_64", 0, "read"),
        ("i386", 162, "nanosleep"),
        ("x32", 520, "execve"),
        (None, None, None),
        ("i386", 1 << 30, "syscall_1073741824"),
    ]


def test_what_a_thread_did_before_the_probe_was_attached_is_known_from_proc() -> None:
    before = thread(state=BLOCKED, call=CALL_BEFORE, since_ns=0, calls=(CallTime(CALL_BEFORE, 10, 10, 1),))
    (row,), _ = rows(processes(), [before], calls_before={7: FUTEX})
    assert [(call.syscall, call.ns, call.count) for call in row.blocked] == [("futex", 10 + NOW, 2)]
    (row,), _ = rows(processes(), [before])
    assert [(call.syscall, call.ns) for call in row.blocked] == [(None, 10 + NOW)]


def test_wakers_are_processes_by_name_or_interrupts() -> None:
    wakers = ((3, 9), (WAKER_SOFTIRQ, 8), (WAKER_IRQ, 7), (WAKER_INTERRUPT, 6))
    threads = [thread(7, wakers=wakers), thread(8, wakers=((4, 5), (3, 1))), thread(3, 3, comm=b"server")]
    (_, row), _ = rows(processes(), threads)
    assert [(waker.pid, waker.comm, waker.context, waker.count) for waker in row.wakers] == [
        (3, "server", None, 10),
        (None, None, "softirq", 8),
        (None, None, "irq", 7),
        (None, None, "interrupt", 6),
    ]
    (row,), _ = rows(processes(), [thread(wakers=((4, 5),))])
    assert [(waker.pid, waker.comm) for waker in row.wakers] == [(4, None)]


def test_of_many_threads_those_are_shown_that_matter_and_the_first_one() -> None:
    others = [thread(tid, state=BLOCKED, call=READ, since_ns=tid) for tid in range(100, 120)]
    special = [thread(8, state=RUNNING), thread(9, state=UNINTERRUPTIBLE, call=READ)]
    (row,), _ = rows(processes(), [thread(7, state=STOPPED, since_ns=500), *others, *special])
    assert [(now.tid, now.state) for now in row.now] == [
        (9, "uninterruptible"),
        (8, "running"),
        (100, "blocked"),
        (7, "stopped"),
    ]
    assert len(row.now) == THREADS_MAX
    assert row.threads == 23


def test_the_filter_leaves_processes_out() -> None:
    found, _ = rows(processes(), [thread(7), thread(8, 8, decision=2)])
    assert [row.pid for row in found] == [7]


def test_of_too_many_processes_those_stay_that_switch_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebpftop.probes.state_processes.ROWS_MAX", 2)
    found, _ = rows(processes(), [thread(pid, pid, wakeups=pid % 3) for pid in range(1, 6)])
    assert [row.pid for row in found] == [2, 5]


def test_names_are_made_safe_for_a_terminal() -> None:
    (row,), _ = rows(processes(), [thread(comm=b"\x1b[31m\xff\0")])
    assert row.comm == r"\x1b[31m\xff"


def test_a_reading_of_others_is_read_or_refused() -> None:
    line = (
        b'{"kind":"states","time":1,"duration_s":1,"boot_ns":5,"cpus":1,"rows":[],"machine":'
        b'{"cpus":[],"runnable_ns":0,"running":0,"runnable":0,"blocked":0,"uninterruptible":0}}'
    )
    assert isinstance(decode(line), States)
    with pytest.raises(ValueError, match="runnable"):
        read_line(line.replace(b'"runnable":0', b'"runnable":-1'))


def test_a_variable_of_each_cpu_is_loaded_by_its_type_id() -> None:
    other = INSN.pack(0x18, 1, 0, 8427) + INSN.pack(0, 0, 0, 7)
    marked = INSN.pack(0x18, 1, 0, 8427) + INSN.pack(0, 0, 0, 0x0EBF7091)
    loads = INSN.pack(0x18, 0x31, 0, 8427) + INSN.pack(0, 0, 0, 0)
    assert with_percpu_variables(other + marked) == other + loads
