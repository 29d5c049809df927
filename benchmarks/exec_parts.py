#!/usr/bin/env python3
"""Where the time of an exec goes in the kernel: ns in each program of ebpftop, from the kernel's own run statistics.

    sudo .venv/bin/python benchmarks/exec_parts.py [--probes execs,users] [--rounds N] [--spawns N] [--no-failures]
                                                 [--totals]

A program (`brief`, with two arguments) is started again and again on one CPU. Printed for each program that runs at an
exec or an exit: runs for each start, ns of a run (in the fastest round, and the median), and ns for each start. The
first line is of a program that does nothing: that much of each run is the measurement itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import KernelProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options

HERE = Path(__file__).resolve()
BRIEF = "int main(void) { return 0; }"
EMPTY = """#include "ebpftop.h"
int empty(void *ctx) { return 0; }
"""
OFTEN = 20
"""A program that runs more often for each start belongs to system calls, not to an exec."""


def build(folder: Path) -> None:
    """Compile the program that starts others, and the one that is started."""
    (folder / "brief.c").write_text(BRIEF)
    for name, source in (("flood", HERE.with_name("flood.c")), ("brief", folder / "brief.c")):
        subprocess.run(["gcc", "-O1", "-static", "-o", folder / name, source], check=True)


def storm(folder: Path, spawns: int, cpu: int) -> float:
    """Start `brief` *spawns* times on *cpu*; return the seconds that it took."""
    command = [str(folder / "flood"), "exec", "0", str(spawns), "600", str(folder / "brief"), "--with", "some words"]
    done = subprocess.run(["taskset", "-c", str(cpu), *command], check=True, capture_output=True, text=True).stdout
    return float(done.split()[1])


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", default="execs,users,syscalls,trace")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spawns", type=int, default=2000)
    parser.add_argument("--no-failures", action="store_true")
    parser.add_argument("--totals", action="store_true", help="as `ebpftop serve` attaches them")
    args = parser.parse_args()
    source = KernelSource(
        Options(
            probes=tuple(args.probes.split(",")),
            failures=not args.no_failures,
            exec_events=not args.totals,
            in_flight=not args.totals,
            processes=not args.totals,
        )
    )
    cpu = max(os.sched_getaffinity(0))
    ns: dict[str, list[float]] = {}
    per_start: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        build(folder)
        (folder / "empty.c").write_text(EMPTY)
        nothing = Module(str(folder / "empty.c"), kernel_defines(), source._filter.shared)
        nothing.attach("raw_tracepoint", "sched_process_exec", "empty")
        programs = {"(nothing)": nothing.programs["empty"]}
        for name, probe in source._probes.items():
            if isinstance(probe, KernelProbe) and probe.module:
                programs |= {f"{name}: {function}": fd for function, fd in probe.module.programs.items()}
        for _ in range(args.rounds):
            stats_fd = bpf_syscall.enable_stats()
            before = {name: bpf_syscall.runs(fd) for name, fd in programs.items()}
            storm(folder, args.spawns, cpu)
            after = {name: bpf_syscall.runs(fd) for name, fd in programs.items()}
            bpf_syscall.close_stats(stats_fd)
            source.read_all()
            for name, start in before.items():
                runs = after[name].run_count - start.run_count
                if args.spawns // 2 <= runs <= args.spawns * OFTEN:
                    ns.setdefault(name, []).append((after[name].run_time_ns - start.run_time_ns) / runs)
                    per_start[name] = runs / args.spawns
            time.sleep(0.2)
    nothing.close()
    source.close()
    print(f"{'':44} {'runs/start':>10} {'ns a run':>9} {'median':>7} {'ns/start':>9}")
    for name, times in sorted(ns.items(), key=lambda item: per_start[item[0]]):
        print(f"{name:44} {per_start[name]:10.1f} {min(times):9.0f} {statistics.median(times):7.0f}", end="")
        print(f" {min(times) * per_start[name]:9.0f}")


if __name__ == "__main__":
    main()
