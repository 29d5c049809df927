"""All that is known of why one process waits."""

from __future__ import annotations

from ebpftop.core import format
from ebpftop.core.state_records import ThreadNow
from ebpftop.models.wait_text import circle_text, stack_text, target_text
from ebpftop.models.waits import QUEUED, Waiter, WaitsModel, cpu_wanted, woken_by
from ebpftop.ui.widgets.sheet import Piece, Sheet

_CALL = 20
_NAME = 9
_INTERRUPTS = {
    "softirq": "the network, a disk or a timer",
    "irq": "a timer or a device",
    "interrupt": "the network, a disk, a timer or a device",
}
_PARENTS = ("vfork", "clone", "clone3")
"""Calls that wait, uninterruptibly, for the child that they made."""
_STATES = {
    "running": "running",
    "runnable": "queued",
    "blocked": "blocked",
    "uninterruptible": "blocked!",
    "stopped": "stopped",
}
_LOOKS = {"running": "$success", "runnable": "$warning", "uninterruptible": "$error", "stopped": "$warning"}


def wait_sheet(model: WaitsModel, shown: Waiter) -> Sheet:
    """Build the sheet of the process *shown*, as it was read last."""
    waiter = next((one for one in model.waiters if one.key == shown.key), shown)
    sheet = Sheet()
    _now(sheet, model, waiter)
    _times(sheet, model, waiter)
    since = _since(model)
    _blocked(sheet, waiter, since)
    _woken(sheet, waiter, since)
    return sheet


def _since(model: WaitsModel) -> str:
    """Say of what time totals are."""
    if model.latest is None:
        return "since the probe was attached"
    return f"{format.duration(model.latest.duration_s)} since the probe was attached"


def _now(sheet: Sheet, model: WaitsModel, waiter: Waiter) -> None:
    row = waiter.row
    sheet.heading("Now")
    if row.ended or all(one.key != waiter.key for one in model.waiters):
        sheet.line(("it has ended", "$warning"))
        return
    if waiter.deadlock:
        sheet.line(
            (f"{circle_text(waiter.deadlock)}: each waits for the next one, and the last for the first", "$error")
        )
    for thread in row.now:
        _thread(sheet, model, waiter, thread)
    if (others := row.threads - len(row.now)) > 0:
        sheet.line((f"and {format.counted(others, 'more thread')}", "$dim"))


def _thread(sheet: Sheet, model: WaitsModel, waiter: Waiter, thread: ThreadNow) -> None:
    ns, is_least = waiter.waited(thread, model.latest) if model.latest is not None else (0, True)
    call = waiter.call_of(thread)
    what = thread.syscall or (call.name if call is not None else "")
    if thread.state == "runnable":
        what = cpu_wanted(model.machine)
    sheet.line(
        (f"{thread.tid:>7}  ", "$dim"),
        (f"{thread.comm:<15}  ", "bold"),
        (f"{_STATES[thread.state]:<8}  ", _LOOKS.get(thread.state, "")),
        (f"{format.at_least(ns, lower_bound=is_least):>6}  ", ""),
        (what or ("" if thread.state == "running" else "in no call that is known"), "bold" if what else "$dim"),
        (f" {target_text(call)}" if call is not None else "", "$primary"),
    )
    if thread.state == "uninterruptible":
        awaited = "its child must exec or end" if what in _PARENTS else "a disk or a file server, mostly"
        sheet.line((f"         at most SIGKILL ends it (D in ps): {awaited}", "$dim"))
    if call is not None and call.kernel_stack:
        stack = call.kernel_stack
        sheet.laid_out(lambda width: [[("         in the kernel ", "$dim"), (stack_text(stack, width - 24), "")]])


def _times(sheet: Sheet, model: WaitsModel, waiter: Waiter) -> None:
    row, latest = waiter.row, model.latest
    attached = format.duration(latest.duration_s) if latest is not None else ""
    sheet.heading("Its time")
    _figures(sheet, "", f"last {waiter.seconds} s", attached, "since the probe was attached", "$dim")
    times = (
        ("running", waiter.running, row.running_ns, "of one CPU, as in htop"),
        ("queued", waiter.queued, row.runnable_ns, "wanted a CPU, had none"),
        ("blocked", waiter.blocked, row.blocked_ns, "of its threads' time"),
    )
    for name, part, ns, about in times:
        _figures(sheet, name, format.whole_share(part), format.nanoseconds(ns) if ns else "·", about)
    _figures(sheet, "woken", format.count(waiter.wakeups), format.count(row.wakeups), "times")
    _figures(sheet, "preempted", "", format.count(row.preempted), "times: it lost its CPU to another")
    if waiter.queued >= QUEUED and model.machine is not None:
        sheet.line((f"{cpu_wanted(model.machine)}: the machine has too few for all that want one", "$warning"))
    letters = waiter.letters(latest.time if latest is not None else 0.0)
    sheet.line(
        (f"{'by second':<{_NAME}}  ", "$dim"),
        (letters, "bold"),
        ("  r running, q queued, b blocked, · unknown", "$dim"),
    )


def _figures(sheet: Sheet, name: str, recent: str, total: str, about: str, look: str = "") -> None:
    """A line of the table of its time: of the last seconds, and since the probe was attached."""
    sheet.line(
        (f"{name:<{_NAME}}  ", "$dim"),
        (f"{recent:>9}  ", look or "bold"),
        (f"{total:>7}", look),
        (f"  {about}" if about else "", "$dim"),
    )


def _blocked(sheet: Sheet, waiter: Waiter, since: str) -> None:
    sheet.heading(f"Blocked in ({since})")
    calls = waiter.row.blocked
    if not calls:
        sheet.line(("nothing", "$dim"))
        return
    sheet.line((f"{'CALL':<{_CALL}} {'TIME':>6} {'WAITS':>7} {'LONGEST':>7}  NOW", "$dim"))
    for call in calls:
        name: Piece = (f"{call.syscall:<{_CALL}} ", "bold") if call.syscall else (f"{'in no call':<{_CALL}} ", "$dim")
        sheet.line(
            name,
            (f"{format.nanoseconds(call.ns):>6} {format.count(call.count):>7} ", ""),
            (f"{format.nanoseconds(call.max_ns):>7}  ", ""),
            (format.counted(call.threads, "thread") if call.threads else "", "$dim"),
        )
    if any(call.syscall is None for call in calls):
        sheet.line(("in no call: it waits for a page of its memory, was stopped, or is part of the kernel", "$dim"))


def _woken(sheet: Sheet, waiter: Waiter, since: str) -> None:
    row = waiter.row
    sheet.heading(f"Woken by ({since})")
    if not row.wakeups:
        sheet.line(("nobody", "$dim"))
        return
    known = 0
    for name, times, _ in woken_by(row):
        known += times
        what = _INTERRUPTS.get(name, "")
        sheet.line((f"{format.count(times):>7}  ", ""), (name, "bold"), (f"  {what}" if what else "", "$dim"))
    if row.wakeups > known:
        sheet.line((f"{format.count(row.wakeups - known):>7}  ", ""), ("others", "$dim"))
