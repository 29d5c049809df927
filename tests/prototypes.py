"""How many arguments a system call has, as the tests ask for it."""

from __future__ import annotations

from ebpftop.core.syscall_records import Abi
from ebpftop.syscalls import decode


def argument_count(abi: Abi, name: str) -> int | None:
    """Return how many registers call *name* reads; None for a call that ebpftop does not know."""
    if decode._lines(abi, name) is None:
        return None
    return max((slot.high or slot.register for slot in decode._call(abi, name).slots), default=-1) + 1
