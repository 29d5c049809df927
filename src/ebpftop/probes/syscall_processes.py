"""Which process makes which call: reads the bounded map of bpf/syscalls.c from process and call to counts.

A reading costs by what changed. The map has only pairs of running processes: those of a process that ended are read a
last time, added to the sums, and deleted. What lists the busiest compares only pairs that grew with the least of those
that are listed, since the others were compared before, and counts do not shrink.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import compress
from operator import attrgetter
from typing import NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.records import OTHER_UID, ProcessCalls, ProcessTotal, UserCalls
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.busiest_callers import BusiestCallers, CallingProcess
from ebpftop.probes.process_names import new_name
from ebpftop.probes.syscall_slots import Slots
from ebpftop.syscalls import abi as abis

_KEY = struct.Struct("=QIIII")  # struct process_call
_SLOT_WORD, _UID_WORD = 3, 4  # of 32 bits
_PROCESS = struct.Struct("=QII")  # struct process
_IDENTITY = 12  # bytes: both begin with start and pid
_VALUE_WORDS = 5  # struct process_count: calls counted when they entered, when they returned, errors, comm
_VALUE_SIZE = _VALUE_WORDS * 8
_COMM_AT = 24
_COMM_SIZE = 16
_PAIRS_MADE, _PROCESSES_ENDED = 0, 1  # enum pair_counter

USERS_MAX = 4096
SUMS_MAX = 32768
"""Pairs of processes that run but whose pairs the kernel evicted: their sums are kept, so many at most."""


class _Pair:
    """A pair that is in the kernel's map: what was read of it last."""

    __slots__ = ("count", "errors", "process", "raw", "slot", "uid")

    def __init__(self, process: CallingProcess, slot: int, uid: int) -> None:
        self.process = process
        self.slot = slot
        self.uid = uid
        self.raw = b""
        self.count = 0
        self.errors = 0


class SyscallCounters(NamedTuple):
    """The callers at one reading. `evicted`: pairs evicted from the map so far, and calls with them."""

    processes: tuple[ProcessCalls, ...] = ()
    totals: tuple[ProcessTotal, ...] = ()
    users: tuple[UserCalls, ...] = ()
    evicted: int = 0


class ProcessCounters:
    """All pairs in the map, the processes that are listed, and the totals of each user over all readings.

    If a pair is evicted, its counts since the last reading are lost; all earlier ones stay in all sums.
    """

    def __init__(self) -> None:
        self._users: dict[int, list[int]] = {}
        self._user_rows: dict[int, UserCalls] = {}
        self._evicted_before = 0
        self._start()

    def _start(self) -> None:
        """Start with an empty map."""
        self._pairs: dict[bytes, _Pair] = {}
        self._processes: dict[bytes, CallingProcess] = {}
        self._sums = 0
        self._busiest = BusiestCallers()
        self._grown: dict[int, dict[bytes, CallingProcess]] = {}
        """What changed since the rows were made: processes by slot."""
        self._changed: dict[bytes, CallingProcess] = {}
        self._evicted = 0
        self._deleted = 0
        self._made_at = 0
        self._ended_at = 0
        self.made = 0
        """Pairs that were ever made, at the last `is_filling`."""

    def is_filling(self, module: Module) -> bool:
        """Return whether the map should be read before much is evicted. It costs two requests to the kernel."""
        table = module.table("process_calls")
        counters = module.table("pair_counters")
        # If all pairs are of running processes, reading makes no room: then it is not read more often than that.
        room = max(table.max_entries - len(self._pairs), table.max_entries // 8)
        self.made = maps.per_cpu_sum(counters, _PAIRS_MADE)
        return (
            self.made - self._made_at >= room // 2
            or maps.per_cpu_sum(counters, _PROCESSES_ENDED) - self._ended_at
            >= module.table("ended_processes").max_entries // 2
        )

    def read(self, module: Module, slots: Slots) -> SyscallCounters:
        """Read the map; return the callers."""
        self.update(module)
        self._choose()
        for process in self._changed.values():
            if process.is_listed:
                self._make_rows(process, module, slots)
        self._changed.clear()
        self._bound()
        listed = sorted((p for p in self._processes.values() if p.is_listed), key=attrgetter("pid", "start_ns"))
        return SyscallCounters(
            tuple(row for process in listed for row in process.shown),
            tuple(process.total for process in listed if process.total is not None),
            self._all_users(),
            self._evicted_before + self._evicted,
        )

    def save_totals(self, module: Module) -> None:
        """Read a last time: the map will be closed, the users' sums stay."""
        self.update(module)
        self._evicted_before += self._evicted
        self._start()

    # ---- the map ----

    def update(self, module: Module) -> None:
        """Add to all sums what the map has, and delete from it the pairs of processes that ended."""
        table, counters = module.table("process_calls"), module.table("pair_counters")
        # First who has ended: these pairs change no more. Then what was made: a pair that is made meanwhile must not
        # look as if it was evicted.
        self._ended_at = maps.per_cpu_sum(counters, _PROCESSES_ENDED)
        ended = {key[:_IDENTITY] for key in maps.pop_keys(module.table("ended_processes"), _PROCESS.size, 4)}
        self._made_at = maps.per_cpu_sum(counters, _PAIRS_MADE)
        known = self._pairs
        keys, values = maps.keys_and_values(table, _KEY.size, _VALUE_SIZE * maps.CPUS)
        pairs = list(map(known.get, keys))
        if len(keys) - pairs.count(None) != len(known):
            self._drop_evicted(table, known.keys() - set(keys))
        # On a busy machine, nearly all pairs are of processes that came and ended since the last reading.
        is_short = [pair is None and key[:_IDENTITY] in ended for key, pair in zip(keys, pairs, strict=True)]
        finished = list(compress(keys, is_short))
        if finished:
            self._add_short(finished, list(compress(values, is_short)))
        self._add(
            [
                (key, value, pair)
                for key, value, pair, short in zip(keys, values, pairs, is_short, strict=True)
                if not short and (pair is None or pair.raw != value)
            ]
        )
        finished += self._end(ended)
        # One that is evicted before it is deleted is not missing anywhere.
        self._deleted += len(finished)
        maps.delete_keys(table, finished)
        self._evicted = max(self._evicted, self._made_at - self._deleted - len(known))
        self._choose()

    def _drop_evicted(self, table: maps.Map, missing: Iterable[bytes]) -> None:
        for key in missing:
            # A map that can only be read key by key may be read incompletely.
            if maps.lookup(table, key, _VALUE_SIZE * maps.CPUS) is None:
                self._pairs.pop(key).process.keys.remove(key)
                self._evicted += 1

    def _add(self, changed: list[tuple[bytes, bytes, _Pair | None]]) -> None:
        """Add what changed to the sums."""
        users = self._users
        counts, failures = self._sums_of([value for _, value, _ in changed])
        for (key, value, known), count, errors in zip(changed, counts, failures, strict=True):
            pair = known or self._new_pair(key)
            if count < pair.count:  # it was evicted and made again
                pair.count = pair.errors = 0
            gained, failed = count - pair.count, max(0, errors - pair.errors)
            pair.raw, pair.count, pair.errors = value, count, errors
            sums = users.get(pair.uid) or users.setdefault(pair.uid, [0, 0])
            sums[0] += gained
            sums[1] += failed
            self._add_to_process(pair.process, pair.slot, gained, failed)
            self._name(pair.process, count, value)

    def _end(self, ended: set[bytes]) -> list[bytes]:
        """Note that processes have ended; return the keys of their pairs."""
        finished: list[bytes] = []
        for identity in ended & self._processes.keys():
            process = self._processes[identity]
            process.ended = True
            self._changed[identity] = process
            for key in process.keys:
                del self._pairs[key]
            finished += process.keys
            process.keys = []
        return finished

    def _new_pair(self, key: bytes) -> _Pair:
        _, _, slot, uid, _ = _KEY.unpack(key)
        process = self._process(key[:_IDENTITY])
        process.keys.append(key)
        pair = self._pairs[key] = _Pair(process, slot, uid)
        return pair

    def _add_short(self, keys: list[bytes], values: list[bytes]) -> None:
        """Add the pairs of processes that came and ended since the last reading.

        They are in the sums of users. Only what may be listed becomes a process here.
        """
        users, least = self._users, self._busiest.least
        counts, failures = self._sums_of(values)
        identities = [key[:_IDENTITY] for key in keys]
        words = memoryview(b"".join(keys)).cast("I")
        slots, uids = (words[at :: _KEY.size // 4].tolist() for at in (_SLOT_WORD, _UID_WORD))
        totals: dict[bytes, int] = {}
        for identity, uid, count, errors in zip(identities, uids, counts, failures, strict=True):
            sums = users.get(uid) or users.setdefault(uid, [0, 0])
            sums[0] += count
            sums[1] += errors
            totals[identity] = totals.get(identity, 0) + count
        kept = {
            identity
            for identity, slot, count in zip(identities, slots, counts, strict=True)
            if count > least.get(slot, 0)
        }
        kept.update(identity for identity, total in totals.items() if total > self._busiest.least_whole)
        kept.update(totals.keys() & self._processes.keys())
        if not kept:
            return
        for identity, slot, value, count, errors in zip(identities, slots, values, counts, failures, strict=True):
            if identity in kept:
                process = self._process(identity)
                self._add_to_process(process, slot, count, errors)
                self._name(process, count, value)

    def _sums_of(self, values: list[bytes]) -> tuple[list[int], list[int]]:
        """Return the calls and the errors in each of *values*, added up over the CPUs. (No loop of Python's own.)"""
        words = memoryview(b"".join(values)).cast("Q")
        stride = _VALUE_WORDS * maps.CPUS
        entered, unentered, errors = (
            [words[at::stride].tolist() for at in range(member, stride, _VALUE_WORDS)] for member in range(3)
        )
        return list(map(sum, zip(*entered, *unentered, strict=True))), list(map(sum, zip(*errors, strict=True)))

    def _process(self, identity: bytes) -> CallingProcess:
        process = self._processes.get(identity)
        if process is None:
            start_ns, pid, _ = _PROCESS.unpack(identity + bytes(_PROCESS.size - _IDENTITY))
            process = self._processes[identity] = CallingProcess(identity, start_ns, pid)
        return process

    def _add_to_process(self, process: CallingProcess, slot: int, count: int, errors: int) -> None:
        sums = process.calls.get(slot)
        if sums is None:
            process.calls[slot] = [count, errors]
            self._sums += 1
        else:
            sums[0] += count
            sums[1] += errors
        process.count += count
        process.errors += errors
        self._changed[process.key] = process
        self._grown.setdefault(slot, {})[process.key] = process

    def _name(self, process: CallingProcess, count: int, value: bytes) -> None:
        if count >= process.most:
            process.most, process.named_by = count, value

    # ---- which are listed ----

    def _choose(self) -> None:
        """List what has become one of the busiest, and drop processes that ended and are not listed any more."""
        self._busiest.choose(self._grown, self._changed)
        self._grown.clear()
        for process in [p for p in self._changed.values() if p.ended and not p.is_listed]:
            self._drop(process)

    def _drop(self, process: CallingProcess) -> None:
        del self._processes[process.key]
        self._changed.pop(process.key, None)
        self._sums -= len(process.calls)

    def _bound(self) -> None:
        """If too many sums are of processes that are in no map and in no list, drop those of the least busy."""
        if self._sums > SUMS_MAX:
            idle = sorted((p for p in self._processes.values() if not (p.keys or p.is_listed)), key=attrgetter("count"))
            for process in idle:
                self._drop(process)
                if self._sums <= SUMS_MAX * 3 // 4:
                    break

    # ---- rows ----

    def _make_rows(self, process: CallingProcess, module: Module, slots: Slots) -> None:
        """Make the rows of a listed process; those that did not change stay the same objects."""
        # If another process takes the place of its new name, it keeps it here.
        process.renamed = new_name(module, process.start_ns, process.pid) or process.renamed
        comm = c_string(process.renamed or _comm_of(process.named_by))
        if comm != process.comm:
            process.comm = comm
            process.rows.clear()
        shown = []
        for slot in process.calls if process.whole else process.places:
            row, (count, errors) = process.rows.get(slot), process.calls[slot]
            if row is None or row.count != count or row.errors != errors:
                abi, nr = slots.call(slot)
                row = process.rows[slot] = ProcessCalls(
                    pid=process.pid,
                    start_ns=process.start_ns,
                    comm=comm,
                    abi=abi,
                    nr=nr,
                    name=abis.name(abi, nr),
                    count=count,
                    errors=errors,
                )
            shown.append(row)
        shown.sort(key=attrgetter("abi", "nr"))
        process.shown = tuple(shown)
        process.total = ProcessTotal(
            pid=process.pid, start_ns=process.start_ns, comm=comm, count=process.count, errors=process.errors
        )

    def _all_users(self) -> tuple[UserCalls, ...]:
        if len(self._users) > USERS_MAX:
            ranked = sorted(self._users, key=lambda uid: (uid == OTHER_UID, -self._users[uid][0]))
            other = self._users.setdefault(OTHER_UID, [0, 0])
            for uid in ranked[USERS_MAX - 1 :]:
                if uid != OTHER_UID:
                    count, errors = self._users.pop(uid)
                    other[0] += count
                    other[1] += errors
            self._user_rows.clear()
        rows = self._user_rows
        for uid, (count, errors) in self._users.items():
            row = rows.get(uid)
            if row is None or row.count != count or row.errors != errors:
                rows[uid] = UserCalls(uid=uid, count=count, errors=errors)
        return tuple(rows[uid] for uid in sorted(self._users))


def _comm_of(value: bytes) -> bytes:
    """Return the name in the value of a pair: that of the CPU that counted most, the newest."""
    words = memoryview(value).cast("Q")
    by_cpu = [sum(parts) for parts in zip(words[::_VALUE_WORDS], words[1::_VALUE_WORDS], strict=True)]
    at = by_cpu.index(max(by_cpu)) * _VALUE_SIZE + _COMM_AT
    return value[at : at + _COMM_SIZE]
