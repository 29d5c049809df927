"""What each cgroup, program and user asks of the kernel (bpf/syscalls_groups.h; docs/groups.md)."""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping
from contextlib import suppress
from operator import attrgetter

from ebpftop.core.group_records import OTHER_COMM, CgroupRow, Cgroups, CommRow, Comms, UidRow, Uids
from ebpftop.core.records import Record
from ebpftop.kernel import clocks, maps
from ebpftop.kernel.attach import names
from ebpftop.kernel.errors import LoadError, NotCompiledError
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import Context, ProbeError
from ebpftop.probes.blocked_threads import BlockedThreads
from ebpftop.probes.call_programs import WAITING_MAX, CallPrograms, fill
from ebpftop.probes.cgroup_facts import CgroupFacts, CgroupKey, CgroupTable
from ebpftop.probes.group_rows import GroupRows, figures
from ebpftop.probes.group_totals import GROUPS_MAX, GroupTotals, Totals
from ebpftop.probes.rows_room import rows_that_fit
from ebpftop.probes.syscall_options import enter_option, returns_option
from ebpftop.probes.syscall_slots import Slots

MADE_MAX = 1024
"""Cgroups that were made since the last reading, of which the kernel keeps the path."""
# Of the file's maps, these are only used by the probe of system calls.
_UNUSED = (
    *("counts", "latencies", "failures", "failed_latencies", "handlers", "process_calls"),
    *("traced", "kept_before", "call_values"),
)
_FEW = 128
"""So many rows fit into a line, however long the paths are."""


class GroupsProbe(CallPrograms):
    """Cgroups, Comms and Uids records at each reading: the sums of the same counters.

    It has programs of its own at every call, so that a call pays nothing for it while nobody looks.
    """

    ring_bytes: int = 4096  # of no use here; the smallest that there is

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._slots = Slots(platform.machine())
        self._totals = GroupTotals()
        self._table = CgroupTable(context.root)
        self._cgroups = GroupRows(self._totals.cgroups, self._cgroup_row)
        self._comms = GroupRows(self._totals.comms, self._comm_row)
        self._uids = GroupRows(self._totals.uids, _uid_row)
        self._facts: dict[CgroupKey, CgroupFacts] = {}
        self._blocked = BlockedThreads()
        self._blocked_by_comm: dict[str, int | None] = {}

    def start(self) -> None:
        if not self.start_caching_tasks():
            super().start()

    def parameters(self) -> Mapping[str, int]:
        return {**super().parameters(), "GROUPS": 1}

    def map_entries(self) -> Mapping[str, int]:
        return {
            **dict.fromkeys(_UNUSED, 1),
            "groups": GROUPS_MAX,
            "waiting": WAITING_MAX,
            "made_cgroups": MADE_MAX,
        }

    def prepare(self, module: Module) -> None:
        self._totals.start()
        for call in self._slots.task_makers:
            slot = self._slots.slot(call)
            if slot is not None:
                facts = struct.pack("=I", self._slots.facts(call))
                maps.update(module.table("call_facts"), struct.pack("=I", slot), facts)
        fill(module, "enter_slow_path", {0: "sys_enter_slow_path"}, self._kind)
        fill(module, "exit_slow_paths", {0: "sys_exit_slow_path"}, self._kind)

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": names((enter_option("raw_tracepoint"),))}

    def attach(self, module: Module) -> str:
        self.attach_task_cache(module)
        # Without it, cgroups that are gone by the next reading have no path.
        with suppress(LoadError, NotCompiledError):
            module.attach("raw_tracepoint", "cgroup_mkdir", "groups_on_cgroup_mkdir")
        # Where calls begin is attached last: if an entry is seen, its return is seen too.
        if self.attach_first(module, (returns_option("raw_tracepoint"),), "returns").used is None:
            raise ProbeError("this kernel offers no event where system calls return", attempts=self.attempts)
        via = self.attach_first_or_fail(module, (enter_option("raw_tracepoint"),), "system calls")
        self.count_unentered_since(module, clocks.since_boot_ns())
        return via

    def read_counters(self, now: float) -> list[Record]:
        module = self.module
        if module is None:
            return []
        totals = self._totals
        totals.read(module)
        self._table.refresh([key for key in totals.cgroups.totals if key.id], module.table("made_cgroups"))
        self._count_blocked()
        self._fold_gone()
        facts = self._table.facts
        totals.cgroups.changed |= {key for key, known in facts.items() if self._facts.get(key) != known}
        self._facts = dict(facts)
        rows = self._cgroups.read()
        return [
            Cgroups(time=now, rows=rows if len(rows) <= _FEW else rows_that_fit(rows, attrgetter("calls"))),
            Comms(time=now, rows=self._comms.read()),
            Uids(time=now, rows=self._uids.read()),
        ]

    def _count_blocked(self) -> None:
        # Of processes that come and go, those that a cgroup has now were not there when threads were looked at.
        if self._blocked.refresh(self.context.matches if self.context.filtering() else None):
            self._table.count_blocked(self._blocked.of_processes)
        comms = self._totals.comms
        blocked = {comm: None if comm == OTHER_COMM else self._blocked.of_comm(comm) for comm in comms.totals}
        comms.changed |= {comm for comm, count in blocked.items() if self._blocked_by_comm.get(comm) != count}
        self._blocked_by_comm = blocked

    def _fold_gone(self) -> None:
        """Let cgroups that were removed have no rows any more, the oldest first, if there is little room left."""
        table = self._totals.cgroups
        if not table.is_filling:
            return
        gone = [key for key in table.totals if (facts := self._table.facts.get(key)) is not None and facts.gone]
        for key in gone[: len(gone) // 2 + 1]:
            table.fold(key)
            self._table.forget(key)

    def _cgroup_row(self, key: CgroupKey, totals: Totals) -> CgroupRow:
        facts = self._table.facts.get(key, CgroupFacts())
        return CgroupRow(
            hierarchy=key.hierarchy,
            id=key.id,
            path=facts.path,
            unit=facts.unit,
            container=facts.container,
            container_name=facts.container_name,
            state=facts.state,
            gone=facts.gone,
            running=facts.running,
            blocked=facts.blocked,
            last=totals.last,
            **figures(totals),
        )

    def _comm_row(self, comm: str, totals: Totals) -> CommRow:
        return CommRow(comm=comm, blocked=self._blocked_by_comm.get(comm), **figures(totals))

    def save_totals(self, module: Module) -> None:
        self._totals.read(module)


def _uid_row(uid: int, totals: Totals) -> UidRow:
    return UidRow(uid=uid, **figures(totals))
