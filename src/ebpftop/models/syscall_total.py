"""All system calls together: the sum of their counters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from ebpftop.core.syscall_records import SyscallRow
from ebpftop.models.rates import Meter
from ebpftop.models.syscalls import Call
from ebpftop.syscalls.families import MAY_WAIT


def total_of(calls: Sequence[Call], meter: Meter) -> Call | None:
    """Return *calls* as one, whose rate is that of *meter*; None if there are none."""
    if not calls:
        return None
    total = Call(_sum_row([c.row for c in calls]))
    total.before = _sum_row([c.before for c in calls if c.before])
    bases = [c.base for c in calls if c.base]
    total.base = _sum_row(bases) if bases else None
    total.meter = meter
    total.seconds = max(c.seconds for c in calls)
    return total


def working_ns(calls: Iterable[Call], *, last: bool) -> int:
    """Return the time that threads spent in those of *calls* that do not wait."""
    return sum(c.spent_ns(last=last) for c in calls if c.row.name not in MAY_WAIT)


def peak_rate(calls: Iterable[Call]) -> float:
    """Return the highest rate that any of *calls* had, as far as their histories go."""
    return max((max(c.history, default=0.0) for c in calls), default=0.0)


def _sum_row(rows: Sequence[SyscallRow]) -> SyscallRow:
    return SyscallRow(
        abi="x86_64",
        nr=0,
        name="total",
        count=sum(r.count for r in rows),
        errors=sum(r.errors for r in rows),
        histogram_ns=tuple(map(sum, zip_longest(*(r.histogram_ns for r in rows), fillvalue=0))),
        total_ns=sum(r.total_ns for r in rows),
        max_ns=max((r.max_ns for r in rows), default=0),
    )
