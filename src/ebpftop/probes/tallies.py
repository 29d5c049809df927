"""The maps of bpf/syscalls.c, read: what each call came to, who makes which call, and who is in one now."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.slots import Call, Slots
from ebpftop.records import InFlight, ProcessCalls, ProcessTotal
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import FAMILIES, Family
from ebpftop.text import c_string

BUCKETS = 44
_LATENCY_WORDS = 2 + BUCKETS  # struct latency
_PAIR = struct.Struct("=II")  # struct failure, struct other_call, struct process_call
_WAITING = struct.Struct("=QIIII16s")  # struct waiting_call
_PROCESS_WORDS = 4  # struct process_count: count, errors, comm

# A whole machine has too many pairs of process and call for a record a second: all calls of these many processes,
_WHOLE_PROCESSES = 24
# and these many processes of every call. What is left out is the difference to the totals.
_PROCESSES_OF_A_CALL = 8

_IN_FLIGHT_MAX = 64
_IN_FLIGHT_NS = 100_000_000
# Calls whose business is to wait: they do not crowd out the ones that hang.
_WAITS = frozenset(
    (
        *("poll", "ppoll", "select", "_newselect", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"),
        *("futex", "futex_wait", "futex_waitv", "nanosleep", "clock_nanosleep", "wait4", "waitid", "pause"),
        *("rt_sigtimedwait", "rt_sigsuspend", "accept", "accept4", "io_getevents", "io_uring_enter"),
        *("restart_syscall",),
    )
)

FAMILY_ORDER: tuple[Family, ...] = ("exec", "timer_create", "timer_delete", "timer_other")  # enum family
assert set(FAMILY_ORDER) == set(FAMILIES)


@dataclass
class Totals:
    """What one call came to."""

    count: int = 0
    total_ns: int = 0
    max_ns: int = 0
    ns: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    errors: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Totals:
        return Totals(self.count, self.total_ns, self.max_ns, list(self.ns), dict(self.errors))


def words(raw: bytes) -> memoryview:
    """Return the u64 values of *raw*, which can be sliced by CPU without being copied."""
    return memoryview(raw).cast("Q")


def add_totals(module: Module, slots: Slots, totals: dict[Call, Totals], *, latency: bool) -> None:
    """Add to *totals* what the kernel counted."""
    by_slot: dict[int, Totals] = {}
    latencies = module.table("latencies")
    for slot, count in _nonzero(module.table("counts")):
        total = by_slot[slot] = totals.setdefault(slots.call(slot), Totals())
        total.count += count
        if latency:
            raw = maps.lookup(latencies, struct.pack("=I", slot), _LATENCY_WORDS * 8 * maps.CPUS)
            if raw is not None:
                _add_latency(total, words(raw))
    for key, value in maps.items(module.table("failures"), _PAIR.size, 8 * maps.CPUS):
        slot, code = _PAIR.unpack(key)
        if slot in by_slot:
            errors = by_slot[slot].errors
            errors[code] = errors.get(code, 0) + sum(words(value))
    for key, value in maps.items(module.table("other_calls"), _PAIR.size, 8):
        kind, nr = _PAIR.unpack(key)
        # A number is an int to the kernel: what a program passes as -1 is shown as -1.
        call = slots.abis[min(kind, len(slots.abis) - 1)], nr - (1 << 32) if nr >> 31 else nr
        totals.setdefault(call, Totals()).count += words(value)[0]


def _nonzero(table: maps.Table) -> Iterator[tuple[int, int]]:
    zero = bytes(8 * maps.CPUS)
    for key, value in maps.items(table, 4, 8 * maps.CPUS):
        if value != zero:
            yield int.from_bytes(key, "little"), sum(words(value))


def _add_latency(total: Totals, values: memoryview) -> None:
    total.total_ns += sum(values[::_LATENCY_WORDS])
    total.max_ns = max(total.max_ns, *values[1::_LATENCY_WORDS])
    total.ns = [n + sum(values[2 + i :: _LATENCY_WORDS]) for i, n in enumerate(total.ns)]


def add_families(module: Module, families: dict[Family, int]) -> None:
    """Add to *families* how often the handlers of its families ran."""
    for i, family in enumerate(FAMILY_ORDER):
        families[family] = families.get(family, 0) + maps.per_cpu_sum(module.table("families"), i)


def in_flight(module: Module, slots: Slots, now_ns: int) -> tuple[InFlight, ...]:
    """Return the calls that wait longest at *now_ns* (CLOCK_MONOTONIC), those first whose business is not to wait."""
    found = []
    for _, value in maps.items(module.table("waiting"), 8, _WAITING.size):
        enter_ns, slot, _, pid, tid, comm = _WAITING.unpack(value)
        ns = now_ns - enter_ns
        if ns < _IN_FLIGHT_NS:
            continue
        abi, nr = slots.call(slot)
        name = abis.name(abi, nr)
        call = InFlight(pid=pid, tid=tid, comm=c_string(comm), abi=abi, nr=nr, name=name, ns=ns)
        found.append((name in _WAITS, -ns, tid, call))
    found.sort(key=lambda item: item[:3])
    return tuple(call for *_, call in found[:_IN_FLIGHT_MAX])


@dataclass(frozen=True)
class _Pair:
    pid: int
    slot: int
    count: int
    errors: int
    comm: bytes


def processes(module: Module, slots: Slots) -> tuple[tuple[ProcessCalls, ...], tuple[ProcessTotal, ...]]:
    """Return the busiest pairs of process and call, and what the processes among them came to in all."""
    pairs = sorted(_pairs(module), key=lambda pair: (-pair.count, pair.pid, pair.slot))
    totals: dict[int, list[int]] = {}
    for pair in pairs:
        total = totals.setdefault(pair.pid, [0, 0])
        total[0] += pair.count
        total[1] += pair.errors
    whole = set(sorted(totals, key=lambda pid: (-totals[pid][0], pid))[:_WHOLE_PROCESSES])
    ranks: dict[int, int] = {}
    comms: dict[int, str] = {}
    shown = []
    for pair in pairs:
        rank = ranks[pair.slot] = ranks.get(pair.slot, 0) + 1
        if rank > _PROCESSES_OF_A_CALL and pair.pid not in whole:
            continue
        # The busiest pair was renamed last.
        comm = comms.setdefault(pair.pid, c_string(pair.comm))
        abi, nr = slots.call(pair.slot)
        shown.append(
            ProcessCalls(
                pid=pair.pid, comm=comm, abi=abi, nr=nr, name=abis.name(abi, nr), count=pair.count, errors=pair.errors
            )
        )
    return tuple(shown), tuple(
        ProcessTotal(pid=pid, comm=comm, count=totals[pid][0], errors=totals[pid][1]) for pid, comm in comms.items()
    )


def _pairs(module: Module) -> Iterator[_Pair]:
    size = _PROCESS_WORDS * 8
    for key, value in maps.items(module.table("process_calls"), _PAIR.size, size * maps.CPUS):
        pid, slot = _PAIR.unpack(key)
        counters = words(value)
        by_cpu = counters[::_PROCESS_WORDS].tolist()
        most = max(by_cpu)
        if most:
            at = by_cpu.index(most) * size
            yield _Pair(pid, slot, sum(by_cpu), sum(counters[1::_PROCESS_WORDS]), value[at + 16 : at + size])
