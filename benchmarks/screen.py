"""Print how fast the screen opens a recording, and how fast it seeks in it: by the clock, and in CPU time.

    python benchmarks/recording.py --keep HOUR.jsonl.zst     makes the recording for this: an hour of a busy machine
    python benchmarks/screen.py HOUR.jsonl.zst [--starts 5] [--seeks 30] [--size 120x35]

`ebpftop replay FILE` runs in a pseudo terminal, as a user starts it. *first screen* is from exec until rows of the exec
log, the users and the system calls have been painted; *seek* is from a key ([ ] left right, and l) until the exec log
of the new moment has been painted, and the terminal has been still for 60 ms (these are not counted). CPU is that of
the whole process in the same time: if other programs run, it is more reliable than the clock.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import select
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from terminal import opened

STILL_S = 0.06
PATIENCE_S = 30.0

_ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=$]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
_ROW = re.compile(rb"(\d\d:\d\d:\d\d)\s*(\.\d\d\d)")
_MOMENT = re.compile(rb"(\d\d:\d\d:\d\d\.\d) [+-]\d")


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of the process's CPU."""

    clock_s: float
    cpu_s: float


class Terminal:
    """A process in a pseudo terminal, and what it has painted since the last key."""

    def __init__(self, command: list[str], size: tuple[int, int]) -> None:
        self.began_s = time.perf_counter()
        self.pid, self.fd = opened(command, *size)
        self._clock = (~self.pid << 3) | 2  # clock_getcpuclockid(3), as the kernel's CPUCLOCK_SCHED does it
        self._painted = b""

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process so far, all of its threads."""
        return time.clock_gettime(self._clock)

    def press(self, key: str) -> None:
        """Send *key*; drop what was painted before."""
        self._painted = b""
        os.write(self.fd, key.encode())

    def wait(self, shows: Callable[[bytes], bool]) -> tuple[float, float]:
        """Wait until `shows` is true for the painted text and nothing follows for STILL_S; return clock and CPU.

        Both are those of the last painted byte.
        """
        seen = False
        at_s, cpu_s = time.perf_counter(), self.cpu_s
        limit_s = at_s + PATIENCE_S
        while True:
            if not select.select([self.fd], [], [], STILL_S)[0]:
                if seen:
                    return at_s, cpu_s
                if time.perf_counter() > limit_s:
                    raise SystemExit(f"nothing came of it: {_ESCAPES.sub(b' ', self._painted)[-300:]!r}")
                continue
            self._painted += os.read(self.fd, 1 << 16)
            at_s, cpu_s = time.perf_counter(), self.cpu_s
            seen = seen or shows(_ESCAPES.sub(b" ", self._painted))

    def painted_for(self, seconds: float) -> bytes:
        """Return what is painted in the next *seconds*."""
        painted = b""
        end_s = time.perf_counter() + seconds
        while (left_s := end_s - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left_s)[0]:
                painted += os.read(self.fd, 1 << 16)
        return painted

    def close(self) -> None:
        """Quit as a user does."""
        os.write(self.fd, b"q")
        end_s = time.perf_counter() + 10.0
        while time.perf_counter() < end_s:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    if not os.read(self.fd, 1 << 16):
                        break
                except OSError:
                    break
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def start(path: str, size: tuple[int, int]) -> tuple[Terminal, dict[str, Took]]:
    """Start the screen on *path*; return it when all panes show rows, and the time of each."""
    terminal = Terminal([os.path.join(os.path.dirname(sys.executable), "ebpftop"), "replay", path], size)
    took: dict[str, Took] = {}
    for name, signs in (("exec rows", (b"cc1",)), ("all panes", (b"cc1", b"syscall1", b"user1"))):

        def shows(painted: bytes, signs: tuple[bytes, ...] = signs) -> bool:
            return all(sign in painted for sign in signs)

        at_s, cpu_s = terminal.wait(shows)
        took[name] = Took(at_s - terminal.began_s, cpu_s)
    return terminal, took


def seek(terminal: Terminal, keys: str) -> Took:
    """Send *keys*, and return how long it took until the exec log showed the new moment."""
    began_s, began_cpu_s = time.perf_counter(), terminal.cpu_s
    terminal.press(keys)
    at_s, cpu_s = terminal.wait(_shows_its_moment)
    return Took(at_s - began_s, cpu_s - began_cpu_s)


def _shows_its_moment(painted: bytes) -> bool:
    """Whether the newest painted row is of the moment in the status bar: a program starts about every 2 ms."""
    moments, rows = _MOMENT.findall(painted), [b"".join(row) for row in _ROW.findall(painted)]
    # The first rows may still be of the moment before.
    return bool(moments) and any(0 <= _seconds(moments[-1]) + 0.11 - _seconds(row) <= 0.13 for row in rows)


def _seconds(clock: bytes) -> float:
    hours, minutes, seconds = clock.split(b":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def click(column: int, row: int) -> str:
    """Return what a terminal sends for a click (SGR 1006); places count from 1."""
    return f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"


def tell(name: str, took: list[Took]) -> None:
    """Print medians and the worst, in milliseconds."""
    by_clock, by_cpu = [each.clock_s * 1e3 for each in took], [each.cpu_s * 1e3 for each in took]
    print(
        f"{name:14} median {statistics.median(by_clock):.0f} ms, worst {max(by_clock):.0f} ms of {len(took)}; "
        f"CPU {statistics.median(by_cpu):.0f} and {max(by_cpu):.0f} ms",
        flush=True,
    )


def main() -> None:
    """Start the screen some times, and seek in the last one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a recording that benchmarks/recording.py made")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seeks", type=int, default=30, help="of each kind")
    parser.add_argument("--size", default="120x35")
    args = parser.parse_args()
    columns, rows = (int(part) for part in args.size.split("x"))
    print(f"load           {os.getloadavg()[0]:.1f} at the start; {args.size}")
    starts: dict[str, list[Took]] = {}
    for at in range(args.starts):
        terminal, took = start(args.file, (columns, rows))
        for name, one in took.items():
            starts.setdefault(name, []).append(one)
        if at + 1 < args.starts:
            terminal.close()
    for name, each_took in starts.items():
        tell(name, each_took)
    dice = random.Random(5)
    terminal.press(" ")
    time.sleep(0.3)
    # To the middle first, so that a step in both directions is possible.
    seek(terminal, click(columns // 2, rows - 2))
    kinds: dict[str, Callable[[], str]] = {
        "scrub, early": lambda: click(dice.randrange(30, columns - 1), rows - 2),
        "minute": lambda: dice.choice("[]"),
        "second": lambda: dice.choice(("\x1b[D", "\x1b[C")),
    }
    for name, keys in kinds.items():
        tell(name, [seek(terminal, keys()) for _ in range(args.seeks)])
    while b"\xc2\xb7\xc2\xb7" in terminal.painted_for(1.0):
        pass
    tell("scrub", [seek(terminal, click(dice.randrange(30, columns - 1), rows - 2)) for _ in range(args.seeks)])
    terminal.close()


if __name__ == "__main__":
    main()
