#!/usr/bin/env python3
"""What the exec log costs: spawns per second under ebpftop and under libbpf-tools' execsnoop, in one run.

    sudo .venv/bin/python benchmarks/execs.py [--rounds N] [--spawns N]

Each round runs every contender once, in turn, so that other work of the machine affects all of them. Printed: the
median of spawns per second, its ratio to that under execsnoop in the same rounds, and the spawns that each reported.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ebpftop.kernel.tracefs import mount_privately

_STORM = re.compile(r'flood"?[ ,]+"?exec\b')  # the command that starts the others, as text or in JSON
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
    """Return spawns per second while *command* runs, and how many of them it reported."""
    with out.open("w") as sink:
        watcher = subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL) if command else None
        try:
            if watcher:
                time.sleep(4)  # until it is attached
            storm = [
                str(programs / "flood"),
                "exec",
                "0",
                str(spawns),
                "600",
                str(programs / "brief"),
                "--with",
                "some arguments",
            ]
            done, took_s = subprocess.run(storm, check=True, capture_output=True, text=True).stdout.split()
            rate = int(done) / float(took_s)
            if watcher:
                time.sleep(1.5)
        finally:
            if watcher:
                watcher.send_signal(signal.SIGINT)
                watcher.wait()
    lines = out.read_text(errors="replace").splitlines()
    seen = sum("some arguments" in line and not _STORM.search(line) for line in lines)
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
        (programs / "brief.c").write_text(BRIEF)
        for name, source in (("flood", Path(__file__).with_name("flood.c")), ("brief", programs / "brief.c")):
            subprocess.run(["gcc", "-O1", "-o", programs / name, source], check=True)
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
