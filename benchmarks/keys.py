"""Print the CPU time of each key, and the time until its result is painted.

    sudo python benchmarks/keys.py [--rounds 20] [--size 120x35] [COMMAND ...]

*CPU first* is the CPU time of all threads from the key to the first painted byte, *CPU all* until it is quiet again.
Unlike *first* and *last*, which are times of a clock, these hardly depend on what else runs. The command is
`ebpftop live` unless another is given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from terminal import Screen

KEYS = (
    *(("move", b"j"), ("page", b"\x1b[5~"), ("help", b"?"), ("back", b"\x1b"), ("palette", b"\x10")),
    *(("close", b"\x1b"), ("details", b"\r"), ("back", b"\x1b"), ("columns", b"c"), ("back", b"\x1b")),
    *(("maximise", b"m"), ("restore", b"m")),
)
STILL_S = 0.15
QUIET_S = 0.05


def cpu_ns(pid: int) -> int:
    """Return the CPU time of all threads of *pid*; proc(5) has it only in ticks."""
    total = 0
    for task in Path("/proc", str(pid), "task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", default="120x35")
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    columns, lines = map(int, args.size.split("x"))
    command = args.command or [os.path.join(os.path.dirname(sys.executable), "ebpftop"), "live", "--interval", "10"]
    screen = Screen(command, (columns, lines))
    took: dict[str, list[tuple[float, ...]]] = {what: [] for what, _ in KEYS}
    try:
        if not screen.wait_for(b"EXECS/s"):
            raise SystemExit("it does not start")
        time.sleep(5)
        screen.press(b"kkkkkkkk")
        time.sleep(1)
        for _ in range(args.rounds):
            for what, key in KEYS:
                time.sleep(STILL_S)
                before_ns, mark, began_s = cpu_ns(screen.pid), screen.mark, time.perf_counter()
                screen.press(key)
                while screen.mark == mark and time.perf_counter() - began_s < 10:
                    time.sleep(0.0002)
                first_s, first_ns = time.perf_counter() - began_s, cpu_ns(screen.pid) - before_ns
                while time.perf_counter() - screen.painted_s < QUIET_S:
                    time.sleep(0.005)
                all_ns = cpu_ns(screen.pid) - before_ns
                last_s = screen.painted_s - began_s
                took[what].append((first_ns / 1e6, all_ns / 1e6, first_s * 1e3, last_s * 1e3))
    finally:
        screen.close()
    print(f"{'ms':10} {'CPU first':>10} {'CPU all':>10} {'first':>8} {'last':>8}")
    for what, measured in took.items():
        first, whole, first_ms, last_ms = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{what:10} {first:10.1f} {whole:10.1f} {first_ms:8.1f} {last_ms:8.1f}")


if __name__ == "__main__":
    main()
