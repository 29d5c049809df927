"""The records of system calls: the counters of all, and each call that is traced."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec

from ebpftop.core.records import Count, Event, TableReading, Time

Abi: TypeAlias = Literal["x86_64", "i386", "x32", "arm64", "arm"]
Handler: TypeAlias = Literal["count", "exec", "timer", "ignore", "trace"]
Histogram: TypeAlias = Annotated[tuple[Count, ...], msgspec.Meta(max_length=64)]  # buckets of 64 bits
Counts: TypeAlias = Annotated[dict[str, Count], msgspec.Meta(max_length=1024)]  # more than there are errors
Frames: TypeAlias = Annotated[tuple[str, ...], msgspec.Meta(max_length=256)]  # more than the kernel side sends
Operations: TypeAlias = Annotated[dict[str, Count], msgspec.Meta(max_length=256)]  # opcodes of io_uring


class SyscallRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Counters of one system call. ``histogram_ns[i]`` counts calls that took 2**i <= ns < 2**(i+1).

    `failed_histogram_ns` counts those of them that failed; older recordings have none.

    `slot` is its place in the kernel's tail-call table, null for a number beyond it.
    """

    abi: Abi
    nr: int
    name: str
    count: Count
    errors: Count
    histogram_ns: Histogram
    failed_histogram_ns: Histogram = ()
    total_ns: Count = 0
    max_ns: Count = 0
    errnos: Counts = {}
    handler: Handler = "count"
    slot: int | None = None


class TableSlot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A slot of the tail-call table that holds a program; a call with an empty slot is only counted.

    `conditions`: of a traced call, when it is reported (one of them holds), as `--trace` has them; none: always.
    """

    slot: int
    abi: Abi
    nr: int
    name: str
    handler: Handler
    conditions: tuple[str, ...] = ()


class Awaited(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A process whose doing ends a wait; of a lock that threads of one process share, the thread that holds it."""

    pid: int
    comm: str


class InFlight(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that has not returned yet, `ns` after it was entered. `running`: its thread has not left its CPU since.

    `before`: it was entered before the probe was attached, so `ns` is a lower bound. `comm` is the thread's name.

    What it waits for, as far as that is known for sure: `fd`, a descriptor, and its `path`, also ``pipe:[123]``;
    `peer`, where a socket leads (``tcp 10.0.0.7:5432``); `lock`, the address of a futex; `awaited`, the children waited
    for, who holds the lock, or who has the other end of the pipe or socket. `more` are descriptors or children beyond.
    `kernel_stack`: the kernel's functions that the thread is in, the innermost first; null if they were not asked for.
    """

    pid: int
    tid: int
    comm: str
    abi: Abi
    nr: int
    name: str
    ns: Count
    running: bool = False
    before: bool = False
    fd: int | None = None
    path: str | None = None
    peer: str | None = None
    lock: str | None = None
    awaited: Annotated[tuple[Awaited, ...], msgspec.Meta(max_length=64)] = ()
    more: Count = 0
    kernel_stack: Frames | None = None


WHOLE_PROCESSES = 24
PROCESSES_OF_A_CALL = 8
"""A reading has all calls of the `WHOLE_PROCESSES` busiest, and the `PROCESSES_OF_A_CALL` busiest of each call."""
WORKING_PROCESSES = 12
"""It also has all calls of those with most time in calls that do not wait, and of each call those longest in it."""


class ProcessCalls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often one process made one call. `start_ns` as in an exec: (pid, start_ns) identifies a process for good.

    `comm` is the name of its first thread.
    """

    pid: int
    comm: str
    abi: Abi
    nr: int
    name: str
    count: Count
    errors: Count = 0
    start_ns: int = 0
    total_ns: Count | None = None
    max_ns: Count | None = None


class ProcessTotal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many calls one process made, of all kinds."""

    pid: int
    comm: str
    count: Count
    errors: Count
    start_ns: int = 0
    total_ns: Count | None = None
    max_ns: Count | None = None


class UserCalls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many calls one user made. Uid 4294967295 stands for all users that are not counted one by one."""

    uid: int
    count: Count
    errors: Count
    total_ns: Count | None = None
    max_ns: Count | None = None


class Syscalls(TableReading, frozen=True, kw_only=True, tag="syscalls"):
    """Counters of every system call seen; `in_flight` the longest waits now; `processes` the busiest pairs.

    `process_totals` are of the processes in `processes`. What `users` gained since the reading before is exact unless
    `evicted` grew: it counts pairs of process and call that fell out of the kernel's map, and calls of `users`
    and `processes`. `families` counts the runs of the handlers for programs (``exec``) and timers (``timer_create``,
    ``timer_delete``, ``timer_other``). `io_uring` counts io_uring's operations by name, which are not system calls;
    null if they cannot be seen. `table` is the tail-call table; `boot_ns` is `time` in the ns of `start_ns`.

    Who calls (`processes`, `process_totals`, `users`, `evicted`) is the most expensive part, and is not read each time:
    it is as of `pairs_time` (Unix seconds; null if it was not read at all, or in older recordings, where it is `time`).
    """

    rows: tuple[SyscallRow, ...]
    in_flight: tuple[InFlight, ...] = ()
    processes: tuple[ProcessCalls, ...] = ()
    process_totals: tuple[ProcessTotal, ...] = ()
    users: tuple[UserCalls, ...] = ()
    evicted: int = 0
    families: Counts = msgspec.field(default_factory=dict)
    io_uring: Operations | None = None
    table: tuple[TableSlot, ...] = ()
    boot_ns: int = 0
    pairs_time: Time | None = None
    keys: ClassVar[dict[str, tuple[str, ...]]] = {
        "rows": ("abi", "nr"),
        "in_flight": ("pid", "tid"),
        "processes": ("pid", "start_ns", "abi", "nr"),
        "process_totals": ("pid", "start_ns"),
        "users": ("uid",),
        "table": ("slot",),
    }
    ages: ClassVar[dict[str, str]] = {"in_flight": "ns"}

    @property
    def callers_time(self) -> float:
        """When it was read who calls (Unix seconds)."""
        return self.time if self.pairs_time is None else min(self.pairs_time, self.time)


class Syscall(Event, frozen=True, kw_only=True, tag="syscall"):
    """One traced call, decoded. `ret` and `ns` are null for a call that never returned.

    `result`: `ret` in words if it is more than a number, ``3</etc/passwd>`` or ``0x7f00``. `stack`: the functions of
    the program that led to the call, the innermost first; `kernel_stack`: those of the kernel where it slept last. Null
    unless they were asked for, and `kernel_stack` of a call that did not sleep.
    """

    pid: int
    comm: str
    abi: Abi
    nr: int
    name: str
    args: tuple[str, ...]
    ret: int | None
    ns: int | None
    tid: int = 0
    error: str | None = None
    result: str | None = None
    stack: Frames | None = None
    kernel_stack: Frames | None = None
