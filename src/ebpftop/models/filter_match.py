"""What a filter means in user space: the one place where records are matched that the kernel did not decide about.

The kernel matches every event before it leaves it. What is older than the filter, and all of a recording, is matched
here by the same rules, as far as the records contain whose they are. What is unknown does not match.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ebpftop.core.cgroup_path import containers_of, is_container
from ebpftop.core.comm import comm_matches
from ebpftop.core.escape import printable
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Event
from ebpftop.core.state_records import ProcessStates
from ebpftop.core.syscall_records import InFlight, ProcessCalls
from ebpftop.core.trace_records import Trace
from ebpftop.filters.spec import EVERYTHING, Filter, Values
from ebpftop.models.processes import UNKNOWN_PID, Lineage, Processes, ProcessInfo

# The user may give the directory of a cgroup; records have its path.
_MOUNT = re.compile(r"^/sys/fs/cgroup(?:/unified|/pids)?(?=/|$)")


@dataclass(frozen=True, slots=True)
class ViewFilter:
    """A filter, and from when on (Unix seconds) the kernel has applied it: infinity if it has not, as in a recording.

    Each method returns whether one kind of record matches; None if that is not known yet, because no record so far
    reports whose it is. A record that is not older than `kernel_filter_since` matches: the kernel, which knows more,
    let it through. *processes* are those that the records reported so far.
    """

    filter: Filter = EVERYTHING
    kernel_filter_since: float = math.inf

    def __bool__(self) -> bool:
        """Return whether anything is left out."""
        return bool(self.filter)

    def decided_by_kernel(self, time: float) -> bool:
        """Return whether what was reported at *time* has been matched by the kernel, or need not be matched at all."""
        return not self.filter or time >= self.kernel_filter_since

    def matches_exec(self, record: Exec, lineage: Lineage, processes: Processes) -> bool | None:
        """Match a program that started, by its own name; one that failed to start, by its caller's."""
        return self.decided_by_kernel(record.time) or self._matches(
            processes, lineage, record.comm, record.uid, record.cgroup
        )

    def matches_exit(self, record: Exit, processes: Processes) -> bool | None:
        """Match the end of a process by what it was at its end. Its program may have matched before: then show both."""
        if self.decided_by_kernel(record.time):
            return True
        known = processes.owner(record.pid)
        if known is not None and not known.is_same_process(record.start_ns):
            known = None
        lineage = known.lineage if known else Lineage(record.pid, record.start_ns, record.ppid)
        return self._matches(processes, lineage, record.comm, record.uid, known.cgroup if known else "")

    def matches_process(self, known: ProcessInfo, processes: Processes) -> bool | None:
        """Match a process. One that was reported only as an ancestor of a process that matched does not match itself.

        If it comes to match when the filter changes, it is reported again.
        """
        if not known.matched or self.decided_by_kernel(known.reported):
            return known.matched
        return self._matches(processes, known.lineage, known.comm, known.uid, known.cgroup)

    def matches_event(self, event: Event, processes: Processes) -> bool | None:
        """Match what a process did, as a traced call, by the name in the event, that of its thread, and its user.

        An event without a process always matches.
        """
        pid, comm, uid = (getattr(event, name, None) for name in ("pid", "comm", "uid"))
        return pid is None or self.decided_by_kernel(event.time) or self._matches_pid(pid, comm, processes, uid=uid)

    def matches_line(self, line: Trace, processes: Processes) -> bool | None:
        """Match a line of the trace log, by the name of the thread that printed it."""
        return self.decided_by_kernel(line.time) or self._matches_pid(line.pid, line.task, processes)

    def matches_waiting(self, call: InFlight, time: float, processes: Processes) -> bool | None:
        """Match a call in flight in a reading of *time*, by the name of its thread."""
        return self.decided_by_kernel(time) or self._matches_pid(call.pid, call.comm, processes)

    def matches_states(self, row: ProcessStates, time: float, processes: Processes) -> bool | None:
        """Match why a process waits, in a reading of *time*."""
        return self.decided_by_kernel(time) or self._matches_pid(
            row.pid, row.comm, processes, row.start_ns, uid=row.uid
        )

    def matches_caller(self, calls: ProcessCalls, since: float, processes: Processes) -> bool | None:
        """Match the calls of a process, counted since *since* (Unix seconds), by the name of its first thread."""
        return self.decided_by_kernel(since) or self._matches_pid(calls.pid, calls.comm, processes, calls.start_ns)

    def matches_uid(self, uid: int) -> bool:
        """Match a user: counters of users have nothing else to match."""
        return uid not in self.filter.excluded.uids and (not self.filter.uids or uid in self.filter.uids)

    def matches_comm(self, comm: str) -> bool:
        """Match the name of a process: counters of programs have nothing else to match."""
        if _is_named(self.filter.excluded.comms, comm):
            return False
        return not self.filter.comms or _is_named(self.filter.comms, comm)

    def matches_cgroup(self, cgroup: str) -> bool:
        """Match a cgroup: its counters have nothing else to match."""
        wanted = self.filter
        if _is_in(wanted.excluded, cgroup):
            return False
        if wanted.cgroups and not _is_below_one(wanted.cgroups, cgroup):
            return False
        return not wanted.containers or in_container(wanted.containers, cgroup)

    def _matches_pid(
        self, pid: int, comm: str | None, processes: Processes, start_ns: int = 0, uid: int | None = None
    ) -> bool | None:
        known = processes.owner(pid)
        if known is None or not known.is_same_process(start_ns):
            return self._matches(processes, Lineage(pid, start_ns, UNKNOWN_PID), comm or "", uid, "")
        comm, uid = known.comm if comm is None else comm, known.uid if uid is None else uid
        return self._matches(processes, known.lineage, comm, uid, known.cgroup)

    def _matches(self, processes: Processes, lineage: Lineage, comm: str, uid: int | None, cgroup: str) -> bool | None:
        """Decide as the kernel would have; *uid* is None and *cgroup* empty if it is unknown."""
        wanted = self.filter
        if wanted.comms and not _is_named(wanted.comms, comm):
            return False
        known = True
        if wanted.uids and uid not in wanted.uids:
            if uid is not None:
                return False
            known = False
        if wanted.cgroups and not _is_below_one(wanted.cgroups, cgroup):
            if cgroup:
                return False
            known = False
        if wanted.containers and not in_container(wanted.containers, cgroup):
            if cgroup:
                return False
            known = False
        descends = processes.descends(lineage, wanted.pids) if wanted.pids else True
        if descends is False:
            return False
        if not wanted.excluded:
            return descends if known else None
        excluded = _is_excluded(wanted.excluded, processes, lineage, comm, uid, cgroup)
        if excluded:
            return False
        return descends if known and excluded is False else None


UNFILTERED = ViewFilter()


def _is_excluded(
    values: Values, processes: Processes, lineage: Lineage, comm: str, uid: int | None, cgroup: str
) -> bool | None:
    """Return whether one of *values* matches; None if that is not known. What is unknown is None, or empty."""
    if _is_named(values.comms, comm) or uid in values.uids or _is_in(values, cgroup):
        return True
    descends = processes.descends(lineage, values.pids) if values.pids else False
    if descends is False and (
        (values.comms and not comm)
        or (values.uids and uid is None)
        or ((values.cgroups or values.containers) and not cgroup)
    ):
        return None
    return descends


def _is_named(patterns: Iterable[str], comm: str) -> bool:
    return any(comm_matches(pattern, comm) for pattern in patterns)


def _is_in(values: Values, cgroup: str) -> bool:
    """Return whether *cgroup* is below one of the cgroups, or in one of the containers, of *values*."""
    return _is_below_one(values.cgroups, cgroup) or in_container(values.containers, cgroup)


def _is_below_one(paths: Iterable[str], cgroup: str) -> bool:
    return any(_is_below(path, cgroup) for path in paths)


def _is_below(path: str, cgroup: str) -> bool:
    top = printable(posixpath.normpath("/" + _MOUNT.sub("", path).strip("/")))
    return top == "/" or cgroup == top or cgroup.startswith(top + "/")


def in_container(wanted: Iterable[str], cgroup: str) -> bool:
    """Return whether *cgroup* is in one of the containers *wanted*, at any depth, as in the kernel."""
    return any(is_container(one, name) for name in containers_of(cgroup) for one in wanted)
