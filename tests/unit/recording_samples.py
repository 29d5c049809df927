"""Records for tests of recordings: made up, small, and each one tellable from all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import SCHEMA, Fullest, Header, Lost, Probe, Record
from ebpftop.core.source import Batch, Source
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.recording import RecordingWriter
from ebpftop.sources.replay import ReplaySource

START = 1795352000.0
HEADER = Header(schema=SCHEMA, version="0.1.0", host="demo", kernel="6.18.0", abi="x86_64", started=START)


def exec_at(time: float, pid: int, ret: int = 0) -> Exec:
    return Exec(
        time=time,
        pid=pid,
        tid=pid,
        ppid=1,
        uid=1000,
        user="ann",
        comm=f"job{pid}",
        file="/usr/bin/job",
        argv=("job", f"--number={pid}", "a \\ b"),
        truncated=False,
        ret=ret,
        error="ENOENT" if ret else None,
        cgroup="/user.slice",
        start_ns=pid * 1000,
    )


def exit_at(time: float, pid: int) -> Exit:
    return Exit(
        time=time, pid=pid, uid=1000, comm=f"job{pid}", code=0, signal=None, duration_s=0.5, start_ns=pid * 1000
    )


def trace_at(time: float, number: int) -> Trace:
    return Trace(time=time, cpu=0, pid=number, task="bash", message=f"Hello World! {number}")


def users_at(time: float, execs: int) -> Users:
    return Users(time=time, rows=(UserRow(uid=1000, user="ann", execs=execs, failed=0),))


def syscalls_at(time: float, count: int) -> Syscalls:
    row = SyscallRow(abi="x86_64", nr=39, name="getpid", count=count, errors=0, histogram_ns=(0, 0, count))
    return Syscalls(time=time, rows=(row,))


def probes_on(time: float) -> list[Record]:
    return [
        Probe(time=time, probe="execs", state="on", via="raw_tracepoint", reason=None),
        Probe(time=time, probe="users", state="on", via="raw_tracepoint", reason=None),
        Probe(time=time, probe="syscalls", state="on", via="raw_tracepoint", reason=None),
        Probe(time=time, probe="trace", state="on", via="raw_tracepoint", reason=None),
    ]


def story(seconds: int, per_second: int = 20) -> Iterator[Record]:
    """Yield what a machine did: every third program keeps running for 40 s, every fifth exec fails."""
    yield from probes_on(START)
    for pid in range(2, 12):
        yield Process(time=START, pid=pid, ppid=1, uid=0, user="root", comm=f"d{pid}", argv=(f"d{pid}",), start_ns=pid)
    ends: list[tuple[float, int]] = []
    pid = 1000
    for second in range(seconds):
        for at in range(per_second):
            now = START + second + at / per_second
            pid += 1
            failed = pid % 5 == 0
            yield exec_at(now, pid, ret=-2 if failed else 0)
            if not failed:
                ends.append((now + (40 if pid % 3 == 0 else 0.3), pid))
            for end in sorted(end for end in ends if end[0] <= now):
                ends.remove(end)
                yield exit_at(now, end[1])
        now = START + second + 0.99
        yield trace_at(now, second)
        yield users_at(now, (second + 1) * per_second)
        yield syscalls_at(now, second * 100)
        if second % 7 == 3:
            yield Lost(time=now, probe="execs", where="ring", count=second)
            yield Fullest(time=now, probe="execs", share=1 - 1 / (second + 1), size=16 << 20)


def write(path: Path, records: list[Record]) -> Path:
    """Write a recording, header first."""
    with RecordingWriter(str(path)) as writer:
        writer.write([HEADER, *records])
    return path


def play(path: Path) -> tuple[list[Record], ReplaySource]:
    """Return all records of a recording as replay gives them at full speed, and the closed source with its damage."""
    source = ReplaySource(str(path), speed=0)
    try:
        return drain(source, lambda: source.finished), source
    finally:
        source.close()


def drain(source: Source, finished: Callable[[], bool]) -> list[Record]:
    """Poll *source* until *finished*; the records of each probe in their order."""
    records: list[Record] = []
    until_s = time.monotonic() + 60
    while not finished():
        assert time.monotonic() < until_s, "the source does not come to its end"
        for probe in source.probes:
            batch = source.poll(probe, 0.001)
            if batch is not None:
                records += batch.records
    return records


def key(record: Record) -> str:
    return repr(record)


def seek(source: ReplaySource, time: float) -> tuple[Batch, ...]:
    """Continue playing from *time*; return the batches that bring empty models there, as the screen does."""
    source.jump(time, source.next_jump())
    return source.timeline.snapshot_at(time).batches
