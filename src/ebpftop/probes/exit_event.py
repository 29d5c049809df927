"""What bpf/execs_ended.h sends of a process that ended: what it used, who killed it."""

from __future__ import annotations

import resource
import struct
from typing import NamedTuple

from ebpftop.core.escape import comm_text
from ebpftop.core.process_records import Killer

_ENDING = struct.Struct("=10Q4I16s")  # struct ending of bpf/execs_ended.h
_FREED = struct.Struct("=II5Q")  # struct freed_event there
_FREED_KIND = 4
FREES_LATE_SINCE = (6, 16)
"""Since then the kernel frees the memory of a process after it has reported its end."""
_KILLER, _OOM, _FORKED, _IO, _STORAGE = 1, 2, 4, 8, 16  # enum ending_flag
_PAGE_BYTES = resource.getpagesize()


class Ending(NamedTuple):
    """How a process ended and what it used, as a record has it."""

    user_s: float
    system_s: float
    max_rss_bytes: int
    major_faults: int
    minor_faults: int
    read_bytes: int | None
    written_bytes: int | None
    storage_read_bytes: int | None
    storage_written_bytes: int | None
    killer: Killer | None
    oom: bool
    forked: bool
    threads: int


class CpuTime(NamedTuple):
    """The time on a CPU as the kernel has it: by its clock's ticks in a program and in the kernel, and all of it."""

    utime_ns: int
    stime_ns: int
    runtime_ns: int


def take_freed(events: list[bytes]) -> tuple[list[bytes], dict[tuple[int, int], CpuTime]]:
    """Return *events* without those of processes whose memory was freed, and what these say: by pid and start."""
    freed: dict[tuple[int, int], CpuTime] = {}
    others = []
    for raw in events:
        if raw[0] == _FREED_KIND:
            _, pid, _, start_ns, *times = _FREED.unpack_from(raw)
            freed[pid, start_ns] = CpuTime(*times)
        else:
            others.append(raw)
    return others, freed


def ending_of(raw: bytes, at: int, cpu: CpuTime | None = None) -> Ending:
    """Return what is at *at*, behind struct event; *cpu* is what is known later of its time."""
    (utime, stime, runtime, minor, major, read, written, stored_read, stored, rss, flags, pid, uid, threads, comm) = (
        _ENDING.unpack_from(raw, at)
    )
    user_ns, system_ns = cpu_times(*(cpu or (utime, stime, runtime)))
    return Ending(
        user_s=user_ns / 1e9,
        system_s=system_ns / 1e9,
        max_rss_bytes=rss * _PAGE_BYTES,
        major_faults=major,
        minor_faults=minor,
        read_bytes=read if flags & _IO else None,
        written_bytes=written if flags & _IO else None,
        storage_read_bytes=stored_read if flags & _STORAGE else None,
        storage_written_bytes=stored if flags & _STORAGE else None,
        killer=Killer(pid=pid, comm=comm_text(comm), uid=uid) if flags & _KILLER else None,
        oom=bool(flags & _OOM),
        forked=bool(flags & _FORKED),
        threads=threads + 1,
    )


def cpu_times(utime_ns: int, stime_ns: int, runtime_ns: int) -> tuple[int, int]:
    """Return user and system time as getrusage(2) has them (kernel/sched/cputime.c, cputime_adjust()).

    The sum is exact; its parts are as the clock's ticks found them.

    >>> cpu_times(3, 1, 1000), cpu_times(0, 4, 1000), cpu_times(0, 0, 1000)
    ((750, 250), (0, 1000), (1000, 0))
    """
    if not stime_ns:
        return runtime_ns, 0
    system_ns = stime_ns * runtime_ns // (stime_ns + utime_ns)
    return runtime_ns - system_ns, system_ns
