"""The probe of system calls: controls the table of handlers, reads the maps and the traced calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ebpftop.core.records import Record, Where
from ebpftop.core.source import SourceError, WatchedList
from ebpftop.core.syscall_records import Handler, Syscalls
from ebpftop.kernel import clocks, maps
from ebpftop.kernel.event_buffer import Events
from ebpftop.kernel.loader import Module
from ebpftop.probes import syscall_counters
from ebpftop.probes.base import Context
from ebpftop.probes.syscall_callers import Callers
from ebpftop.probes.syscall_counters import CallCounters
from ebpftop.probes.syscall_programs import SyscallPrograms
from ebpftop.probes.syscall_rows import Rows
from ebpftop.probes.syscall_slots import Call
from ebpftop.probes.traced_calls import raw_stacks, traced_call
from ebpftop.probes.waiting_calls import WaitingCalls
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import Family
from ebpftop.syscalls.tracing import Condition

if TYPE_CHECKING:
    from ebpftop.probes.stack_worker import StackWorker


class SyscallsProbe(SyscallPrograms):
    """A Syscalls record at each reading, and a Syscall record for each traced call."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._counters = CallCounters(self.slots, latency=self.latency)
        self._rows = Rows(self.slots, self._table, self._counters)
        self._families_before: dict[Family, int] = {}
        self._callers = Callers(
            self.slots, every_s=context.pairs_every_s, calm_s=context.pairs_calm_s, latency=self.latency
        )
        self._events: Events | None = None
        self._stacks: StackWorker | None = None
        self._waits = WaitingCalls(context.root, of_all=context.waits_of_all)
        self.watched_pid: int | None = None
        """The process whose calls in flight are listed before all others."""
        self._uring_before: Counter[str] = Counter()
        self._sleep_clock = clocks.SleepClock()
        self._overflow_before = 0
        self.set_handlers(context.ignored, "ignore")
        asked: dict[Call, list[Condition | None]] = {}
        for traced in context.traced:
            asked.setdefault((traced.abi, traced.nr), []).append(traced.condition)
        alike: dict[tuple[Condition | None, ...], list[Call]] = {}
        for call, conditions in asked.items():
            alike.setdefault(tuple(conditions), []).append(call)
        for some, calls in alike.items():
            # One without a condition holds whatever the others are.
            self.set_handlers(calls, "trace", () if None in some else [one for one in some if one is not None])

    def prepare(self, module: Module) -> None:
        self._events = Events(module, self.context.buffer, 0)
        if self.context.stacks:
            # pyelftools takes 10 ms to import.
            from ebpftop.probes.stack_worker import StackWorker

            self._stacks = StackWorker(self.context.root)
        super().prepare(module)

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None
        if self._stacks is not None:
            self._stacks.close()
        self._stacks = None
        super().release()
        self._callers.forget()

    def set_handlers(self, calls: Sequence[Call], handler: Handler, conditions: Sequence[Condition] = ()) -> None:
        """Put another program into the slots of *calls*, at once; "count" restores their original handlers.

        A traced call is reported if one of *conditions* holds, or always if there is none. Raises SourceError if that
        is impossible, and then nothing has changed.
        """
        for call in calls:
            if self.slots.slot(call) is None:
                raise SourceError(
                    f"{abis.name(*call)} is beyond the table of handlers", "such calls can only be counted"
                )
        if handler == "trace" and self.module is not None:
            self._ensure_returns(self.module)
            self._load_tracing(self.module)
        self._table.choose(calls, handler, conditions, self.module)
        for call in calls:
            self._rows.forget(call)
        if self.module is not None and not self.latency and not self._table.traces:
            self._detach_returns(self.module)

    def read_counters(self, now: float) -> list[Record]:
        """Return one Syscalls record."""
        module = self.module
        if module is None:
            return []
        rows = self._rows.read(module)
        families = dict(self._families_before)
        syscall_counters.add_families(module, families)
        uring = self._uring_before.copy()
        if self._sees_uring:
            syscall_counters.add_uring(module, uring)
        matches_call = self._matches if self.context.filtering() else None
        if self._before_attach is not None:
            self._before_attach.begin()
            self._before_attach.ignored = self._table.ignored
        if self.processes:
            self._callers.read(module, now, sum(row.count for row in rows))
        who = self._callers.counters
        # Convert to the clock of durations, and to that of starts, which continues while the machine sleeps.
        now_ns = int((now - clocks.unix_offset()) * 1e9)
        return [
            Syscalls(
                time=now,
                rows=rows,
                in_flight=syscall_counters.in_flight(
                    module, self.slots, now_ns, matches_call, self._before_attach, self._waits, self.watched_pid
                )
                if self.latency and self.context.in_flight
                else (),
                processes=who.processes,
                process_totals=who.totals,
                users=who.users,
                evicted=who.evicted,
                pairs_time=self._callers.time,
                families={family: count for family, count in families.items() if count},
                io_uring=dict(uring) if self._sees_uring else None,
                table=self._table.rows(),
                boot_ns=now_ns + self._sleep_clock.asleep_ns(),
            )
        ]

    def watch(self, lists: frozenset[WatchedList]) -> bool:
        """Read these with every reading; return whether one of them was not before."""
        callers = self._callers.watch("callers" in lists)
        return self._waits.watch("waits" in lists) or callers

    def filter_changed(self) -> None:
        """The filter changed: it may match other calls that were entered before the probe was attached.

        Later counts are measured against the next reading, so that has everything.
        """
        self._callers.be_due()
        if self._before_attach is not None:
            self._before_attach.filter_changed()

    @property
    def expects_events(self) -> bool:
        return self._table.traces or self._callers.are_made_fast

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        """Return the traced calls that arrived since the last reading. Counters that are read next are complete."""
        if everything:
            self._callers.be_due()
        elif self.processes and self.module is not None:
            self._callers.read_early(self.module)
        if self._events is None:
            return []
        offset = clocks.unix_offset()
        events = self._events.drain(everything=everything)
        if self._stacks is None:
            return [traced_call(raw, self.slots, offset) for raw in events]
        calls = ((traced_call(raw, self.slots, offset), raw_stacks(raw)) for raw in events)
        return [*self._stacks.pass_through(calls, everything=everything)]

    def lost_now(self) -> dict[Where, int]:
        lost = super().lost_now()
        lost["map"] = lost.get("map", 0) + self._overflow_before
        if self.module is not None:
            lost["map"] += maps.per_cpu_sum(self.module.table("overflow"), 0)
        return lost

    def save_totals(self, module: Module) -> None:
        self._counters.save(module)
        syscall_counters.add_families(module, self._families_before)
        if self._sees_uring:
            syscall_counters.add_uring(module, self._uring_before)
        if self.processes:
            self._callers.pairs.save_totals(module)
        self._overflow_before += maps.per_cpu_sum(module.table("overflow"), 0)
