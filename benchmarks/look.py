#!/usr/bin/env python3
"""What looking costs: CPU, memory, terminal bytes and start, beside htop, btop and an empty Textual app.

    sudo .venv/bin/python benchmarks/look.py [--rounds N] [--seconds S] [--rates 0,10,200,2000] [--only NAME,..]

Each round starts every contender in turn in a pseudo terminal, and measures it at each rate of programs started a
second: CPU time of all its processes as a share of one core, and the bytes that it painted a second. *paused* and *off*
are `ebpftop live` after Space, and with all its probes detached; *empty* is a Textual app with as many panes, a status
line and a footer, which shows nothing. htop, btop and the empty app run together. Memory is that at the end, after all
rates: resident memory of the largest process, private memory of all. *first* is from the command to the first frame,
*counting* until all four panes count. *lost* is what the titles of its panes say that they lost, and where.

Then the medians as ratios to htop's, and to the empty app's.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from terminal import Screen

HERE = Path(__file__).resolve()
WIDE, SMALL = (160, 45), (80, 24)
SETTLE_S = 3.0
START_S = 60.0
BRIEF = "int main(void) { return 0; }"
TICKS = os.sysconf("SC_CLK_TCK")
PANES = ("Exec log", "Users", "Syscalls", "Trace log")
_SEQUENCES = re.compile(rb"\x1b(?:\[[0-9;?>=<$]*[a-zA-Z]|[()][A-Z0-9]|[=>78])")
_LOST = re.compile(rb"lost ([\d.]+[kMG]? [a-z]+(?:, [\d.]+[kMG]? [a-z]+)*)")

EMPTY = """
from textual.app import App
from textual.containers import Grid, Vertical
from textual.scroll_view import ScrollView
from textual.widgets import Footer, Static

class Empty(App):
    CSS = "Grid { grid-size: 2 2; } Vertical { border: round $primary; }"
    BINDINGS = [("q", "quit", "Quit")]
    def compose(self):
        yield Static("status")
        with Grid():
            for _ in range(4):
                with Vertical():
                    yield ScrollView()
        yield Footer()

Empty().run()
"""


@dataclass(frozen=True)
class Contender:
    """A command, what it paints when it has started, and the keys that bring it into the state to be measured."""

    command: tuple[str, ...]
    size: tuple[int, int]
    first: bytes
    counting: tuple[bytes, ...] = ()
    keys: tuple[bytes, ...] = ()


@dataclass
class Costs:
    """What was measured of a contender, one item for each round: shares of a core, bytes a second, MiB, seconds."""

    cpu: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    painted: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    resident: list[float] = field(default_factory=list)
    private: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    counting: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def contenders() -> list[dict[str, Contender]]:
    """Return what is measured, by name; those in one group run at the same time."""
    live = (sys.executable, "-m", "ebpftop", "live")
    titles = tuple(pane.encode() for pane in PANES)
    light = {"empty": Contender((sys.executable, "-c", EMPTY), WIDE, b"status")}
    for name, first in (("htop", b"Load average"), ("btop", b"cpu")):
        path = shutil.which(name)
        if path:
            light[name] = Contender((path,), WIDE, first)
    return [
        {"ebpftop": Contender(live, WIDE, titles[0], titles)},
        {"80x24": Contender(live, SMALL, titles[0], titles)},
        {"paused": Contender(live, WIDE, titles[0], titles, (b" ",))},
        {"off": Contender(live, WIDE, titles[0], titles, (b"1", b"2", b"3", b"4"))},
        light,
    ]


def processes(pid: int) -> Iterator[int]:
    """Yield *pid* and its descendants."""
    yield pid
    for children in Path("/proc", str(pid), "task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from processes(int(child))


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of *pid* and its descendants, those that ended among them."""
    total = 0
    for one in processes(pid):
        with suppress(OSError):
            fields = Path("/proc", str(one), "stat").read_text(errors="replace").rpartition(") ")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def memory(pid: int) -> tuple[float, float]:
    """Return the resident memory of the largest process of *pid*'s family, and the private memory of all, in MiB."""
    resident = private = 0.0
    for one in processes(pid):
        with suppress(OSError):
            text = Path("/proc", str(one), "smaps_rollup").read_text()
            kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
            resident = max(resident, kib["Rss"] / 1024)
            private += (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024
    return resident, private


@contextmanager
def starting(rate: float, programs: Path) -> Iterator[None]:
    """Start *rate* programs a second meanwhile."""
    if not rate:
        yield
        return
    command = [str(programs / "flood"), "exec", str(rate), "0", "3600", str(programs / "brief"), "--with", "arguments"]
    child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def text_of(screen: Screen) -> bytes:
    """Return what was painted lately, without escape sequences."""
    return _SEQUENCES.sub(b"", screen.painted())


def wait_until(true: Callable[[], bool]) -> float:
    """Wait until something is true; return the seconds that it took, infinite if it never was."""
    began_s = time.monotonic()
    while not true():
        if time.monotonic() - began_s > START_S:
            return math.inf
        time.sleep(0.005)
    return time.monotonic() - began_s


def start(contender: Contender) -> tuple[Screen, float, float]:
    """Start a contender; return its screen, and the seconds to the first frame and until all panes count."""
    began_s = time.monotonic()
    screen = Screen(contender.command, contender.size, keep_bytes=1 << 18)
    first_s = wait_until(lambda: contender.first in screen.painted())
    counts = [re.compile(title + r"(?:·[a-z]+)* ●\s+\d".encode()) for title in contender.counting]
    wait_until(lambda: all(count.search(text_of(screen)) for count in counts))
    return screen, first_s, time.monotonic() - began_s


def measure(
    group: dict[str, Contender], rates: list[float], seconds: float, programs: Path, costs: dict[str, Costs]
) -> None:
    """Run the contenders of a group at each rate, and note what they cost."""
    screens: dict[str, Screen] = {}
    try:
        with starting(10, programs):
            for name, contender in group.items():
                screens[name], first_s, counting_s = start(contender)
                costs[name].first.append(first_s)
                costs[name].counting.append(counting_s)
        for name, contender in group.items():
            for key in contender.keys:
                screens[name].press(key)
                time.sleep(0.5)
        for rate in rates:
            with starting(rate, programs):
                time.sleep(SETTLE_S)
                before = {name: (cpu_s(screen.pid), screen.mark) for name, screen in screens.items()}
                began_s = time.monotonic()
                time.sleep(seconds)
                took_s = time.monotonic() - began_s
                for name, screen in screens.items():
                    costs[name].cpu[rate].append((cpu_s(screen.pid) - before[name][0]) / took_s)
                    costs[name].painted[rate].append((screen.mark - before[name][1]) / took_s)
        for name, screen in screens.items():
            resident, private = memory(screen.pid)
            costs[name].resident.append(resident)
            costs[name].private.append(private)
            # Of another size it paints all of the screen, not only the digits that changed.
            mark, (columns, lines) = screen.mark, group[name].size
            screen.resize(columns + 10, lines)
            time.sleep(1)
            painted = _SEQUENCES.sub(b"", screen.painted(mark))
            costs[name].lost += {lost.decode() for lost in _LOST.findall(painted)} or {"0"}
    finally:
        for screen in screens.values():
            screen.close()


def print_table(costs: dict[str, Costs], rates: list[float]) -> None:
    """Print medians, then ratios."""

    def heading(what: str) -> str:
        return f"{what:9}" + "".join(f"{f'{rate:g}/s' if rate else 'rest':>8}" for rate in rates)

    middle = statistics.median
    print(heading("% of core") + f"{'RSS MiB':>9}{'private':>9}{'first s':>9}{'counting':>9}  lost")
    for name, cost in costs.items():
        shares = "".join(f"{middle(cost.cpu[rate]) * 100:8.2f}" for rate in rates)
        counting = f"{middle(cost.counting):9.2f}" if name[0] in "e8" and name != "empty" else f"{'':9}"
        print(
            f"{name:9}{shares}{middle(cost.resident):9.0f}{middle(cost.private):9.0f}{middle(cost.first):9.2f}{counting}"
            f"  {', '.join(dict.fromkeys(cost.lost))}"
        )
    print(heading("\nbytes/s"))
    for name, cost in costs.items():
        print(f"{name:9}" + "".join(f"{middle(cost.painted[rate]):8.0f}" for rate in rates))
    for base in ("htop", "empty"):
        if base in costs:
            print(heading(f"\n/ {base}"))
            for name, cost in costs.items():
                ratios = (
                    f"{middle(cost.cpu[rate]) / share:8.1f}"
                    if (share := middle(costs[base].cpu[rate]))
                    else f"{'-':>8}"
                    for rate in rates
                )
                print(f"{name:9}" + "".join(ratios))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rates", default="0,10,200,2000", help="programs a second, in the order of measuring")
    parser.add_argument(
        "--only", default="", help="names of contenders: " + ", ".join(n for g in contenders() for n in g)
    )
    args = parser.parse_args()
    rates = [float(rate) for rate in args.rates.split(",")]
    wanted = set(filter(None, args.only.split(",")))
    groups = [{name: one for name, one in group.items() if not wanted or name in wanted} for group in contenders()]
    costs = {name: Costs() for group in groups for name in group}
    with tempfile.TemporaryDirectory() as directory:
        programs = Path(directory)
        subprocess.run(["gcc", "-O2", "-o", programs / "flood", HERE.with_name("flood.c")], check=True)
        (programs / "brief.c").write_text(BRIEF)
        subprocess.run(["gcc", "-O2", "-static", "-o", programs / "brief", programs / "brief.c"], check=True)
        for _ in range(args.rounds):
            for group in filter(None, groups):
                measure(group, rates, args.seconds, programs, costs)
    print_table(costs, rates)


if __name__ == "__main__":
    main()
