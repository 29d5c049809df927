#!/usr/bin/env python3
"""How many lines of traced calls read as those of `strace -f -yy`: not a measure of speed, but of truth.

    sudo .venv/bin/python benchmarks/strace_lines.py [--show N] [--calls all] COMMAND ..

Runs COMMAND under strace, then again under `ebpftop stream --trace`, and compares the lines of both as sets, since
threads and processes interleave otherwise in each run. What differs from run to run is left out first: addresses,
process ids, ports, inodes, random bytes, times. Prints the share of strace's lines that ebpftop has too, and by call
what remains, with N examples of each. A program whose two runs differ (a cache that was filled, another order) has
lines that neither tool can have in common; a second strace of it, printed beside, says how many.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_SETTLED_S = 2.0
_ALL_PER_SECOND = 100_000
_FREE = (
    (r"0x[0-9a-f]{5,}", "PTR"),
    (r"(?<=htons\()\d+", "PORT"),
    (r"(?<=\d\.\d\.\d\.\d:)\d+|(?<=\]:)\d+", "PORT"),
    (r":\[\d+(->\d+)?\]", ":[INODE]"),
    (r"(?<=tv_sec=)\d+|(?<=tv_nsec=)\d+|(?<=tv_usec=)\d+", "TIME"),
    (r"(?<=u64=)\d+", "DATA"),
    (r'getrandom\(".*?"', 'getrandom("RANDOM"'),
    (r"(?<=^wait4\()\d+", "PID"),
    (r"^((?:clone3?|fork|vfork|gettid|getpid|getppid|set_tid_address|wait4)\(.*) = \d+$", r"\1 = PID"),
    (r"^(kill|tgkill|tkill)\([\d, ]+", r"\1(PID, "),
    (r" \([A-Z][^()]*\)$", ""),
)
"""What differs from run to run, and the message that strace adds to an error."""


def normal(line: str) -> str:
    """Return a line without what differs from run to run."""
    for pattern, to in _FREE:
        line = re.sub(pattern, to, line)
    return line


def by_strace(command: Sequence[str], calls: str) -> Counter[str]:
    """Return the lines of `strace -f -yy`."""
    with tempfile.NamedTemporaryFile() as log:
        strace = ("strace", "-f", "-yy", "-s", "32", "-e", f"trace={calls}", "-o", log.name)
        subprocess.run(
            [*strace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return Counter(map(normal, _whole_lines(Path(log.name).read_text(errors="replace"))))


def _whole_lines(log: str) -> Iterator[str]:
    begun: dict[str, str] = {}
    for line in log.splitlines():
        pid, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
        elif not text.startswith(("+++", "---")):
            if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
                first = begun.pop(pid, "")
                text = first + " " * first.endswith(",") + resumed[1]
            yield re.sub(r"\)\s+= ", ") = ", text)


def by_ebpftop(command: Sequence[str], calls: str) -> Counter[str]:
    """Return the lines of the traced calls; the command begins when the probe is attached."""
    wait, go = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(go)
        os.read(wait, 1)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # as strace's command has none of ours
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; strace's command inherits no such thing
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execv(command[0], list(command))
    os.close(wait)
    stream = [sys.executable, "-m", "ebpftop", "stream", "--probes", "syscalls", "--pid", str(pid)]
    stream += ["--trace", calls, "--trace-limit", str(_ALL_PER_SECOND)]
    begun = False
    lost: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    with subprocess.Popen(stream, stdout=subprocess.PIPE, text=True) as ebpftop, ThreadPoolExecutor(1) as reader:
        assert ebpftop.stdout is not None
        for line in ebpftop.stdout:
            if '"kind":"probe"' in line:
                break
        records = reader.submit(ebpftop.stdout.readlines)
        os.write(go, b"x")
        os.waitpid(pid, 0)
        signal.sigtimedwait((), _SETTLED_S)
        ebpftop.send_signal(signal.SIGINT)
        for line in records.result():
            record = json.loads(line)
            if record["kind"] == "lost":
                lost[record["where"]] = record["count"]
            elif record["kind"] == "syscall":
                begun = begun or record["name"] == "execve"
                lines[normal(_line(record))] += begun
    if any(lost.values()):
        print(f"lost: {dict(lost)}")
    return lines


def _line(record: dict[str, object]) -> str:
    args = record["args"]
    assert isinstance(args, list)
    result = (
        "?"
        if record["ret"] is None
        else f"-1 {record['error']}"
        if record["error"]
        else record["result"] or record["ret"]
    )
    return f"{record['name']}({', '.join(args)}) = {result}"


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--show", type=int, default=1, metavar="N", help="examples of what differs, for each call")
    parser.add_argument("--calls", default="all", help="which system calls, as strace and ebpftop both name them")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    program = shutil.which(args.command[0]) if args.command else None
    if program is None:
        parser.error("which command?")
    args.command[0] = program
    strace, again = by_strace(args.command, args.calls), by_strace(args.command, args.calls)
    ebpftop = by_ebpftop(args.command, args.calls)
    total = strace.total()
    for name, lines in (("a second strace", again), ("ebpftop", ebpftop)):
        common = (strace & lines).total()
        print(f"{name}: {common} of {total} lines of strace, {common / max(total, 1):.1%}")
    theirs, ours = strace - ebpftop, ebpftop - strace
    for call in sorted({line.partition("(")[0] for line in (theirs | ours)}):
        only = [[line for line in lines.elements() if line.startswith(f"{call}(")] for lines in (theirs, ours)]
        print(f"{call}: {len(only[0])} only of strace, {len(only[1])} only of ebpftop")
        for sign, lines_of in zip("se", only, strict=True):
            for line in lines_of[: args.show]:
                print(f"  {sign} {line[:200]}")


if __name__ == "__main__":
    main()
