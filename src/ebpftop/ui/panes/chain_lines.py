"""The two lines of why one thread waits: its call and what that waits for, and where in the kernel it is."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from ebpftop.core.format import at_least, count, duration
from ebpftop.core.state_records import ProcessStates, States
from ebpftop.core.syscall_records import InFlight
from ebpftop.models.wait_text import circle_text, stack_text, target_text
from ebpftop.models.waits import Machine, Waiter, cpu_wanted, woken_by
from ebpftop.ui.panes.common import thread, wait_look
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.pane_footer import PaneFooter

_KERNEL = "in the kernel "


def chain(call: InFlight) -> list[Span]:
    """Return the first line, of a call in flight."""
    return [
        Span(f"{thread(call)} ", "dim"),
        *_call(call),
        Span(f"  {at_least(call.ns, lower_bound=call.before)}", wait_look(call.ns)),
        *([Span("  on CPU", "warn")] if call.running else []),
    ]


def _call(call: InFlight) -> list[Span]:
    target = target_text(call)
    return [Span(call.name, "strong"), *([Span(f" {target}", "accent")] if target else [])]


def kernel_stack(call: InFlight | None, width: int) -> list[Span]:
    """Return the second one, for *width* cells; empty if it is not known."""
    text = stack_text(call.kernel_stack, width - len(_KERNEL)) if call is not None else ""
    return [Span(_KERNEL, "dim"), Span(text)] if text else []


def chain_of(waiter: Waiter, machine: Machine | None, latest: States) -> list[Span]:
    """Return the first line, of a process: what its thread that says most does now, since when, and who woke it."""
    row, now = waiter.row, waiter.thread
    spans = [Span(f"{row.comm} {row.pid} ", "dim")]
    if now is None:
        spans.append(Span("ended" if row.ended else "nothing is known of its threads", "dim"))
    else:
        if now.tid != row.pid:
            spans.append(Span(f"thread {now.comm} {now.tid} ", "dim"))
        call = waiter.call_of(now)
        if now.state in ("running", "runnable"):
            spans.append(Span("on a CPU" if now.state == "running" else cpu_wanted(machine), "warn"))
        elif now.state == "stopped":
            spans.append(Span("stopped by a signal or a debugger", "warn"))
        elif call is not None:
            spans += _call(call)
        else:
            spans.append(Span(now.syscall or "in no call that is known", "strong" if now.syscall else "dim"))
        ns, is_least = waiter.waited(now, latest)
        spans.append(Span(f"  {at_least(ns, lower_bound=is_least)}", "" if now.state == "running" else wait_look(ns)))
        if now.state == "uninterruptible":
            spans.append(Span("  at most SIGKILL ends it", "signal"))
        if waiter.deadlock:
            spans.append(Span(f"  {circle_text(waiter.deadlock)}", "signal"))
    woken = woken_text(row, latest.duration_s)
    return [*spans, Span(f"  {woken}", "dim")] if woken else spans


def woken_text(row: ProcessStates, seconds: float) -> str:
    """Return who woke a process most often in so many *seconds*; empty if nobody did."""
    who = next(woken_by(row), None)
    if who is None:
        return ""
    name, times, _ = who
    return f"woken by {name}, {count(times)} {'time' if times == 1 else 'times'} in {duration(seconds)}"


class ChainLine(PaneFooter, can_focus=True):
    """The first line of the process under the cursor. Enter and a click go to who ends its wait."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Go there", tooltip="To who holds or wakes it", id="chain.open"),
        Binding("up,k", "up", "Up", show=False, tooltip="Back to the table", id="lines.up"),
    ]

    class Opened(Message):
        """A request to go to who ends the wait."""

    def __init__(self, above: Widget, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._above = above

    def on_click(self, _: events.Click) -> None:
        self.post_message(self.Opened())

    def action_open(self) -> None:
        self.post_message(self.Opened())

    def action_up(self) -> None:
        self.screen.set_focus(self._above)
