"""Print how fast a recording of an hour of a busy machine is written, opened, searched and indexed.

    python benchmarks/recording.py [--seconds 3600] [--rate 2000] [--suffix .jsonl.zst] [--keep FILE]

The recording is artificial: *rate* execs and exits, and the counters of 60 users and 150 system calls, every second.
It is not shown anywhere else.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Header, Probe, ProbeName, Record
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.recording import RecordingWriter, Timeline
from ebpftop.sources.history import History
from ebpftop.sources.replay import ReplaySource

STARTED = 1795352000.0
SEEKS = 40


def seconds_of(seconds: int, rate: int) -> Iterator[Sequence[Record]]:
    """Yield the records of each second."""
    dice = random.Random(7)
    probes: tuple[ProbeName, ...] = ("execs", "users", "syscalls", "trace")
    yield [Probe(time=STARTED, probe=probe, state="on", via="raw_tracepoint", reason=None) for probe in probes] + [
        Process(
            time=STARTED, pid=pid, ppid=1, uid=0, user="root", comm=f"d{pid}", argv=(f"/usr/sbin/d{pid}",), start_ns=pid
        )
        for pid in range(2, 300)
    ]
    pid = 1000
    for second in range(seconds):
        records: list[Record] = []
        for at in range(rate // 2):
            now = STARTED + second + at * 2 / rate
            pid = 1000 + (pid - 999) % 31_000
            uid = dice.choice((0, 1000, 1001, 1002))
            files = tuple(f"src/module{dice.randrange(4000)}.c" for _ in range(3))
            records.append(
                Exec(
                    time=now,
                    pid=pid,
                    tid=pid,
                    ppid=dice.randrange(2, 300),
                    uid=uid,
                    user=f"user{uid}",
                    comm="cc1",
                    file="/usr/lib/gcc/x86_64-linux-gnu/14/cc1",
                    argv=("/usr/lib/gcc/x86_64-linux-gnu/14/cc1", "-quiet", "-O2", *files, "-o", f"/tmp/cc{pid:x}.s"),
                    truncated=False,
                    ret=0,
                    error=None,
                    cgroup=f"/user.slice/user-{uid}.slice/session-{uid % 7}.scope",
                    start_ns=int((now - STARTED) * 1e9),
                    pcomm="make",
                )
            )
            # One in fifty keeps running for a while.
            ended = pid if dice.random() < 0.98 else max(1000, pid - 500)
            records.append(
                Exit(
                    time=now + 0.0004,
                    pid=ended,
                    uid=uid,
                    comm="cc1",
                    code=0,
                    signal=None,
                    duration_s=dice.random() / 50,
                )
            )
        now = STARTED + second + 1 - 1e-3
        rows = tuple(
            UserRow(uid=uid, user=f"user{uid}", execs=second * uid, failed=uid % 3, last="cc1") for uid in range(60)
        )
        calls = tuple(
            SyscallRow(
                abi="x86_64",
                nr=nr,
                name=f"syscall{nr}",
                count=second * nr * 97,
                errors=nr % 5,
                histogram_ns=tuple(dice.randrange(1 << 20) for _ in range(24)),
                total_ns=second * nr * 977,
                max_ns=1 << 24,
            )
            for nr in range(150)
        )
        records += [
            Users(time=now, rows=rows),
            Syscalls(time=now, rows=calls),
            Trace(time=now, cpu=0, pid=pid, task="bash", message="Hello World!"),
        ]
        yield records


def make(path: str, seconds: int, rate: int) -> None:
    """Write the recording, and print the cost."""
    header = Header(schema=2, version="0", host="bench", kernel="6.18", abi="x86_64", started=STARTED)
    written_s = 0.0
    with RecordingWriter(path, replace=True) as writer:
        writer.write((header,))
        for records in seconds_of(seconds, rate):
            began = time.perf_counter()
            writer.write(records)
            written_s += time.perf_counter() - began
    size = os.path.getsize(path)
    print(
        f"recording    {writer.records} records, {size / 1e6:.0f} MB, {size / writer.records:.0f} bytes a record; "
        f"write() took {written_s / writer.records * 1e6:.1f} us a record"
    )


def first_batch(path: str) -> tuple[ReplaySource, float]:
    """Open *path* as replay does; return the source, and the seconds to its first exec batch and a rebuilt screen."""
    began = time.perf_counter()
    source = ReplaySource(path, speed=0)
    while source.poll("execs", 1.0) is None:
        pass
    return source, time.perf_counter() - began


def seeks(timeline: Timeline) -> list[tuple[float, float]]:
    """Return the seconds by the clock and of the thread's CPU for each of some random seeks."""
    first, last = timeline.span
    dice = random.Random(11)
    took = []
    for _ in range(SEEKS):
        began, cpu = time.perf_counter(), time.thread_time()
        timeline.snapshot_at(dice.uniform(first, last))
        took.append((time.perf_counter() - began, time.thread_time() - cpu))
    return took


def tell(name: str, took: list[tuple[float, float]]) -> None:
    """Print median and worst, in milliseconds. If other programs run, the CPU time is more reliable."""
    by_clock, by_cpu = ([each[part] * 1e3 for each in took] for part in (0, 1))
    print(
        f"{name:12} median {statistics.median(by_clock):.0f} ms, worst {max(by_clock):.0f} ms of {len(took)}; "
        f"CPU {statistics.median(by_cpu):.0f} and {max(by_cpu):.0f} ms"
    )


def main() -> None:
    """Make a recording, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--rate", type=int, default=2000, help="records per second")
    parser.add_argument("--suffix", default=".jsonl.zst", help="of the file: .jsonl or .jsonl.zst")
    parser.add_argument("--keep", help="a recording to make once and use again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = args.keep or str(Path(scratch) / f"hour{args.suffix}")
        if not os.path.exists(path):
            make(path, args.seconds, args.rate)
        source, opened_s = first_batch(path)
        print(f"open         {opened_s * 1e3:.0f} ms to the first batch")
        source.pause()
        tell("seek, early", seeks(source.timeline))
        began = time.perf_counter()
        while source.timeline.indexed < 1.0:
            time.sleep(0.05)
        print(f"index        complete {time.perf_counter() - began:.1f} s later, in the background")
        tell("seek", seeks(source.timeline))
        began = time.perf_counter()
        known = sum(rate is not None for rate in source.timeline.rates(200))
        print(f"rates        {known} of 200 buckets in {(time.perf_counter() - began) * 1e3:.1f} ms")
        source.close()
    history = History()
    spent_s = 0.0
    count = 0
    for records in seconds_of(min(args.seconds, 1200), args.rate):
        began = time.perf_counter()
        history.add(records)
        spent_s += time.perf_counter() - began
        count += len(records)
    header = Header(schema=2, version="0", host="bench", kernel="6.18", abi="x86_64", started=STARTED)
    timeline = Timeline(header, history, history.index)
    first, last = timeline.span
    used_mb, bound_mb = history.bytes_used / 1e6, history.max_bytes / 1e6
    print(
        f"history      {last - first:.0f} s kept in {used_mb:.1f} of {bound_mb:.1f} MB; "
        f"add() took {spent_s / count * 1e6:.1f} us a record"
    )
    tell("look back", seeks(timeline))


if __name__ == "__main__":
    main()
