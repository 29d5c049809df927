"""`--memory` bounds what the screen keeps: logs, history, models and what a pause holds back, all together."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from ebpftop.core import memory_budget
from ebpftop.core.memory_budget import DEFAULT_MIB, scaled
from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import encode
from ebpftop.core.source import Batch
from ebpftop.core.trace_records import Trace
from ebpftop.models import held, processes, syscalls, users
from ebpftop.models.base import Model
from ebpftop.models.eventlog import EventLog
from ebpftop.models.execlog import ExecLog
from ebpftop.models.held import Held
from ebpftop.models.opens import OpenLog
from ebpftop.models.ring import BUDGET
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.users import UsersModel
from ebpftop.recording.parse import read_line
from ebpftop.sources import history
from ebpftop.sources.history import History
from tests.unit.recording_samples import START, exec_at, exit_at

MIB = 1 << 20
COUNTER_BYTES = 36  # of a latency, with its place in a tuple
EVENT_LOGS: tuple[type[EventLog[Trace]], ...] = (TraceLog, OpenLog)  # type: ignore[assignment]  # of any event


@pytest.fixture
def total_mib() -> Iterator[int]:
    memory_budget.set_total(40)
    yield 40
    memory_budget.set_total(DEFAULT_MIB)


def test_all_bounds_together_are_the_default() -> None:
    bounds = {
        "history": history.MAX_BYTES,
        "exec log": BUDGET,
        "users": users.RECENT_BYTES,
        "system calls": syscalls.RECENT_BYTES + syscalls.TRACED_BYTES,
        "latency": syscalls.BUCKETS_MAX * COUNTER_BYTES,
        "logs of events": sum(log.budget for log in EVENT_LOGS),
        # Those that run, those that ended, and those that only forked.
        "processes of all panes": processes.MAX_BYTES + 2 * processes.ENDED_BYTES,
        "while it is paused": held.BYTES_MAX,
    }
    assert 0.85 * DEFAULT_MIB * MIB < sum(bounds.values()) <= DEFAULT_MIB * MIB


def test_a_bound_grows_and_shrinks_with_the_total(total_mib: int) -> None:
    assert scaled(100) == 100 * total_mib // DEFAULT_MIB
    assert ExecLog().ring.budget == scaled(BUDGET)
    assert TraceLog().ring.budget == scaled(TraceLog.budget)
    assert SyscallsModel().traced.budget == scaled(syscalls.TRACED_BYTES)


def flood(argument_bytes: int, count: int) -> Iterator[Batch]:
    """Programs that start and end, each with a long command line of its own, as they come from a stream."""
    for number in range(count):
        pid, at = 1000 + number, START + number / 100
        started = msgspec.structs.replace(exec_at(at, pid), argv=("/bin/true", f"{number:x}" * (argument_bytes // 4)))
        records = (started, exit_at(at + 0.001, pid))
        printed = Trace(time=at, task="a", pid=pid, cpu=0, message=f"{number:x}" * 200)
        for probe, some in (("execs", records), ("trace", (printed,))):
            yield Batch(probe, at, tuple(read_line(encode(record)) for record in some))


@pytest.mark.parametrize(("argument_bytes", "count"), [(64 << 10, 600), (2000, 5000), (20, 9000)])
def test_a_flood_of_command_lines_fills_no_more_than_was_granted(
    total_mib: int, argument_bytes: int, count: int
) -> None:
    models: list[Model] = [ExecLog(), UsersModel(), SyscallsModel(), TraceLog(), OpenLog()]
    paused: Held[None] = Held()
    kept = History(max_bytes=scaled(history.MAX_BYTES))
    gc.collect()
    tracemalloc.start()
    try:
        for batch in flood(argument_bytes, count):
            kept.add(batch.records)
            for model in models:
                model.feed(batch)
            for _ in paused.put(None, batch):
                pass
        del batch
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    log = models[0]
    assert isinstance(log, ExecLog)
    assert log.ring.first > 0, "the flood is too small to fill it"
    assert used < total_mib * MIB
    newest = log.ring[log.ring.end - 1].exec
    assert isinstance(newest, Exec)
    assert newest.pid == 1000 + count - 1
