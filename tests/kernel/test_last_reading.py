"""What is on its way when a probe is turned off, or the source ends: told, or counted as lost, under load."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Lost, Probe, ProbeName, Record
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter
from ebpftop.probes.execs import ExecsProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls.tracing import TracedCall
from tests.kernel.support import compile_c, needs_root

pytestmark = needs_root

# Attempts that fail, programs that start and end, and calls, without a pause. It says so when it has done enough.
BUSY_C = """
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char *none[] = {"none", 0}, *brief[] = {"true", 0};
    for (long i = 0;; i++) {
        execv("/nonexistent", none);
        syscall(SYS_getppid);
        if (i % 1000 == 0) {
            if (!vfork()) { execv("/bin/true", brief); _exit(1); }
            wait(0);
        }
        if (i == ENOUGH) write(1, "x", 1);
    }
}
"""
ENOUGH = 30_000  # events in the buffer: more than one round of reading takes


@contextmanager
def busy(folder: Path) -> Iterator[int]:
    program = compile_c(folder, "busy", BUSY_C, f"-DENOUGH={ENOUGH}")
    with subprocess.Popen([program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.read(1) == b"x"
            yield process.pid
        finally:
            process.kill()


def ended(source: KernelSource, name: ProbeName, way: str) -> list[Record]:
    """Turn the probe off, or end the source; return all that it said since its last reading."""
    if way == "finished":
        return [record for batch in source.finish() for record in batch.records]
    source.toggle(name)
    batch = source.poll(name, 0)
    assert batch is not None
    assert [record.state for record in batch.records if isinstance(record, Probe)][-1] == "off"
    return list(batch.records)


def lost(records: list[Record]) -> Counter[str]:
    return Counter({record.where: record.count for record in records if isinstance(record, Lost)})


@pytest.mark.parametrize("buffer", ["ring", "perf"])
@pytest.mark.parametrize("way", ["turned off", "finished"])
def test_execs_and_exits_are_told_or_lost(
    tmp_path: Path, way: str, buffer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = KernelSource(Options(probes=("execs",), filter=Filter(pids=(os.getpid(),)), buffer=buffer))  # type: ignore[arg-type]  # of two
    seen: dict[str, int] = {}
    probe = source.find(ExecsProbe)
    stop = probe.stop

    def count_and_stop() -> None:
        seen.update(seen or probe.seen())
        stop()

    monkeypatch.setattr(probe, "stop", count_and_stop)
    try:
        with busy(tmp_path):
            records = ended(source, "execs", way)
    finally:
        source.close()
    told = Counter(type(record) for record in records)
    assert seen["failed"] > ENOUGH
    dropped = lost(records)
    assert told[Exec] + dropped["ring"] == seen["exec"] + seen["failed"]
    assert told[Exit] + dropped["exits"] == seen["exit"]


@pytest.mark.parametrize("way", ["turned off", "finished"])
def test_users_are_counted_to_the_end(tmp_path: Path, way: str) -> None:
    source = KernelSource(Options(probes=("users",), filter=Filter(pids=(os.getpid(),))))
    try:
        with busy(tmp_path):
            records = ended(source, "users", way)
            time.sleep(0.2)
    finally:
        source.close()
    told = [record for record in records if isinstance(record, Users)][-1].rows
    kept = source._probes["users"]._before  # type: ignore[attr-defined]  # the users probe's
    assert [(row.uid, row.execs, row.failed) for row in told] == [(uid, c.execs, c.failed) for uid, c in kept.items()]
    assert told[0].failed > ENOUGH


def traced_to_the_end(tmp_path: Path, way: str) -> list[Record]:
    """Return all records of the syscalls probe, which traces getppid of this process's children until it ends."""
    options = Options(probes=("syscalls",), filter=Filter(pids=(os.getpid(),)), trace=(TracedCall("x86_64", 110),))
    source = KernelSource(options)
    try:
        with busy(tmp_path):
            return ended(source, "syscalls", way)
    finally:
        source.close()


@pytest.mark.parametrize("way", ["turned off", "finished"])
def test_traced_calls_are_told_or_lost(tmp_path: Path, way: str) -> None:
    records = traced_to_the_end(tmp_path, way)
    told = len([record for record in records if isinstance(record, Syscall)])
    rows = [record for record in records if isinstance(record, Syscalls)][-1].rows
    (counted,) = [row.count for row in rows if row.name == "getppid"]
    dropped = lost(records)
    assert counted > ENOUGH
    assert told + dropped["rate"] + dropped["ring"] == counted


@pytest.mark.parametrize("way", ["turned off", "finished"])
def test_calls_are_counted_and_timed_to_the_same_moment(tmp_path: Path, way: str) -> None:
    """Where calls begin is detached first: what is made from then on is no call that was denied, and in no count."""
    records = traced_to_the_end(tmp_path, way)
    rows = [record for record in records if isinstance(record, Syscalls)][-1].rows
    (row,) = [row for row in rows if row.name == "getppid"]
    assert row.count > ENOUGH
    assert row.count - sum(row.histogram_ns) <= 1  # one may be on its way
    assert {record.ns is None for record in records if isinstance(record, Syscall)} == {False}
