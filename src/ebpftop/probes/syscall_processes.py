"""Which process makes which call: reads the bounded map of bpf/syscalls.c from process and call to counts."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.records import (
    OTHER_UID,
    PROCESSES_OF_A_CALL,
    WHOLE_PROCESSES,
    ProcessCalls,
    ProcessTotal,
    Syscalls,
    UserCalls,
)
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.syscall_slots import Slots
from ebpftop.syscalls import abi as abis

_KEY = struct.Struct("=QIIII")  # struct process_call
_VALUE_WORDS = 5  # struct process_count: calls counted when they entered, when they returned, errors, comm
_COMM_AT = 24
_COMM_SIZE = 16
_PROCESS = struct.Struct("=QII")  # struct process
_VALUE_SIZE = _VALUE_WORDS * 8

USERS_MAX = 4096

_Process = tuple[int, int]  # start in ns since boot, pid


@dataclass(frozen=True, slots=True)
class _ProcessCounter:
    """A process, one of its calls, and the user that it called as."""

    raw: bytes
    process: _Process
    slot: int
    uid: int
    count: int
    errors: int
    comm: bytes


class _Renamed:
    """The new names of renamed processes. If the kernel evicts one, it keeps its name here while it is reported."""

    def __init__(self, table: maps.Map, known: Mapping[_Process, bytes]) -> None:
        self.found: dict[_Process, bytes] = {}
        self._table = table
        self._known = known

    def name(self, process: _Process) -> bytes | None:
        """Return the new name of *process*; None if no rename is known."""
        comm = maps.lookup(self._table, _PROCESS.pack(*process, 0), _COMM_SIZE) or self._known.get(process)
        if comm is not None:
            self.found[process] = comm
        return comm


class _Listed(NamedTuple):
    """What a reading lists: the processes with all their calls, and each process with a slot."""

    whole: frozenset[_Process] = frozenset()
    pairs: frozenset[tuple[_Process, int]] = frozenset()


class SyscallCounters(NamedTuple):
    """The callers at one reading. `evicted`: pairs evicted from the map so far, and calls with them."""

    processes: tuple[ProcessCalls, ...] = ()
    totals: tuple[ProcessTotal, ...] = ()
    users: tuple[UserCalls, ...] = ()
    evicted: int = 0


class ProcessCounters:
    """All pairs of the last reading, and the totals of each user over all readings.

    If a pair is evicted, its counts since the last reading are lost; all earlier ones stay in the users' sums.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _ProcessCounter] = {}
        self._users: dict[int, list[int]] = {}
        self._listed = _Listed()
        self._names: dict[_Process, bytes] = {}
        """The new names of those processes of the last reading that were renamed."""
        self._evicted = 0
        self._evicted_before = 0

    def read(self, module: Module, slots: Slots) -> SyscallCounters:
        """Read the map."""
        # Before the pairs: a pair that is made meanwhile must not look as if it was evicted.
        made = maps.per_cpu_sum(module.table("pairs_made"), 0)
        known, self._known = self._known, {}
        for key, value in maps.items(module.table("process_calls"), _KEY.size, _VALUE_SIZE * maps.CPUS):
            pair = known.get(key)
            # Most did nothing since.
            self._known[key] = pair if pair is not None and pair.raw == value else self._counted(key, value, pair)
        self._evicted = max(self._evicted, made - len(self._known))
        renamed = _Renamed(module.table("process_names"), self._names)
        shown, totals, self._listed = _busiest(self._known.values(), slots, renamed, self._listed)
        self._names = renamed.found
        return SyscallCounters(shown, totals, self._user_rows(), self._evicted_before + self._evicted)

    def save_totals(self, module: Module, slots: Slots) -> None:
        """Read a last time: the map will be closed, the users' sums stay."""
        self.read(module, slots)
        self._evicted_before += self._evicted
        self._evicted = 0
        self._known.clear()

    def _counted(self, key: bytes, value: bytes, before: _ProcessCounter | None) -> _ProcessCounter:
        start_ns, pid, slot, uid, _ = _KEY.unpack(key)
        words = memoryview(value).cast("Q")
        by_cpu = [sum(parts) for parts in zip(words[::_VALUE_WORDS], words[1::_VALUE_WORDS], strict=True)]
        count, errors = sum(by_cpu), sum(words[2::_VALUE_WORDS])
        at = by_cpu.index(max(by_cpu)) * _VALUE_SIZE
        if before is None or count < before.count:
            gained, failed = count, errors
        else:
            gained, failed = count - before.count, max(0, errors - before.errors)
        sums = self._users.setdefault(uid, [0, 0])
        sums[0] += gained
        sums[1] += failed
        return _ProcessCounter(
            value, (start_ns, pid), slot, uid, count, errors, value[at + _COMM_AT : at + _VALUE_SIZE]
        )

    def _user_rows(self) -> tuple[UserCalls, ...]:
        if len(self._users) > USERS_MAX:
            ranked = sorted(self._users, key=lambda uid: (uid == OTHER_UID, -self._users[uid][0]))
            other = self._users.setdefault(OTHER_UID, [0, 0])
            for uid in ranked[USERS_MAX - 1 :]:
                if uid != OTHER_UID:
                    count, errors = self._users.pop(uid)
                    other[0] += count
                    other[1] += errors
        return tuple(
            UserCalls(uid=uid, count=count, errors=errors) for uid, (count, errors) in sorted(self._users.items())
        )


def _busiest(
    pairs: Iterable[_ProcessCounter], slots: Slots, renamed: _Renamed, listed: _Listed
) -> tuple[tuple[ProcessCalls, ...], tuple[ProcessTotal, ...], _Listed]:
    """Return the busiest pairs, summed over the users of a process, and the totals of the processes among them.

    What the last reading *listed* stays until another has a quarter more calls: many have about the same number, and
    rows that come and go at each reading tell nobody anything.
    """
    counts: dict[tuple[_Process, int], tuple[int, int]] = {}
    totals: dict[_Process, int] = {}
    failures: dict[_Process, int] = {}
    busiest: dict[_Process, _ProcessCounter] = {}
    for pair in pairs:  # as many as the map holds, at each reading
        process = pair.process
        before = counts.get((process, pair.slot))
        counts[process, pair.slot] = (
            (pair.count, pair.errors) if before is None else (before[0] + pair.count, before[1] + pair.errors)
        )
        totals[process] = totals.get(process, 0) + pair.count
        if pair.errors:
            failures[process] = failures.get(process, 0) + pair.errors
        named = busiest.get(process)
        if named is None or pair.count > named.count:
            busiest[process] = pair  # its name is the newest

    def total(process: _Process) -> tuple[int, _Process]:
        return totals[process] * (5 if process in listed.whole else 4), process

    whole = frozenset(heapq.nlargest(WHOLE_PROCESSES, totals, key=total))
    ranks: dict[int, int] = {}
    names: dict[_Process, str] = {}
    shown = []

    def place(item: tuple[tuple[_Process, int], tuple[int, int]]) -> tuple[int, int, tuple[_Process, int]]:
        pair, (count, errors) = item
        return -count * (5 if pair in listed.pairs else 4), -errors, pair

    stay = set()
    for (process, slot), (count, errors) in sorted(counts.items(), key=place):
        rank = ranks[slot] = ranks.get(slot, 0) + 1
        if rank > PROCESSES_OF_A_CALL and process not in whole:
            continue
        comm = names.get(process)
        if comm is None:
            comm = names[process] = c_string(renamed.name(process) or busiest[process].comm)
        stay.add((process, slot))
        abi, nr = slots.call(slot)
        start_ns, pid = process
        shown.append(
            ProcessCalls(
                pid=pid,
                start_ns=start_ns,
                comm=comm,
                abi=abi,
                nr=nr,
                name=abis.name(abi, nr),
                count=count,
                errors=errors,
            )
        )
    shown.sort(key=attrgetter(*Syscalls.keys["processes"]))
    sums = tuple(
        ProcessTotal(
            pid=pid, start_ns=start_ns, comm=comm, count=totals[start_ns, pid], errors=failures.get((start_ns, pid), 0)
        )
        for (start_ns, pid), comm in sorted(names.items(), key=lambda item: item[0][::-1])
    )
    return tuple(shown), sums, _Listed(whole, frozenset(stay))
