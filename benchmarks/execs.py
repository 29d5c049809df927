#!/usr/bin/env python3
"""What the exec log costs: spawns a second under ebpftop, beside libbpf-tools' execsnoop, in one run.

    sudo .venv/bin/python benchmarks/execs.py [--rounds N] [--spawns N]

Each round runs every contender once, in turn, so that what else the machine does hits all of them. Printed: the median
of spawns a second, its ratio to that under execsnoop in the same rounds, and how many of the spawns each one reported.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ebpftop.kernel.tracefs import mount_privately

STORM = """
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
extern char **environ;
int main(int argc, char **argv)
{
    struct timespec a, b;
    int count = atoi(argv[1]), flying = 0;
    char *args[] = {"brief", "--with", "some arguments", NULL};
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < count; i++) {
        pid_t pid;
        if (posix_spawn(&pid, argv[2], NULL, NULL, args, environ)) return 1;
        if (++flying == 2) { wait(NULL); flying--; }
    }
    while (wait(NULL) > 0) ;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%f\\n", count / ((b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9));
    return 0;
}
"""
BRIEF = "int main(void) { return 0; }"


def contenders() -> dict[str, list[str] | None]:
    """Return the command of each contender; None runs the spawns alone."""
    ebpftop = [sys.executable, "-m", "ebpftop", "stream", "--probes", "execs"]
    found: dict[str, list[str] | None] = {"nothing": None}
    for name in ("execsnoop", "execsnoop-bpfcc"):
        path = shutil.which(name)
        if path:
            found[name] = [path]
    found["ebpftop"] = ebpftop
    found["ebpftop --no-failures"] = [*ebpftop, "--no-failures"]
    return found


def one(command: list[str] | None, programs: Path, spawns: int, out: Path) -> tuple[float, int]:
    """Return spawns a second with *command* running, and how many of them it reported."""
    with out.open("w") as sink:
        watcher = subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL) if command else None
        try:
            if watcher:
                time.sleep(4)  # until it is attached
            storm = [str(programs / "storm"), str(spawns), str(programs / "brief")]
            rate = float(subprocess.run(storm, check=True, capture_output=True, text=True).stdout)
            if watcher:
                time.sleep(1.5)
        finally:
            if watcher:
                watcher.send_signal(signal.SIGINT)
                watcher.wait()
    seen = sum(1 for line in out.read_text(errors="replace").splitlines() if "some arguments" in line)
    return rate, seen


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spawns", type=int, default=5000)
    args = parser.parse_args()
    mount_privately()  # execsnoop needs tracefs and does not mount it
    rates: dict[str, list[float]] = {}
    seen: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as directory:
        programs = Path(directory)
        for name, source in (("storm", STORM), ("brief", BRIEF)):
            (programs / f"{name}.c").write_text(source)
            subprocess.run(["gcc", "-O1", "-o", programs / name, programs / f"{name}.c"], check=True)
        for _ in range(args.rounds):
            for name, command in contenders().items():
                rate, count = one(command, programs, args.spawns, programs / "out")
                rates.setdefault(name, []).append(rate)
                seen.setdefault(name, []).append(count)
    peer = rates.get("execsnoop", rates["nothing"])
    print(f"{'':24} {'spawns/s':>9} {'of execsnoop':>13} {'reported':>9}   ({args.rounds} rounds of {args.spawns})")
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, peer, strict=True))
        reported = "" if name == "nothing" else str(min(seen[name]))
        print(f"{name:24} {statistics.median(values):9.0f} {ratio:12.1%} {reported:>9}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
