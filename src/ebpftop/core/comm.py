"""Command names, as records have them."""

from __future__ import annotations

from ebpftop.core.escape import printable


def comm_matches(pattern: str, comm: str) -> bool:
    """Return whether *comm*, as in records, is NAME, or begins with NAME if the pattern is NAME*."""
    name = printable(pattern.removesuffix("*"))
    return comm.startswith(name) if pattern.endswith("*") else comm == name
