"""Command names, as records have them."""

from __future__ import annotations

from ebpftop.core.escape import printable

COMMAND_NAMES = frozenset(("comm", "command", "task", "pcomm", "name"))
"""What members of an event are called that have the command name of its process."""


def comm_matches(pattern: str, comm: str) -> bool:
    """Return whether *comm*, as in records, is NAME, or begins with NAME if the pattern is NAME*."""
    name = printable(pattern.removesuffix("*"))
    return comm.startswith(name) if pattern.endswith("*") else comm == name
