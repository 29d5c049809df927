"""Processes that no exec told of, read from /proc: those that ran before ebpftop did, and forks that start programs."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from ebpftop.names import UserNames
from ebpftop.records import Process, Record
from ebpftop.text import escape

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_KNOWN_MAX = 65_536
_DEPTH_MAX = 64

Admits = Callable[[int, int, bytes], bool]


def stat_fields(stat: bytes) -> tuple[bytes, list[bytes]]:
    """Return comm and the fields from the third on of /proc/PID/stat: comm may hold blanks and parentheses."""
    before, _, after = stat.rpartition(b") ")
    return before.partition(b" (")[2], after.split()


def start_of(pid: int) -> int | None:
    """Return when process *pid* started, in clock ticks since boot; None where there is none."""
    try:
        return int(stat_fields(Path("/proc", str(pid), "stat").read_bytes())[1][19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def process(pid: int, now: float, users: UserNames, admits: Admits | None = None) -> Process | None:
    """Return what /proc says of *pid*; None where it has ended, or *admits* does not take its pid, uid and comm."""
    directory = Path("/proc", str(pid))
    try:
        uid = directory.stat().st_uid
        comm, fields = stat_fields((directory / "stat").read_bytes())
        if admits is not None and not admits(pid, uid, comm):
            return None
        argv = (directory / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(
        time=now,
        pid=pid,
        ppid=int(fields[1]),
        uid=uid,
        user=users.get(uid),
        comm=escape(comm),
        argv=tuple(map(escape, argv.removesuffix(b"\0").split(b"\0"))) if argv else (),
        start=int(fields[19]) * TICK_NS,
    )


class Ancestry:
    """Which processes have been told of, so that a parent that only ever forked is told of before its child."""

    def __init__(self, users: UserNames) -> None:
        self._users = users
        self._known: OrderedDict[tuple[int, int], None] = OrderedDict()

    def add(self, pid: int, start_ns: int) -> None:
        """Note that a record tells of *pid*; *start_ns* as in an exec, or rounded to a tick as in /proc."""
        key = pid, start_ns // TICK_NS
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    def all_running(self, now: float, admits: Admits) -> list[Record]:
        """Return a record for each process that runs now and that *admits* takes."""
        pids = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
        records = [found for pid in pids if (found := process(pid, now, self._users, admits)) is not None]
        for record in records:
            self.add(record.pid, record.start)
        return list(records)

    def missing(self, pid: int, start_ns: int, now: float) -> list[Record]:
        """Return records of *pid* and its ancestors as far as none has told of them, the eldest first.

        Where one has ended already, and its children with it were given to another, the chain ends there.
        """
        records: list[Record] = []
        start: int | None = start_ns
        while pid and len(records) < _DEPTH_MAX and (start is None or (pid, start // TICK_NS) not in self._known):
            found = process(pid, now, self._users)
            if found is None or (start is not None and found.start // TICK_NS != start // TICK_NS):
                break  # ended; the pid may even be another's by now
            if (pid, found.start // TICK_NS) in self._known:
                break
            self.add(pid, found.start)
            records.append(found)
            pid, start = found.ppid, None
        return records[::-1]
