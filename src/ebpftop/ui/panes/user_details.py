"""Everything known about one user."""

from __future__ import annotations

from collections.abc import Sequence

from ebpftop.core import format
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.user import Activity, User
from ebpftop.models.users import UsersModel
from ebpftop.ui.panes.syscall_notes import calls_text
from ebpftop.ui.widgets.sheet import Sheet

MOST = 20
BAR = 16


def user_sheet(model: UsersModel, user: User, now: float) -> Sheet:
    """Build the sheet of *user*; *now* is the time of the newest batch (Unix seconds)."""
    person = model.users.get(user.row.uid, user)
    row = person.row
    activity = model.activity.get(row.uid, Activity())
    processes = model.processes_of(row.uid)
    sheet = Sheet()
    sheet.heading("User")
    sheet.fact("name", person.name, "bold", f"uid {row.uid}")
    if row.ns_uid is not None:
        sheet.fact("ns uid", f"uid {row.ns_uid}", "$warning", f"in user namespace {row.userns}")
    sheet.fact("container", activity.container, "$warning")
    sheet.fact("execs", f"{row.execs:,}", note="attempts, counted in the kernel")
    sheet.fact("failed", f"{row.failed:,}", "$error" if row.failed else "")
    sheet.fact("rate", f"{format.per_second(person.rate)}/s" if person.rate else "0/s", note="over the last reading")
    sheet.fact("running", f"{len(processes):,}", note="process" if len(processes) == 1 else "processes")
    if person.calls_rate:
        least = "at least " if person.calls_at_least else ""
        sheet.fact("system calls", f"{least}{format.per_second(person.calls_rate)}/s", note="over the last reading")
    if person.calls_ns:
        sheet.fact("time in them", f"{format.nanoseconds(person.calls_ns)}/s", note="of all threads, waiting included")
    sheet.fact("calls so far", calls_text(model.calls_of(row.uid)))
    sheet.fact("last program", row.last)
    history = tuple(person.history)
    if history:
        sheet.heading(f"Rate over the last {format.counted(len(history), 'reading')}")
        sheet.line((format.sparkline(history, min(60, len(history))), "$primary"))
    _counted(sheet, "Programs", activity.programs, "$primary")
    _counted(sheet, "Failures", activity.errors, "$error")
    processes_of(sheet, processes, now)
    return sheet


def processes_of(sheet: Sheet, processes: Sequence[ProcessInfo], now: float) -> None:
    """Add the newest of *processes*, which are sorted like that, to *sheet*."""
    sheet.heading(f"Processes ({len(processes)})")
    for process in processes[:MOST]:
        age = "before" if process.since is None else format.age(max(0.0, now - process.since))
        sheet.line(
            (f"{process.pid:>7}  ", "$dim"),
            (f"{age:>6}  ", "$success" if process.since is not None else "$dim"),
            (process.comm, "bold"),
            (f"  {' '.join(process.argv)[:200]}", "$dim"),
        )
    if len(processes) > MOST:
        sheet.line((f"{'…':>7}  and {len(processes) - MOST:,} more", "$dim"))
    if not processes:
        sheet.line(("none that the exec log knows", "$dim"))


def _counted(sheet: Sheet, title: str, counts: dict[str, int], colour: str) -> None:
    if not counts:
        return
    whole = sum(counts.values())
    sheet.heading(f"{title} ({whole:,}, as the exec log saw them)")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for name, number in ranked[:MOST]:
        sheet.line(
            (f"{number:>9,}  ", ""), (f"{format.bar(number / ranked[0][1], BAR):<{BAR}}  ", colour), (name, "bold")
        )
    if len(ranked) > MOST:
        sheet.line((f"{'…':>9}  and {format.counted(len(ranked) - MOST, 'other name', whole=True)}", "$dim"))
