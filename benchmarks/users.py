#!/usr/bin/env python3
"""The cost of very many users: each of 100,000 uids starts a program, or tries one that does not exist.

    sudo .venv/bin/python benchmarks/users.py [--users N] [--probes LIST] [--size 120x35]

`ebpftop live` runs in a pseudo terminal, filtered to what this benchmark starts, and a second reader of the kernel in
this process reads the counters. Printed are: whether every attempt was counted, and how many under "other"; how long a
reading of the counters takes, the first one and later ones; the screen's memory, its CPU while nothing happens, and the
time from a key to the end of what it paints, before and after.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from terminal import Screen

from ebpftop.core.user_records import OTHER_UID, Users
from ebpftop.filters.spec import Filter
from ebpftop.probes.users import USERS_MAX
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options

FIRST_UID = 2_000_000
FAIL_EVERY = 10
IDLE_S = 10.0
KEYS = 40


def figures(screen: Screen, when: str) -> None:
    """Print the current cost of the screen."""
    time.sleep(2)
    before_s = screen.cpu_s()
    time.sleep(IDLE_S)
    cpu = (screen.cpu_s() - before_s) / IDLE_S
    keys = [screen.answered_s(b"j" if i % 4 else b"G") * 1e3 for i in range(KEYS)]
    worst = statistics.quantiles(keys, n=20)[-1]
    print(
        f"screen, {when:12} {screen.memory()[0]:.0f} MiB, {100 * cpu:.1f} % of a CPU idle, "
        f"a key {statistics.median(keys):.0f} ms (95 %: {worst:.0f} ms)",
        flush=True,
    )


def counters(source: KernelSource) -> tuple[Users, float]:
    """Return a reading, and the seconds that it took."""
    began_s = time.perf_counter()
    (record,) = source._probes["users"].read_counters(time.time())
    took_s = time.perf_counter() - began_s
    assert isinstance(record, Users)
    return record, took_s


def main() -> int:
    """Run it; return 1 if an attempt was not counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--probes", default="execs,users,syscalls,trace", help="of the screen; all")
    parser.add_argument("--size", default="120x35")
    args = parser.parse_args()
    columns, rows = (int(part) for part in args.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = Path(folder, "manyusers")
        subprocess.run(["gcc", "-O2", "-static", "-o", program, Path(__file__).with_name("manyusers.c")], check=True)
        command = [sys.executable, "-m", "ebpftop", "live", "--probes", args.probes, "--pid", str(os.getpid())]
        screen = Screen(command, (columns, rows))
        source = KernelSource(Options(probes=("users",), filter=Filter(pids=(os.getpid(),))))
        try:
            if not screen.wait_for(b"Users"):
                raise SystemExit("the screen never came up")
            time.sleep(3)
            screen.answered_s(b"\t")
            subprocess.run([program, "1000", "20", str(FAIL_EVERY)], check=True)
            already = sum(row.execs for row in counters(source)[0].rows)
            figures(screen, "20 users")
            began_s = time.perf_counter()
            subprocess.run([program, str(FIRST_UID), str(args.users), str(FAIL_EVERY)], check=True)
            took_s = time.perf_counter() - began_s
            print(f"{args.users:,} users each started a program in {took_s:.0f} s", flush=True)
            record, first_s = counters(source)
            later_s = [counters(source)[1] for _ in range(10)]
            other = next((row for row in record.rows if row.uid == OTHER_UID), None)
            execs = sum(row.execs for row in record.rows) - already
            failed = sum(row.failed for row in record.rows if row.uid >= FIRST_UID)
            print(f"counted               {execs:,} attempts, {failed:,} failed; {len(record.rows):,} rows")
            if other is not None:
                print(
                    f'of them under "other" {other.execs:,}, {other.failed:,} failed; the map holds {USERS_MAX:,} users'
                )
            print(
                f"a reading             {first_s * 1e3:.0f} ms at first, then {statistics.median(later_s) * 1e3:.0f} ms"
            )
            figures(screen, f"{args.users:,} users")
        finally:
            source.close()
            screen.close()
    # One more: the helper itself was started too.
    right = execs == args.users + 1 and failed == args.users // FAIL_EVERY
    print(
        "every attempt was counted" if right else f"WRONG: {args.users + 1:,} and {args.users // FAIL_EVERY:,} expected"
    )
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())
