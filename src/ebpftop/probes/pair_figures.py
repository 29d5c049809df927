"""What the kernel counted of a pair of process and call: the values of `process_calls` (bpf/syscalls_processes.h)."""

from __future__ import annotations

from typing import TypeAlias

from ebpftop.kernel import maps

# struct process_count: calls counted when they entered, when they returned, errors, total_ns, max_ns, comm
_VALUE_WORDS = 7
VALUE_SIZE = _VALUE_WORDS * 8
_COMM_AT = 40
_COMM_SIZE = 16

Figures: TypeAlias = tuple[int, int, int, int]
"""Calls, errors, total and longest time."""

COUNT, ERRORS, TOTAL_NS, MAX_NS = range(4)
"""Their places."""


def figures_of(values: list[bytes]) -> list[Figures]:
    """Return the figures of each of *values* over all CPUs. (No loop of Python's own.)"""
    words = memoryview(b"".join(values)).cast("Q")
    stride = _VALUE_WORDS * maps.CPUS
    entered, unentered, errors, total_ns, max_ns = (
        [words[at::stride].tolist() for at in range(member, stride, _VALUE_WORDS)] for member in range(5)
    )
    return list(
        zip(
            map(sum, zip(*entered, *unentered, strict=True)),
            map(sum, zip(*errors, strict=True)),
            map(sum, zip(*total_ns, strict=True)),
            map(max, zip(*max_ns, strict=True)),
            strict=True,
        )
    )


def add_to(sums: list[int], gained: Figures) -> None:
    """Add what was gained to *sums*; of the longest time, the longer one stays."""
    count, errors, total_ns, max_ns = gained
    sums[COUNT] += count
    sums[ERRORS] += errors
    sums[TOTAL_NS] += total_ns
    if max_ns > sums[MAX_NS]:
        sums[MAX_NS] = max_ns


def comm_of(value: bytes) -> bytes:
    """Return the name in the value of a pair: that of the CPU that counted most, the newest."""
    words = memoryview(value).cast("Q")
    by_cpu = [sum(parts) for parts in zip(words[::_VALUE_WORDS], words[1::_VALUE_WORDS], strict=True)]
    at = by_cpu.index(max(by_cpu)) * VALUE_SIZE + _COMM_AT
    return value[at : at + _COMM_SIZE]
