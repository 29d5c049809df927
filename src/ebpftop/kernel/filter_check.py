"""Whether a filter is possible on this machine, and which processes and cgroups it means there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ebpftop.core.source import SourceError
from ebpftop.filters.spec import NOT, Filter
from ebpftop.kernel.cgroups import CgroupChoice, chosen_cgroups, excluded_cgroups
from ebpftop.kernel.filter_layout import CGROUPS_MAX, VALUES_MAX
from ebpftop.kernel.threads import in_first_pid_namespace, process_of_thread


def with_processes(requested: Filter) -> tuple[Filter, tuple[str, ...]]:
    """Return *requested* with each thread id replaced by its process's pid, and a sentence about each of these.

    A number that no thread has stays: `KernelFilter.apply` refuses it.
    """
    notes: dict[str, None] = {}

    def processes(pids: tuple[int, ...]) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for pid in pids:
            process = process_of_thread(pid) or pid
            if process != pid:
                notes[f"{pid} is a thread of process {process}: the filter uses the process"] = None
            found[process] = None
        return tuple(found)

    excluded = replace(requested.excluded, pids=processes(requested.excluded.pids))
    return replace(requested, pids=processes(requested.pids), excluded=excluded), tuple(notes)


def checked(requested: Filter) -> tuple[CgroupChoice, ...]:
    """Return the cgroups of *requested*, those that it excludes first; raises SourceError if it is impossible."""
    excluded = requested.excluded
    for name, values in (
        ("uid", requested.uids + excluded.uids),
        ("comm", requested.comms + excluded.comms),
        ("pid", requested.pids + excluded.pids),
    ):
        if len(values) > VALUES_MAX:
            options = " and ".join(f"--{kind}" for kind, some in requested.kinds() if some and kind.endswith(name))
            raise SourceError(f"{options} was given {len(values)} times", f"at most {VALUES_MAX} values fit")
    pids = requested.pids + excluded.pids
    if pids and not in_first_pid_namespace():
        option = "--pid" if requested.pids else f"--{NOT}pid"
        raise SourceError(
            f"{option} means other processes in a pid namespace", "run ebpftop in the host's (--pid=host)"
        )
    gone = [pid for pid in pids if not Path("/proc", str(pid)).exists()]
    if gone:
        raise SourceError(f"there is no process {gone[0]}", "see what runs with `ps -e`")
    chosen = chosen_cgroups(requested.cgroups, requested.containers)
    cgroups = (*excluded_cgroups(excluded.cgroups, excluded.containers), *chosen)
    if len(cgroups) > CGROUPS_MAX:
        raise SourceError(f"the filter matches {len(cgroups)} cgroups", f"at most {CGROUPS_MAX} fit; name one above")
    return cgroups
