"""CPU time of a process, in user space and in the kernel."""

from __future__ import annotations

from typing import NamedTuple


class CpuTime(NamedTuple):
    """Seconds in user space and in the kernel. Their sum is exact; how it is divided, the kernel estimates.

    Where it counts ticks, it divides the exact sum in the ratio of the ticks so far (kernel/sched/cputime.c,
    cputime_adjust), so the ratio may change later for all that was used before.
    """

    user_s: float = 0.0
    system_s: float = 0.0

    def since(self, before: CpuTime) -> CpuTime:
        """Return what was used since *before*: neither part is negative, and the sum is that of the two differences."""
        used_s = max(0.0, sum(self) - sum(before))
        system_s = min(used_s, max(0.0, self.system_s - before.system_s))
        return CpuTime(used_s - system_s, system_s)
