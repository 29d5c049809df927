"""Match a filter in user space, as the kernel does, for records from before the kernel had the filter."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from ebpftop.core.cgroup_path import containers_of, is_container
from ebpftop.core.escape import printable
from ebpftop.core.records import Exec
from ebpftop.filters.spec import Filter
from ebpftop.models.processes import Processes, ProcessInfo

# The user may give the directory of a cgroup; records have its path.
_MOUNT = re.compile(r"^/sys/fs/cgroup(?:/unified|/pids)?(?=/|$)")


def matches(wanted: Filter, record: Exec | ProcessInfo, processes: Processes) -> bool:
    """Return whether a program that started before the kernel had the filter matches *wanted*."""
    if wanted.uids and record.uid not in wanted.uids:
        return False
    if wanted.pids and not _descends(record, set(wanted.pids), processes):
        return False
    if wanted.comms and not any(comm_matches(pattern, record.comm) for pattern in wanted.comms):
        return False
    if wanted.cgroups and not any(_is_below(path, record.cgroup) for path in wanted.cgroups):
        return False
    return not wanted.containers or in_container(wanted.containers, record.cgroup)


def _descends(record: Exec | ProcessInfo, pids: set[int], processes: Processes) -> bool:
    if record.pid in pids or record.ppid in pids:
        return True
    return any(known.pid in pids for known in processes.ancestors(record.ppid, record.start_ns))


def comm_matches(pattern: str, comm: str) -> bool:
    """Return whether *comm*, as in records, is NAME, or begins with NAME if the pattern is NAME*."""
    name = printable(pattern.removesuffix("*"))
    return comm.startswith(name) if pattern.endswith("*") else comm == name


def _is_below(path: str, cgroup: str) -> bool:
    top = printable(posixpath.normpath("/" + _MOUNT.sub("", path).strip("/")))
    return top == "/" or cgroup == top or cgroup.startswith(top + "/")


def in_container(wanted: Iterable[str], cgroup: str) -> bool:
    """Return whether *cgroup* is in one of the containers *wanted*, at any depth, as in the kernel."""
    return any(is_container(one, name) for name in containers_of(cgroup) for one in wanted)
