"""What a compiler may use: memory, CPU time, time. A file that needs more is refused, and harms nothing else."""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES = 400 << 20
"""Memory of one compilation, with maps of `MAP_BYTES`, if a memory cgroup can be made for it."""
MAP_BYTES = 256 << 20
"""What the maps of a file may take of the kernel's memory, if nothing else is asked for."""
ADDRESS_BYTES = 768 << 20
"""Address space of the compiler beyond what its process has when it begins, a quarter of a GiB with its libraries."""
CPU_S, CPU_MOST_S = 5, 300
"""CPU time of a compilation; it may take twice as long. On a slow machine it is `cpu_seconds`."""
PROGRAMS_MAX = 100
"""Programs of a file. The largest of BCC's own tools has 27 (memleak)."""
PROGRAMS_REMEDY = "split it into several files; a function that is only called by others is static"
OUTPUT_BYTES = 4 << 20
"""What it may write to one file: its messages."""

_PREFIX = "ebpftop-load-"
_REMOVE_S = 0.5


def memory_bytes(map_bytes_max: int) -> int:
    """Return the memory of a compilation whose maps may take so much."""
    return MEMORY_BYTES - MAP_BYTES + map_bytes_max


def cpu_seconds(warm_up_s: float) -> int:
    """Return the CPU time of a compilation on a machine where importing the compiler took *warm_up_s* of it.

    That is a second at most on the machines of today; under emulation twenty, and more beside other work.
    """
    return min(max(CPU_S, round(CPU_S * warm_up_s)), CPU_MOST_S)


def too_many_programs(count: int) -> str:
    """Return that a file has so many programs that it is not loaded."""
    return f"the file has {count} programs; at most {PROGRAMS_MAX} are supported"


def restrict(map_bytes_max: int, cpu_s: int) -> None:
    """Set the limits of this process that need no cgroup. Nothing lifts them again."""
    locked = memory_bytes(map_bytes_max)
    # The server is a fork: it has what ebpftop had.
    address_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + ADDRESS_BYTES
    for what, warned, ended in (
        (resource.RLIMIT_AS, address_bytes, address_bytes),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES, OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0, 0),
        # Before Linux 5.11, maps do not count as memory of the cgroup, but against this limit.
        (resource.RLIMIT_MEMLOCK, locked, locked),
    ):
        limit = resource.getrlimit(what)[1]
        most = ended if limit == resource.RLIM_INFINITY else limit
        resource.setrlimit(what, (min(warned, most), min(ended, most)))


def reason(status: int, output: str, memory: int | None, cpu_s: int, *, late: bool) -> str:
    """Return why a compiler ended without an answer.

    *status* is that of waitpid(2), *output* what it wrote, *memory* how much it had if that was not enough, in bytes.
    """
    if late:
        return f"it was not compiled within {2 * cpu_s} s"
    if memory is not None:
        return f"the compiler needs more than {memory >> 20} MiB of memory for it"
    if "out of memory" in output:
        return f"the compiler needs more than {ADDRESS_BYTES >> 20} MiB of address space for it"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return f"it was not compiled within {cpu_s} s of CPU time"
        if number == signal.SIGXFSZ:
            return f"the compiler wrote more than {OUTPUT_BYTES >> 20} MiB of messages"
        return f"the compiler crashed ({signal.Signals(number).name})"
    return "the compiler gave up"


@dataclass(frozen=True)
class _Hierarchy:
    """Where memory cgroups can be made, and how they are limited."""

    folder: Path
    limit: str
    v1: bool


class MemoryCgroups:
    """Makes a memory cgroup for each compilation, if that is possible: as root, with the memory controller at hand."""

    def __init__(self) -> None:
        """Find a place for them, and remove what a run that was killed has left there."""
        self._place = _find()
        if self._place is not None:
            for left in self._place.folder.glob(f"{_PREFIX}*"):
                with suppress(OSError):
                    left.rmdir()

    def make(self, name: str, limit_bytes: int) -> MemoryCgroup | None:
        """Make one for so much memory; None if that is not possible."""
        if self._place is None:
            return None
        folder = self._place.folder / f"{_PREFIX}{name}"
        try:
            folder.mkdir()
            (folder / self._place.limit).write_text(str(limit_bytes))
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            return None
        return MemoryCgroup(folder, self._place.v1)


@dataclass(frozen=True)
class MemoryCgroup:
    """One that was made."""

    folder: Path
    v1: bool

    def join(self) -> None:
        """Move this process into it; raises OSError."""
        (self.folder / "cgroup.procs").write_text("0")

    def had_to_kill(self) -> bool:
        """Return whether a process in it was ended because it needed more memory."""
        file = "memory.oom_control" if self.v1 else "memory.events"
        try:
            text = (self.folder / file).read_text()
        except OSError:
            return False
        counts = dict(line.split() for line in text.splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Remove it, once its process has ended."""
        until_s = time.monotonic() + _REMOVE_S
        while True:
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:  # EBUSY until the kernel is done with the process
                if time.monotonic() > until_s:
                    return
                time.sleep(0.005)
            else:
                return


def _find() -> _Hierarchy | None:
    """Return the deepest place above our own cgroup where a memory cgroup can be made."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        own = Path("/proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    paths = {controllers: path for _, controllers, path in (line.split(":", 2) for line in own)}
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split()[:3]
        v1 = kind == "cgroup" and "memory" in options.split(",")
        if not (v1 or kind == "cgroup2"):
            continue
        path = (
            next((path for names, path in paths.items() if "memory" in names.split(",")), None) if v1 else paths.get("")
        )
        if path is None:
            continue
        root = Path(fields[4])
        relative = Path(path).relative_to("/") if path.startswith("/") else Path()
        for inside in (relative, *relative.parents):
            folder = root / inside
            if _has_memory(folder, v1) and os.access(folder, os.W_OK, effective_ids=True):
                return _Hierarchy(folder, "memory.limit_in_bytes" if v1 else "memory.max", v1)
    return None


def _has_memory(folder: Path, v1: bool) -> bool:
    """Return whether cgroups below *folder* have a memory limit (Documentation/admin-guide/cgroup-v2.rst)."""
    if v1:
        return (folder / "memory.limit_in_bytes").exists()
    try:
        return "memory" in (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
