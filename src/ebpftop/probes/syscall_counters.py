"""Reads the maps of bpf/syscalls_counts.h: the totals of each call, and the calls in progress."""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from itertools import islice
from operator import add, attrgetter
from pathlib import Path
from typing import NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.syscall_records import InFlight
from ebpftop.kernel import clocks, maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.entered_before import EnteredBefore
from ebpftop.probes.syscall_slots import SLOTS, Call, Slots
from ebpftop.probes.waiting_calls import Listed, WaitingCalls
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import FAMILIES, WAITS, Family
from ebpftop.syscalls.uring import operation

BUCKETS = 44
_LATENCY_WORDS = 2 + BUCKETS  # struct latency
_PAIR = struct.Struct("=II")  # struct failure, struct other_call
_OTHER_FAILURE = struct.Struct("=IIII")  # struct other_failure
RUNNING = struct.Struct("=QQIIIIQII")  # struct call
COUNT = struct.Struct("=QQ")  # struct count
WAITING = struct.Struct("=QIIII16sII")  # struct waiting_call

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
    failed_ns: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    errors: dict[int, int] = field(default_factory=dict)

    def plus(self, other: Totals) -> Totals:
        """Return the sum of both."""
        errors = dict(self.errors)
        for code, count in other.errors.items():
            errors[code] = errors.get(code, 0) + count
        return Totals(
            self.count + other.count,
            self.total_ns + other.total_ns,
            max(self.max_ns, other.max_ns),
            list(map(add, self.ns, other.ns)),
            list(map(add, self.failed_ns, other.failed_ns)),
            errors,
        )


def words(raw: bytes) -> memoryview:
    """Return the u64 values of *raw*, which can be sliced by CPU without being copied."""
    return memoryview(raw).cast("Q")


def _sums(values: memoryview, size: int) -> list[int]:
    """Return the sums over all CPUs of their *size* words each."""
    by_cpu = (values[at : at + size].tolist() for at in range(0, len(values), size))
    return list(map(sum, zip(*by_cpu, strict=True)))


class CallCounters:
    """The totals of each call. A reading costs by what changed: nearly all calls did nothing since the last one."""

    def __init__(self, slots: Slots, *, latency: bool) -> None:
        self.totals: dict[Call, Totals] = {}
        self._slots = slots
        self._latency = latency
        self._saved: dict[Call, Totals] = {}
        self._start()

    def _start(self) -> None:
        """Start with maps that are empty."""
        self._counted: dict[Call, Totals] = {}
        """What the present maps have."""
        self._raw: dict[str, dict[bytes, bytes]] = {}
        """Each map as it was read last."""
        self._latencies: dict[int, bytes] = {}
        self._in_progress: set[int] = set()
        """The slots whose latencies may change although nothing enters: not all of their calls have returned."""

    def read(self, module: Module) -> set[Call]:
        """Read the maps into `totals`; return the calls that changed."""
        changed: set[Call] = set()
        slots = set()
        for key, value in self._changed(module, "counts", 4, COUNT.size * maps.CPUS):
            count = sum(words(value))
            if count:
                slot = int.from_bytes(key, sys.byteorder)
                slots.add(slot)
                self._of(self._slots.call(slot), changed).count = count
        if self._latency:
            for slot in slots | self._in_progress:
                self._read_latency(module, slot, changed)
        for key, value in self._changed(module, "failures", _PAIR.size, 8 * maps.CPUS):
            slot, code = _PAIR.unpack(key)
            self._of(self._slots.call(slot), changed).errors[code] = sum(words(value))
        for key, value in self._changed(module, "failed_latencies", 4, BUCKETS * 8 * maps.CPUS):
            slot = int.from_bytes(key, sys.byteorder)
            self._of(self._slots.call(slot), changed).failed_ns = _sums(words(value), BUCKETS)
        for key, value in self._changed(module, "other_calls", _PAIR.size, 8):
            self._of(self._other_call(*_PAIR.unpack(key)), changed).count = words(value)[0]
        for key, value in self._changed(module, "other_failures", _OTHER_FAILURE.size, 8):
            kind, nr, code, _ = _OTHER_FAILURE.unpack(key)
            self._of(self._other_call(kind, nr), changed).errors[code] = words(value)[0]
        for call in changed:
            saved, counted = self._saved.get(call), self._counted[call]
            self.totals[call] = counted if saved is None else saved.plus(counted)
        return changed

    def save(self, module: Module) -> None:
        """Read a last time: the maps will be closed, the totals stay."""
        self.read(module)
        self._saved = dict(self.totals)
        self._start()

    def _changed(self, module: Module, name: str, key_size: int, value_size: int) -> list[tuple[bytes, bytes]]:
        """Return the entries of a map that are not as they were."""
        now = list(maps.items(module.table(name), key_size, value_size))
        before = self._raw.setdefault(name, {})
        changed = [(key, value) for key, value in now if before.get(key) != value]
        before.update(changed)
        return changed

    def _of(self, call: Call, changed: set[Call]) -> Totals:
        changed.add(call)
        totals = self._counted.get(call)
        if totals is None:
            totals = self._counted[call] = Totals()
        return totals

    def _read_latency(self, module: Module, slot: int, changed: set[Call]) -> None:
        size = _LATENCY_WORDS * 8 * maps.CPUS
        raw = maps.lookup(module.table("latencies"), struct.pack("=I", slot), size)
        if raw is None:
            return
        if raw != self._latencies.get(slot):
            self._latencies[slot] = raw
            values, total = words(raw), self._of(self._slots.call(slot), changed)
            total.total_ns = sum(values[::_LATENCY_WORDS])
            total.max_ns = max(values[1::_LATENCY_WORDS])
            total.ns = _sums(values, _LATENCY_WORDS)[2:]
        total = self._counted[self._slots.call(slot)]
        if sum(total.ns) < total.count:
            self._in_progress.add(slot)
        else:
            self._in_progress.discard(slot)

    def _other_call(self, kind: int, nr: int) -> Call:
        """Return the call that has no slot: of the ABI *kind* (enum abi); what a program passes as -1 is -1."""
        abis_here = self._slots.abis
        return abis_here[min(kind, len(abis_here) - 1)], nr - (1 << 32) if nr >> 31 else nr


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
    waits: WaitingCalls | None = None,
    first: int | None = None,
) -> tuple[InFlight, ...]:
    """Return the longest calls in progress at *now_ns* (CLOCK_MONOTONIC), by pid and tid, and what they wait for.

    Calls whose purpose is to wait are only listed if there is room; those of process *first* come before all others.

    *matches* returns whether the filter matches a pid and a thread's name. The kernel applied the filter when the call
    began, which may have been before the present filter. *before* has the calls entered before the probe was attached.
    """
    meant: dict[int, bool] = {}
    found: list[tuple[_Rank, _Entered]] = []
    waiting = _waiting(module)
    for call in (*waiting, *_running(module)):
        ns = now_ns - call.enter_ns
        if ns < IN_FLIGHT_NS or call.slot >= SLOTS:
            continue
        if call.slot not in meant:
            meant[call.slot] = abis.name(*slots.call(call.slot)) in WAITS
        found.append(((call.pid != first, meant[call.slot], -ns, call.tid, call.comm), call))
    found.sort(key=_rank)
    seen = (item for item in found if matches is None or matches(item[1].pid, item[1].comm))
    unseen: Iterator[tuple[_Rank, _Entered]] = iter(())
    if before is not None and now_ns - before.attached_ns >= IN_FLIGHT_NS:
        unseen = _entered_before(before, slots, {call.tid for call in waiting}, now_ns, first)
    longest = [call for _, call in islice(merge(seen, unseen, key=_rank), _IN_FLIGHT_MAX)]
    rows: Sequence[InFlight] = [_row(call, slots, now_ns) for call in longest]
    if waits is not None:
        table = module.table("waiting")
        rows = waits.complete(
            [
                Listed(row, call.enter_ns, partial(_lasts, table, before, call))
                for row, call in zip(rows, longest, strict=True)
            ]
        )
    return tuple(sorted(rows, key=attrgetter("pid", "tid")))


def _lasts(table: maps.Map, before: EnteredBefore | None, call: _Entered) -> bool:
    """Return whether a thread is still in that call, and not in a later one."""
    if call.before:
        return before is not None and before.lasts(call.tid)
    value = maps.lookup(table, call.task, WAITING.size)
    return value is not None and WAITING.unpack(value)[0] == call.enter_ns


def _rank(item: tuple[_Rank, _Entered]) -> _Rank:
    return item[0]


def _row(call: _Entered, slots: Slots, now_ns: int) -> InFlight:
    abi, nr = slots.call(call.slot)
    return InFlight(
        pid=call.pid,
        tid=call.tid,
        comm=c_string(call.comm),
        abi=abi,
        nr=nr,
        name=abis.name(abi, nr),
        ns=now_ns - call.enter_ns,
        running=call.running,
        before=call.before,
    )


def _entered_before(
    before: EnteredBefore, slots: Slots, entered: set[int], now_ns: int, first: int | None
) -> Iterator[tuple[_Rank, _Entered]]:
    for call, comm in before.calls(entered, first):
        slot = slots.slot(call.call)
        if slot is not None:
            rank = call.pid != first, abis.name(*call.call) in WAITS, before.attached_ns - now_ns, call.tid, comm
            yield rank, _Entered(before.attached_ns, slot, call.pid, call.tid, comm, False, True)


_Rank = tuple[bool, bool, int, int, bytes]
"""The order of calls in flight: not of the process that comes first, meant to wait, minus its age, thread, name."""


class _Entered(NamedTuple):
    """A call that was entered and has not returned."""

    enter_ns: int
    slot: int
    pid: int
    tid: int
    comm: bytes
    running: bool
    before: bool = False
    task: bytes = b""
    """Its key in the kernel's map `waiting`."""


def _waiting(module: Module) -> list[_Entered]:
    """Return the calls whose threads have left their CPU since they entered, also those the filter does not match."""
    found = []
    for task, value in maps.items(module.table("waiting"), 8, WAITING.size):
        enter_ns, slot, _, pid, tid, comm, _, _ = WAITING.unpack(value)
        found.append(_Entered(enter_ns, slot, pid, tid, comm, False, task=task))
    return found


def _running(module: Module) -> Iterator[_Entered]:
    """Yield the calls whose threads have held their CPU since they entered.

    The slots change while they are read, so only a call that is found twice counts; the others have ended by now.
    """
    table = module.table("running")
    first, again = (maps.lookup(table, bytes(4), RUNNING.size * maps.CPUS) or b"" for _ in range(2))
    now_ns = clocks.monotonic_ns()
    for at in range(0, len(first), RUNNING.size):
        task, enter_ns, slot, _, pid, tid, *_ = call = RUNNING.unpack_from(first, at)
        if not task or slot >= SLOTS or now_ns - enter_ns < IN_FLIGHT_NS or call != RUNNING.unpack_from(again, at):
            continue
        try:
            comm = Path(f"/proc/{pid}/task/{tid}/comm").read_bytes().removesuffix(b"\n")
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield _Entered(enter_ns, slot, pid, tid, comm, True)
