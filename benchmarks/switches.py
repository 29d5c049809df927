"""What it costs a switch from one thread to another to be watched: ebpftop, and its peers, in one run.

    sudo python benchmarks/switches.py [--rounds 5] [--only ebpftop]

Two processes on one CPU pass a byte back and forth through pipes (switches.c): each pass is a wake-up and a switch.
Needs gcc; what is not installed (bpftrace, perf, libbpf-tools' offcputime) is left out. `--only` leaves out the ways
whose names do not have its text. Each way is measured between two measurements without it, and in each the fastest of
many short batches counts, since noise only adds time. The bpftrace script keeps the same figures as ebpftop: time on
CPU, in the queue and blocked for each process. `perf sched record` writes every switch into a file, to be added up
later. The last line shows whether ebpftop keeps its promise: at most 0.5 of what that script adds.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve()
BATCHES, PASSES = 500, 400
ATTACHED_NS = 60.0
"""None of the peers costs less: if a pass takes this much longer, it is watched."""
TRACEFS = 'mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing; exec "$0" "$@"'
SCRIPT = """
tracepoint:sched:sched_waking /@off[args->pid]/ {
    @blocked[args->pid] = sum(nsecs - @off[args->pid]); delete(@off[args->pid]);
    @queued[args->pid] = nsecs; @waker[args->pid, pid] = count();
}
tracepoint:sched:sched_switch {
    if (@on[args->prev_pid]) { @running[args->prev_pid] = sum(nsecs - @on[args->prev_pid]); }
    if (args->prev_state) { @off[args->prev_pid] = nsecs; } else { @queued[args->prev_pid] = nsecs; }
    if (@queued[args->next_pid]) {
        @runnable[args->next_pid] = sum(nsecs - @queued[args->next_pid]); delete(@queued[args->next_pid]);
    }
    @on[args->next_pid] = nsecs;
}
"""


class Way(NamedTuple):
    """One way of watching: its name, the command that does it until SIGINT, and which program of others that needs."""

    name: str
    command: Sequence[str]
    program: str = ""


def with_tracefs(*command: str) -> Sequence[str]:
    """Return *command* with tracefs; if it is not mounted, it is mounted for the command alone."""
    return ["unshare", "--mount", "sh", "-c", TRACEFS, *command]


OURS, THEIRS = "ebpftop, states", "bpftrace, the same figures"
WAYS = (
    Way(OURS, [sys.executable, "-m", "ebpftop", "stream", "--probes", "states"]),
    Way(THEIRS, with_tracefs("bpftrace", "-e", SCRIPT), "bpftrace"),
    Way("offcputime", with_tracefs("offcputime", "3600"), "offcputime"),
    Way("perf sched record", with_tracefs("perf", "sched", "record", "-o", "/dev/null", "sleep", "3600"), "perf"),
)


class Stopwatch:
    """Measures one pass, in ns."""

    def __init__(self, directory: Path) -> None:
        self._program = directory / "switches"
        subprocess.run(["gcc", "-O2", "-o", self._program, HERE.with_name("switches.c")], check=True)
        self.cpu = max(os.sched_getaffinity(0))

    def fastest(self, batches: int = BATCHES) -> float:
        """Return the time of one pass in the fastest of *batches* batches."""
        done = subprocess.run(
            ["taskset", "-c", str(self.cpu), self._program, str(batches), str(PASSES)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return min(map(float, done.stdout.split()))


@contextmanager
def watched(way: Way, stopwatch: Stopwatch, base_ns: float) -> Iterator[None]:
    """Run a way of watching on the other CPUs. The block starts when a pass has become slower, so it is attached."""
    others = os.sched_getaffinity(0) - {stopwatch.cpu} or {stopwatch.cpu}
    child = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, sorted(others))), *way.command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until_s = time.monotonic() + 60
        slow = 0
        while slow < 3 and child.poll() is None and time.monotonic() < until_s:
            slow = slow + 1 if stopwatch.fastest(100) > base_ns + ATTACHED_NS else 0
            time.sleep(0.1)
        if slow < 3:
            raise SystemExit(f"{way.name} did not attach: run {shlex.join(way.command)} to see why")
        time.sleep(0.7)  # it attaches the rest
        yield
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> None:
    """Measure all ways, print what each adds, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", metavar="TEXT", default="")
    args = parser.parse_args()
    ways = [way for way in WAYS if args.only in way.name]
    for missing in (way for way in ways[:] if way.program and not shutil.which(way.program)):
        print(f"{missing.name}: {missing.program} is not installed", file=sys.stderr)
        ways.remove(missing)
    bases: list[float] = []
    added: dict[str, list[float]] = {way.name: [] for way in ways}
    with tempfile.TemporaryDirectory() as directory:
        stopwatch = Stopwatch(Path(directory))
        for _ in range(args.rounds):
            for way in ways:
                print(f"\r{way.name:<30}", end="", file=sys.stderr, flush=True)
                before_ns = stopwatch.fastest()
                with watched(way, stopwatch, before_ns):
                    during_ns = stopwatch.fastest()
                base_ns = min(before_ns, stopwatch.fastest())
                bases.append(base_ns)
                added[way.name].append(during_ns - base_ns)
    print(f"\ra pass alone: {min(bases):.0f} ns at best, {statistics.median(bases):.0f} ns in the median round")
    print(f"{'ns added to a pass':<30} {'best':>6} {'median':>7}   of {args.rounds} rounds")
    for name, times in added.items():
        print(f"{name:<30} {min(times):6.0f} {statistics.median(times):7.0f}")
    if {OURS, THEIRS} <= added.keys():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(added[OURS], added[THEIRS], strict=True))
        print(f"{'held  ' if ratio <= 0.5 else 'MISSED'} {OURS}: {ratio:.2f} of {THEIRS}, at most 0.5")


if __name__ == "__main__":
    main()
