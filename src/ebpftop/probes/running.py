"""The processes that ran before ebpftop did, read once from /proc."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ebpftop.names import UserNames
from ebpftop.records import Process, Record
from ebpftop.text import escape

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def stat_fields(stat: bytes) -> tuple[bytes, list[bytes]]:
    """Return comm and the fields from the third on of /proc/PID/stat: comm may hold blanks and parentheses."""
    before, _, after = stat.rpartition(b") ")
    return before.partition(b" (")[2], after.split()


def running_processes(now: float, users: UserNames, admits: Callable[[int, int, bytes], bool]) -> list[Record]:
    """Return a record for each process that runs now and that *admits* takes: its pid, uid and comm are asked.

    Those that end meanwhile are left out.
    """
    records: list[Record] = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        directory = Path(entry.path)
        try:
            uid = entry.stat().st_uid
            comm, fields = stat_fields((directory / "stat").read_bytes())
            if not admits(int(entry.name), uid, comm):
                continue
            argv = (directory / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        records.append(
            Process(
                time=now,
                pid=int(entry.name),
                ppid=int(fields[1]),
                uid=uid,
                user=users.get(uid),
                comm=escape(comm),
                argv=tuple(map(escape, argv.removesuffix(b"\0").split(b"\0"))) if argv else (),
                start=int(fields[19]) * _TICK_NS,
            )
        )
    return records
