"""The record of what each process waits for: a CPU, or what it is blocked in, until who wakes it (docs/states.md)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec

from ebpftop.core.records import Count, TableReading
from ebpftop.core.syscall_records import Abi

ThreadState: TypeAlias = Literal["running", "runnable", "blocked", "uninterruptible", "stopped"]
Interrupt: TypeAlias = Literal["softirq", "irq", "interrupt"]

CALLS_MAX = 8
"""A row has so many calls that its process was blocked in, those of which the time is longest."""
WAKERS_MAX = 4
"""So many that woke it, the most frequent ones."""
THREADS_MAX = 4
"""What so many of its threads do now, those first of which it matters most."""
ROWS_MAX = 2048


class BlockedCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long the threads of a process were blocked in one call; `syscall` is null for what is not in a call.

    That is a page fault, a stop by a signal, or a thread of the kernel. `ns` and `max_ns` include the waits that go on
    now, of `threads` threads, the first of them since `since_ns` (ns since boot). `count` are all waits.
    """

    abi: Abi | None
    nr: Count | None
    syscall: str | None
    ns: Count
    max_ns: Count
    count: Count
    threads: Count = 0
    since_ns: Count | None = None


class Waker(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who made threads of a process runnable: a process, or what interrupted one (`context`), and then pid is null.

    ``interrupt``: a softirq or an irq, this kernel does not let us see which. `comm` is null if it is not known.
    """

    pid: int | None
    comm: str | None
    context: Interrupt | None
    count: Count


class ThreadNow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a thread does now, `since_ns` (ns since boot); `syscall` is the call that it is blocked in, else null."""

    tid: int
    comm: str
    state: ThreadState
    since_ns: Count
    abi: Abi | None = None
    nr: Count | None = None
    syscall: str | None = None


class ProcessStates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The threads of one process together; (pid, start_ns) as in an exec. `comm` and `uid` are its first thread's.

    The three times are since the probe was attached, and include what goes on now. `preempted`: how often a thread left
    its CPU though it could have gone on. `wakeups` are all, `wakers` the most frequent: what is missing there came from
    others. `threads` are those that it has now. `ended`: it has no more, and this is the last time that it is reported.
    """

    pid: int
    start_ns: Count
    comm: str
    uid: int
    threads: Count
    running_ns: Count
    runnable_ns: Count
    blocked_ns: Count
    preempted: Count
    wakeups: Count
    blocked: Annotated[tuple[BlockedCall, ...], msgspec.Meta(max_length=64)] = ()
    wakers: Annotated[tuple[Waker, ...], msgspec.Meta(max_length=64)] = ()
    now: Annotated[tuple[ThreadNow, ...], msgspec.Meta(max_length=64)] = ()
    ended: bool = False


class CpuStates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long one CPU ran threads, and how long it had none; together the time since the probe was attached."""

    cpu: int
    running_ns: Count
    idle_ns: Count
    switches: Count


class MachineStates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole machine, whatever the filter matches, ebpftop itself included.

    `runnable_ns` is how long threads waited for a CPU, all together; divided by the time that passed it is how many
    did on average. The others are the threads that are running, runnable and blocked now; of those blocked, at most
    SIGKILL ends the wait of `uninterruptible`. Threads of the kernel that never ran meanwhile are not among them.
    """

    cpus: tuple[CpuStates, ...]
    runnable_ns: Count
    running: Count
    runnable: Count
    blocked: Count
    uninterruptible: Count


class States(TableReading, frozen=True, kw_only=True, tag="states"):
    """What every process waited for, and the machine.

    `duration_s` is how long the probe has been attached: all totals are of that time. `cpus` are those online. Of more
    than `ROWS_MAX` processes those are in `rows` that switched most often. `boot_ns` is `time` in the ns of
    `start_ns` and `since_ns`.
    """

    duration_s: Annotated[float, msgspec.Meta(ge=0)]
    boot_ns: Count
    cpus: Count
    rows: tuple[ProcessStates, ...]
    machine: MachineStates
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("pid", "start_ns")}
