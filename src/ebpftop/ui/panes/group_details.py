"""Everything known about a unit, a container, a cgroup or a program."""

from __future__ import annotations

from collections.abc import Sequence

from ebpftop.core import format
from ebpftop.models.groups import By, Group
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.seccomp import CallsSeen
from ebpftop.ui.panes.user_details import processes_of
from ebpftop.ui.widgets.sheet import Sheet

MOST = 20

_NOUNS: dict[By, str] = {
    "units": "Unit",
    "containers": "Container",
    "cgroups": "Cgroup",
    "programs": "Program",
}


def noun(group: Group) -> str:
    """Return what a group is."""
    return _NOUNS[group.by]


def group_sheet(group: Group, processes: Sequence[ProcessInfo], seen: CallsSeen | None, now: float) -> Sheet:
    """Build the sheet of *group*; *processes* are those that the exec log knows to be in it, the newest first."""
    total = group.total
    sheet = Sheet()
    sheet.heading(noun(group))
    sheet.fact("name", group.name, "bold")
    sheet.fact("id", group.container if group.container != group.name else None, "$warning")
    sheet.fact("cgroup", group.path if group.path != group.name else None)
    state = "its cgroup was removed" if group.gone else group.state
    sheet.fact("state", state, "$dim" if group.gone else "")
    sheet.fact("execs", f"{total.execs:,}", note="attempts, counted in the kernel")
    sheet.fact("failed", f"{total.failed:,}", "$error" if total.failed else "")
    sheet.fact("rate", f"{format.per_second(group.rate)}/s" if group.rate else "0/s", note="over the last reading")
    if group.running is not None:
        sheet.fact("processes", f"{group.running:,}", note="now, as the kernel says")
    if group.blocked is not None:
        sheet.fact("blocked", f"{group.blocked:,}", note=f"{'thread' if group.blocked == 1 else 'threads'}, now")
    each = format.per_second(group.calls_rate) if group.calls_rate else "0"
    sheet.fact("system calls", f"{total.calls:,}", note=f"{each}/s over the last reading")
    sheet.fact("errors", f"{total.errors:,}" if total.errors else None, "$error")
    sheet.fact("time in them", format.nanoseconds(total.total_ns), note="of all threads, waiting included")
    sheet.fact("p99", None if group.p99_ns is None else format.nanoseconds(group.p99_ns), note="of these calls")
    sheet.fact("last program", group.last)
    if group.history:
        sheet.heading(f"Rate over the last {format.counted(len(group.history), 'reading')}")
        sheet.line((format.sparkline(group.history, len(group.history)), "$primary"))
    if len(group.members) > 1:
        sheet.heading(f"Cgroups ({len(group.members):,})")
        for path in group.members[:MOST]:
            sheet.line((path, ""))
        if len(group.members) > MOST:
            sheet.line((f"… and {len(group.members) - MOST:,} more", "$dim"))
    if seen is not None and seen.named:
        sheet.heading(f"Calls seen ({len(seen.named)}): C, or Ctrl-S, makes a seccomp profile of them")
        sheet.part("", *[((name, ""),) for name in seen.named], apart=" ")
        for doubt in seen.doubts:
            sheet.line(("may be missing: ", "$warning"), (doubt, "$dim"))
    processes_of(sheet, processes, now)
    unseen = (group.running or 0) - len(processes)
    if unseen > 0:
        more = " more" if processes else ""
        sheet.line((f"{'…':>7}  {unseen:,}{more} that the exec log did not see start", "$dim"))
    return sheet
