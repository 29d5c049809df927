"""System calls: the tail-call table of bpf/syscalls.c, steered from here, and its per-CPU maps, polled."""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from ebpftop.kernel import maps
from ebpftop.kernel.ladder import Attach, Step
from ebpftop.kernel.loader import Kind, Module
from ebpftop.kernel.offsets import Defines
from ebpftop.probes.base import Context, KernelProbe, ProbeError, u64s, unix_offset
from ebpftop.probes.buffers import Events
from ebpftop.probes.slots import Slots
from ebpftop.records import (
    Abi,
    Handler,
    InFlight,
    ProbeName,
    ProcessCalls,
    Record,
    Rung,
    Syscall,
    SyscallRow,
    Syscalls,
    Where,
)
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.codes import error_name
from ebpftop.syscalls.decode import decode
from ebpftop.syscalls.families import family_numbers
from ebpftop.text import c_string

BUCKETS = 44
PROCESS_CALLS_MAX = 16384
WAITING_MAX = 65536
TRACE_PAGES = 1024
TRACE_PER_SECOND = 2000  # on each CPU
_PATH_LEN = 256

_LATENCY, _PROCESSES, _SAY = 1, 2, 4  # enum detail
_FAMILIES = ("exec", "timer_create", "timer_delete", "timer_other")  # enum family
_HANDLERS = {
    "exec": "handle_exec",
    "timer_create": "handle_timer_create",
    "timer_delete": "handle_timer_delete",
    "timer_other": "handle_timer_other",
    "ignore": "handle_ignore",
    "trace": "handle_trace",
}

_WAITING = struct.Struct("=QIIII16s")
_PROCESS_KEY = struct.Struct("=II")
_PROCESS_COUNT = struct.Struct("=Q16s")
_TRACED = struct.Struct(f"=QQq6Q4I16s{_PATH_LEN}s{_PATH_LEN}s")

_IN_FLIGHT_MAX = 64
_IN_FLIGHT_NS = 100_000_000
_BUSIEST_PAIRS = 100
_BUSIEST_OF_A_CALL = 5
# Calls whose business is to wait: they do not crowd out the ones that hang.
_WAITS = frozenset(
    (
        *("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "futex_waitv"),
        *("nanosleep", "clock_nanosleep", "wait4", "waitid", "pause", "rt_sigtimedwait", "rt_sigsuspend"),
        *("accept", "accept4", "io_getevents", "io_uring_enter", "restart_syscall"),
    )
)


@dataclass
class _Totals:
    """What one call came to, through all toggles."""

    count: int = 0
    total_ns: int = 0
    max_ns: int = 0
    ns: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    errors: dict[int, int] = field(default_factory=dict)

    def copy(self) -> _Totals:
        return _Totals(self.count, self.total_ns, self.max_ns, list(self.ns), dict(self.errors))


Call = tuple[Abi, int]


class SyscallsProbe(KernelProbe):
    """A Syscalls record at each reading, and a Syscall record for each call of those that are traced."""

    name: ClassVar[ProbeName] = "syscalls"
    file: ClassVar[str] = "syscalls.c"

    def __init__(self, context: Context, *, latency: bool = True, processes: bool = True, say: bool = False) -> None:
        super().__init__(context)
        self.latency = latency
        self._detail = latency * _LATENCY | processes * _PROCESSES | say * _SAY
        self.slots = Slots(platform.machine())
        self._kind: Kind = "raw_tracepoint"
        self._chosen: dict[Call, Handler] = {}
        self._before: dict[Call, _Totals] = {}
        self._events: Events | None = None
        self._rate_before = 0

    def start(self) -> None:
        """Come up by raw tracepoints, else by tracepoints, whose programs see other contexts and are compiled anew."""
        wanted = self.context.via.get(self.name)
        tried: tuple[Rung, ...] = ()
        for kind in ("raw_tracepoint", "tracepoint"):
            self._kind = kind
            try:
                super().start()
            except ProbeError as error:
                tried += error.rungs
                if kind == "tracepoint" or not error.rungs:
                    raise ProbeError(error.reason, error.remedy, tried) from error
            else:
                self.rungs = tried + self.rungs
                if kind == "raw_tracepoint":
                    other = _step("tracepoint", self.latency)
                    reason = f"--via asked for {wanted}" if wanted else f"not needed: {self.via} works"
                    self.rungs += (Rung(via=other.via, cost=other.cost, reason=reason),)
                return

    def defines(self) -> Defines:
        flags: dict[str, int | str] = {
            "PROCESS_CALLS_MAX": PROCESS_CALLS_MAX,
            "WAITING_MAX": WAITING_MAX,
            "EVENT_PAGES": TRACE_PAGES,
        }
        if self.context.buffer == "ring":
            flags["USE_RING"] = 1
        if self._kind == "tracepoint":
            flags["VIA_TRACEPOINT"] = 1
        return flags

    def prepare(self, module: Module) -> None:
        maps.update(module.table("settings"), bytes(4), struct.pack("=QQ", self._detail, TRACE_PER_SECOND))
        self._events = Events(module, self.context.buffer, 0)
        self._handler_fds = {name: module.load(function, self._kind) for name, function in _HANDLERS.items()}
        for abi in self.slots.abis:
            for family, numbers in family_numbers(abi).items():
                for nr in numbers:
                    self._install(module, (abi, nr), self._handler_fds[family])
        for call, handler in self._chosen.items():
            self._install(module, call, self._handler_fds[handler])

    def attach(self, module: Module) -> str:
        return self.climb_or_fail(module, (_step(self._kind, self.latency),), "system calls")

    def release(self) -> None:
        self._events = None

    # ---- the table ----

    def _install(self, module: Module, call: Call, program_fd: int) -> None:
        slot = self.slots.slot(call)
        if slot is None:
            return
        maps.update(module.table("handlers"), struct.pack("=I", slot), struct.pack("=I", program_fd))

    def handler(self, call: Call) -> Handler:
        """Return what is done with *call* now."""
        if call in self._chosen:
            return self._chosen[call]
        return self.slots.family_handler(call)

    def choose(self, call: Call, handler: Handler) -> None:
        """Put another program into the slot of *call*, at once; "count" gives it back what it had from the start."""
        if self.slots.slot(call) is None:
            return
        if handler in ("ignore", "trace"):
            self._chosen[call] = handler
        else:
            self._chosen.pop(call, None)
        if self.module is None:
            return
        slot = struct.pack("=I", self.slots.slot(call))
        if handler == "trace":
            maps.update(self.module.table("path_args"), slot, struct.pack("=I", self.slots.path_bits(call)))
        if handler in ("ignore", "trace"):
            self._install(self.module, call, self._handler_fds[handler])
        elif (family := self.slots.family(call)) is not None:
            self._install(self.module, call, self._handler_fds[family])
        else:
            maps.delete(self.module.table("handlers"), slot)

    # ---- reading ----

    def read(self, now: float, *, everything: bool = False) -> list[Record]:
        """Return one Syscalls record."""
        if self.module is None:
            return []
        totals = self._totals(self.module)
        rows = tuple(
            SyscallRow(
                abi=abi,
                nr=nr,
                name=abis.name(abi, nr),
                count=total.count,
                errors=sum(total.errors.values()),
                ns=_trimmed(total.ns),
                total_ns=total.total_ns,
                max_ns=total.max_ns,
                errnos={error_name(code): count for code, count in sorted(total.errors.items())},
                handler=self.handler((abi, nr)),
            )
            for (abi, nr), total in sorted(totals.items())
            if total.count or (abi, nr) in self._chosen
        )
        return [
            Syscalls(
                time=now,
                rows=rows,
                in_flight=self._in_flight(self.module, now),
                processes=self._processes(self.module),
            )
        ]

    def read_traced(self, now: float, *, everything: bool = False) -> list[Record]:
        """Return the traced calls that came since the last call."""
        if self._events is None:
            return []
        offset = unix_offset()
        return [self._traced(raw, offset) for raw in self._events.drain(everything=everything)]

    def lost_now(self) -> dict[Where, int]:
        lost = super().lost_now()
        lost["rate"] = self._rate_before + (maps.per_cpu_sum(self.module.table("over_budget"), 0) if self.module else 0)
        return lost

    def keep(self, module: Module) -> None:
        self._before = self._totals(module)
        self._rate_before += maps.per_cpu_sum(module.table("over_budget"), 0)

    def _totals(self, module: Module) -> dict[Call, _Totals]:
        totals = {call: total.copy() for call, total in self._before.items()}
        by_slot: dict[int, _Totals] = {}
        latencies = module.table("latencies")
        for slot, count in _nonzero(module.table("counts")):
            total = by_slot[slot] = totals.setdefault(self.slots.call(slot), _Totals())
            total.count += count
            if self.latency:
                self._add_latency(total, maps.lookup(latencies, struct.pack("=I", slot), (2 + BUCKETS) * 8 * maps.CPUS))
        for key, value in maps.items(module.table("failures"), 8, 8 * maps.CPUS):
            slot, code = _PROCESS_KEY.unpack(key)
            if slot in by_slot:
                errors = by_slot[slot].errors
                errors[code] = errors.get(code, 0) + sum(u64s(value))
        for key, value in maps.items(module.table("other_calls"), 8, 8):
            kind, nr = _PROCESS_KEY.unpack(key)
            call = self.slots.abis[min(kind, len(self.slots.abis) - 1)], nr
            totals.setdefault(call, _Totals()).count += u64s(value)[0]
        return totals

    @staticmethod
    def _add_latency(total: _Totals, raw: bytes | None) -> None:
        if raw is None:
            return
        width = 2 + BUCKETS
        values = u64s(raw)
        for cpu in range(maps.CPUS):
            part = values[cpu * width : (cpu + 1) * width]
            if not part[0]:
                continue
            total.total_ns += part[0]
            total.max_ns = max(total.max_ns, part[1])
            total.ns = [a + b for a, b in zip(total.ns, part[2:], strict=True)]

    def _in_flight(self, module: Module, now: float) -> tuple[InFlight, ...]:
        """Return the calls that wait longest, those first whose business is not to wait."""
        if not self.latency:
            return ()
        now_ns = int((now - unix_offset()) * 1e9)
        found = []
        for _, value in maps.items(module.table("waiting"), 8, _WAITING.size):
            enter_ns, slot, _, pid, tid, comm = _WAITING.unpack(value)
            if now_ns - enter_ns < _IN_FLIGHT_NS:
                continue
            abi, nr = self.slots.call(slot)
            name = abis.name(abi, nr)
            found.append(
                (
                    name in _WAITS,
                    enter_ns,
                    InFlight(pid=pid, tid=tid, comm=c_string(comm), abi=abi, nr=nr, name=name, ns=now_ns - enter_ns),
                )
            )
        found.sort(key=lambda item: item[:2])
        return tuple(call for _, _, call in found[:_IN_FLIGHT_MAX])

    def _processes(self, module: Module) -> tuple[ProcessCalls, ...]:
        """Return who makes which call how often: the busiest pairs, and the busiest of every call."""
        if not self._detail & _PROCESSES:
            return ()
        pairs = []
        for key, value in maps.items(module.table("process_calls"), 8, _PROCESS_COUNT.size * maps.CPUS):
            count, comm = 0, b""
            for part_count, part_comm in _PROCESS_COUNT.iter_unpack(value):
                count += part_count
                comm = part_comm if part_count else comm
            pairs.append((count, key, comm))
        pairs.sort(reverse=True)
        shown = []
        of_slot: dict[int, int] = {}
        for i, (count, key, comm) in enumerate(pairs):
            tgid, slot = _PROCESS_KEY.unpack(key)
            rank = of_slot[slot] = of_slot.get(slot, 0) + 1
            if i >= _BUSIEST_PAIRS and rank > _BUSIEST_OF_A_CALL:
                continue
            abi, nr = self.slots.call(slot)
            shown.append(
                ProcessCalls(pid=tgid, comm=c_string(comm), abi=abi, nr=nr, name=abis.name(abi, nr), count=count)
            )
        return tuple(shown)

    def _traced(self, raw: bytes, offset: float) -> Syscall:
        time_ns, duration_ns, ret, *rest = _TRACED.unpack(raw[: _TRACED.size])
        args, (pid, tid, slot, returned, comm, first, second) = rest[:6], rest[6:]
        abi, nr = self.slots.call(slot)
        paths = tuple(path.partition(b"\0")[0] or None for path in (first, second))
        return Syscall(
            time=time_ns / 1e9 + offset,
            pid=pid,
            tid=tid,
            comm=c_string(comm),
            abi=abi,
            nr=nr,
            name=abis.name(abi, nr),
            args=decode(abi, nr, args, paths, path_size=_PATH_LEN),
            ret=ret if returned else None,
            error=error_name(-ret) if returned and -4095 <= ret < 0 else None,
            ns=duration_ns if returned else None,
        )


def _step(kind: Kind, latency: bool) -> Step:
    """Return the rung of *kind*; without latency nothing is attached where calls return."""
    raw = kind == "raw_tracepoint"
    places: list[tuple[str, str]] = [("sys_enter" if raw else "raw_syscalls:sys_enter", "sys_enter")]
    if latency:
        places += [
            ("sys_exit" if raw else "raw_syscalls:sys_exit", "sys_exit"),
            ("sched_switch" if raw else "sched:sched_switch", "call_waits"),
            ("sched_process_exit" if raw else "sched:sched_process_exit", "call_ends"),
        ]
    cost = "90 to 250 ns on every syscall of every process" if raw else "more than the raw tracepoint"
    return Step(cost, tuple(Attach(kind, target, function) for target, function in places))


def _nonzero(table: maps.Table) -> Iterable[tuple[int, int]]:
    zero = bytes(8 * maps.CPUS)
    for key, value in maps.items(table, 4, 8 * maps.CPUS):
        if value != zero:
            yield int.from_bytes(key, "little"), sum(u64s(value))


def _trimmed(counts: list[int]) -> tuple[int, ...]:
    """Return *counts* without the zeros at its end."""
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return tuple(counts[:end])
