"""Print what `ebpftop fleet` takes of a CPU, and how soon it answers a key, with 50 busy hosts.

    python benchmarks/fleet.py [--hosts 50] [--rate 500] [--by pipe|ssh] [--seconds 20] [--keys 60] [--size 120x35]

The hosts are simulated (fleet_hosts.py): half of their records are execs, half exits, each second a reading of 60
system calls with histograms. *pipe*: lines `host: {json}` in one pipe, as clush prints them. *ssh*: a program in place
of ssh for each host, which brings zstd frames. *key* is the time from j or k to the moment that the cursor is painted
where it has gone. *reader* and *screen* are the two processes of ebpftop; bars are half a CPU for both together, and
100 ms for the slowest key. On a machine that others keep busy the screen waits for a processor: the last line is
without that.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fleet_hosts import Host, paced
from terminal import Screen

CURSOR = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}".encode()
SETTLE_S = 8.0
CPU_BAR, KEY_BAR_S = 0.5, 0.1


def feed_pipe(hosts: int, rate: int) -> None:
    """Write the lines of all hosts to stdout, as clush does."""
    made = [Host(f"node{number:02}", rate) for number in range(hosts)]
    with os.fdopen(1, "wb", buffering=0) as out:
        for host in made:
            out.write(b"%b: %b" % (host.name.encode(), host.header()))
        for host, lines in paced(made):
            label = host.name.encode() + b": "
            out.write(label + label.join(lines))


def feed_fifos(folder: str, hosts: int, rate: int) -> None:
    """Write the frames of each host into a FIFO of its own."""
    from ebpftop.recording.zstd_frames import pack

    made = [Host(f"node{number:02}", rate) for number in range(hosts)]
    fds = {host.name: os.open(f"{folder}/{host.name}", os.O_RDWR) for host in made}
    for host in made:
        os.write(fds[host.name], pack(host.header(), 1, 1))
    for host, lines in paced(made):
        os.write(fds[host.name], pack(b"".join(lines), len(lines), 1))


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def queued_s(pid: int) -> float:
    """Return the seconds that the first thread of a process has waited for a processor so far."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def named(name: str, group_of: int) -> int:
    """Return the pid of the child of *group_of* that has this name."""
    for child in Path(f"/proc/{group_of}/task/{group_of}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().strip() == name:
            return int(child)
    raise SystemExit(f"there is no {name}")


def screen_of(pid: int) -> int:
    """Return the pid of ebpftop, which a shell may have started."""
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = [child for child in children if b"fleet" in Path(f"/proc/{child}/cmdline").read_bytes()]
        if not found or Path(f"/proc/{found[0]}/comm").read_text().startswith("ebpftop-"):
            return pid
        pid = int(found[-1])


def key_s(screen: Screen, key: bytes) -> float:
    """Press *key*; return the seconds until the cursor was painted."""
    since = screen.mark
    began_s = time.perf_counter()
    screen.press(key)
    while CURSOR not in screen.painted(since):
        if time.perf_counter() - began_s > 20:
            raise SystemExit("the key was not answered")
        time.sleep(0.0005)
    return screen.painted_s - began_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--by", choices=("pipe", "ssh"), default="pipe")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--size", default="120x35")
    parser.add_argument("--feed", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.feed == "pipe":
        feed_pipe(args.hosts, args.rate)
    elif args.feed:
        feed_fifos(args.feed, args.hosts, args.rate)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(args, folder)


def measure(args: argparse.Namespace, folder: str) -> None:
    """Run it, and print the figures."""
    feed = [sys.executable, __file__, "--hosts", str(args.hosts), "--rate", str(args.rate), "--feed"]
    ebpftop = [os.path.join(os.path.dirname(sys.executable), "ebpftop"), "fleet"]
    feeder = None
    if args.by == "pipe":
        command = f"{shlex.join([*feed, 'pipe'])} 2>{folder}/log | exec {shlex.join([*ebpftop, '-'])}"
    else:
        names = [f"node{number:02}" for number in range(args.hosts)]
        for name in names:
            os.mkfifo(f"{folder}/{name}")
        ssh = Path(folder, "ssh")
        ssh.write_text(f'#!/bin/sh\nfor word; do :; done\nshift $(($# - 2))\nexec cat "{folder}/$1"\n')
        ssh.chmod(0o755)
        feeder = subprocess.Popen([*feed, folder])
        command = f"exec {shlex.join([*ebpftop, '--ssh-command', str(ssh), *names])}"
    columns, lines = map(int, args.size.split("x"))
    screen = Screen(["sh", "-c", command], (columns, lines))
    try:
        if not screen.wait_for(f"{args.hosts} up".encode(), timeout_s=60):
            raise SystemExit(f"not all hosts are up: {screen.painted()[-2000:]!r}")
        pid = screen_of(screen.pid)
        reader = named("ebpftop-fleet", pid)
        time.sleep(SETTLE_S)
        began_s, began = time.perf_counter(), (cpu_s(reader), cpu_s(pid))
        time.sleep(args.seconds)
        span_s = time.perf_counter() - began_s
        shares = [(after - before) / span_s for after, before in zip((cpu_s(reader), cpu_s(pid)), began, strict=True)]
        screen.press(b"<gjjjjj")  # by name: in an order that does not change, each key moves the cursor
        time.sleep(1)
        times, own = [], []
        for number in range(args.keys):
            waited_s = queued_s(pid)
            times.append(key_s(screen, b"jk"[number % 2 : number % 2 + 1]))
            own.append(max(0.0, times[-1] - (queued_s(pid) - waited_s)))
            time.sleep(0.137)
    finally:
        screen.close()
        if feeder is not None:
            feeder.kill()
            feeder.wait()
    sent = args.hosts * args.rate
    print(f"{args.hosts} hosts, {sent:,} records/s by {args.by}, {args.size}")
    both = sum(shares)
    print(f"CPU       reader {shares[0]:.1%}  screen {shares[1]:.1%}  together {both:.1%}  {verdict(both < CPU_BAR)}")
    worst = max(times)
    print(
        f"key       median {statistics.median(times) * 1e3:.0f} ms  worst of {len(times)} {worst * 1e3:.0f} ms  "
        f"{verdict(worst < KEY_BAR_S)}"
    )
    print(f"          without the wait for a processor: worst {max(own) * 1e3:.0f} ms  {verdict(max(own) < KEY_BAR_S)}")


def verdict(good: bool) -> str:
    """Return whether a bar is met, in a word."""
    return "ok" if good else "ABOVE THE BAR"


if __name__ == "__main__":
    main()
