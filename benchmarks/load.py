"""Print how fast the live screen and htop answer keys while many processes keep every CPU busy.

    sudo python benchmarks/load.py [--busy 30] [--rounds 8] [--together]

Both run at the same time, each in a pseudo terminal, and get their keys in turn, so that both see the same minute.
*move* is from j (htop: the arrow) to the first painted byte, *help* from ? (htop: h) to the help on the terminal,
*back* from Esc, in both, to the first painted byte: both wait 25 ms for what may follow an Esc (htop, on an idle
machine: 30 ms from Esc to the first painted byte, 5 from a blank). The bar: ebpftop takes at most twice as long as
htop. With --together all busy processes share one session, which counts as one for a kernel that groups by session;
without, each has its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terminal import Screen

BUSY = "while :; do :; done"
PAUSE_S = 0.4
BAR = 2.0
TIMEOUT_S = 60.0
NICE = -20
"""The nice value of this process, once all others run."""


@contextmanager
def overloaded(count: int, together: bool) -> Iterator[None]:
    """Run *count* busy processes."""
    command = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", BUSY]  # none outlives this process
    busy = [subprocess.Popen(command, start_new_session=not together) for _ in range(count)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
        for one in busy:
            one.wait()


def painted_s(screen: Screen, key: bytes) -> float:
    """Send *key*; return the seconds until anything is painted."""
    mark = screen.mark
    began_s = time.perf_counter()
    screen.press(key)
    while screen.mark == mark:
        if time.perf_counter() - began_s > TIMEOUT_S:
            raise SystemExit(f"{key!r} was not answered")
        time.sleep(0.001)
    return time.perf_counter() - began_s


def shown_s(screen: Screen, key: bytes, text: bytes) -> float:
    """Send *key*; return the seconds until *text* is painted."""
    mark = screen.mark
    began_s = time.perf_counter()
    screen.press(key)
    while text not in screen.painted(mark):
        if time.perf_counter() - began_s > TIMEOUT_S:
            raise SystemExit(f"{key!r} did not show {text!r}")
        time.sleep(0.001)
    return time.perf_counter() - began_s


@contextmanager
def in_time() -> Iterator[None]:
    """Let this process read the terminals at once: otherwise it would wait for a processor itself, up to a second."""
    group = Path("/proc/self/autogroup")
    before = group.read_text().split()[-1] if group.exists() else None
    try:
        for task in Path("/proc/self/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), NICE)
        if before is not None:
            group.write_text(str(NICE))
        yield
    finally:
        if before is not None:
            time.sleep(0.2)  # it may only be changed ten times a second
            group.write_text(before)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--together", action="store_true")
    args = parser.parse_args()
    command = [os.path.join(os.path.dirname(sys.executable), "ebpftop"), "live"]
    ebpftop = Screen(command, (120, 35))
    htop = Screen(["htop", "-d", "10"], (120, 35))
    took: dict[str, tuple[list[float], list[float]]] = {what: ([], []) for what in ("move", "help", "back")}
    try:
        if not ebpftop.wait_for(b"EXECS/s") or not htop.wait_for(b"Help"):
            raise SystemExit("they do not start")
        # No key of theirs moves anything that is not there.
        ebpftop.press(b"kkkkkkkk")
        with overloaded(args.busy, args.together), in_time():
            time.sleep(5)
            for number in range(args.rounds):
                time.sleep(PAUSE_S)
                took["move"][0].append(painted_s(ebpftop, b"jk"[number % 2 :][:1]))
                took["move"][1].append(painted_s(htop, (b"\x1b[B", b"\x1b[A")[number % 2]))
                time.sleep(PAUSE_S)
                took["help"][0].append(shown_s(ebpftop, b"?", b"Everywhere"))
                took["help"][1].append(shown_s(htop, b"h", b"Press any key"))
                time.sleep(PAUSE_S)
                took["back"][0].append(painted_s(ebpftop, b"\x1b"))
                took["back"][1].append(painted_s(htop, b"\x1b"))
            load = os.getloadavg()[0]
    finally:
        ebpftop.close()
        htop.close()
    print(f"{args.busy} busy processes, load {load:.0f}")
    print(f"{'ms':6} {'ebpftop median':>15} {'worst':>7} {'htop median':>12} {'worst':>7} {'ratio':>7}")
    for what, (ours, theirs) in took.items():
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(
            f"{what:6} {statistics.median(ours) * 1e3:15.0f} {max(ours) * 1e3:7.0f} "
            f"{statistics.median(theirs) * 1e3:12.0f} {max(theirs) * 1e3:7.0f} {ratio:7.1f}"
            f"{'' if ratio <= BAR else '  over the bar'}"
        )


if __name__ == "__main__":
    main()
