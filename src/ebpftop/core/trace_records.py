"""The record of what eBPF programs print."""

from __future__ import annotations

import msgspec

from ebpftop.core.records import Count, Event


class PrintingProgram(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An eBPF program: its id and name in the kernel. An id is not used again until the machine boots."""

    id: Count
    name: str

    def __str__(self) -> str:
        """Name and id, as `bpftool prog` has them."""
        return f"{self.name} #{self.id}"


class Trace(Event, frozen=True, kw_only=True, tag="trace"):
    """One bpf_trace_printk line, from any program of the machine.

    `task` is the name of thread `tid`; `program` the eBPF program that printed it, None if that is unknown. Older
    recordings have no `tid`; there, `pid` holds the thread id.
    """

    cpu: int
    pid: int
    task: str
    message: str
    tid: int | None = None
    program: PrintingProgram | None = None
