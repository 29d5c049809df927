"""The cost that watching system calls adds to a getppid: an empty program, ebpftop, and its peers, in one run.

    sudo python benchmarks/syscalls.py [--rounds 7] [--only ebpftop] [--failing]

Needs gcc; bpftrace and libbpf-tools' syscount are left out if they are not installed. `--only` leaves out the ways
whose names do not have its text. `--failing` measures a call that fails, close(-1), instead of getppid. Rounds are
interleaved, so that other work of the machine affects all in the same way. In each round the fastest of many short
batches counts, because noise only adds time. A measurement is repeated if something else watched system calls
meanwhile. The last lines show whether ebpftop keeps its promises: counting alone costs at most half of bpftrace's count
and 1.3 times an empty program; with latency and errors, at most half of bpftrace's count plus latency histogram.
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
BATCHES, CALLS = 500, 2000
ATTACHED_NS = 25.0
"""None of the peers costs less: if a getppid takes this much longer, it is watched."""
QUIET_NS, TRIES = 4.0, 6
"""If getppid before and after a measurement differs by more, something else watched it too: measure again."""

EMPTY = "int empty(void *ctx) { return 0; }"
TRACEFS = 'mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing; exec "$0" "$@"'
COUNT = "tracepoint:raw_syscalls:sys_enter { @[args->id] = count(); }"
LATENCY = (
    "tracepoint:raw_syscalls:sys_enter { @[args->id] = count(); @at[tid] = nsecs; } "
    "tracepoint:raw_syscalls:sys_exit /@at[tid]/ { @ns[args->id] = hist(nsecs - @at[tid]); delete(@at[tid]); }"
)


class Way(NamedTuple):
    """One way of watching: its name, the command that does it until SIGINT, and which program of others that needs."""

    name: str
    command: Sequence[str]
    program: str = ""


def myself(what: str) -> Sequence[str]:
    """Return the command that runs one of ebpftop's ways."""
    return [sys.executable, str(HERE), "--hold", what]


def with_tracefs(*command: str) -> Sequence[str]:
    """Return *command* with tracefs; if it is not mounted, it is mounted for the command alone."""
    return ["unshare", "--mount", "sh", "-c", TRACEFS, *command]


WAYS = (
    Way("empty raw_tracepoint program", myself("empty")),
    Way("ebpftop, counting alone", myself("count")),
    Way("ebpftop, latency and errors", myself("latency")),
    Way("ebpftop, and processes (default)", myself("processes")),
    Way("ebpftop, cgroups alone", myself("cgroups,")),
    Way("ebpftop, default and cgroups", myself("syscalls,cgroups")),
    Way("ebpftop, execs and users", myself("execs,users")),
    Way("ebpftop, all four panes", myself("execs,users,syscalls,trace")),
    Way("bpftrace count", with_tracefs("bpftrace", "-e", COUNT), "bpftrace"),
    Way("bpftrace count and latency", with_tracefs("bpftrace", "-e", LATENCY), "bpftrace"),
    Way("syscount", with_tracefs("syscount", "-d", "3600"), "syscount"),
    Way("syscount -L", with_tracefs("syscount", "-L", "-d", "3600"), "syscount"),
)


def hold(what: str) -> None:
    """Attach, and read the counters once a second, until SIGINT."""
    if what == "empty":
        import bcc

        from ebpftop.kernel.stub_headers import header_tree

        with header_tree() as tree:
            os.environ["BCC_KERNEL_SOURCE"] = str(tree.folder)
            bpf = bcc.BPF(text=EMPTY, cflags=list(tree.flags))
        bpf.attach_raw_tracepoint(tp=b"sys_enter", fn_name=b"empty")

        def read() -> None:
            time.sleep(1)
    else:
        from ebpftop.sources.live import KernelSource
        from ebpftop.sources.live_options import Options

        if "," in what:
            options = Options(probes=tuple(filter(None, what.split(","))))
        else:
            options = Options(probes=("syscalls",), latency=what != "count", processes=what == "processes")
        source = KernelSource(options)

        def read() -> None:
            source.poll(options.probes[-1], 1.0)

    print("up", flush=True)
    try:
        while True:
            read()
    except KeyboardInterrupt:
        return


class Stopwatch:
    """Measures getppid, or a call that fails, on one CPU, in ns."""

    def __init__(self, directory: Path, *, failing: bool = False) -> None:
        self._failing = ("failing",) if failing else ()
        self._program = directory / "getppid"
        subprocess.run(["gcc", "-O2", "-o", self._program, HERE.with_name("getppid.c")], check=True)
        self.cpu = max(os.sched_getaffinity(0))

    def batches(self, batches: int, calls: int) -> list[float]:
        """Return the time of one call in each of *batches* batches."""
        done = subprocess.run(
            ["taskset", "-c", str(self.cpu), self._program, str(batches), str(calls), *self._failing],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [float(line) for line in done.stdout.split()]

    def fastest(self) -> float:
        """Return the time of one call in the fastest of many batches."""
        return min(self.batches(BATCHES, CALLS))


@contextmanager
def watched(way: Way, stopwatch: Stopwatch, base_ns: float) -> Iterator[None]:
    """Run a way of watching. The block starts when getppid has become slower, so the way is attached."""
    others = os.sched_getaffinity(0) - {stopwatch.cpu} or {stopwatch.cpu}
    child = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, sorted(others))), *way.command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        if "--hold" in way.command:
            child.stdout.readline()
        else:
            until_s = time.monotonic() + 60
            slow = 0
            while slow < 3 and child.poll() is None and time.monotonic() < until_s:
                slow = slow + 1 if min(stopwatch.batches(40, 4000)) > base_ns + ATTACHED_NS else 0
                time.sleep(0.2)
        # It attaches the rest right after.
        time.sleep(0.7)
        if child.poll() is not None:
            raise SystemExit(f"{way.name} did not attach: run {shlex.join(way.command)} to see why")
        yield
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.communicate(timeout=20)
        except subprocess.TimeoutExpired:  # bpftrace ignores a signal that comes at the wrong moment
            child.kill()
            child.communicate()


def measured(way: Way, stopwatch: Stopwatch, best_ns: float | None) -> tuple[float, float]:
    """Return the time of getppid alone, and what *way* adds to it. *best_ns* is the shortest time so far."""
    for _ in range(TRIES):
        before_ns = stopwatch.fastest()
        with watched(way, stopwatch, before_ns):
            during_ns = stopwatch.fastest()
        after_ns = stopwatch.fastest()
        base_ns = min(before_ns, after_ns)
        if max(before_ns, after_ns) - min(base_ns, best_ns or base_ns) <= QUIET_NS:
            return base_ns, during_ns - base_ns
    raise SystemExit("something else on this machine traces system calls, or changes its clock: nothing can be said")


def main() -> None:
    """Measure all ways, print what each adds, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", metavar="TEXT", default="")
    parser.add_argument("--failing", action="store_true")
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hold:
        hold(args.hold)
        return
    bases: list[float] = []
    ways = [way for way in WAYS if args.only in way.name]
    for missing in (way for way in ways[:] if way.program and not shutil.which(way.program)):
        print(f"{missing.name}: {missing.program} is not installed", file=sys.stderr)
        ways.remove(missing)
    added: dict[str, list[float]] = {way.name: [] for way in ways}
    with tempfile.TemporaryDirectory() as directory:
        stopwatch = Stopwatch(Path(directory), failing=args.failing)
        for _ in range(args.rounds):
            for way in ways:
                print(f"\r{way.name:<36}", end="", file=sys.stderr, flush=True)
                base_ns, added_ns = measured(way, stopwatch, min(bases, default=None))
                bases.append(base_ns)
                added[way.name].append(added_ns)
    call = "close(-1)" if args.failing else "getppid"
    print(f"\r{call} alone: {min(bases):.0f} ns at best, {statistics.median(bases):.0f} ns in the median round")
    print(f"{f'ns added to a {call}':<36} {'best':>6} {'median':>7}   of {args.rounds} rounds")
    for name, times in added.items():
        print(f"{name:<36} {min(times):6.0f} {statistics.median(times):7.0f}")
    judge(added)


def judge(added: dict[str, list[float]]) -> None:
    """Print whether each promise is kept, by the median of the ratios of the rounds."""
    for what, of, most in (
        ("ebpftop, counting alone", "bpftrace count", 0.5),
        ("ebpftop, counting alone", "empty raw_tracepoint program", 1.3),
        ("ebpftop, latency and errors", "bpftrace count and latency", 0.5),
        ("ebpftop, and processes (default)", "bpftrace count and latency", 0.5),
    ):
        if not {what, of} <= added.keys():
            continue
        ratio = statistics.median(ours / theirs for ours, theirs in zip(added[what], added[of], strict=True))
        print(f"{'held  ' if ratio <= most else 'MISSED'} {what}: {ratio:.2f} of {of}, at most {most}")


if __name__ == "__main__":
    main()
