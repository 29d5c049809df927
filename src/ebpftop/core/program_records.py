"""The record of every eBPF program of the machine, whoever loaded it (docs/programs.md)."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ebpftop.core.records import Count, TableReading, Time


class ProgramOwner(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A process that holds a descriptor of a program, or of what attaches it (a link, a perf event).

    `comm` is the name of its first thread.
    """

    pid: int
    comm: str

    def __str__(self) -> str:
        """Name and pid: ``cilium-agent 812``."""
        return f"{self.comm} {self.pid}"


class ProgramMap(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A map that a program uses; `bytes` is what it takes in the kernel, as far as the kernel counts it."""

    id: int
    type: str
    name: str
    entries: Count
    bytes: Count


class ProgramRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An eBPF program. Its `id` is not used again until the machine boots.

    `type` is the kernel's word for it, as bpftool prints it (`raw_tracepoint`, `kprobe`); `name` the whole name of its
    function where the kernel knows it, else the 15 characters that it keeps; `loaded` Unix seconds. `owners` is empty
    if no process that can be seen holds it: it is pinned, or attached to what keeps it. `attached` says where, as far
    as that can be asked. `runs`, `run_ns` (of all CPUs) and `misses` (runs left out since the program, or another one
    on its hook, was running on that CPU already) are totals since ebpftop watches. `insns` are its instructions as the
    verifier left them. `map_bytes` is the sum of its maps, shared ones too. `own`: this ebpftop, or the one that wrote
    the recording, loaded it.
    """

    id: int
    type: str
    name: str
    tag: str
    uid: int
    loaded: Time
    owners: tuple[ProgramOwner, ...] = ()
    attached: tuple[str, ...] = ()
    runs: Count = 0
    run_ns: Count = 0
    misses: Count = 0
    insns: Count = 0
    map_bytes: Count = 0
    maps: tuple[int, ...] = ()
    own: bool = False


class ProgramTotals(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All programs of the machine together.

    `programs` and `map_bytes` are as of now, and a map that several programs use counts once. The others are totals
    since ebpftop watches, with what programs that have gone since had run when they were last read.
    """

    programs: Count
    map_bytes: Count
    runs: Count = 0
    run_ns: Count = 0
    misses: Count = 0


class Programs(TableReading, frozen=True, kw_only=True, tag="programs"):
    """Every eBPF program of the machine, in the order of their ids, and the maps that they use.

    `machine` counts those too that `rows` has no room for. `stats` says how the kernel's run statistics are on:
    ``enabled`` by ebpftop as long as the probe is attached, ``sysctl`` if somebody else had set
    kernel.bpf_stats_enabled; null if they cannot be enabled, and then nothing is known of runs and times.
    `owners_time` is when owners were last read, Unix seconds: to look for them is expensive. Null: not yet.
    """

    rows: tuple[ProgramRow, ...]
    maps: tuple[ProgramMap, ...] = ()
    machine: ProgramTotals
    stats: str | None = None
    owners_time: Time | None = None
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("id",), "maps": ("id",)}
