#!/usr/bin/env python3
"""The time from the command to four panes with data, compared with the time of peers to their first report.

    sudo .venv/bin/python benchmarks/start.py [--rounds N]

A program starts every tenth of a second meanwhile. Each round starts every contender once, in turn. ebpftop's time ends
when the titles of all four panes count events of the running kernel; a peer's, when it reported one of the programs.
"nothing kept" is ebpftop's first start on a kernel, without compiled programs of an earlier start.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from terminal import opened

from ebpftop.kernel.tracefs import mount_privately

PANES = ("Exec log", "Users", "Syscalls", "Trace log")
TIMEOUT_S = 60.0
_TITLE_BYTES = 1024
_SEQUENCES = re.compile(rb"\x1b(?:\[[0-9;?>=<$]*[a-zA-Z]|[()][A-Z0-9]|[=>78])")
_BPFTRACE = 'tracepoint:sched:sched_process_exec { printf("started %s\\n", comm); }'


def contenders() -> dict[str, tuple[list[str], tuple[str, ...]]]:
    """Return each contender's command, and the patterns that it has to draw."""
    ebpftop = [sys.executable, "-m", "ebpftop"]
    titles = tuple(rf"{pane}(?:·[a-z]+)* ●\s+\d" for pane in PANES)
    found = {"ebpftop": (ebpftop, titles), "nothing kept": (["env", "EBPFTOP_CACHE=", *ebpftop], titles)}
    for name in ("execsnoop", "execsnoop-bpfcc"):
        path = shutil.which(name)
        if path:
            found[name] = ([path], (r"\btrue\b",))
    bpftrace = shutil.which("bpftrace")
    if bpftrace:
        found["bpftrace"] = ([bpftrace, "-e", _BPFTRACE], (r"started true",))
    return found


@contextmanager
def programs_starting() -> Iterator[None]:
    """Run a program every tenth of a second."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.1):
            subprocess.run(["true"], check=True)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def seconds_until(command: list[str], patterns: tuple[str, ...]) -> dict[str, float]:
    """Start *command* in a terminal of 160 by 45; return the seconds until each of *patterns* was drawn."""
    begin = time.monotonic()
    pid, fd = opened(command, 160, 45)
    seen: dict[str, float] = {}
    drawn = b""
    try:
        while len(seen) < len(patterns) and time.monotonic() - begin < TIMEOUT_S:
            if not select.select([fd], [], [], 0.1)[0]:
                continue
            try:
                # With the end of the last data, which may hold the start of a title; more data would be too slow.
                drawn = drawn[-_TITLE_BYTES:] + os.read(fd, 1 << 16)
            except OSError:  # it has ended
                break
            text = _SEQUENCES.sub(b"", drawn).decode("utf-8", "replace")
            for pattern in patterns:
                if pattern not in seen and re.search(pattern, text):
                    seen[pattern] = time.monotonic() - begin
    finally:
        os.kill(pid, signal.SIGTERM)
        while select.select([fd], [], [], 5)[0]:
            try:
                os.read(fd, 1 << 16)
            except OSError:
                break
        os.waitpid(pid, 0)
        os.close(fd)
    return seen


def main() -> int:
    """Run all rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    rounds = parser.parse_args().rounds
    mount_privately()  # execsnoop sees nothing if tracefs is not mounted
    everyone = contenders()
    took: dict[str, list[dict[str, float]]] = {name: [] for name in everyone}
    with programs_starting():
        for _ in range(rounds):
            for name, (command, patterns) in everyone.items():
                seen = seconds_until(command, patterns)
                took[name].append({pattern: seen.get(pattern, math.inf) for pattern in patterns})
    print(f"seconds from the command to the running kernel shown, {rounds} rounds (inf: never); ebpftop's bar is 2 s")
    print(f"{'':16} {'median':>7} {'worst':>7}")
    for name, each in took.items():
        all_s = [max(seen.values()) for seen in each]
        print(f"{name:16} {statistics.median(all_s):7.2f} {max(all_s):7.2f}")
        if len(each[0]) > 1:
            for pattern in each[0]:
                some_s = [seen[pattern] for seen in each]
                print(f"  {pattern.split('(')[0]:14} {statistics.median(some_s):7.2f} {max(some_s):7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
