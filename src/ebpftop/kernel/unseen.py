"""What no attach option of any probe sees, in the words of docs/limits.md."""

from __future__ import annotations

VDSO = "calls that the vDSO answers without the kernel: clock_gettime, gettimeofday, time, getcpu"
MAPPED = "reads and writes of files that are mapped into memory"
URING = "of io_uring's operations who asks for them, what they return and how long they take: they are counted by name"
NO_URING = "io_uring's operations: this kernel has no tracepoint for them, or tracefs is closed to us"
DISPATCHED = "system calls that a program takes back before the kernel answers (syscall user dispatch, as Wine does)"
SKIPPED = "calls that a tracer takes away before the kernel answers, as `strace --inject` does"
EARLIER = "what ended before ebpftop attached, and how often calls were made before that"
PREEMPTED = "calls of tasks that run while a program of ebpftop is preempted on their CPU: reported as lost, recursion"

PREEMPTIBLE_SINCE = (7, 3)
"""From this Linux on, programs at sys_enter and sys_exit may be preempted (include/trace/bpf_probe.h)."""


def unseen(version: tuple[int, int], *, uring: bool) -> list[str]:
    """Return what cannot be seen on Linux *version*; *uring*: whether io_uring's operations are counted."""
    always = [VDSO, MAPPED, URING if uring else NO_URING, DISPATCHED, SKIPPED, EARLIER]
    return [*always, PREEMPTED] if version >= PREEMPTIBLE_SINCE else always
