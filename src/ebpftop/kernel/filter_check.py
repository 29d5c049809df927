"""Whether a filter is possible on this machine, and which processes and cgroups it means there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ebpftop.core.source import SourceError
from ebpftop.filters.spec import Filter
from ebpftop.kernel.cgroups import CgroupChoice, chosen_cgroups
from ebpftop.kernel.filter_layout import CGROUPS_MAX, VALUES_MAX
from ebpftop.kernel.threads import in_first_pid_namespace, process_of_thread


def with_processes(requested: Filter) -> tuple[Filter, tuple[str, ...]]:
    """Return *requested* with each thread id replaced by its process's pid, and a sentence about each of these.

    A number that no thread has stays: `KernelFilter.apply` refuses it.
    """
    pids: list[int] = []
    notes: list[str] = []
    for pid in requested.pids:
        process = process_of_thread(pid) or pid
        if process != pid:
            notes.append(f"{pid} is a thread of process {process}: the filter uses the process")
        if process not in pids:
            pids.append(process)
    return replace(requested, pids=tuple(pids)), tuple(notes)


def checked(requested: Filter) -> tuple[CgroupChoice, ...]:
    """Return the cgroups of *requested*; raises SourceError if the filter is impossible."""
    for name, values, most in (
        ("--uid", requested.uids, VALUES_MAX),
        ("--comm", requested.comms, VALUES_MAX),
        ("--pid", requested.pids, VALUES_MAX),
    ):
        if len(values) > most:
            raise SourceError(f"{name} was given {len(values)} times", f"at most {most} values fit")
    if requested.pids and not in_first_pid_namespace():
        raise SourceError("--pid means other processes in a pid namespace", "run ebpftop in the host's (--pid=host)")
    gone = [pid for pid in requested.pids if not Path("/proc", str(pid)).exists()]
    if gone:
        raise SourceError(f"there is no process {gone[0]}", "see what runs with `ps -e`")
    cgroups = chosen_cgroups(requested.cgroups, requested.containers)
    if len(cgroups) > CGROUPS_MAX:
        raise SourceError(f"the filter matches {len(cgroups)} cgroups", f"at most {CGROUPS_MAX} fit; name one above")
    return cgroups
