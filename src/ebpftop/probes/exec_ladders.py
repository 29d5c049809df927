"""Where the exec log is attached: its ladders for starts, failures and ends of programs."""

from __future__ import annotations

from typing import NamedTuple

from ebpftop.kernel.attach import DENIED, FREE, INTERPRETER, MANY_AT_ONCE, SKIPPED, TAXES, Attach, AttachOption
from ebpftop.kernel.dispatch import FAILURES
from ebpftop.kernel.fields import Defines
from ebpftop.probes.exec_calls import (
    BESIDE_BOTH,
    at_functions,
    by_name,
    cheaper_first,
    has_other_abis,
    raw_cost,
    raw_entry,
)

KILLERS = "who sent the signal that ended a process"
UNACCOUNTED = "the time that a process used since the last clock tick before its end"
LATE = "paths and arguments of programs that fail after the old one is gone"


def start_ladder() -> tuple[AttachOption, ...]:
    """Where successful execs are seen; none of these costs anything between execs."""
    return (
        AttachOption(FREE, (Attach("raw_tracepoint", "sched_process_exec", "exec_on_sched_process_exec"),)),
        AttachOption(FREE, (Attach("tracepoint", "sched:sched_process_exec", "exec_on_tracepoint"),), (INTERPRETER,)),
    )


def exit_ladder(*, only_totals: bool = False) -> tuple[AttachOption, ...]:
    """Where the ends of processes are seen, who sends a signal, and what the scheduler's clock is.

    *only_totals*: the ends alone. The fields of the tracepoint signal:signal_generate do not say which process gets it,
    so there is no other place.
    """
    besides = (
        ()
        if only_totals
        else (
            Attach("raw_tracepoint", "signal_generate", "killer_on_signal_generate", without=KILLERS),
            Attach("raw_tracepoint", "sched_wakeup_new", "clock_on_sched_wakeup_new", without=UNACCOUNTED),
        )
    )
    return (
        AttachOption(FREE, (Attach("raw_tracepoint", "sched_process_exit", "exit_on_sched_process_exit"), *besides)),
        AttachOption(FREE, (Attach("tracepoint", "sched:sched_process_exit", "exit_on_tracepoint"), *besides)),
    )


class FailureOptions(NamedTuple):
    """The attach options for failed execs, by what they are."""

    fexit: AttachOption
    kretprobe: AttachOption
    tracepoint: AttachOption
    raw: AttachOption


def failure_options(defines: Defines) -> FailureOptions:
    """Return the options of this kernel, in no order; some of them may not work."""
    completed = has_other_abis(defines)
    # Notes where the arguments are of an execve that fails late.
    if "HAVE_PREPARE_EXEC" in defines:
        again: tuple[Attach, ...] = (Attach("raw_tracepoint", "sched_prepare_exec", "failed_prepare_again"),)
        by_fentry = by_kprobe = again
    else:  # the function that has that tracepoint later
        again = ()
        by_fentry = (Attach("fentry", "begin_new_exec", "begin_new_exec", without=LATE),)
        by_kprobe = (Attach("kprobe", "begin_new_exec", "failed_kprobe_begin", without=LATE),)
    skipped = (
        Attach("raw_tracepoint", "sys_exit", "failed_skipped", without=SKIPPED, slot=FAILURES),
        Attach("raw_tracepoint", "sys_enter", "failed_skipped_enter", without=SKIPPED, slot=FAILURES),
    )
    return FailureOptions(
        fexit=AttachOption(
            FREE,
            (*at_functions(defines, "fexit", by_name), *by_fentry, *at_functions(defines, "fentry", by_name)),
            (DENIED,),
        ),
        kretprobe=AttachOption(
            FREE,
            (
                *at_functions(defines, "kretprobe", lambda _: "failed_kretprobe"),
                *by_kprobe,
                *at_functions(defines, "kprobe", lambda of: f"failed_kprobe_{of.abi}_{of.call}"),
            ),
            (DENIED, MANY_AT_ONCE),
        ),
        tracepoint=AttachOption(
            BESIDE_BOTH if completed else TAXES,
            (
                Attach("tracepoint", "syscalls:sys_exit_execve", "failed_exit"),
                Attach("tracepoint", "syscalls:sys_exit_execveat", "failed_exit"),
                *again,
                Attach("tracepoint", "syscalls:sys_enter_execve", "failed_enter_execve"),
                Attach("tracepoint", "syscalls:sys_enter_execveat", "failed_enter_execveat"),
                *(skipped if completed else ()),
            ),
            (DENIED,),
        ),
        raw=AttachOption(
            raw_cost(defines),
            (
                Attach("raw_tracepoint", "sys_exit", "failed_raw", slot=FAILURES),
                raw_entry(defines, prepare="failed_prepare", enter="failed_raw_enter", slot=FAILURES),
            ),
        ),
    )


def failure_ladder(defines: Defines) -> tuple[AttachOption, ...]:
    """Where failed execs are seen."""
    known = failure_options(defines)
    return (known.fexit, known.kretprobe, *cheaper_first(defines, known.tracepoint, known.raw))
