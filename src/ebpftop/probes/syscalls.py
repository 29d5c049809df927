"""System calls: controls the tail-call table of bpf/syscalls.c, and polls its per-CPU maps."""

from __future__ import annotations

import os
import platform
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import ClassVar

import msgspec

from ebpftop.core.escape import c_string
from ebpftop.core.records import (
    NOT_ASKED_FOR,
    NOT_NEEDED,
    Attempt,
    Handler,
    Record,
    Syscall,
    SyscallRow,
    Syscalls,
    TableSlot,
    Where,
)
from ebpftop.core.source import SourceError
from ebpftop.kernel import clocks, entry_cost, maps, task_cache_map, tracefs
from ebpftop.kernel.attach import FREE, TAXES, Attach, AttachOption, AttachResult, absent, attach_first, matches
from ebpftop.kernel.errors import LoadError, NotCompiledError
from ebpftop.kernel.event_buffer import Events
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Kind, Module
from ebpftop.probes import syscall_counters
from ebpftop.probes.base import Context, KernelProbe, ProbeError
from ebpftop.probes.entered_before import CALLS_MAX, EnteredBefore, what_is_refused
from ebpftop.probes.syscall_counters import CallCounters, Totals
from ebpftop.probes.syscall_processes import NAME_PLACES, ProcessCounters, SyscallCounters
from ebpftop.probes.syscall_slots import Call, Slots
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.decode import decode
from ebpftop.syscalls.errno_names import error_name
from ebpftop.syscalls.families import Family, family_numbers

WAITING_MAX = 65536
UNKNOWN = "calls that this kernel does not have, unless calls are timed"
TRACED_PER_SECOND = 2000  # on each CPU
# Pairs of process and call. Each has a value for every CPU, so that large machines get fewer: 16 MB on 128 CPUs.
PROCESS_CALLS_MAX = max(4096, min(16384, 131072 // maps.CPUS))
ENDED_MAX = 8192  # processes that ended since the pairs were read
FILLING_EVERY_S = 0.1  # how often to check whether the pairs have to be read early
FAST_PAIRS_PER_S = 200  # so many pairs, some ten programs a second: check between the readings too
CALM_CALLS = 1000  # if there were fewer since the pairs were read, it matters little whose they were
_EARLY_S = 0.25  # the pairs are read with the reading that comes nearest to when they are due
_RETURNED_TIMED = 1  # enum returned
_PATH_MOST, _PATH_ROOM = 255, 264  # bytes that are shown of a path; those that the kernel hands over

_HANDLERS = {
    "exec": "handle_exec",
    "timer_create": "handle_timer_create",
    "timer_delete": "handle_timer_delete",
    "timer_other": "handle_timer_other",
    "ignore": "handle_ignore",
    "trace": "handle_trace",
}

_TRACEPOINTS: tuple[Kind, ...] = ("raw_tracepoint", "tracepoint")
_EXIT_SLOW_PATHS = ("sys_exit_slow_path", "sys_exit_no_slot")  # enum slow_path

_TRACED = struct.Struct(f"=QQq6Q6I16s{_PATH_ROOM}s{_PATH_ROOM}s")


class SyscallsProbe(KernelProbe):
    """A Syscalls record at each reading, and a Syscall record for each traced call."""

    file: ClassVar[str] = "syscalls.c"
    ring_bytes: ClassVar[int] = 4 << 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.latency = context.latency
        self.processes = context.processes
        self.printk = context.printk
        self.slots = Slots(platform.machine())
        self._kind: Kind = "raw_tracepoint"
        self._at_function = False
        self._callers_fd: int | None = None
        requested = context.attach.get("syscalls")
        # It is only a faster way to the same figures. If it does not work, it is not tried again.
        self._caches_tasks = context.cache_tasks and (
            requested is None or matches(_enter_option("raw_tracepoint"), requested)
        )
        self._chosen: dict[Call, Handler] = {}
        self._counters = CallCounters(self.slots, latency=self.latency)
        self._rows: dict[Call, SyscallRow] = {}
        self._in_order: tuple[SyscallRow, ...] | None = None
        self._table_slots: tuple[TableSlot, ...] | None = None
        self._families_before: dict[Family, int] = {}
        self._pairs = ProcessCounters()
        self._callers = SyscallCounters()
        """What was read of the pairs last, at `_pairs_time` (Unix seconds)."""
        self._pairs_time: float | None = None
        self._pairs_at_calls = 0
        self._pairs_due_s = self._pairs_calm_due_s = 0.0
        self._check_filling_s = 0.0
        self._pairs_are_made_fast = False
        self._callers_watched = False
        self._events: Events | None = None
        self._returns: AttachResult | None = None
        self._sees_uring = False
        self._uring_before: Counter[str] = Counter()
        self._before_attach: EnteredBefore | None = None
        self._sleep_clock = clocks.SleepClock()
        self._overflow_before = 0
        for call, handler in context.handlers.items():
            self.set_handler(call, handler)

    def start(self) -> None:
        """Start with raw tracepoints, else tracepoints, whose programs get other contexts and are compiled again.

        If it is asked for, start at the functions by which the kernel enters calls.
        """
        requested = self.context.attach.get(self.name)
        self._at_function = requested is not None and matches(_function_option(self.context.defines), requested)
        if self._at_function:
            self._start_at_function(requested)
        else:
            self._start_at_tracepoint(requested)
            self._add_function_rung(requested)

    def _add_function_rung(self, requested: str | None) -> None:
        """Add the option that is used only if it is asked for, with what it costs and what the tracepoint costs."""
        # If fentry is refused, it does not matter which functions there are, and that takes time to find out.
        refused = self.context.features.no_fentry is not None
        if platform.machine() != "x86_64" or not (refused or entry_cost.is_traceable(self.context.tracefs)):
            return
        option = _function_option(self.context.defines)
        reason = absent(option, self.context.features)
        if reason is None:
            reason = f"{NOT_ASKED_FOR}{requested}" if requested else f"{NOT_NEEDED}{self.via} works"
            if self.context.measures:
                with suppress(OSError):
                    reason = f"{reason} ({entry_cost.measure()})"
        self.attempts += (Attempt(via=option.via, cost=option.cost, reason=reason, blind=option.blind),)

    def _start_at_function(self, requested: str | None) -> None:
        # The programs of several ABIs would mix what a CPU remembers.
        self._caches_tasks = False
        self._kind = "raw_tracepoint"
        option = _function_option(self.context.defines)
        reason = absent(option, self.context.features)
        try:
            if reason is not None:
                attempt = Attempt(via=option.via, cost=option.cost, reason=reason, blind=option.blind)
                raise ProbeError(f"system calls cannot be seen there: {reason}", attempts=(attempt,))
            super().start()
        except ProbeError as error:
            self.attempts = error.attempts
            for kind in _TRACEPOINTS:
                self._add_unneeded_option(requested, kind)
            raise ProbeError(error.reason, error.remedy, self.attempts) from error
        for kind in _TRACEPOINTS:
            self._add_unneeded_option(requested, kind)

    def _start_at_tracepoint(self, requested: str | None) -> None:
        if self._caches_tasks:
            try:
                self._start_caching_tasks()
            except (OSError, ProbeError):
                self._caches_tasks = False
            else:
                self._add_unneeded_option(requested)
                return
        tried: tuple[Attempt, ...] = ()
        for kind in _TRACEPOINTS:
            self._kind = kind
            try:
                super().start()
            except ProbeError as error:
                tried += error.attempts
                if kind == "tracepoint" or not error.attempts:
                    raise ProbeError(error.reason, error.remedy, tried) from error
            else:
                self.attempts = tried + self.attempts
                if kind == "raw_tracepoint":
                    self._add_unneeded_option(requested)
                return

    def _start_caching_tasks(self) -> None:
        """Start with raw tracepoints, and the map in which CPUs remember the caller; raises OSError, ProbeError."""
        self._kind = "raw_tracepoint"
        self._callers_fd = task_cache_map.make_map()
        try:
            super().start()
        except ProbeError:
            self._stop_caching_tasks()
            raise

    def _stop_caching_tasks(self) -> None:
        if self._callers_fd is not None:
            os.close(self._callers_fd)
            self._callers_fd = None

    def _add_unneeded_option(self, requested: str | None, kind: Kind = "tracepoint") -> None:
        other = _enter_option(kind)
        reason = f"{NOT_ASKED_FOR}{requested}" if requested else f"{NOT_NEEDED}{self.via} works"
        self.attempts += (Attempt(via=other.via, cost=other.cost, reason=reason, blind=other.blind),)

    def defines(self) -> Defines:
        flags: dict[str, int | str] = {}
        if self._kind == "tracepoint":
            flags["VIA_TRACEPOINT"] = 1
        if self._caches_tasks:
            flags["WITH_CALLERS"] = 1
        where = self.context.tracefs
        opcode_at = tracefs.field_offset(where, self._uring_event(), "opcode") if where else None
        if opcode_at is not None:
            flags["OFF_URING_OPCODE"] = opcode_at
        return flags

    def parameters(self) -> Mapping[str, int]:
        return {
            "LATENCY": self.latency,
            "PROCESSES": self.processes,
            "PRINTK": self.printk,
            "TRACED_PER_SECOND": TRACED_PER_SECOND,
            "AT_FUNCTION": self._at_function,
        }

    def map_entries(self) -> Mapping[str, int]:
        return {
            "process_calls": PROCESS_CALLS_MAX,
            "process_names": NAME_PLACES,
            "ended_processes": ENDED_MAX,
            "waiting": WAITING_MAX,
            "entered_before_attach": CALLS_MAX,
        }

    def _uring_event(self) -> str:
        """Return the event of operations that io_uring accepts; it has its present name since 6.4."""
        events = self.context.tracefs / "events" / "io_uring" if self.context.tracefs else None
        older = events is not None and os.access(events / "io_uring_submit_sqe", os.F_OK, effective_ids=True)
        return "io_uring:io_uring_submit_sqe" if older else "io_uring:io_uring_submit_req"

    def extra_maps(self) -> Mapping[str, maps.Map]:
        return {} if self._callers_fd is None else {"callers": maps.Map(self._callers_fd, 1)}

    def prepare(self, module: Module) -> None:
        self._events = Events(module, self.context.buffer, 0)
        # Programs reach each other by tail calls only if they are of one kind, and of functions with one prototype.
        enter: tuple[Kind, str | None] = ("fentry", entry_cost.FUNCTION) if self._at_function else (self._kind, None)
        self._handler_fds = {name: module.load(function, *enter) for name, function in _HANDLERS.items()}
        slow_path = struct.pack("=I", module.load("sys_enter_slow_path", *enter))
        maps.update(module.table("enter_slow_path"), bytes(4), slow_path)
        for place, function in enumerate(_EXIT_SLOW_PATHS if self.latency else ()):
            program = module.load(function, self._kind)
            maps.update(module.table("exit_slow_paths"), struct.pack("=I", place), struct.pack("=I", program))
        for call in (*self.slots.task_makers, *((slot.abi, slot.nr) for slot in self._table())):
            self._install(module, call)

    def attach(self, module: Module) -> str:
        enter = _function_option(self.context.defines) if self._at_function else _enter_option(self._kind)
        if self._callers_fd is not None:
            module.attach("raw_tracepoint", "sched_process_exit", "task_cache_on_sched_process_exit")
            module.attach("raw_tracepoint", "sched_process_exec", "task_cache_on_sched_process_exec")
        if self.processes:
            self._attach_processes(module)
        requested = self.context.attach.get(self.name)
        # The program where calls begin is attached last: if an entry is seen, its waiting and return are seen too.
        if (self.latency or "trace" in self._chosen.values()) and (requested is None or matches(enter, requested)):
            self._attach_returns(module)
        self._attach_uring(module)
        returns, self.attempts = self.attempts, ()
        try:
            via = self.attach_first_or_fail(module, (enter,), "system calls")
        finally:
            self.attempts += returns
        if self.latency:
            # From here on a return without an entry is a call that did not reach sys_enter.
            self._count_unentered_since(module, clocks.since_boot_ns())
            attached_ns = clocks.monotonic_ns()
            table = module.table("entered_before_attach")
            self._before_attach = EnteredBefore(self.context.root, table, self.slots, attached_ns, self._matches)
            attempt = what_is_refused(self.context.root)
            self.attempts += (attempt,) if attempt else ()
        return via

    def _attach_processes(self, module: Module) -> None:
        """Attach what sees processes renamed and ended.

        Without the first, the names in the pairs are nearly as good; without the other, pairs stay until they are
        evicted.
        """
        for event, function in (
            ("task_rename", "name_on_task_rename"),
            ("sched_process_exit", "pairs_on_sched_process_exit"),
        ):
            with suppress(LoadError):
                module.attach("raw_tracepoint", event, function)

    def _attach_returns(self, module: Module) -> None:
        option = _returns_option(self._kind)
        self._returns = attach_first(module, (option,), self.context.features)
        self.attempts += tuple(
            msgspec.structs.replace(attempt, via=f"returns: {attempt.via}") for attempt in self._returns.attempts
        )

    def _attach_uring(self, module: Module) -> None:
        """Count io_uring's operations, if this kernel and our rights allow it."""
        option = AttachOption(FREE, (Attach("tracepoint", self._uring_event(), "uring_submitted"),))
        try:
            (attempt,) = attach_first(module, (option,), self.context.features).attempts
        except NotCompiledError:
            attempt = Attempt(via=option.via, cost=option.cost, reason="the format of the event is not as it is known")
        self._sees_uring = attempt.reason is None
        self.attempts += (msgspec.structs.replace(attempt, via=f"io_uring: {attempt.via}"),)

    def detach(self) -> None:
        # The program where calls begin is detached first, and the rest takes a while: later calls do not count.
        if self.module is not None and self.latency:
            with suppress(OSError):
                self._count_unentered_since(self.module, 0)
        super().detach()

    def _count_unentered_since(self, module: Module, since_ns: int) -> None:
        """Count returns without an entry as calls from *since_ns* on (clock of process starts); 0: never."""
        maps.update(module.table("since_ns"), bytes(4), struct.pack("=Q", since_ns))

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        self._stop_caching_tasks()
        if self._before_attach is not None:
            self._before_attach.close()
        self._before_attach = None
        self._events = None
        self._returns = None
        self._sees_uring = False
        self._callers, self._pairs_time = SyscallCounters(), None
        self._pairs_are_due()

    # ---- the table ----

    def handler(self, call: Call) -> Handler:
        """Return the present handler of *call*."""
        return self._chosen.get(call) or self.slots.family_handler(call)

    def set_handler(self, call: Call, handler: Handler) -> None:
        """Put another program into the slot of *call*, at once; "count" restores its original handler.

        Raises SourceError if that is impossible.
        """
        if self.slots.slot(call) is None:
            raise SourceError(f"{abis.name(*call)} is beyond the table of handlers", "such calls can only be counted")
        if handler == "trace" and self.module is not None:
            self._ensure_returns(self.module)
        if handler in ("ignore", "trace"):
            self._chosen[call] = handler
        else:
            self._chosen.pop(call, None)
        self._rows.pop(call, None)
        self._in_order = self._table_slots = None
        if self.module is None:
            return
        self._install(self.module, call)
        if not self.latency and "trace" not in self._chosen.values():
            self._detach_returns(self.module)

    def _install(self, module: Module, call: Call) -> None:
        """Write the chosen handler of *call* into the kernel's slot."""
        index = self.slots.slot(call)
        if index is None:
            return
        slot = struct.pack("=I", index)
        chosen = self._chosen.get(call)
        program = chosen or self.slots.family(call)
        maps.update(module.table("call_facts"), slot, struct.pack("=I", self.slots.facts(call, chosen)))
        if program is None:
            maps.delete(module.table("handlers"), slot)
        else:
            maps.update(module.table("handlers"), slot, struct.pack("=I", self._handler_fds[program]))

    def _ensure_returns(self, module: Module) -> None:
        if self._returns is None:
            self._attach_returns(module)
        if self._returns is None or self._returns.used is None:
            raise SourceError("calls cannot be traced: this kernel offers no event where they return")

    def _detach_returns(self, module: Module) -> None:
        if self._returns is not None:
            for link in self._returns.links:
                module.release(link)
            self._returns = None
            self.attempts = tuple(attempt for attempt in self.attempts if not attempt.via.startswith("returns: "))

    def _table(self) -> tuple[TableSlot, ...]:
        """Return the slots that hold a program."""
        calls = {
            (abi, nr)
            for abi in self.slots.abis
            for numbers in family_numbers(abi).values()
            for nr in numbers
        }  # fmt: skip
        placed = ((slot, call) for call in calls | self._chosen.keys() if (slot := self.slots.slot(call)) is not None)
        return tuple(
            TableSlot(slot=slot, abi=abi, nr=nr, name=abis.name(abi, nr), handler=self.handler((abi, nr)))
            for slot, (abi, nr) in sorted(placed)
        )

    # ---- reading ----

    def read_counters(self, now: float) -> list[Record]:
        """Return one Syscalls record."""
        module = self.module
        if module is None:
            return []
        rows = self._read_rows(module)
        families = dict(self._families_before)
        syscall_counters.add_families(module, families)
        uring = self._uring_before.copy()
        if self._sees_uring:
            syscall_counters.add_uring(module, uring)
        matches_call = self._matches if self.context.filtering() else None
        if self._before_attach is not None:
            self._before_attach.begin()
            self._before_attach.ignored = {call for call, handler in self._chosen.items() if handler == "ignore"}
        if self.processes:
            self._read_callers(module, now, sum(row.count for row in rows))
        who = self._callers
        # Convert to the clock of durations, and to that of starts, which continues while the machine sleeps.
        now_ns = int((now - clocks.unix_offset()) * 1e9)
        return [
            Syscalls(
                time=now,
                rows=rows,
                in_flight=syscall_counters.in_flight(module, self.slots, now_ns, matches_call, self._before_attach)
                if self.latency
                else (),
                processes=who.processes,
                process_totals=who.totals,
                users=who.users,
                evicted=who.evicted,
                pairs_time=self._pairs_time,
                families={family: count for family, count in families.items() if count},
                io_uring=dict(uring) if self._sees_uring else None,
                table=self._table_rows(),
                boot_ns=now_ns + self._sleep_clock.asleep_ns(),
            )
        ]

    def _read_callers(self, module: Module, now: float, calls: int) -> None:
        """Read who calls if it is time; *calls* is how many calls there were."""
        now_s = monotonic()
        calm = calls < self._pairs_at_calls + CALM_CALLS
        if self._callers_watched or now_s >= (self._pairs_calm_due_s if calm else self._pairs_due_s):
            self._callers, self._pairs_time = self._pairs.read(module, self.slots), now
            self._pairs_due_s = now_s + self.context.pairs_every_s - _EARLY_S
            self._pairs_calm_due_s = max(self._pairs_due_s, now_s + self.context.pairs_calm_s - _EARLY_S)
            self._pairs_at_calls = calls

    def _pairs_are_due(self) -> None:
        """Let the next reading have who calls."""
        self._pairs_due_s = self._pairs_calm_due_s = 0.0

    def _read_rows(self, module: Module) -> tuple[SyscallRow, ...]:
        """Return the row of each call, in the order of their keys; those that did not change are the same objects."""
        for call in self._counters.read(module):
            self._rows.pop(call, None)
            self._in_order = None
        if self._in_order is None:
            totals = self._counters.totals
            for call in totals.keys() | self._chosen.keys():
                total = totals.get(call, Totals())
                if call not in self._rows and (call in self._chosen or total.count):
                    self._rows[call] = self._row(call, total)
            self._in_order = tuple(self._rows[call] for call in sorted(self._rows))
        return self._in_order

    def _table_rows(self) -> tuple[TableSlot, ...]:
        if self._table_slots is None:
            self._table_slots = self._table()
        return self._table_slots

    def watch_callers(self, watched: bool) -> bool:
        """Read who calls with every reading while that is *watched*; return whether it was not before."""
        begins = watched and not self._callers_watched
        self._callers_watched = watched
        return begins

    def filter_changed(self) -> None:
        """The filter changed: it may match other calls that were entered before the probe was attached.

        Later counts are measured against the next reading, so that has everything.
        """
        self._pairs_are_due()
        if self._before_attach is not None:
            self._before_attach.filter_changed()

    def _matches(self, pid: int, comm: bytes) -> bool:
        """Return whether the filter matches the thread *comm* of process *pid*; False if the process has ended."""
        try:
            return self.context.matches(pid, os.stat(f"/proc/{pid}").st_uid, comm.partition(b"\0")[0])
        except OSError:
            return False

    def _row(self, call: Call, total: Totals) -> SyscallRow:
        abi, nr = call
        return SyscallRow(
            abi=abi,
            nr=nr,
            name=abis.name(abi, nr),
            count=total.count,
            errors=sum(total.errors.values()),
            histogram_ns=_trimmed(total.ns),
            total_ns=total.total_ns,
            max_ns=total.max_ns,
            errnos={error_name(code): count for code, count in sorted(total.errors.items())},
            handler=self.handler(call),
            slot=self.slots.slot(call),
        )

    @property
    def expects_events(self) -> bool:
        return "trace" in self._chosen.values() or self._pairs_are_made_fast

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        """Return the traced calls that arrived since the last reading. Counters that are read next are complete."""
        if everything:
            self._pairs_are_due()
        elif self.processes and self.module is not None and monotonic() >= self._check_filling_s:
            self._check_filling(self.module)
        if self._events is None:
            return []
        offset = clocks.unix_offset()
        return [self._traced(raw, offset) for raw in self._events.drain(everything=everything)]

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
            self._pairs.save_totals(module)
        self._overflow_before += maps.per_cpu_sum(module.table("overflow"), 0)

    def _check_filling(self, module: Module) -> None:
        """Read the pairs, without a record of them, if the map fills."""
        now_s, made = monotonic(), self._pairs.made
        if self._pairs.is_filling(module):
            self._pairs.update(module)
        seconds = max(0.2, now_s + FILLING_EVERY_S - self._check_filling_s)
        self._pairs_are_made_fast = self._pairs.made - made > FAST_PAIRS_PER_S * seconds
        self._check_filling_s = now_s + FILLING_EVERY_S

    def _traced(self, raw: bytes, offset: float) -> Syscall:
        time_ns, duration_ns, ret, *rest = _TRACED.unpack(raw[: _TRACED.size])
        args, (pid, tid, slot, returned, *lengths, comm, first, second) = rest[:6], rest[6:]
        abi, nr = self.slots.call(slot)
        # Each length includes the NUL: 1 for an empty path, 0 for a path that could not be read.
        paths = [path[: length - 1] if length else None for length, path in zip(lengths, (first, second), strict=True)]
        return Syscall(
            time=time_ns / 1e9 + offset,
            pid=pid,
            tid=tid,
            comm=c_string(comm),
            abi=abi,
            nr=nr,
            name=abis.name(abi, nr),
            args=decode(abi, nr, args, paths, longest=_PATH_MOST),
            ret=ret if returned else None,
            error=error_name(-ret) if returned and -4095 <= ret < 0 else None,
            ns=duration_ns if returned == _RETURNED_TIMED else None,
        )


def ladder(defines: Defines) -> tuple[AttachOption, ...]:
    """Return the attach options where calls begin."""
    return _enter_option("raw_tracepoint"), _enter_option("tracepoint"), _function_option(defines)


def _function_option(defines: Defines) -> AttachOption:
    """Return the option at the functions by which the kernel enters the calls of each ABI: one program at each."""
    functions = {"": entry_cost.FUNCTION, "SYS_COMPAT_EXECVE": "ia32_sys_call", "SYS_X32_EXECVE": "x32_sys_call"}
    return AttachOption(
        f"{TAXES}, without the slow path of a tracepoint if calls are not timed",
        tuple(
            Attach("fentry", function, "sys_enter") for abi, function in functions.items() if not abi or abi in defines
        ),
        (UNKNOWN,),
    )


def _enter_option(kind: Kind) -> AttachOption:
    """Return the attach option of *kind* where calls begin."""
    raw = kind == "raw_tracepoint"
    return AttachOption(
        f"{TAXES}: a program at the entry of each" if raw else "more than the raw tracepoint",
        (Attach(kind, "sys_enter" if raw else "raw_syscalls:sys_enter", "sys_enter"),),
        () if raw else ("traced calls that seccomp denies",),
    )


def _returns_option(kind: Kind) -> AttachOption:
    """Return the attach option of *kind* where calls wait, end with their thread, and return."""
    places = (
        (("sys_exit", "sys_exit"), ("sched_switch", "on_sched_switch"), ("sched_process_exit", "on_task_exit"))
        if kind == "raw_tracepoint"
        else (
            ("raw_syscalls:sys_exit", "sys_exit"),
            ("sched:sched_switch", "on_sched_switch"),
            ("sched:sched_process_exit", "on_task_exit"),
        )
    )
    cost = "more time at every system call: a program at the return of each, and one at every switch of tasks"
    return AttachOption(cost, tuple(Attach(kind, target, function) for target, function in places))


def _trimmed(counts: list[int]) -> tuple[int, ...]:
    """Return *counts* without the zeros at its end."""
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return tuple(counts[:end])
