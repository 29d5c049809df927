"""Which process makes which call: reads the bounded map of bpf/syscalls_processes.h from process and call to counts.

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
from ebpftop.core.syscall_records import ProcessCalls, ProcessTotal, UserCalls
from ebpftop.core.user_records import OTHER_UID
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.busiest_callers import BusiestCallers, CallingProcess
from ebpftop.probes.pair_figures import (
    COUNT,
    ERRORS,
    MAX_NS,
    TOTAL_NS,
    VALUE_SIZE,
    Figures,
    add_to,
    comm_of,
    figures_of,
)
from ebpftop.probes.process_names import new_name
from ebpftop.probes.syscall_slots import Slots
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import MAY_WAIT

_KEY = struct.Struct("=QIIII")  # struct process_call
_SLOT_WORD, _UID_WORD = 3, 4  # of 32 bits
_PROCESS = struct.Struct("=QII")  # struct process
_IDENTITY = 12  # bytes: both begin with start and pid
_PAIRS_MADE, _PROCESSES_ENDED = 0, 1  # enum pair_counter

USERS_MAX = 4096
SUMS_MAX = 32768
"""Pairs of processes that run but whose pairs the kernel evicted: their sums are kept, so many at most."""


class _Pair:
    """A pair that is in the kernel's map: what was read of it last."""

    __slots__ = ("figures", "process", "raw", "slot", "uid")

    def __init__(self, process: CallingProcess, slot: int, uid: int) -> None:
        self.process = process
        self.slot = slot
        self.uid = uid
        self.raw = b""
        self.figures: Figures = (0, 0, 0, 0)


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

    def __init__(self, slots: Slots, *, latency: bool = True) -> None:
        """*latency*: whether the kernel counts how long calls take."""
        self._slots = slots
        self._latency = latency
        self._waits: dict[int, bool] = {}
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

    def read(self, module: Module) -> SyscallCounters:
        """Read the map; return the callers."""
        self.update(module)
        self._choose()
        for process in self._changed.values():
            if process.is_listed:
                self._make_rows(process, module)
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
        keys, values = maps.keys_and_values(table, _KEY.size, VALUE_SIZE * maps.CPUS)
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
            if maps.lookup(table, key, VALUE_SIZE * maps.CPUS) is None:
                self._pairs.pop(key).process.keys.remove(key)
                self._evicted += 1

    def _add(self, changed: list[tuple[bytes, bytes, _Pair | None]]) -> None:
        """Add what changed to the sums."""
        for (key, value, known), figures in zip(changed, figures_of([v for _, v, _ in changed]), strict=True):
            pair = known or self._new_pair(key)
            if figures[COUNT] < pair.figures[COUNT]:  # it was evicted and made again
                pair.figures = (0, 0, 0, 0)
            count, errors, total_ns, _ = pair.figures
            gained = (
                figures[COUNT] - count,
                max(0, figures[ERRORS] - errors),
                max(0, figures[TOTAL_NS] - total_ns),
                figures[MAX_NS],
            )
            pair.raw, pair.figures = value, figures
            self._add_to_user(pair.uid, gained)
            self._add_to_process(pair.process, pair.slot, gained)
            self._name(pair.process, figures[COUNT], value)

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
        all_figures = figures_of(values)
        identities = [key[:_IDENTITY] for key in keys]
        words = memoryview(b"".join(keys)).cast("I")
        slots, uids = (words[at :: _KEY.size // 4].tolist() for at in (_SLOT_WORD, _UID_WORD))
        facts = {slot: (*self._busiest.least(slot), self._may_wait(slot)) for slot in set(slots)}
        whole: dict[bytes, tuple[int, int]] = {}
        kept: set[bytes] = set()
        for identity, slot, uid, figures in zip(identities, slots, uids, all_figures, strict=True):
            made, _, total_ns, _ = figures
            least, least_ns, waits = facts[slot]
            self._add_to_user(uid, figures)
            count, working_ns = whole.get(identity, (0, 0))
            whole[identity] = count + made, working_ns if waits else working_ns + total_ns
            if made > least or total_ns > least_ns:
                kept.add(identity)
        least, least_ns = self._busiest.least_whole
        kept.update(identity for identity, (count, ns) in whole.items() if count > least or ns > least_ns)
        kept.update(whole.keys() & self._processes.keys())
        if not kept:
            return
        for identity, slot, value, figures in zip(identities, slots, values, all_figures, strict=True):
            if identity in kept:
                process = self._process(identity)
                self._add_to_process(process, slot, figures)
                self._name(process, figures[COUNT], value)

    def _may_wait(self, slot: int) -> bool:
        waits = self._waits.get(slot)
        if waits is None:
            waits = self._waits[slot] = abis.name(*self._slots.call(slot)) in MAY_WAIT
        return waits

    def _process(self, identity: bytes) -> CallingProcess:
        process = self._processes.get(identity)
        if process is None:
            start_ns, pid, _ = _PROCESS.unpack(identity + bytes(_PROCESS.size - _IDENTITY))
            process = self._processes[identity] = CallingProcess(identity, start_ns, pid)
        return process

    def _add_to_user(self, uid: int, gained: Figures) -> None:
        sums = self._users.get(uid)
        if sums is None:
            self._users[uid] = list(gained)
        else:
            add_to(sums, gained)

    def _add_to_process(self, process: CallingProcess, slot: int, gained: Figures) -> None:
        sums = process.calls.get(slot)
        if sums is None:
            process.calls[slot] = list(gained)
            self._sums += 1
        else:
            add_to(sums, gained)
        count, errors, total_ns, max_ns = gained
        process.count += count
        process.errors += errors
        process.total_ns += total_ns
        if max_ns > process.max_ns:
            process.max_ns = max_ns
        if total_ns and not self._may_wait(slot):
            process.working_ns += total_ns
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

    def _make_rows(self, process: CallingProcess, module: Module) -> None:
        """Make the rows of a listed process; those that did not change stay the same objects."""
        # If another process takes the place of its new name, it keeps it here.
        process.renamed = new_name(module, process.start_ns, process.pid) or process.renamed
        comm = c_string(process.renamed or comm_of(process.named_by))
        if comm != process.comm:
            process.comm = comm
            process.rows.clear()
        shown = []
        for slot in process.calls if process.whole else process.places:
            row, figures = process.rows.get(slot), process.calls[slot]
            if row is None or not self._has(row, figures):
                abi, nr = self._slots.call(slot)
                count, errors, total_ns, max_ns = figures
                row = process.rows[slot] = ProcessCalls(
                    pid=process.pid,
                    start_ns=process.start_ns,
                    comm=comm,
                    abi=abi,
                    nr=nr,
                    name=abis.name(abi, nr),
                    count=count,
                    errors=errors,
                    total_ns=total_ns if self._latency else None,
                    max_ns=max_ns if self._latency else None,
                )
            shown.append(row)
        shown.sort(key=attrgetter("abi", "nr"))
        process.shown = tuple(shown)
        process.total = ProcessTotal(
            pid=process.pid,
            start_ns=process.start_ns,
            comm=comm,
            count=process.count,
            errors=process.errors,
            total_ns=process.total_ns if self._latency else None,
            max_ns=process.max_ns if self._latency else None,
        )

    def _has(self, row: ProcessCalls | UserCalls, figures: list[int]) -> bool:
        """Return whether *row* has these figures."""
        same = row.count == figures[COUNT] and row.errors == figures[ERRORS]
        return same and (not self._latency or (row.total_ns == figures[TOTAL_NS] and row.max_ns == figures[MAX_NS]))

    def _all_users(self) -> tuple[UserCalls, ...]:
        if len(self._users) > USERS_MAX:
            ranked = sorted(self._users, key=lambda uid: (uid == OTHER_UID, -self._users[uid][0]))
            for uid in ranked[USERS_MAX - 1 :]:
                if uid != OTHER_UID:
                    count, errors, total_ns, max_ns = self._users.pop(uid)
                    self._add_to_user(OTHER_UID, (count, errors, total_ns, max_ns))
            self._user_rows.clear()
        rows = self._user_rows
        for uid, figures in self._users.items():
            row = rows.get(uid)
            if row is None or not self._has(row, figures):
                count, errors, total_ns, max_ns = figures
                rows[uid] = UserCalls(
                    uid=uid,
                    count=count,
                    errors=errors,
                    total_ns=total_ns if self._latency else None,
                    max_ns=max_ns if self._latency else None,
                )
        return tuple(rows[uid] for uid in sorted(self._users))
