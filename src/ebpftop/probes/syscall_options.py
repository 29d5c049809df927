"""Where system calls can be seen: the attach options where they begin and where they return, and what they cost."""

from __future__ import annotations

import os
from pathlib import Path

from ebpftop.core.records import NOT_ASKED_FOR, NOT_NEEDED
from ebpftop.kernel import entry_cost
from ebpftop.kernel.attach import FREE, TAXES, Attach, AttachOption
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Kind

UNKNOWN = "calls that this kernel does not have, unless calls are timed"
TRACEPOINTS: tuple[Kind, ...] = ("raw_tracepoint", "tracepoint")


def ladder(defines: Defines) -> tuple[AttachOption, ...]:
    """Return the attach options where calls begin."""
    return *map(enter_option, TRACEPOINTS), function_option(defines)


def function_option(defines: Defines) -> AttachOption:
    """Return the option at the functions by which the kernel enters the calls of each ABI: one program at each."""
    functions = {"": entry_cost.FUNCTION, "SYS_COMPAT_EXECVE": "ia32_sys_call", "SYS_X32_EXECVE": "x32_sys_call"}
    return AttachOption(
        f"{TAXES}, without the slow path of a tracepoint if calls are not timed",
        tuple(
            Attach("fentry", function, "sys_enter") for abi, function in functions.items() if not abi or abi in defines
        ),
        (UNKNOWN,),
    )


def enter_option(kind: Kind) -> AttachOption:
    """Return the attach option of *kind* where calls begin."""
    raw = kind == "raw_tracepoint"
    return AttachOption(
        f"{TAXES}: a program at the entry of each" if raw else "more than the raw tracepoint",
        (Attach(kind, "sys_enter" if raw else "raw_syscalls:sys_enter", "sys_enter"),),
        () if raw else ("traced calls that seccomp denies",),
    )


def returns_option(kind: Kind) -> AttachOption:
    """Return the attach option of *kind* where calls wait, end with their thread, and return."""
    places = (
        (("sys_exit", "sys_exit"), ("sched_switch", "on_sched_switch"), ("sched_process_exit", "on_task_exit"))
        if kind == "raw_tracepoint"
        else (
            ("raw_syscalls:sys_exit", "sys_exit"),
            ("sched:sched_switch", "on_sched_switch"),
            ("sched:sched_process_exit", "on_task_exit"),
        )
    )
    cost = "more time at every system call: a program at the return of each, and one at every switch of tasks"
    return AttachOption(cost, tuple(Attach(kind, target, function) for target, function in places))


def uring_option(tracefs: Path | None) -> AttachOption:
    """Return the option where io_uring accepts operations."""
    return AttachOption(FREE, (Attach("tracepoint", uring_event(tracefs), "uring_submitted"),))


def uring_event(tracefs: Path | None) -> str:
    """Return the event of operations that io_uring accepts; it has its present name since 6.4."""
    events = tracefs / "events" / "io_uring" if tracefs else None
    older = events is not None and os.access(events / "io_uring_submit_sqe", os.F_OK, effective_ids=True)
    return "io_uring:io_uring_submit_sqe" if older else "io_uring:io_uring_submit_req"


def not_tried(requested: str | None, used: str | None) -> str:
    """Return why an option was not tried: another one is *requested*, or the one that is *used* works."""
    return f"{NOT_ASKED_FOR}{requested}" if requested else f"{NOT_NEEDED}{used} works"
