"""What ebpftop's own programs print at each execve (bpf/trace.c), and how a line of theirs is known."""

from __future__ import annotations

from ebpftop.core.trace_records import Trace

GREETING = "Hello World!"
PRINTED_BY = "ebpftop_hello"
"""What the names of the programs that print it begin with, in every ebpftop."""


def is_greeting(line: Trace) -> bool:
    """Return whether ebpftop printed *line*; if it is not known who did, the words decide."""
    return line.message == GREETING and (line.program is None or line.program.name.startswith(PRINTED_BY))
