#!/usr/bin/env python3
"""Floods: compare what is delivered and lost with what was done, and check that the screen answers meanwhile.

    sudo .venv/bin/python benchmarks/floods.py [--seconds 60] [--size 120x35] [FLOOD...]

    exec      programs, as many as start
    syscalls  a million getppid a second
    printk    50,000 lines of the trace log a second
    uids      100,000 users; each one starts a program, or tries one that does not exist
    cgroups   5,000 cgroups with names full of escapes; a program starts in each
    rename    a process that renames itself without end

A C program makes each flood and counts what it does. Meanwhile `ebpftop stream` runs the probe concerned, for that
program and its descendants (for all processes with the trace log, whose lines come another way with a filter). What it
delivers plus what it reports as lost must equal what was done. And `ebpftop live` shows everything in a terminal, where
help is opened and closed each second: *key* is from `?` to its first heading. Status 1 if a bound is broken: a sum is
wrong, a key takes more than 10 s, or the screen more than 400 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from terminal import Screen

from ebpftop.kernel.cgroups import hierarchies
from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.loader import Module

HERE = Path(__file__).resolve().parent
KEY_S = 10.0
MEMORY_MIB = 400.0
USERS, FAIL_EVERY, FIRST_UID = 100_000, 10, 2_000_000
MARK = "flood of lines"
UP_S = 120.0
STILL_BYTES = 1 << 18

_SEQUENCES = re.compile(rb"\x1b\[[0-9;?>=<$]*[a-zA-Z]")
_LOST = re.compile(rb"lost ([\d.]+[kMG]?)")

PRINTS = f"""
#include "ebpftop.h"

int say(struct bpf_raw_tracepoint_args *ctx)
{{
	bpf_trace_printk("{MARK}");
	return 0;
}}
"""


@dataclass
class Seen:
    """What the stream delivered: the number of records of each kind, and details of some."""

    kinds: Counter[str] = field(default_factory=Counter)
    lost: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    users: dict[int, tuple[int, int]] = field(default_factory=dict)
    cgroups: set[str] = field(default_factory=set)
    lines: int = 0

    @classmethod
    def of(cls, path: Path) -> Seen:
        """Read the stream in *path*."""
        seen = cls()
        with path.open() as lines:
            for line in lines:
                record = json.loads(line)
                kind = record["kind"]
                seen.kinds[kind] += 1
                if kind == "lost":
                    # Unreadable arguments cost no record.
                    if record["where"] != "argv":
                        seen.lost[record["where"]] = record["count"]
                elif kind == "syscalls":
                    seen.calls = {row["name"]: row["count"] for row in record["rows"]}
                elif kind == "users":
                    seen.users = {row["uid"]: (row["execs"], row["failed"]) for row in record["rows"]}
                elif kind == "trace":
                    seen.lines += MARK in record["message"]
                elif kind == "exec":
                    seen.cgroups.add(record["cgroup"])
        return seen


@dataclass
class Flood:
    """A flood: its probe, its command, what should be delivered, and what was delivered."""

    name: str
    probe: str
    command: list[str]
    expected: Callable[[int], int]
    delivered: Callable[[Seen], int]
    follows: bool = True
    pass_fds: tuple[int, ...] = ()


@contextmanager
def floods(seconds: float, folder: Path) -> Iterator[list[Flood]]:
    """Yield all floods; at the end remove what they need."""
    for name in ("flood", "manyusers"):
        subprocess.run(["gcc", "-O2", "-static", "-o", folder / name, HERE / f"{name}.c"], check=True)
    flood, bounds = str(folder / "flood"), ["0", str(seconds)]
    (folder / "prints.c").write_text(PRINTS)
    module = Module(str(folder / "prints.c"), kernel_defines())
    printing = module.load("say", "raw_tracepoint")
    hierarchy = hierarchies()[0].root / f"floods-{os.getpid()}"
    hierarchy.mkdir()
    users = max(100, round(USERS * min(1.0, seconds / 60)))
    groups = max(50, round(5000 * min(1.0, seconds / 60)))

    def programs(done: int) -> int:
        # Each program starts and ends; so does the one that starts them.
        return 2 * (done + 1)

    def reported(seen: Seen) -> int:
        return seen.kinds["exec"] + seen.kinds["exit"]

    try:
        yield [
            Flood("exec", "execs", [flood, "exec", "0", *bounds, "/bin/true", "an argument"], programs, reported),
            Flood(
                "syscalls", "syscalls", [flood, "getppid", "1000000", *bounds],
                lambda done: done, lambda seen: seen.calls.get("getppid", 0),
            ),
            Flood(
                "printk", "trace", [flood, "printk", "50000", *bounds, str(printing)],
                lambda done: done, lambda seen: seen.lines, follows=False, pass_fds=(printing,),
            ),
            Flood(
                "uids", "users", [str(folder / "manyusers"), str(FIRST_UID), str(users), str(FAIL_EVERY)],
                # The program that starts them was started too.
                lambda _: users + 1 + users // FAIL_EVERY,
                lambda seen: sum(execs + failed for execs, failed in seen.users.values()),
            ),
            Flood(
                "cgroups", "execs",
                [flood, "cgroups", "0", str(groups), str(10 * seconds), str(hierarchy), "/bin/true"],
                # Each cgroup is reported by name, and one more: that of the program that makes them.
                lambda done: programs(done) + done + 1, lambda seen: reported(seen) + len(seen.cgroups),
            ),
            Flood(
                "rename", "syscalls", [flood, "rename", "0", *bounds],
                lambda done: done, lambda seen: seen.calls.get("prctl", 0),
            ),
        ]  # fmt: skip
    finally:
        module.close()
        for path in (*hierarchy.iterdir(), hierarchy):
            if path.is_dir():
                with suppress(OSError):
                    path.rmdir()


class Held:
    """A command that waits for a start signal, so that its process id is known before it does anything."""

    def __init__(self, flood: Flood) -> None:
        command = ["sh", "-c", 'read -r go && exec "$@"', "sh", *flood.command]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=flood.pass_fds
        )
        self.pid = self._child.pid

    def go(self) -> None:
        """Start it."""
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.close()

    @property
    def runs(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def done(self) -> tuple[int, float]:
        """Return how often it acted, and in how many seconds; zeros if it does not report it."""
        assert self._child.stdout is not None
        words = self._child.stdout.read().split()
        if self._child.wait():
            raise SystemExit(f"{self._child.args!r} failed")
        return (int(words[0]), float(words[1])) if words else (0, 0.0)

    def kill(self) -> None:
        """End it by force."""
        self._child.kill()
        self._child.wait()


@contextmanager
def streaming(probe: str, pid: int | None, path: Path) -> Iterator[None]:
    """Write `ebpftop stream` into *path*, from the attach of its probe until all is read."""
    options = ["--probes", probe, *(["--pid", str(pid)] if pid else [])]
    with path.open("wb") as sink:
        stream = subprocess.Popen([sys.executable, "-m", "ebpftop", "stream", *options], stdout=sink)
        try:
            until_s = time.monotonic() + UP_S
            while b'"kind":"probe"' not in path.read_bytes():
                if stream.poll() is not None or time.monotonic() > until_s:
                    raise SystemExit("the stream does not come up")
                time.sleep(0.05)
            yield
            _wait_until_still(path)
        finally:
            stream.send_signal(signal.SIGINT)
            try:
                status = stream.wait(UP_S)
            except subprocess.TimeoutExpired:
                stream.kill()
                status = stream.wait()
        if status != 130:
            raise SystemExit(f"the stream ended with status {status}")


def _wait_until_still(path: Path) -> None:
    """Wait until the stream has caught up: when asked to end, it only has two seconds for the rest."""
    until_s = time.monotonic() + UP_S
    before, still = 0, 0
    while still < 4 and time.monotonic() < until_s:
        size = path.stat().st_size
        still = still + 1 if size - before < STILL_BYTES else 0
        before = size
        time.sleep(2)


def help_s(screen: Screen) -> float:
    """Open help and close it; return the seconds from the key to its first heading."""
    since, began_s = screen.mark, time.perf_counter()
    screen.press(b"?")
    if not screen.wait_for(b"Everywhere", since=since, timeout_s=2 * KEY_S):
        return float("inf")
    took_s = time.perf_counter() - began_s
    screen.press(b"\x1b")
    return took_s


@dataclass
class Result:
    """One line of the table."""

    flood: str
    done: int
    delivered: int
    expected: int
    lost: dict[str, int]
    keys_s: list[float]
    memory_mib: float
    screen_lost: str

    @property
    def broken(self) -> list[str]:
        """The bounds that are broken."""
        faults = []
        missing = self.expected - self.delivered - sum(self.lost.values())
        # The trace log is shared: other programs may have lost lines too.
        if missing > 0 or (missing < 0 and not (self.flood == "printk" and self.lost)):
            faults.append(f"{-missing:+,} in the sum")
        if max(self.keys_s, default=0.0) > KEY_S:
            faults.append("a key was not answered")
        if self.memory_mib > MEMORY_MIB:
            faults.append(f"more than {MEMORY_MIB:.0f} MiB")
        return faults

    def __str__(self) -> str:
        lost = " ".join(f"{count:,} {where}" for where, count in self.lost.items()) or "0"
        median_ms, worst_ms = statistics.median(self.keys_s) * 1e3, max(self.keys_s) * 1e3
        return (
            f"{self.flood:9} {self.done:>12,} {self.expected:>12,} {self.delivered:>12,} {lost:>18} {median_ms:>7.0f} "
            f"{worst_ms:>7.0f} {self.memory_mib:>6.0f} {self.screen_lost:>8}  {', '.join(self.broken) or 'holds'}"
        )


HEAD = (
    f"{'':9} {'done':>12} {'to be told':>12} {'delivered':>12} {'lost':>18} {'key ms':>7} {'worst':>7} {'MiB':>6} "
    f"{'(screen)':>8}"
)


def one(flood: Flood, seconds: float, size: tuple[int, int], folder: Path) -> Result:
    """Start *flood*, and watch it."""
    path = folder / "stream.jsonl"
    held = Held(flood)
    screen = Screen([sys.executable, "-m", "ebpftop", "live"], size)
    keys_s: list[float] = []
    memory_mib = 0.0
    try:
        if not screen.wait_for(b"Exec log", timeout_s=UP_S):
            raise SystemExit(f"the screen never came up: {screen.painted()!r}")
        with streaming(flood.probe, held.pid if flood.follows else None, path):
            time.sleep(1)
            held.go()
            until_s = time.monotonic() + 30 * seconds + 60
            while held.runs or not keys_s:
                began_s = time.monotonic()
                keys_s.append(help_s(screen))
                memory_mib = max(memory_mib, screen.memory()[0])
                if screen.ended():
                    raise SystemExit(f"the screen ended with {screen.status}: {screen.painted()[-3000:]!r}")
                if time.monotonic() > until_s:
                    raise SystemExit(f"the flood of {flood.name} has no end")
                time.sleep(max(0.0, began_s + 1 - time.monotonic()))
            done, _ = held.done()
        lost = _LOST.findall(_SEQUENCES.sub(b"", screen.painted()))
        seen = Seen.of(path)
        return Result(
            flood.name, done or flood.expected(0), flood.delivered(seen), flood.expected(done), seen.lost, keys_s,
            memory_mib, lost[-1].decode() if lost else "",
        )  # fmt: skip
    finally:
        held.kill()
        screen.close()
        path.unlink(missing_ok=True)


def main() -> int:
    """Run every flood; return 1 if a bound is broken."""
    names = ("exec", "syscalls", "printk", "uids", "cgroups", "rename")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", default="120x35")
    parser.add_argument("floods", nargs="*", metavar="FLOOD", help=f"of {', '.join(names)}; all")
    args = parser.parse_args()
    if unknown := set(args.floods) - set(names):
        parser.error(f"unknown: {', '.join(unknown)}")
    columns, lines = (int(part) for part in args.size.split("x"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started programs end too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        print(HEAD, flush=True)
        with floods(args.seconds, folder) as every:
            results = []
            for flood in every:
                if not args.floods or flood.name in args.floods:
                    results.append(one(flood, args.seconds, (columns, lines), folder))
                    print(results[-1], flush=True)
    return int(any(result.broken for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
