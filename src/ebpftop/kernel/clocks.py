"""The kernel's clocks, as BPF programs read them. In a time namespace (time_namespaces(7)) our own clocks differ."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

_OFFSETS = Path("/proc/self/timens_offsets")  # from 5.6 on: clock, seconds, nanoseconds
_NS_PER_S = 1_000_000_000


@cache
def _offset_ns(clock: str) -> int:
    """Return what the kernel adds to *clock*, ``monotonic`` or ``boottime``, when we read it; it never changes."""
    try:
        lines = _OFFSETS.read_text().splitlines()
    except OSError:
        return 0
    offsets = {name: int(seconds) * _NS_PER_S + int(ns) for name, seconds, ns in map(str.split, lines)}
    return offsets.get(clock, 0)


def monotonic_ns() -> int:
    """Return the kernel's CLOCK_MONOTONIC, the clock of event times."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) - _offset_ns("monotonic")


def since_boot_ns() -> int:
    """Return the kernel's CLOCK_BOOTTIME, the clock of process starts."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - _offset_ns("boottime")


class SleepClock:
    """How long the machine has slept since it booted: what CLOCK_BOOTTIME has more than CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self._asleep_ns = 0

    def asleep_ns(self) -> int:
        """Return it: soon the same value each time until the machine sleeps, though the clocks are read one by one."""
        before_ns = monotonic_ns()
        boot_ns = since_boot_ns()
        after_ns = monotonic_ns()
        # The truth is between these two. What was found before is only changed as far as it cannot be true.
        self._asleep_ns = min(max(self._asleep_ns, boot_ns - after_ns), boot_ns - before_ns)
        return self._asleep_ns


def start_ns(proc_start_ns: int) -> int:
    """Return the start of a process in ns since boot; *proc_start_ns* is what /proc reports to us."""
    return proc_start_ns - _offset_ns("boottime")


def unix_offset() -> float:
    """Return what to add to seconds of the kernel's CLOCK_MONOTONIC for Unix seconds."""
    return time.time() - monotonic_ns() / _NS_PER_S
