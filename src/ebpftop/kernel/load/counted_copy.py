"""A copy of a program that counts, to be attached in its place: how often its lines run, and what it cannot write."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.load import programs
from ebpftop.kernel.load.counters import Counters
from ebpftop.kernel.load.lost_counts import LostCounts


class CountedCopy(NamedTuple):
    """A copy that was loaded: its descriptor, and what it is."""

    fd: int
    program: programs.Program


def load_counted(
    program: programs.Program,
    log: str,
    lines: Counters | None,
    lost: LostCounts | None,
    load: Callable[[programs.Program], programs.Accepted | programs.Refused],
) -> CountedCopy | None:
    """Load a copy by *load*, with as many of the counters as the verifier accepts; None: with none of them.

    *log* is what the verifier wrote about *program*. *lines* and *lost* note what is not counted after all.
    """
    with_lines = with_lost = None
    if lines is not None:
        counted = lines.counted(program.name, program.functions, program.lines, log)
        with_lines = program._replace(**counted._asdict()) if counted is not None else None
    if lost is not None:
        with_lost = _with_lost(program, lost)

    with_both = _with_lost(with_lines, lost) if with_lines and with_lost and lost else None
    refused = 0
    for copy in (with_both, with_lines, with_lost):
        if copy is None:
            continue
        result = load(copy)
        if isinstance(result, programs.Accepted):
            found: CountedCopy | None = CountedCopy(result.fd, copy)
            break
        refused = result.code
    else:
        copy = found = None
    if lines is not None and with_lines is not None and copy not in (with_both, with_lines):
        lines.fail(program.name, f"with counters, {bpf_syscall.refusal(refused)}")
    if lost is not None and with_lost is not None and copy not in (with_both, with_lost):
        lost.give_up(program.code)
    return found


def _with_lost(program: programs.Program, lost: LostCounts) -> programs.Program | None:
    counted = lost.counted(program.code, program.functions, program.lines)
    return program._replace(**counted._asdict()) if counted is not None else None
