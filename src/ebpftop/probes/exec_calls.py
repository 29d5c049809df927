"""The kernel functions and tracepoints behind execve and execveat, of every ABI that this kernel answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from ebpftop.kernel.attach import SKIPPED, TAXES, Attach, AttachOption
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Kind
from ebpftop.kernel.offsets import EXEC_CALLS

# A second program at a tracepoint costs more than the first. Those of users, failures and syscalls share one.
RAW_EXIT = f"{TAXES}: a program at the return of each, shared with other probes"
RAW_BOTH = f"{TAXES}: programs at the entry and the return of each, shared with other probes"
BESIDE_BOTH = f"{TAXES}: programs beside the tracepoints at the entry and the return of each, shared with other probes"
BESIDE_ENTRY = f"{TAXES}: a program beside the tracepoints at the entry of each"


class ExecFunction(NamedTuple):
    """A kernel function that one ABI's execve or execveat calls. Its argument is the caller's registers."""

    abi: Literal["native", "compat", "x32"]
    call: str
    name: str


def exec_functions(defines: Defines) -> tuple[ExecFunction, ...]:
    """Return the functions that the kernel of *defines* has, native ones first."""
    flags: tuple[tuple[Literal["native", "compat", "x32"], str], ...] = (
        ("native", "SYS_"),
        ("compat", "SYS_COMPAT_"),
        ("x32", "SYS_X32_"),
    )
    return tuple(
        ExecFunction(abi, call, str(defines[flag]))
        for abi, prefix in flags
        for call in EXEC_CALLS
        if (flag := prefix + call.upper()) in defines
    )


def has_other_abis(defines: Defines) -> bool:
    """Return whether programs of another ABI can call this kernel; syscalls:* tracepoints do not see their calls."""
    return any(function.abi != "native" for function in exec_functions(defines))


def at_functions(defines: Defines, kind: Kind, program: Callable[[ExecFunction], str]) -> tuple[Attach, ...]:
    """Attach at every function; *program* names the program for each."""
    return tuple(
        Attach(kind, function.name, program(function), without="" if function.abi == "native" else SKIPPED)
        for function in exec_functions(defines)
    )


def by_name(function: ExecFunction) -> str:
    """Name fentry and fexit programs, as `Attach` has them."""
    return function.name


def raw_entry(defines: Defines, *, prepare: str, enter: str, slot: int) -> Attach:
    """Attach where an execve is seen before it can fail late.

    *prepare*, which costs nothing between execs, is the program for kernels that have the tracepoint for it (6.10);
    *enter*, with its *slot*, the one for others.
    """
    if "HAVE_PREPARE_EXEC" in defines:
        return Attach("raw_tracepoint", "sched_prepare_exec", prepare)
    return Attach("raw_tracepoint", "sys_enter", enter, slot=slot)


def raw_cost(defines: Defines) -> str:
    """Return what sys_exit and `raw_entry` together cost."""
    return RAW_EXIT if "HAVE_PREPARE_EXEC" in defines else RAW_BOTH


def cheaper_first(defines: Defines, tracepoint: AttachOption, raw: AttachOption) -> tuple[AttachOption, AttachOption]:
    """Order two options: if the tracepoint needs the raw ones too, it costs what they cost, plus its own."""
    return (raw, tracepoint) if has_other_abis(defines) else (tracepoint, raw)
