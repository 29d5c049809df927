"""Models that share one table of processes hold what each would hold with a table of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.filters.spec import Filter
from ebpftop.models.base import Model, share_processes
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.users import UsersModel
from ebpftop.probes.registry import registry
from ebpftop.recording.index import time_of
from tests.unit.recording_samples import START, exec_at, exit_at, story


def batches(size: int) -> Iterator[Batch]:
    """What happened, in batches of *size* records."""
    records: dict[str, list[Record]] = {}
    for record in story(60):
        probe = next((name for kind, name in registry().types.items() if kind is type(record)), "execs")
        records.setdefault(probe, []).append(record)
        if len(records[probe]) == size:
            yield Batch(probe, time_of(record), tuple(records.pop(probe)))
    for probe, left in records.items():
        yield Batch(probe, START + 60, tuple(left))


def models() -> tuple[ExecLog, UsersModel, SyscallsModel, TraceLog]:
    return ExecLog(), UsersModel(), SyscallsModel(), TraceLog()


@pytest.mark.parametrize("size", [1, 7, 300])
@pytest.mark.parametrize("wanted", [Filter(), Filter(pids=(1007, 1013)), Filter(comms=("job1009",)), Filter(uids=(0,))])
def test_they_hold_the_same_as_alone(size: int, wanted: Filter) -> None:
    alone, together = models(), models()
    share_processes(together)
    for some in (alone, together):
        for model in some:
            model.apply_filter(ViewFilter(wanted))
    for batch in batches(size):
        for model in (*alone, *together):
            model.feed(batch)
    (execs, users, _, trace), (execs_too, users_too, _, trace_too) = alone, together
    assert [(row.exec, row.exit, row.ended, row.lineage.pid) for row in execs_too.view.rows()] == [
        (row.exec, row.exit, row.ended, row.lineage.pid) for row in execs.view.rows()
    ]
    assert (execs_too.execs, execs_too.failed, execs_too.exits) == (execs.execs, execs.failed, execs.exits)
    assert {uid: (user.row, user.running) for uid, user in users_too.users.items()} == {
        uid: (user.row, user.running) for uid, user in users.users.items()
    }
    assert [one.pid for one in users_too.processes_of(1000)] == [one.pid for one in users.processes_of(1000)]
    assert users_too.activity == users.activity
    assert trace_too.view.rows() == trace.view.rows()
    running = {pid: (known.comm, known.execs) for pid, known in execs.processes.running.items()}
    assert {pid: (known.comm, known.execs) for pid, known in execs_too.processes.running.items()} == running


def test_a_batch_is_noted_once_for_all_of_them() -> None:
    some: tuple[Model, ...] = models()
    share_processes(some)
    tables = {id(model.processes) for model in some}  # type: ignore[attr-defined]
    assert len(tables) == 1
    for at in (1.0, 2.0):  # two programs of one process
        batch = Batch("execs", START + at, (exec_at(START + at, 7),))
        for model in some:
            model.feed(batch)
    log = some[0]
    assert isinstance(log, ExecLog)
    assert log.processes.running[7].execs == 2


def test_a_model_without_processes_keeps_what_it_has_of_that_name() -> None:
    class Other:
        processes = 5

    other = Other()
    share_processes([other])  # type: ignore[list-item]
    assert other.processes == 5


def test_an_end_that_no_record_announced_is_nobodys() -> None:
    log, users = ExecLog(), UsersModel()
    share_processes((log, users))
    for model in (log, users):
        model.feed(Batch("execs", START, (exit_at(START, 9),)))
    assert (log.exits, users.total.running) == (1, 0)
