"""Threads that wait for each other, so that none of them goes on."""

from __future__ import annotations

from collections.abc import Sequence

from ebpftop.core.syscall_records import InFlight

SURE_NS = 10 * 10**9
"""Who holds a lock is asked every few seconds: after so long, all that is known of a circle is of one moment."""


def deadlock(calls: Sequence[InFlight]) -> tuple[InFlight, ...]:
    """Return the calls of one process whose threads wait for each other, each for the next; empty if there are none."""
    waiting = {
        call.tid: call for call in calls if call.lock is not None and len(call.awaited) == 1 and call.ns >= SURE_NS
    }
    for first in waiting:
        circle: dict[int, InFlight] = {}
        tid = first
        while tid in waiting and tid not in circle:
            circle[tid] = waiting[tid]
            tid = waiting[tid].awaited[0].pid
        if tid == first and tid in circle:
            return tuple(circle.values())
    return ()
