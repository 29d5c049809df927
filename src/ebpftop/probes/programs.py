"""Every eBPF program of the machine, whoever loaded it (docs/programs.md). Nothing of this probe runs in the kernel."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from ebpftop.core.escape import comm_text, printable
from ebpftop.core.program_records import ProgramOwner, ProgramRow, Programs, ProgramTotals
from ebpftop.core.records import NOT_NEEDED, Attempt, Probe, Record
from ebpftop.kernel import bpf_programs, bpf_syscall, clocks
from ebpftop.kernel.attach import FREE
from ebpftop.kernel.bpf_names import program_type
from ebpftop.kernel.bpf_objects import COUNTS_MAX, Counts
from ebpftop.kernel.loader import Module
from ebpftop.kernel.threads import in_first_pid_namespace
from ebpftop.probes.base import Context, KernelProbe, ProbeError
from ebpftop.probes.program_facts import ProgramTable
from ebpftop.probes.program_runs import RunTotals
from ebpftop.probes.rows_room import OWNERS_MAX, PLACES_MAX, maps_that_fit, programs_that_fit

VIA = "bpf:BPF_PROG_GET_NEXT_ID"
STATISTICS = "statistics: bpf:BPF_ENABLE_STATS"
SYSCTL = "statistics: sysctl:kernel.bpf_stats_enabled"
LINKS = "places: bpf:BPF_LINK_GET_NEXT_ID"
OWNERS = "owners: /proc:fdinfo"
OTHER_NAMESPACES = "owners outside of this pid namespace"
TIMES_COST = "two reads of the clock at each run of every program of the machine, while they are on"
WALK_COST = "at most 2 % of a CPU while there are new programs"

_SYSCTL = Path("/proc/sys/kernel/bpf_stats_enabled")
_COMM = 15


class ProgramsProbe(KernelProbe):
    """A Programs record at each reading. While it is on, the kernel measures how long programs run."""

    file: ClassVar[str] = ""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._runs = RunTotals()
        self._table: ProgramTable | None = None
        self._stats_fd: int | None = None
        self._stats: str | None = None
        self._own: dict[int, str] = {}
        self._us = (ProgramOwner(pid=os.getpid(), comm=_comm()),)
        self._rows: dict[int, ProgramRow] = {}

    @property
    def on(self) -> bool:
        return self._table is not None

    def compile(self) -> None:
        """There is nothing to compile."""

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": (VIA,)}

    def attach(self, module: Module) -> str:
        raise NotImplementedError("nothing of it is loaded")

    def start(self) -> None:
        self.attempts = ()
        try:
            self._counts()
        except OSError as error:
            reason = f"listing the eBPF programs of the machine is refused: {error.strerror}"
            refused = Attempt(via=VIA, cost=FREE, reason=reason)
            raise ProbeError(
                reason, "it takes CAP_SYS_ADMIN: run ebpftop as root (sudo ebpftop)", (refused,)
            ) from error
        self._enable_statistics()
        table = ProgramTable(self.context.root)
        try:
            self._runs.pause()
            counts = self._counts()
            self._runs.update(counts)
            table.refresh([one.id for one in counts])
        except OSError as error:
            self._close_statistics()
            raise ProbeError(f"eBPF programs cannot be read: {error.strerror}", attempts=self.attempts) from error
        self._table, self.via = table, VIA
        blind = () if in_first_pid_namespace() else (OTHER_NAMESPACES,)
        self.attempts = (
            Attempt(via=VIA, cost=FREE, reason=None),
            *self.attempts,
            Attempt(via=LINKS, cost=FREE, reason=table.places_refused),
            Attempt(via=OWNERS, cost=WALK_COST, reason=None, blind=blind),
        )

    def _enable_statistics(self) -> None:
        """Enable run statistics. The sysctl is only looked at: it would stay set if we were killed."""
        was_on = _sysctl_is_on()
        not_set = "ebpftop does not set it: it would stay set if ebpftop were killed"
        try:
            self._stats_fd = self.context.root.enable_stats()
        except OSError as error:
            self._stats = "sysctl" if was_on else None
            reason = f"the kernel refuses it ({error.strerror}): it is new in Linux 5.8"
            by_sysctl = None if was_on else not_set
        else:
            self._stats, reason = "enabled", ""
            by_sysctl = f"{NOT_NEEDED}BPF_ENABLE_STATS works"
        self.attempts = (
            Attempt(via=STATISTICS, cost=TIMES_COST, reason=reason or None),
            Attempt(via=SYSCTL, cost=TIMES_COST, reason=by_sysctl),
        )

    def _close_statistics(self) -> None:
        if self._stats_fd is not None:
            bpf_syscall.close_stats(self._stats_fd)
        self._stats_fd = self._stats = None

    def detach(self) -> None:
        """Nothing is attached; statistics stay on until the last reading."""

    def stop(self) -> None:
        self._close_statistics()
        self._table, self.via = None, None
        self._rows, self._own = {}, {}

    def read_counters(self, now: float) -> list[Record]:
        table = self._table
        if table is None:
            return []
        try:
            counts = self._counts()
            self._runs.update(counts)
            table.refresh([one.id for one in counts])
        except OSError as error:  # the helper that keeps root's rights has ended, or is stuck
            self.stop()
            return [self._failed(now, f"eBPF programs cannot be read any more: {error.strerror or error}")]
        self._learn_own(table)
        self._rows = {number: self._row(table, number) for number in sorted(table.facts)}
        everything = self._runs.all
        return [
            Programs(
                time=now,
                rows=programs_that_fit(list(self._rows.values())),
                maps=maps_that_fit([table.maps[number] for number in sorted(table.maps)]),
                machine=ProgramTotals(
                    programs=len(table.facts),
                    map_bytes=sum(one.bytes for one in table.maps.values()),
                    runs=everything.runs,
                    run_ns=everything.run_ns,
                    misses=everything.misses,
                ),
                stats=self._stats,
                owners_time=table.owners_time,
            )
        ]

    def _failed(self, now: float, reason: str) -> Probe:
        return Probe(
            time=now, probe=self.name, state="failed", via=None, reason=printable(reason), attempts=self.attempts
        )

    def _counts(self) -> list[Counts]:
        counts: list[Counts] = []
        while some := self.context.root.counts(counts[-1].id if counts else 0):
            counts += some
            if len(some) < COUNTS_MAX:
                break
        return counts

    def _learn_own(self, table: ProgramTable) -> None:
        """Note which programs are ours, with their whole names, which the kernel does not know."""
        self._own = {}
        for fd, name in self.context.own_programs().items():
            with suppress(OSError):  # it has just been unloaded
                number = bpf_programs.program_id(fd)
                facts = table.facts.get(number)
                # The descriptor may be of something else by now.
                if facts is not None and facts.name == name.encode()[:_COMM]:
                    self._own[number] = name

    def _row(self, table: ProgramTable, number: int) -> ProgramRow:
        facts, before = table.facts[number], self._rows.get(number)
        total = self._runs.of[number]
        row = ProgramRow(
            id=number,
            type=program_type(facts.type),
            name=self._own.get(number) or table.name(facts),
            tag=facts.tag.hex(),
            uid=facts.uid,
            loaded=before.loaded if before else _unix_time(facts.loaded_ns),
            owners=table.owners.get(number, ())[:OWNERS_MAX] or (self._us if number in self._own else ()),
            attached=table.places(facts)[:PLACES_MAX],
            runs=total.runs,
            run_ns=total.run_ns,
            misses=total.misses,
            insns=facts.insns,
            map_bytes=sum(table.maps[each].bytes for each in facts.maps if each in table.maps),
            maps=facts.maps,
            own=number in self._own,
        )
        return before if row == before else row


def _unix_time(since_boot_ns: int) -> float:
    return max(0.0, round(time.time() - (clocks.since_boot_ns() - since_boot_ns) / 1e9, 6))


def _comm() -> str:
    with suppress(OSError):
        return comm_text(Path("/proc/self/comm").read_bytes()[:-1])
    return "ebpftop"


def _sysctl_is_on() -> bool:
    try:
        return int(_SYSCTL.read_text()) == 1
    except (OSError, ValueError):
        return False
