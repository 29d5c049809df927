"""A box of the heat map: the records of a moment as if only what is in it had happened."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Record
from ebpftop.core.snapshot import EventCounts, Snapshot
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import ProcessCalls, ProcessTotal, Syscall, SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.box import Box, only
from tests.unit.recording_samples import START, exec_at, exit_at, trace_at


def within(box: Box, *records: Record) -> list[Record]:
    """Return what is left of *records*."""
    batches = (Batch("execs", START + 99, records),)
    left = only(Snapshot(batches, EventCounts({"exec": 7}), {}), box)
    assert left.before == EventCounts()
    return [record for batch in left.batches for record in batch.records]


def of(kind: type, records: Iterable[Record]) -> list[Record]:
    return [record for record in records if isinstance(record, kind)]


BOX = Box(START + 10, START + 20)


def test_events_before_it_are_left_out_and_processes_are_known() -> None:
    left = within(
        BOX, exec_at(START + 5, 1), exec_at(START + 6, 2, ret=-2), trace_at(START + 7, 1), exec_at(START + 11, 3)
    )
    assert [record.pid for record in left if isinstance(record, Exec)] == [3]
    assert [record.pid for record in left if isinstance(record, Process)] == [1]
    assert of(Trace, left) == []


def test_the_end_of_a_process_is_known_whenever_it_came() -> None:
    assert len(of(Exit, within(BOX, exit_at(START + 5, 1), exit_at(START + 15, 2)))) == 2


def users(at: float, *rows: tuple[int, int, int]) -> Users:
    return Users(
        time=START + at,
        rows=tuple(UserRow(uid=uid, user=None, execs=execs, failed=failed) for uid, execs, failed in rows),
    )


def test_users_are_counted_from_the_last_reading_before_it() -> None:
    left = within(
        BOX, users(8, (0, 5, 0)), users(10, (0, 9, 1), (7, 3, 0)), users(15, (0, 12, 2), (7, 3, 0), (8, 2, 2))
    )
    last = of(Users, left)[-1]
    assert isinstance(last, Users)
    assert [(row.uid, row.execs, row.failed) for row in last.rows] == [(0, 3, 1), (8, 2, 2)]


def row(nr: int, count: int, errors: int, ns: tuple[int, ...], max_ns: int = 0, **errnos: int) -> SyscallRow:
    return SyscallRow(
        abi="x86_64", nr=nr, name=f"call{nr}", count=count, errors=errors, histogram_ns=ns, max_ns=max_ns, errnos=errnos
    )


def calls(at: float, *rows: SyscallRow, pairs_at: float | None = None, made: int = 0) -> Syscalls:
    return Syscalls(
        time=START + at,
        rows=rows,
        processes=(ProcessCalls(pid=1, comm="a", abi="x86_64", nr=0, name="call0", count=made),) if made else (),
        process_totals=(ProcessTotal(pid=1, comm="a", count=made, errors=0),) if made else (),
        pairs_time=START + (at if pairs_at is None else pairs_at),
    )


def test_calls_are_counted_from_the_last_reading_before_it() -> None:
    left = within(
        BOX,
        calls(9, row(0, 100, 10, (0, 100), 3, EPERM=10), row(1, 5, 0, (5,))),
        calls(19, row(0, 104, 12, (0, 103, 1), 5, EPERM=11, EIO=1), row(1, 5, 0, (5,)), row(2, 1, 0, (1,))),
    )
    first, last = of(Syscalls, left)
    assert isinstance(first, Syscalls)
    assert isinstance(last, Syscalls)
    assert first.rows == ()
    assert [(r.nr, r.count, r.errors, r.histogram_ns, r.max_ns, r.errnos) for r in last.rows] == [
        (0, 4, 2, (0, 3, 1), 5, {"EPERM": 1, "EIO": 1}),
        (2, 1, 0, (1,), 0, {}),
    ]


def test_the_longest_call_is_not_known_if_one_before_it_was_longer() -> None:
    left = within(BOX, calls(9, row(0, 1, 0, (0, 0, 1), 7)), calls(19, row(0, 2, 0, (0, 1, 1), 7)))
    (last,) = of(Syscalls, left)[1:]
    assert isinstance(last, Syscalls)
    assert last.rows[0].max_ns == 0


def test_of_a_range_there_are_the_calls_of_which_some_took_that_long() -> None:
    ranged = Box(BOX.begin, BOX.end, range(2, 4))
    left = within(
        ranged,
        calls(9, row(0, 1, 0, (0, 0, 1))),
        calls(19, row(0, 2, 0, (1, 0, 1)), row(1, 3, 0, (1, 1, 1))),
        *(
            Syscall(time=START + 12, pid=1, comm="a", abi="x86_64", nr=0, name="x", args=(), ret=0, ns=ns)
            for ns in (0, 3, 4, 15, 16, None)
        ),
    )
    last = of(Syscalls, left)[-1]
    assert isinstance(last, Syscalls)
    assert [r.nr for r in last.rows] == [1]
    assert [call.ns for call in left if isinstance(call, Syscall)] == [4, 15]


def test_no_process_is_listed_until_it_is_known_what_it_had_made_before() -> None:
    left = within(
        BOX,
        calls(9, row(0, 100, 0, ()), pairs_at=5, made=90),
        calls(12, row(0, 110, 0, ()), pairs_at=5, made=90),
        calls(15, row(0, 120, 0, ()), made=105),
        calls(18, row(0, 130, 0, ()), made=112),
    )
    readings = [record for record in left if isinstance(record, Syscalls)]
    assert [[pair.count for pair in reading.processes] for reading in readings] == [[], [], [], [7]]
    assert [[total.count for total in reading.process_totals] for reading in readings] == [[], [], [], [7]]
