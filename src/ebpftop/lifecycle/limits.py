"""What ebpftop needs of the machine, checked before anything is attached or drawn.

If memory, threads or files run out while it runs, C code calls abort(3), the terminal stays in the alternate screen, or
a lock is held for ever. So limits are checked by requesting all resources at once: that covers ulimit, cgroups, and
anything else that refuses.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import sys
import threading
from dataclasses import dataclass, replace

from ebpftop.core.source import SourceError
from ebpftop.lifecycle import malloc

_MIB = 1 << 20
_PROT_NONE, _MAP_NORESERVE = 0, 0x4000  # include/uapi/asm-generic/mman-common.h, mman.h
_STATM_SIZE, _STATM_DATA = 0, 5  # fields of /proc/self/statm


@dataclass(frozen=True)
class Need:
    """What a command needs in the end: measured (docs/limits.md), and some margin."""

    what: str
    address_space_mib: int
    memory_mib: int
    threads: int
    files: int


# If the kernel has no ring buffer, a perf buffer needs one file per CPU.
_CPUS = os.cpu_count() or 1
# Of a screen: without what it keeps, which `--memory` bounds.
LIVE_SCREEN = Need("the screen", address_space_mib=480, memory_mib=200, threads=24, files=160 + _CPUS)
WITHOUT_SCREEN = Need("watching the kernel", address_space_mib=512, memory_mib=140, threads=16, files=160 + _CPUS)
REPLAY_SCREEN = Need("the screen", address_space_mib=280, memory_mib=170, threads=16, files=48)


def require(need: Need, more_mib: int = 0) -> None:
    """Raise SourceError if the machine does not grant *need* and *more_mib* MiB of memory beyond it."""
    need = replace(need, address_space_mib=need.address_space_mib + more_mib, memory_mib=need.memory_mib + more_mib)
    malloc.set_up()
    _require_files(need)
    if sys.platform == "linux":
        _require_memory(need)
    require_threads(need)


def _require_files(need: Need) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # ebpftop.lifecycle.process has raised it already
    if soft != resource.RLIM_INFINITY and soft < need.files:
        raise SourceError(
            f"{need.what} needs {need.files} open files, and the limit is {soft}",
            f"raise it (ulimit -n {need.files}, or LimitNOFILE= of the service)",
        )


def _require_memory(need: Need) -> None:
    # Only addresses: what RLIMIT_AS counts, libraries and stacks included.
    _try_to_map(need, need.address_space_mib, _PROT_NONE, "address space", f"-v {need.address_space_mib << 10}")
    # Our own memory: what RLIMIT_DATA counts, and the kernel too if it does not overcommit.
    _try_to_map(
        need,
        need.memory_mib,
        mmap.PROT_READ | mmap.PROT_WRITE,
        "memory",
        f"-d {need.memory_mib << 10}, or free some if vm.overcommit_memory is 2",
    )


def _try_to_map(need: Need, size_mib: int, protection: int, what: str, limit: str) -> None:
    ask_mib = max(1, size_mib - _mapped_mib(_STATM_SIZE if protection == _PROT_NONE else _STATM_DATA) - 1)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    try:
        mmap.mmap(-1, ask_mib * _MIB, flags=flags, prot=protection).close()
    except OSError as error:
        if error.errno not in (errno.ENOMEM, errno.EAGAIN):
            raise
        cause = f"{need.what} needs {size_mib} MiB of {what}, and a limit forbids that"
        raise SourceError(cause, f"raise it (ulimit {limit})") from error


def _mapped_mib(field: int) -> int:
    """Return what is mapped already; 0 if /proc cannot be read (proc_pid_statm(5))."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[field]) * mmap.PAGESIZE // _MIB
    except OSError:
        return 0


def require_threads(need: Need) -> None:
    """Start all threads that *need* has beyond those that run, and end them again; raises SourceError.

    Call it again after root was given up: `ulimit -u` bounds the threads of a user, but not those of root.
    """
    enough = threading.Event()
    running = threading.active_count() - 1  # all but the main thread
    started: list[threading.Thread] = []
    before = threading.stack_size(256 << 10)
    try:
        for _ in range(need.threads - running):
            thread = threading.Thread(target=enough.wait, name="limit", daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError) as error:
        raise SourceError(
            f"{need.what} needs {need.threads} threads, and a limit allows no more than {running + len(started)}",
            "raise it (ulimit -u, pids.max of the cgroup, TasksMax= of the service) or end other processes",
        ) from error
    finally:
        threading.stack_size(before)
        enough.set()
        for thread in started:
            thread.join()
