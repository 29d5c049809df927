"""The lines below the table of system calls: calls in flight, programs and timers, operations of io_uring."""

from __future__ import annotations

from ebpftop.core.format import at_least, count, counted, nanoseconds
from ebpftop.core.syscall_records import InFlight
from ebpftop.models.baseline import Baseline, Sum
from ebpftop.models.wait_text import brief_target
from ebpftop.syscalls.families import WAITS
from ebpftop.ui.panes.common import thread, wait_look
from ebpftop.ui.widgets.columns import Span

NAMED = 6
"""Calls that the line names, as far as there is room."""


def waits(in_flight: tuple[InFlight, ...]) -> tuple[list[Span], list[tuple[InFlight, list[Span]]]]:
    """Return the head of the line of calls in flight, and some of these: who waits, and for how long.

    Calls that are meant to wait come last.
    """
    if not in_flight:
        return [Span("in flight ", "dim"), Span("nothing for 0.1 s", "dim")], []
    named: list[tuple[InFlight, list[Span]]] = []
    for call in sorted(in_flight, key=lambda call: (call.name in WAITS, -call.ns, call.tid))[:NAMED]:
        spans = [Span(f" {thread(call)} ", "dim"), Span(call.name, "strong")]
        spans += [Span(f" {at_least(call.ns, lower_bound=call.before)}", wait_look(call.ns))]
        spans += [Span(" on CPU", "warn")] if call.running else []
        target = brief_target(call)
        spans += [Span(f" {target}", "accent")] if target else []
        named.append((call, spans))
    return [Span("in flight ", "dim"), Span(f"{len(in_flight)}", "strong"), Span(" I ", "accent")], named


def families(counts: dict[str, int]) -> list[Span]:
    """Return the line of how often the exec and timer handlers ran."""

    def number(family: str) -> str:
        return count(counts.get(family, 0))

    return [
        Span("programs ", "dim"),
        Span(number("exec"), "accent"),
        Span("  timers created ", "dim"),
        Span(number("timer_create")),
        Span(" deleted ", "dim"),
        Span(number("timer_delete")),
        Span(" other ", "dim"),
        Span(number("timer_other")),
    ]


def uring(counts: dict[str, int]) -> list[Span]:
    """Return the counts of io_uring operations, which are no system calls; empty if there are none."""
    if not counts:
        return []
    spans = [Span("  io_uring", "dim")]
    for operation, n in counts.items():
        spans += [Span(f" {operation} "), Span(count(n), "accent")]
    return spans


def calls_text(made: Sum | None, baseline: Baseline | None = None) -> str:
    """Return how many calls somebody made, and how long they took; empty if that is not known."""
    if made is None or not made.count:
        return ""
    text = counted(made.count, "call")
    text += f", {count(made.errors)} failed" if made.errors else ""
    if made.total_ns is not None:
        text += f" · {nanoseconds(made.total_ns)} in them, waiting included"
    if made.max_ns is not None:
        text += f", the longest {nanoseconds(made.max_ns)}"
    return text + (f" · {baseline.text}" if baseline else "")
