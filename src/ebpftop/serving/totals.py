"""Totals: what the readings of the probes come to. They only grow while the process runs.

They come from maps of the kernel and never from events, which can be lost. A probe that is turned off keeps its totals.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from ebpftop.core.ending_records import Endings
from ebpftop.core.group_records import Cgroups
from ebpftop.core.records import Cost, Header, Lost, Probe, ProbeName, Record, TableReading, Where
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import OTHER_UID, Users
from ebpftop.serving.call_totals import CallsTotal
from ebpftop.serving.counters import Counters, Labels
from ebpftop.serving.group_totals import GroupsTotal
from ebpftop.serving.reading import (
    OTHER,
    By,
    CallErrors,
    Ends,
    LostTotal,
    Own,
    ProbeState,
    TotalsReading,
    UserTotals,
)

USERS_MAX = 256
"""Users with a row of their own."""

EXEC_ERRORS = (
    *("E2BIG", "EACCES", "EAGAIN", "EFAULT", "EINTR", "EINVAL", "EIO", "EISDIR", "ELIBBAD", "ELOOP", "EMFILE"),
    *("ENAMETOOLONG", "ENFILE", "ENOENT", "ENOEXEC", "ENOMEM", "ENOTDIR", "EPERM", "ETXTBSY"),
)
"""Those that execve(2) names. They are served from the start: of a counter that begins with a number other than 0, an
engine does not see the first increase."""
ENDING_SIGNALS = (
    *("SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1"),
    *("SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGXCPU", "SIGXFSZ", "SIGVTALRM"),
    *("SIGPROF", "SIGIO", "SIGPWR", "SIGSYS"),
)
"""Those that end a process unless it handles them (signal(7)), without the real-time ones."""

_PAGE_BYTES = resource.getpagesize()
_RESIDENT = 1  # field of /proc/self/statm


class Totals:
    """Takes the records of a live source, one thread at a time; `reading` returns what they come to.

    *probes* are those that were asked for; *timed* is whether calls are timed, and their errors counted.
    """

    def __init__(
        self, header: Header, probes: Sequence[ProbeName], *, timed: bool = True, by: By | None = None
    ) -> None:
        self._header = header
        self._time = header.started
        self._users = Labels(USERS_MAX, OTHER_UID)
        self._execs = Counters(self._users)
        self._failed = Counters(self._users)
        self._names: dict[int, str] = {OTHER_UID: OTHER}
        self._ends: Counters[tuple[str, str]] = Counters(Labels(128, ("signal", OTHER)))
        self._calls = CallsTotal()
        self._groups = GroupsTotal(by) if by is not None else None
        self._lost: dict[tuple[str, str], int] = {(probe, where): 0 for probe in probes for where in get_args(Where)}
        self._states = {probe: ProbeState(probe, False, "") for probe in probes}
        self._ends_asked = "execs" in probes
        self._timed = timed and "syscalls" in probes
        self._kernel_s: float | None = None
        self._cost_time = 0.0

    def update(self, records: Iterable[Record]) -> None:
        """Note *records*; those that are not about totals are passed over."""
        for record in records:
            match record:
                case Users():
                    self._add_users(record)
                case Syscalls():
                    self._calls.update(record.rows)
                case Endings():
                    for end in record.rows:
                        self._ends.set((end.reason, end.signal), end.count)
                case Cgroups():
                    if self._groups is not None:
                        self._groups.update(record.rows)
                case Lost():
                    key = record.probe, record.where
                    self._lost[key] = max(record.count, self._lost.get(key, 0))
                case Probe():
                    known = self._states.get(record.probe)
                    via = record.via or (known.via if known is not None else "")
                    self._states[record.probe] = ProbeState(record.probe, record.state == "on", via)
                case Cost():
                    self._add_cost(record)
                case _:
                    continue
            if isinstance(record, TableReading):
                self._time = max(self._time, record.time)

    def _add_users(self, reading: Users) -> None:
        for row in reading.rows:
            self._execs.set(row.uid, row.execs)
            self._failed.set(row.uid, row.failed)
            # The first name stays: with another one, it would be another series.
            if not self._names.get(row.uid):
                self._names[row.uid] = row.user or ""

    def _add_cost(self, cost: Cost) -> None:
        """Add the time of our programs in the kernel: their share while it was measured, over the time since then."""
        if cost.kernel is not None:
            since_s = cost.time - self._cost_time if self._cost_time else 0.0
            self._kernel_s = (self._kernel_s or 0.0) + cost.kernel * max(0.0, since_s)
        self._cost_time = cost.time

    def reading(self) -> TotalsReading:
        """Return the totals as of the last record."""
        calls = self._calls
        return TotalsReading(
            time=self._time,
            started=self._header.started,
            version=self._header.version,
            kernel=self._header.kernel,
            timed=self._timed,
            users=tuple(
                UserTotals(
                    OTHER if uid == OTHER_UID else str(uid),
                    self._names.get(uid, ""),
                    execs,
                    self._failed.by_label.get(uid, 0),
                )
                for uid, execs in self._execs.by_label.items()
            ),
            exec_errors=tuple((_NO_EXEC_ERRORS | calls.exec_errors).items()) if self._timed else (),
            ends=tuple(Ends(*how, count) for how, count in (_NO_ENDS | self._ends.by_label).items())
            if self._ends_asked
            else (),
            calls=calls.calls(),
            call_errors=tuple(CallErrors(*key, count) for key, count in calls.errors.items()),
            lost=tuple(LostTotal(*key, count) for key, count in self._lost.items()),
            probes=tuple(self._states.values()),
            by=self._groups.by if self._groups is not None else None,
            groups=self._groups.groups() if self._groups is not None else (),
            own=_own(self._kernel_s),
        )


_NO_EXEC_ERRORS = dict.fromkeys(EXEC_ERRORS, 0)
_NO_ENDS = {("ok", ""): 0, ("error", ""): 0} | {("signal", name): 0 for name in ENDING_SIGNALS}


def _own(kernel_s: float | None) -> Own:
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(Path("/proc/self/statm").read_text().split()[_RESIDENT])
    return Own(used.ru_utime + used.ru_stime, resident * _PAGE_BYTES, kernel_s)
