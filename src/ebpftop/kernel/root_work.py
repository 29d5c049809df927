"""What only root may do, by whichever process has root's rights: see kernel/root_helper.py."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from ebpftop.kernel import bpf_holders, bpf_objects, bpf_programs, bpf_syscall, process_files
from ebpftop.kernel.bpf_holders import Round
from ebpftop.kernel.bpf_objects import Counts, LinkFacts, MapFacts, ProgramFacts
from ebpftop.kernel.bpf_programs import Listing
from ebpftop.kernel.container_names import ContainerNames
from ebpftop.kernel.waiting import Question, WaitReader
from ebpftop.kernel.waiting_task import Wait

# All that ebpftop writes to. Others in an instance can fill the kernel's memory or slow down every function of it.
_FILES = frozenset({"trace_clock", "buffer_size_kb", "events/bpf_trace/bpf_trace_printk/enable"})
CGROUPS_MAX = 128
CONTAINERS_MAX = 32
THREADS_MAX = 200
"""Threads of one `calls`: pids have seven digits at most, and /proc/PID/syscall is a line of 160 bytes at most."""

NOT_READABLE = b"?"
WAITS_S = 0.05
"""Seconds that `waits` waits for an answer at most. One takes a millisecond if no program holds it up."""

_CALL_MAX = 4096  # bytes of /proc/PID/syscall


class RootWork:
    """The work itself, in this process. All methods raise OSError."""

    def __init__(self, instance: Path) -> None:
        """*instance* is the folder in tracefs that will be our trace instance."""
        self.instance = instance
        self._waits = WaitReader()
        self._containers = ContainerNames()

    def make_instance(self) -> None:
        """Make our trace instance."""
        self.instance.mkdir(exist_ok=True)

    def write(self, file: str, text: str) -> None:
        """Write *text* to *file* of our trace instance, one of three."""
        if file not in _FILES:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), file)
        (self.instance / file).write_text(text)

    def remove_instance(self) -> None:
        """Remove it."""
        self.instance.rmdir()

    def enable_stats(self) -> int:
        """Return a descriptor; until it is closed, the kernel measures how long BPF programs run."""
        return bpf_syscall.enable_stats()

    def programs(self, than: int) -> Listing:
        """Return the BPF programs whose id is higher than *than*, and where their code is."""
        return bpf_programs.newer(than)

    def counts(self, than: int) -> list[Counts]:
        """Return the totals of programs whose id is higher than *than*: see `bpf_objects.counts`."""
        return bpf_objects.counts(than)

    def program_facts(self, ids: Sequence[int]) -> list[ProgramFacts]:
        """Return what does not change of at most `FACTS_MAX` programs."""
        return bpf_objects.programs(ids)

    def program_fd(self, number: int) -> int:
        """Open a BPF program: to whom it is opened for, the kernel shows the addresses in its code."""
        return bpf_objects.open_program(number)

    def map_facts(self, ids: Sequence[int]) -> list[MapFacts]:
        """Return what the kernel tells of at most `FACTS_MAX` maps."""
        return bpf_objects.maps(ids)

    def link_facts(self, than: int) -> list[LinkFacts]:
        """Return links whose id is higher than *than*: see `bpf_objects.links`."""
        return bpf_objects.links(than)

    def cgroup_programs(self, attach_type: int, ids: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        """Return what is attached to at most `CGROUPS_MAX` cgroups: see `bpf_objects.attached_to_cgroups`."""
        return bpf_objects.attached_to_cgroups(attach_type, ids)

    def holders(self, after: int) -> Round:
        """Return which processes after *after* hold programs: see `bpf_holders.holders`."""
        return bpf_holders.holders(after)

    def container_names(self, containers: Sequence[tuple[str, int | None]]) -> list[str | None]:
        """Return what engines call at most `CONTAINERS_MAX` containers: see `ContainerNames.name`."""
        return [self._containers.name(id, uid) for id, uid in containers]

    def calls(self, threads: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return /proc/PID/task/TID/syscall (proc(5)) of at most `THREADS_MAX` threads, each a pid and a tid.

        Empty for a thread that has ended, `NOT_READABLE` for one that may not be read.
        """
        return [_call(pid, tid) for pid, tid in threads]

    def waits(self, asked: Sequence[Question]) -> tuple[list[Wait | None], float] | None:
        """Return what at most `ASKED_MAX` threads wait for, and the CPU time of all such answers so far in seconds.

        None if that cannot be known soon: see `WaitReader.ask`.
        """
        answers = self._waits.ask(asked, WAITS_S)
        return None if answers is None else (answers, self._waits.spent_s)

    def mappings(self, pid: int) -> bytes:
        """Return /proc/PID/maps: see `process_files.mappings`."""
        return process_files.mappings(pid)

    def mapped_file(self, pid: int, begin: int, end: int) -> int:
        """Return a descriptor of a file that a process has mapped: see `process_files.mapped_file`."""
        return process_files.mapped_file(pid, begin, end)

    def perf_map(self, pid: int) -> int:
        """Return a descriptor of the perf map of a process: see `process_files.perf_map`."""
        return process_files.perf_map(pid)

    def kernel_symbols(self) -> int:
        """Return a descriptor of /proc/kallsyms."""
        return process_files.kernel_symbols()

    def close(self) -> None:
        """Do nothing: there is no child to end."""


def _call(pid: int, tid: int) -> bytes:
    try:
        fd = os.open(f"/proc/{pid:d}/task/{tid:d}/syscall", os.O_RDONLY)
    except PermissionError:
        return NOT_READABLE
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return NOT_READABLE if os.path.exists(f"/proc/{pid:d}/task/{tid:d}") else b""
        raise
    try:
        return os.read(fd, _CALL_MAX).rstrip(b"\n")
    except PermissionError:
        return NOT_READABLE
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EAGAIN):
            return b""
        raise
    finally:
        os.close(fd)
