"""The two lines of why one thread waits: its call and what that waits for, and where in the kernel it is."""

from __future__ import annotations

from ebpftop.core.format import at_least
from ebpftop.core.syscall_records import InFlight
from ebpftop.models.wait_text import stack_text, target_text
from ebpftop.ui.panes.common import thread, wait_look
from ebpftop.ui.widgets.columns import Span

_KERNEL = "in the kernel "


def chain(call: InFlight) -> list[Span]:
    """Return the first line."""
    target = target_text(call)
    return [
        Span(f"{thread(call)} ", "dim"),
        Span(call.name, "strong"),
        *([Span(f" {target}", "accent")] if target else []),
        Span(f"  {at_least(call.ns, lower_bound=call.before)}", wait_look(call.ns)),
        *([Span("  on CPU", "warn")] if call.running else []),
    ]


def kernel_stack(call: InFlight, width: int) -> list[Span]:
    """Return the second one, for *width* cells; empty if it is not known."""
    text = stack_text(call.kernel_stack, width - len(_KERNEL))
    return [Span(_KERNEL, "dim"), Span(text)] if text else []
