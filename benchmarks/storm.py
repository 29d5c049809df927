"""Print how fast the live screen answers keys, alone and while a system call is made millions of times a second.

    sudo python benchmarks/storm.py [--rounds 5] [--keys 60] [--size 120x35]

`ebpftop` runs in a pseudo terminal with its system calls maximised; *latency* is from a key (j, k) to the first painted
byte. Rounds alternate: *storm* is getppid without end on the last CPU, *busy* the same CPU kept busy without a call, so
the difference between these two is the effect of the calls. *CPU* is that of ebpftop's process meanwhile, keys
included; *reading* is how long it takes to read the counters, without a screen.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from screen import Terminal

HERE = Path(__file__).resolve()
SETTLE_S = 1.5
WHATS = ("calm", "busy", "storm")


@contextmanager
def going_on(what: str, program: Path) -> Iterator[None]:
    """Keep the last CPU busy: with getppid without end (storm), with no system call at all (busy), or not (calm)."""
    commands = {
        "calm": ["sleep", "3600"],
        "busy": ["sh", "-c", "while :; do :; done"],
        "storm": [str(program), "1000000"],
    }
    cpu = str(max(os.sched_getaffinity(0)))
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", cpu, *commands[what]], stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        child.kill()
        child.wait()


def latency(terminal: Terminal, key: str) -> float:
    """Return the seconds from a key to the next painted byte."""
    # First drop what a reading painted.
    while select.select([terminal.fd], [], [], 0.03)[0]:
        os.read(terminal.fd, 1 << 16)
    began_s = time.perf_counter()
    terminal.press(key)
    if not select.select([terminal.fd], [], [], 20.0)[0]:
        raise SystemExit(f"the screen does not answer {key}")
    took_s = time.perf_counter() - began_s
    os.read(terminal.fd, 1 << 16)
    return took_s


def pressed(terminal: Terminal, keys: int) -> tuple[list[float], float]:
    """Press *keys* keys; return the latency of each, and the share of a CPU that the screen used."""
    terminal.painted_for(SETTLE_S)
    began_s, began_cpu_s = time.perf_counter(), terminal.cpu_s
    times = [latency(terminal, "jk"[i % 2]) for i in range(keys)]
    return times, (terminal.cpu_s - began_cpu_s) / (time.perf_counter() - began_s)


def readings(program: Path) -> dict[str, list[float]]:
    """Return how many seconds each reading of the counters took."""
    from ebpftop.sources.live import KernelSource
    from ebpftop.sources.live_options import Options

    source = KernelSource(Options(probes=("syscalls",)))
    took: dict[str, list[float]] = {name: [] for name in WHATS}

    def read() -> float:
        began_s = time.perf_counter()
        source.read_all()
        return time.perf_counter() - began_s

    try:
        for what in WHATS * 5:
            with going_on(what, program):
                time.sleep(0.2)
                took[what] += [read() for _ in range(5)]
    finally:
        source.close()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--size", default="120x35")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    took: dict[str, list[float]] = {what: [] for what in WHATS}
    cpu: dict[str, list[float]] = {what: [] for what in WHATS}
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "getppid"
        subprocess.run(["gcc", "-O2", "-o", program, HERE.with_name("getppid.c")], check=True)
        command = [os.path.join(os.path.dirname(sys.executable), "ebpftop"), "live", "--probes", "syscalls"]
        terminal = Terminal(command, (width, height))
        terminal.wait(lambda painted: b"EXECS/s" in painted)
        terminal.painted_for(SETTLE_S)
        # Far enough from both ends of the table that each key moves something.
        for key in ("\t", "\t", "m", *"jjjjjjjj"):
            terminal.press(key)
            terminal.painted_for(0.3)
        for what in WHATS * args.rounds:
            with going_on(what, program):
                times, share = pressed(terminal, args.keys)
            took[what] += times
            cpu[what].append(share)
        terminal.close()
        read = readings(program)
    print(f"{'':8} {'latency ms: median':>20} {'p95':>7} {'CPU':>7} {'reading ms':>12}")
    for name, times in took.items():
        p95 = statistics.quantiles(times, n=20)[-1]
        print(
            f"{name:8} {statistics.median(times) * 1e3:20.1f} {p95 * 1e3:7.1f} {statistics.median(cpu[name]):7.1%} "
            f"{statistics.median(read[name]) * 1e3:12.1f}"
        )


if __name__ == "__main__":
    main()
