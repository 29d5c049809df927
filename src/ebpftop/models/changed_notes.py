"""What makes two spans hard to compare: lost events, probes that were off, other machines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from ebpftop.models.span_figures import SpanFigures
from ebpftop.models.span_items import Clock

_LACKS: Mapping[Clock, str] = {
    "execs": "programs, their ends and their units",
    "users": "how many programs users start",
    "syscalls": "system calls, their errors and latencies",
    "callers": "who makes which call",
    "groups": "calls of all programs and units",
    "load": "maps, events and runs of a program of your own",
}
_SELDOM = frozenset(("cgroups", "load"))
"""Probes that are off unless they are asked for: who did not, does not miss them."""


def notes(a: SpanFigures, b: SpanFigures) -> Iterator[str]:
    """Yield what makes the spans hard to compare."""
    one, other = a.header, b.header
    if one.host != other.host:
        yield f"A is of {one.host}, B of {other.host}"
    if one.kernel != other.kernel:
        yield f"A ran on Linux {one.kernel or '?'}, B on {other.kernel or '?'}"
    if one.filter is not None and other.filter is not None and one.filter != other.filter:
        yield f"A is of {_of(one.filter)}, B of {_of(other.filter)}"
    if one.abi != other.abi:
        yield f"A is of {one.abi or '?'}, B of {other.abi or '?'}"
    is_of_file = a.known_s("load") > 0 and b.known_s("load") > 0
    if is_of_file and (absent := sorted({_probe(clock) for clock in _LACKS if _is_absent(a, b, clock)} - _SELDOM)):
        yield f"{', '.join(absent)} are not compared: neither of the two has them"
    for clock, lacks in _LACKS.items():
        for name, figures, beside in (("A", a, b), ("B", b, a)):
            known_s = figures.known_s(clock)
            if known_s <= 0 and beside.known_s(clock) > 0:
                yield f"{lacks} are not compared: {_why(figures, clock)} in {name}"
            elif known_s > 0 and figures.duration_s - known_s > max(10.0, 0.1 * figures.duration_s):
                yield f"{lacks} of {name}: {known_s:.0f} s of {figures.duration_s:.0f} s are known"
        # Who did not ask for it does not miss it.
        is_asked = clock not in ("groups", "load") and not (is_of_file and _is_absent(a, b, clock))
        if is_asked and a.known_s(clock) <= 0 and b.known_s(clock) <= 0:
            yield f"{lacks} are not compared: {_why(a, clock)} in A, {_why(b, clock)} in B"
    for name, figures in (("A", a), ("B", b)):
        lost = ", ".join(
            f"{count:,} {probe} ({where})" for (probe, where), count in sorted(figures.lost.items()) if count
        )
        if lost:
            yield f"lost in {name}: {lost}: so much is missing"
        if figures.evicted:
            yield (
                f"{figures.evicted:,} pairs of process and call fell out of the kernel's map in {name}: "
                "less is known of users' calls"
            )
        if figures.items.left_out:
            yield f"{name} has too many names: events that are compared under none: {figures.items.left_out:,.0f}"


def _of(filter: Sequence[str]) -> str:
    return shlex.join(filter) or "everything"


def _probe(clock: Clock) -> str:
    return {"callers": "syscalls", "groups": "cgroups"}.get(clock, clock)


def _is_absent(a: SpanFigures, b: SpanFigures, clock: Clock) -> bool:
    """Whether neither recording has the probe: who records a file of their own asks for no other."""
    return a.state(_probe(clock)) is None and b.state(_probe(clock)) is None


def _why(figures: SpanFigures, clock: Clock) -> str:
    probe = _probe(clock)
    state = figures.state(probe)
    if state is None:
        return f"{probe} not recorded"
    return f"fewer than two readings of {probe}" if state == "on" else f"{probe} {state}"
