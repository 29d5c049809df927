"""Reads the maps of bpf/syscalls.c: the totals of each call, and the calls in progress."""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.records import InFlight
from ebpftop.kernel import clocks, maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.entered_before import EnteredBefore
from ebpftop.probes.syscall_slots import SLOTS, Call, Slots
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import FAMILIES, WAITS, Family
from ebpftop.syscalls.uring import operation

BUCKETS = 44
_LATENCY_WORDS = 2 + BUCKETS  # struct latency
_PAIR = struct.Struct("=II")  # struct failure, struct other_call
_OTHER_FAILURE = struct.Struct("=IIII")  # struct other_failure
RUNNING = struct.Struct("=QQIIIIQ")  # struct call
COUNT = struct.Struct("=QQ")  # struct count
WAITING = struct.Struct("=QIIII16s")  # struct waiting_call

_IN_FLIGHT_MAX = 64
IN_FLIGHT_NS = 100_000_000

FAMILY_ORDER: tuple[Family, ...] = ("exec", "timer_create", "timer_delete", "timer_other")  # enum family
assert set(FAMILY_ORDER) == set(FAMILIES)


@dataclass
class Totals:
    """The totals of one call."""

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
        totals.setdefault(_other_call(slots, *_PAIR.unpack(key)), Totals()).count += words(value)[0]
    for key, value in maps.items(module.table("other_failures"), _OTHER_FAILURE.size, 8):
        kind, nr, code, _ = _OTHER_FAILURE.unpack(key)
        errors = totals.setdefault(_other_call(slots, kind, nr), Totals()).errors
        errors[code] = errors.get(code, 0) + words(value)[0]


def _other_call(slots: Slots, kind: int, nr: int) -> Call:
    """Return the call that has no slot: of the ABI *kind* (enum abi); what a program passes as -1 is -1."""
    return slots.abis[min(kind, len(slots.abis) - 1)], nr - (1 << 32) if nr >> 31 else nr


def _nonzero(table: maps.Map) -> Iterator[tuple[int, int]]:
    zero = bytes(COUNT.size * maps.CPUS)
    for key, value in maps.items(table, 4, COUNT.size * maps.CPUS):
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


def add_uring(module: Module, operations: Counter[str]) -> None:
    """Add to *operations* how often io_uring accepted each."""
    size = 8 * maps.CPUS
    for key, value in maps.items(module.table("uring_operations"), 4, size):
        count = sum(struct.unpack(f"={maps.CPUS}Q", value))
        if count:
            operations[operation(int.from_bytes(key, sys.byteorder))] += count


def in_flight(
    module: Module,
    slots: Slots,
    now_ns: int,
    matches: Callable[[int, bytes], bool] | None = None,
    before: EnteredBefore | None = None,
) -> tuple[InFlight, ...]:
    """Return the longest calls in progress at *now_ns* (CLOCK_MONOTONIC), by pid and tid.

    Calls whose purpose is to wait are only listed if there is room.

    *matches* returns whether the filter matches a pid and a thread's name. The kernel applied the filter when the call
    began, which may have been before the present filter. *before* has the calls entered before the probe was attached.
    """
    found: list[tuple[tuple[bool, int, int, bytes], InFlight]] = []
    waiting = _waiting(module)
    for call in (*waiting, *_running(module)):
        ns = now_ns - call.enter_ns
        if ns < IN_FLIGHT_NS or call.slot >= SLOTS:
            continue
        abi, nr = slots.call(call.slot)
        name = abis.name(abi, nr)
        call_in_flight = InFlight(
            pid=call.pid, tid=call.tid, comm=c_string(call.comm), abi=abi, nr=nr, name=name, ns=ns, running=call.running
        )
        found.append(((name in WAITS, -ns, call.tid, call.comm), call_in_flight))
    found.sort(key=lambda item: item[0])
    seen = (item for item in found if matches is None or matches(item[1].pid, item[0][3]))
    unseen: Iterator[tuple[tuple[bool, int, int, bytes], InFlight]] = iter(())
    if before is not None and now_ns - before.attached_ns >= IN_FLIGHT_NS:
        unseen = _entered_before(before, {call.tid for call in waiting}, now_ns - before.attached_ns)
    merged = merge(seen, unseen, key=lambda item: item[0])
    longest = (call_in_flight for _, call_in_flight in islice(merged, _IN_FLIGHT_MAX))
    return tuple(sorted(longest, key=lambda call: (call.pid, call.tid)))


def _entered_before(
    before: EnteredBefore, entered: set[int], ns: int
) -> Iterator[tuple[tuple[bool, int, int, bytes], InFlight]]:
    for call, comm in before.calls(entered):
        abi, nr = call.call
        name = abis.name(abi, nr)
        call_in_flight = InFlight(
            pid=call.pid, tid=call.tid, comm=c_string(comm), abi=abi, nr=nr, name=name, ns=ns, before=True
        )
        yield (name in WAITS, -ns, call.tid, comm), call_in_flight


class _Entered(NamedTuple):
    """A call that was entered and has not returned."""

    enter_ns: int
    slot: int
    pid: int
    tid: int
    comm: bytes
    running: bool


def _waiting(module: Module) -> list[_Entered]:
    """Return the calls whose threads have left their CPU since they entered, also those the filter does not match."""
    found = []
    for _, value in maps.items(module.table("waiting"), 8, WAITING.size):
        enter_ns, slot, _, pid, tid, comm = WAITING.unpack(value)
        found.append(_Entered(enter_ns, slot, pid, tid, comm, False))
    return found


def _running(module: Module) -> Iterator[_Entered]:
    """Yield the calls whose threads have held their CPU since they entered.

    The slots change while they are read, so only a call that is found twice counts; the others have ended by now.
    """
    table = module.table("running")
    first, again = (maps.lookup(table, bytes(4), RUNNING.size * maps.CPUS) or b"" for _ in range(2))
    now_ns = clocks.monotonic_ns()
    for at in range(0, len(first), RUNNING.size):
        task, enter_ns, slot, _, pid, tid, _ = call = RUNNING.unpack_from(first, at)
        if not task or slot >= SLOTS or now_ns - enter_ns < IN_FLIGHT_NS or call != RUNNING.unpack_from(again, at):
            continue
        try:
            comm = Path(f"/proc/{pid}/task/{tid}/comm").read_bytes().removesuffix(b"\n")
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield _Entered(enter_ns, slot, pid, tid, comm, True)
