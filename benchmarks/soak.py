#!/usr/bin/env python3
"""The memory of the live screen over a long time, under a moderate load, drawn as a curve.

    sudo .venv/bin/python benchmarks/soak.py [--minutes 60] [--csv FILE] [--alone] [--types] [-- OPTIONS OF live]

`ebpftop live` runs in a pseudo terminal; meanwhile 50 programs a second start, 20,000 system calls a second are made,
and a thread renames itself 100 times a second (--load 2 doubles all of that, 0 means no load).
Every ten seconds: a key, and a line of the CSV with the resident and the private memory (MiB), the CPU since the line
before, and how long the key took. With *--alone* it only sees this load, so that two curves can be compared. *--types*
adds the content of Python's heap by type, each minute, in FILE.types: that takes memory itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from terminal import Screen

HERE = Path(__file__).resolve().parent
EVERY_S = 10.0
KEYS = (b"\t", b"j", b"k", b"m", b"m", b"G", b"F", b"t", b"t", b"g", b"F", b" ", b"\x1b[D", b"l")
LOADS = (("exec", 50, "/bin/true", "an", "argument"), ("getppid", 20_000), ("rename", 100))


def flood(directory: Path) -> Path:
    """Compile flood.c; return the program."""
    program = directory / "flood"
    subprocess.run(["gcc", "-O1", "-o", program, HERE / "flood.c"], check=True)
    return program


@contextmanager
def load(factor: float, seconds: float) -> Iterator[None]:
    """Load the machine, at most for *seconds*."""
    with ExitStack() as stack:
        program = flood(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        for kind, rate, *arguments in LOADS if factor else ():
            command = [str(program), kind, str(float(rate) * factor), "0", str(seconds), *map(str, arguments)]
            child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(child.kill)
        yield


def curve(points: list[tuple[float, float, float]], width: int = 60) -> Iterator[str]:
    """Yield the lines of a curve of resident (o) and private (.) memory over the minutes, at most 30 lines."""
    top = max((rss for _, rss, _ in points), default=1.0)
    for minutes, rss, private in points[:: -(-len(points) // 30) or 1]:
        line = [" "] * (width + 1)
        line[round(private / top * width)] = "."
        line[round(rss / top * width)] = "o"
        yield f"{minutes:6.1f} min {rss:6.0f} MiB |{''.join(line).rstrip()}"


def main() -> int:
    """Run it, and draw the curve; return 1 if the screen ended by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"))
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--types", action="store_true")
    parser.add_argument("--load", type=float, default=1.0)
    parser.add_argument("--size", default="120x35")
    parser.add_argument("options", nargs="*", metavar="-- OPTIONS", help="of ebpftop live")
    args = parser.parse_args()
    columns, lines = (int(part) for part in args.size.split("x"))
    command = [sys.executable, "-m", "ebpftop", "live", *args.options]
    if args.alone:
        command += ["--pid", str(os.getpid())]
    if args.types:
        command[1:3] = [str(HERE / "heap.py"), f"{args.csv}.types"]
    points: list[tuple[float, float, float]] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the load ends too
    with load(args.load, args.minutes * 60 + 60), args.csv.open("w", buffering=1) as table:
        table.write("seconds,rss_mib,private_mib,cpu_percent,key_ms\n")
        screen = Screen(command, (columns, lines))
        try:
            if not screen.wait_for(b"Exec log"):
                raise SystemExit(f"the screen never came up: {screen.painted()[-2000:]!r}")
            began_s = time.monotonic()
            cpu_s = screen.cpu_s()
            while not screen.ended() and (now_s := time.monotonic() - began_s) < args.minutes * 60:
                key_s = screen.answered_s(KEYS[len(points) % len(KEYS)], still_s=0.02)
                rss, private = screen.memory()
                spent_s, cpu_s = screen.cpu_s() - cpu_s, screen.cpu_s()
                points.append((now_s / 60, rss, private))
                table.write(f"{now_s:.0f},{rss:.1f},{private:.1f},{10 * spent_s:.1f},{key_s * 1e3:.0f}\n")
                time.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s - now_s)))
            ended = screen.ended()
        finally:
            print("\n".join(curve(points)))
            screen.close()
    if ended:
        print(f"the screen ended by itself, with status {screen.status}: {screen.painted()[-4000:]!r}")
    return int(ended)


if __name__ == "__main__":
    raise SystemExit(main())
