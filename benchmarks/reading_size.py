"""Print how many bytes the readings of counters take in a stream, and how many they would take if all were whole.

    sudo python benchmarks/reading_size.py [--processes 300] [--calls 3] [--warm-up 30] [--seconds 120] [--all]

It starts processes of a user of its own, each of which makes some calls a second, and reads the counters of that user
alone, or with --all those of the whole machine. --processes 0 --all measures the machine as it is. Figures are for the
same run: what schema 1 wrote is every reading whole.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time

from ebpftop.core.record_lines import encode
from ebpftop.core.records import TableReading
from ebpftop.recording import zstd_frames
from ebpftop.recording.parse import read_line
from ebpftop.recording.readings import ReadingDecoder

UID = 64_242


def work(number: int, calls: float, until_s: float) -> None:
    """Make about *calls* calls a second, besides those of waiting, until the clock says *until_s*."""
    os.setuid(UID)
    chance = random.Random(number)
    zero = os.open("/dev/zero", os.O_RDONLY)
    while time.monotonic() < until_s:
        time.sleep(chance.uniform(0.5, 1.5) * 2 / calls)
        for _ in range(2):
            match chance.randrange(4):
                case 0:
                    os.read(zero, 10)
                case 1:
                    os.getppid()
                case 2:
                    os.lseek(zero, 0, os.SEEK_SET)
                case _:
                    os.path.exists("/nonexistent")


def start(processes: int, calls: float, seconds: float) -> list[int]:
    """Start the processes; return their pids."""
    until_s = time.monotonic() + seconds
    pids = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            work(number, calls, until_s)
            os._exit(0)
        pids.append(pid)
    return pids


def main() -> None:
    """Run the load, read the stream, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=300)
    parser.add_argument("--calls", type=float, default=3.0, help="calls of each in a second")
    parser.add_argument("--warm-up", type=float, default=30.0)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--all", action="store_true", help="of the whole machine, not of these processes alone")
    args = parser.parse_args()
    pids = start(args.processes, args.calls, args.warm_up + args.seconds + 20)
    command = [sys.executable, "-m", "ebpftop", "stream", "--probes", "users,syscalls"]
    command += [] if args.all else ["--uid", str(UID)]
    command += ["--duration", str(args.warm_up + args.seconds)]
    readings = ReadingDecoder()
    begin = 0.0
    sizes = [0, 0, 0, 0]  # in parts and whole, plain and compressed as a recording
    by_table: dict[str, list[int]] = {}
    rows = count = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as stream:
        assert stream.stdout is not None
        for line in stream.stdout:
            record = read_line(line.rstrip(b"\n"))
            whole = readings.whole(record)
            if not isinstance(whole, TableReading):
                continue
            begin = begin or whole.time
            if whole.time < begin + args.warm_up:
                continue
            as_whole = encode(whole) + b"\n"
            for at, data in enumerate((line, as_whole)):
                sizes[at] += len(data)
                sizes[at + 2] += len(zstd_frames.pack(data, 1))
            for name in whole.keys:
                sums = by_table.setdefault(f"{whole.__struct_config__.tag}.{name}", [0, 0])
                sums[0] += len(getattr(record, name))
                sums[1] += len(getattr(whole, name))
            count += 1
            rows += sum(len(getattr(whole, name)) for name in whole.keys)
    for pid in pids:
        os.waitpid(pid, 0)
    print(f"{args.processes} processes, {args.calls:g} calls a second each; {rows / args.seconds:.0f} rows a second")
    for name, (parts, whole_rows) in by_table.items():
        print(f"  {name:24} {parts / args.seconds:8.1f} of {whole_rows / args.seconds:8.1f} rows a second are written")
    for name, part_size, whole_size in (("plain", sizes[0], sizes[1]), ("zst", sizes[2], sizes[3])):
        per_s, whole_per_s = part_size / args.seconds, whole_size / args.seconds
        print(
            f"{name:6} {per_s:9,.0f} bytes a second, {per_s * 3600 / 1e6:7.1f} MB an hour; "
            f"in schema 1 {whole_per_s:9,.0f} bytes, {whole_per_s * 3600 / 1e6:7.1f} MB: {per_s / whole_per_s:.1%}"
        )


if __name__ == "__main__":
    main()
