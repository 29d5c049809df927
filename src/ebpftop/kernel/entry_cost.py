"""What a program at the entry of every system call costs on this machine: at the tracepoint, and at the function.

A tracepoint puts every call of every process on the slow path of the kernel; a program at the function that the kernel
enters calls by does not. How much that is differs between CPUs and kernels by a multiple. So it is measured, with
programs that do nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall, build_cache, offsets
from ebpftop.kernel.bpf_syscall import RETURN_ZERO, TRACE_FENTRY, TYPE_RAW_TRACEPOINT, TYPE_TRACING, Program

FUNCTION = "x64_sys_call"
"""By this the kernel enters the calls of its native ABI, since Linux 6.9 and what that was ported back to."""
_ROUNDS, _BATCHES, _CALLS = 3, 10, 200


def is_traceable(tracefs: Path | None) -> bool:
    """Return whether a program can be attached to the function. From Linux 7 on it cannot be traced."""
    kernel = os.uname()
    entry = build_cache.key(*(text.encode() for text in (__name__, kernel.release, kernel.version)))
    known = build_cache.find(entry, bool)
    if known is None and tracefs is not None:
        try:  # a hundredth of a second to read, so what was found is kept
            functions = (tracefs / "available_filter_functions").read_bytes()
        except OSError:
            return False
        known = f"\n{FUNCTION}\n".encode() in functions
        build_cache.store(entry, known)
    return bool(known)


class EntryCost(NamedTuple):
    """What each adds to one system call, in ns."""

    tracepoint_ns: float
    function_ns: float

    def __str__(self) -> str:
        return f"a program there adds {self.function_ns:.0f} ns to a call, at the tracepoint {self.tracepoint_ns:.0f}"


def measure() -> EntryCost:
    """Measure by the getppid of this thread; raises OSError if this kernel refuses one of the two programs.

    Noise only adds time, so the fastest of many batches counts; and the three are measured in turn.
    """
    with ExitStack() as stack:
        programs = []
        for kind, attach_type, attach_id in (
            (TYPE_RAW_TRACEPOINT, 0, 0),
            (TYPE_TRACING, TRACE_FENTRY, offsets.function_id(FUNCTION) or 0),
        ):
            fd = bpf_syscall.load_program(Program(kind, "", RETURN_ZERO, "GPL", 0, attach_type, attach_id))
            stack.callback(os.close, fd)
            programs.append(fd)
        alone, tracepoint, function = (float("inf"),) * 3
        for _ in range(_ROUNDS):
            alone = min(alone, _fastest_ns())
            tracepoint = min(tracepoint, _fastest_with(programs[0], "sys_enter"))
            function = min(function, _fastest_with(programs[1], None))
    return EntryCost(max(0.0, tracepoint - alone), max(0.0, function - alone))


def _fastest_with(program_fd: int, name: str | None) -> float:
    link = bpf_syscall.open_raw_tracepoint(program_fd, name)
    try:
        return _fastest_ns()
    finally:
        os.close(link)


def _fastest_ns() -> float:
    """Return the time of one call of getppid, of Python and the kernel together."""
    getppid, clock = os.getppid, time.perf_counter_ns
    calls = range(_CALLS)
    fastest = None
    for _ in range(_BATCHES):
        began = clock()
        for _call in calls:
            getppid()
        took = clock() - began
        fastest = took if fastest is None else min(fastest, took)
    return (fastest or 0) / _CALLS
