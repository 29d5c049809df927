"""Where system calls can be seen: the attach options where they begin and where they return, and what they cost."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from ebpftop.core.records import NOT_ASKED_FOR, NOT_NEEDED
from ebpftop.kernel import entry_cost
from ebpftop.kernel.attach import FREE, TAXES, Attach, AttachOption, first_likely
from ebpftop.kernel.dispatch import SYSCALLS
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Kind
from ebpftop.probes import exec_ladders, users
from ebpftop.probes.base import Context

UNKNOWN = "calls that this kernel does not have, unless calls are timed"
TRACEPOINTS: tuple[Kind, ...] = ("raw_tracepoint", "tracepoint")


def shared_tracepoints(context: Context) -> frozenset[str]:
    """Return where users and failures are likely to need a program at every call: ours is then reached from the same.

    If it turns out otherwise, the same is counted, and every call pays for two programs. While a program is preempted,
    it does not run for other calls on that CPU. Ours takes longest, so there it has a place of its own.
    """
    if context.preempts:
        return frozenset()
    ladders: dict[str, tuple[AttachOption, ...]] = {}
    if "users" in context.probes:
        ladders["users"] = users.ladder(context.defines)
    if "execs" in context.probes and context.failures:
        ladders["execs.failures"] = exec_ladders.failure_ladder(context.defines)
    likely = (first_likely(options, context.features, context.attach.get(key)) for key, options in ladders.items())
    return frozenset(
        attach.target for option in likely if option for attach in option.attaches if attach.slot is not None
    )


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


def enter_option(kind: Kind, shared: Container[str] = ()) -> AttachOption:
    """Return the attach option of *kind* where calls begin; *shared* are the tracepoints with a shared program."""
    raw = kind == "raw_tracepoint"
    return AttachOption(
        f"{TAXES}: a program at the entry of each" if raw else "more than the raw tracepoint",
        (_at_every_call(kind, "sys_enter", shared),),
        () if raw else ("traced calls that seccomp denies",),
    )


def returns_option(kind: Kind, shared: Container[str] = ()) -> AttachOption:
    """Return the attach option of *kind* where calls wait, end with their thread, and return; *shared* as above."""
    group = "" if kind == "raw_tracepoint" else "sched:"
    return AttachOption(
        "more time at every system call: a program at the return of each, and one at every switch of tasks",
        (
            _at_every_call(kind, "sys_exit", shared),
            Attach(kind, f"{group}sched_switch", "on_sched_switch"),
            Attach(kind, f"{group}sched_process_exit", "on_task_exit"),
        ),
    )


def _at_every_call(kind: Kind, name: str, shared: Container[str]) -> Attach:
    if kind == "raw_tracepoint":
        return Attach(kind, name, name, slot=SYSCALLS if name in shared else None)
    return Attach(kind, f"raw_syscalls:{name}", name)


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
