"""Processes without an exec event, read from /proc: those that ran before ebpftop, and forks that start programs."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ebpftop.core.escape import escape
from ebpftop.core.process_records import TICK_NS, Process
from ebpftop.core.records import Record
from ebpftop.kernel import clocks
from ebpftop.kernel.threads import sees_all, stat_fields
from ebpftop.probes.user_names import UserNames

_KNOWN_MAX = 200_000
_DEPTH_MAX = 64

Matches = Callable[[int, int, bytes], bool]


def has_ended(fields: list[bytes]) -> bool:
    """Return whether *fields* are of a zombie, which only waits until its parent reads its exit status.

    A process whose first thread has ended looks the same, but has other threads.
    """
    return fields[0] in (b"Z", b"X") and int(fields[17]) <= 1


def _start_ns(fields: list[bytes]) -> int:
    """Return when the process of *fields* started, in ns since boot, rounded down to a clock tick."""
    return clocks.start_ns(int(fields[19]) * TICK_NS)


def start_of(pid: int) -> int | None:
    """Return when process *pid* started, in clock ticks since boot; None if it does not run or cannot be read."""
    try:
        _, fields = stat_fields(Path("/proc", str(pid), "stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if has_ended(fields) else _start_ns(fields) // TICK_NS


def process(pid: int, now: float, users: UserNames, matches: Matches) -> Process | None:
    """Return what /proc shows of *pid*, and whether it matches (by pid, uid and comm); None if it has ended."""
    directory = Path("/proc", str(pid))
    try:
        uid = directory.stat().st_uid
        comm, fields = stat_fields((directory / "stat").read_bytes())
        with (directory / "cmdline").open("rb") as file:
            argv = file.read(_ARGV_BYTES)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last: /proc with hidepid
        return None
    if has_ended(fields):
        return None
    return Process(
        time=now,
        pid=pid,
        ppid=int(fields[1]),
        uid=uid,
        user=users.get(uid),
        comm=escape(comm),
        argv=tuple(map(escape, argv.removesuffix(b"\0").split(b"\0"))) if argv else (),
        start_ns=_start_ns(fields),
        matched=matches(pid, uid, comm),
    )


# The limit is that of an exec: a command line may have megabytes, and 32,768 processes are reported at the start.
_ARGV_BYTES = 128 << 10


def pids() -> list[int]:
    """Return every process that /proc lists."""
    with os.scandir("/proc") as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


class SeenProcess(NamedTuple):
    """A process that a record reported and that had not ended. `start_ns`: as in an exec, or rounded down to a tick."""

    pid: int
    start_ns: int
    uid: int
    comm: str
    ppid: int
    matches: bool = True

    @property
    def key(self) -> tuple[int, int]:
        """The identity of the process, which both /proc and the kernel's events contain."""
        return self.pid, self.start_ns // TICK_NS


class ProcessTable:
    """The processes reported so far, so that a parent that only ever forked is reported before its child."""

    def __init__(self, users: UserNames) -> None:
        self._users = users
        self._known: OrderedDict[tuple[int, int], SeenProcess] = OrderedDict()

    def add(self, seen: SeenProcess) -> None:
        """Note that a record reports a process."""
        self._known[seen.key] = seen
        self._known.move_to_end(seen.key)
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    def forget(self, pid: int, start_ns: int) -> SeenProcess | None:
        """Note that a record reports its end; return what was reported before, None if nothing."""
        return self._known.pop((pid, start_ns // TICK_NS), None)

    def ended(self) -> list[SeenProcess]:
        """Return those that have ended, but whose end was not reported; none if /proc does not show all."""
        if not sees_all():
            return []
        there = set(pids())
        return [seen for (pid, tick), seen in self._known.items() if pid not in there or start_of(pid) != tick]

    def absent(self) -> list[SeenProcess]:
        """Return those that the filter matches and whose pids are free: much cheaper than `ended`, nearly the same."""
        if not sees_all():
            return []
        there = set(pids())
        return [seen for (pid, _), seen in self._known.items() if seen.matches and pid not in there]

    def has(self, key: tuple[int, int]) -> bool:
        """Return whether the process *key* has been reported, and its end has not."""
        return key in self._known

    def all_running(self, now: float, matches: Matches) -> list[Record]:
        """Return a record for each running process that matches."""
        found = [process(pid, now, self._users, matches) for pid in pids()]
        records = [record for record in found if record is not None and record.matched]
        for record in records:
            before = self._known.get((record.pid, record.start_ns // TICK_NS))
            start_ns = before.start_ns if before else record.start_ns
            self.add(SeenProcess(record.pid, start_ns, record.uid, record.comm, record.ppid))
        return list(records)

    def missing(self, pid: int, start_ns: int, now: float, matches: Matches) -> list[Record]:
        """Return records of *pid* and those of its ancestors that were not reported yet, the eldest first.

        If one has already ended (its children then have another parent), the chain ends there.
        """
        records: list[Record] = []
        start: int | None = start_ns
        while pid and len(records) < _DEPTH_MAX and (start is None or (pid, start // TICK_NS) not in self._known):
            found = process(pid, now, self._users, matches)
            if found is None or (start is not None and found.start_ns // TICK_NS != start // TICK_NS):
                break  # ended; the pid may even be another's by now
            if (pid, found.start_ns // TICK_NS) in self._known:
                break
            self.add(SeenProcess(pid, found.start_ns, found.uid, found.comm, found.ppid, found.matched))
            records.append(found)
            pid, start = found.ppid, None
        return records[::-1]
