"""What happened in a span of records, as figures that can be compared with those of another span."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any

from ebpftop.core.group_records import OTHER_ID, CgroupRow, Cgroups, CommRow, Comms, Figures
from ebpftop.core.load_records import BpfEvent, Loaded, MapReading, ProgramRuns
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import End, Header, Lost, Probe, Record, State, TimedRecord
from ebpftop.core.syscall_records import ProcessCalls, ProcessTotal, SyscallRow, Syscalls, UserCalls
from ebpftop.core.user_records import OTHER_UID, UserRow, Users
from ebpftop.models.chance import Counted, Timed
from ebpftop.models.latency import difference
from ebpftop.models.slices import KEYS_MAX, Histograms, Slices, Sums
from ebpftop.models.span_items import CLOCKS_OF, OF_SEVERAL, Clock, Item, Kind, clock_of
from ebpftop.models.span_loaded import SpanLoaded
from ebpftop.models.span_programs import SpanPrograms
from ebpftop.models.span_tables import SpanTable


class SpanFigures:
    """Adds up the records from `begin` to `end` (Unix seconds), fed in their order.

    Readings may be whole, or as they were written; the first of each kind is whole. Records before the span say what
    holds when it begins.
    """

    def __init__(self, header: Header, begin: float = -math.inf, end: float = math.inf) -> None:
        self.header = header
        self.begin = begin
        self.end = end
        self.lost: Counter[tuple[str, str]] = Counter()
        """What was lost, by probe and place."""
        self.evicted = 0
        """Pairs of process and call that fell out of the kernel's map."""
        self.numbers: dict[tuple[str, str], tuple[str, int]] = {}
        """ABI and number of a call by its name, and its ABI if that is not the native one."""
        self.users: dict[int, str] = {}
        """The names of users."""
        self.slices = Slices()
        self.items: Sums[Item] = Sums(self.slices)
        self._programs = SpanPrograms(self.slices, self.items)
        self._total_ns: Sums[Item] = Sums(self.slices)
        self._histograms: Histograms[Item] = Histograms(self.slices)
        self._known: Sums[Clock] = Sums(self.slices)
        self._states: dict[str, list[tuple[float, State]]] = {}
        self._clocks: dict[Clock, float | None] = dict.fromkeys(("users", "syscalls", "callers", "groups", "load"))
        """When counters were read last, or began to count; None: their next reading is the first."""
        self._lost_before: dict[tuple[str, str], int] = {}
        self._evicted: int | None = None
        self._boot_ns = 0
        self._from_nothing = False
        """Whether nothing was counted before the next reading of who calls."""
        self._seen: set[Clock] = set()
        self._users: SpanTable[UserRow] = SpanTable(self.slices, attrgetter("uid"), attrgetter("execs"), self._add_user)
        self._calls: SpanTable[SyscallRow] = SpanTable(
            self.slices, attrgetter("abi", "nr"), attrgetter("count"), self._add_call
        )
        self._callers: SpanTable[UserCalls] = SpanTable(
            self.slices, attrgetter("uid"), attrgetter("count"), self._add_caller
        )
        self._pairs: SpanTable[ProcessCalls] = SpanTable(
            self.slices, attrgetter("pid", "start_ns", "abi", "nr"), attrgetter("count"), self._add_pair
        )
        self._processes: SpanTable[ProcessTotal] = SpanTable(
            self.slices, attrgetter("pid", "start_ns"), attrgetter("count"), self._add_process
        )
        self._comms: SpanTable[CommRow] = SpanTable(
            self.slices, attrgetter("comm"), attrgetter("calls"), self._add_comm
        )
        self._cgroups: SpanTable[CgroupRow] = SpanTable(
            self.slices, attrgetter("hierarchy", "id"), attrgetter("calls"), self._add_cgroup
        )
        self.loaded = SpanLoaded(self.slices, self.items, self._histograms, self._total_ns)
        self._totals: dict[tuple[str, str], float] | None = None
        self._begun = False
        self._last = -math.inf

    def feed(self, records: Iterable[Record]) -> None:
        """Add *records*, in their order."""
        for record in records:
            if isinstance(record, (Header, End)) or not isinstance(record, TimedRecord) or record.time > self.end:
                continue
            if not self._begun and record.time >= self.begin:
                self._begun = True
                self.begin = max(self.begin, record.time)
                self.slices.begin = self.begin
            self._last = max(self._last, record.time)
            if isinstance(record, Exec):
                if self._in_span(record):
                    self._name(record.uid, record.user)
                    self._programs.start(record)
            elif isinstance(record, Exit):
                if self._in_span(record):
                    self._programs.end(record)
            elif isinstance(record, Users):
                self._read_users(record)
            elif isinstance(record, Syscalls):
                self._read_calls(record)
            elif isinstance(record, Comms):
                self._read_comms(record)
            elif isinstance(record, Cgroups):
                self._read_cgroups(record)
            elif isinstance(record, (ProgramRuns, MapReading, BpfEvent, Loaded)):
                self._read_loaded(record)
            elif isinstance(record, Probe):
                self._probe(record)
            elif isinstance(record, Lost):
                self._lose(record)

    def close(self) -> None:
        """End the span with the last record, if it has no end yet, and add up what is open."""
        if self.end == math.inf or self._last < self.end:
            self.end = max(self._last, self.begin)
        self._programs.close()
        tables: tuple[SpanTable[Any], ...] = (self._users, self._calls, self._comms, self._cgroups, *self._of_callers)
        for table in tables:
            table.close()
        self.loaded.close()
        if self._begun:
            self._know_events()

    def name_users(self, beside: Mapping[int, str]) -> None:
        """Name users instead of their numbers: two machines may give a user different ones. *beside*: other names."""
        names = {OTHER_UID: "other users", **beside, **self.users}
        for item in self.items.all_keys():
            if item.kind == "user" and item.name.isdecimal() and int(item.name) in names:
                self.items.rename(item, item._replace(name=names[int(item.name)]))

    @property
    def duration_s(self) -> float:
        """How long the span is."""
        return max(0.0, self.end - self.begin) if self._begun else 0.0

    # What is asked of it when it is complete.

    def known_s(self, clock: Clock) -> float:
        """Return how many seconds of the span are known from a probe."""
        return sum(self._known.of(clock))

    def total(self, kind: str, of: str = "") -> float:
        """Return how often all items of a kind happened; of users, processes and units, what *of* says."""
        if self._totals is None:
            self._totals = {}
            for item in self.items.all_keys():
                key = (item.kind, item.of if item.kind in OF_SEVERAL else "")
                self._totals[key] = self._totals.get(key, 0.0) + sum(self.items.of(item))
        return self._totals.get((kind, of), 0.0)

    @cached_property
    def total_ns(self) -> float:
        """Return the time that all calls took."""
        return sum(sum(self._total_ns.of(item)) for item in self._total_ns.all_keys() if item.kind == "call")

    def counted(self, item: Item) -> Counted:
        """Return how often an item happened."""
        return Counted(self.items.of(item), self._known.of(clock_of(item)))

    def timed(self, item: Item) -> Timed:
        """Return how long the calls of an item took."""
        histograms = self._histograms.of(item)
        total_ns = self._total_ns.of(item)
        calls = [sum(one) for one in histograms] if histograms else list(self.items.of(item))
        size = max(len(calls), len(total_ns))
        return Timed(_padded(total_ns, size), _padded(calls, size), histograms)

    def state(self, probe: str) -> State | None:
        """Return the last state of a probe in the span; None if it is not known."""
        states = self._states.get(probe)
        return states[-1][1] if states else None

    def _in_span(self, record: TimedRecord) -> bool:
        return self._begun and record.time >= self.begin

    def _know_events(self) -> None:
        """Note in which seconds programs were reported."""
        states = self._states.get("execs", [])
        since = None
        self.slices.at(self.end)
        for time, state in (*states, (self.end, "off")):
            if state == "on":
                since = time if since is None else since
            elif since is not None:
                for number, seconds in enumerate(self.slices.seconds(max(since, self.begin), min(time, self.end))):
                    self._known.add("execs", number, seconds)
                since = None

    # States and losses.

    def _probe(self, record: Probe) -> None:
        states = self._states.setdefault(record.probe, [])
        # Totals go on through toggles. Only before a probe was attached for the first time there was nothing.
        is_first = not states
        states.append((record.time, record.state))
        for clock in CLOCKS_OF.get(record.probe, ()):
            goes_on = record.state == "on" and self._in_span(record) and (is_first or clock in self._seen)
            self._clocks[clock] = record.time if goes_on else None
        if record.probe == "syscalls":
            self._from_nothing = is_first and self._clocks["callers"] is not None

    @property
    def _of_callers(self) -> tuple[SpanTable[Any], ...]:
        return self._callers, self._pairs, self._processes

    def _lose(self, record: Lost) -> None:
        key = (record.probe, record.where)
        before = self._lost_before.get(key, 0)
        self._lost_before[key] = record.count
        if self._in_span(record):
            self.lost[key] += record.count - before if record.count >= before else record.count

    # Readings.

    def _tick(self, clock: Clock, time: float) -> bool:
        """Note that counters were read. Return whether what they gained is of the span."""
        last = self._clocks[clock]
        self._clocks[clock] = time
        self._seen.add(clock)
        if last is None or not self._begun or time <= self.begin or time < last:
            return False
        self._known.add(clock, self.slices.at(time), time - last)
        return True

    def _read_users(self, record: Users) -> None:
        for row in record.rows:
            self._name(row.uid, row.user)
        if self._tick("users", record.time):
            self._users.read(record.time, record.rows)
        else:
            self._users.begin(record.rows, whole=record.whole)

    def _read_calls(self, record: Syscalls) -> None:
        for row in record.rows:
            self.numbers.setdefault((row.name, self._abi(row.abi)), (row.abi, row.nr))
        if self._tick("syscalls", record.time):
            self._calls.read(record.time, record.rows)
        else:
            self._calls.begin(record.rows, whole=record.whole)
        self._read_callers(record)

    def _read_callers(self, record: Syscalls) -> None:
        last, time = self._clocks["callers"], record.callers_time
        if "callers" in self._seen and last is not None and time <= last:
            return
        boot_ns = self._boot_ns
        self._boot_ns = record.boot_ns
        if self._tick("callers", time):
            self._callers.read(time, record.users)
            # A process that was not listed before may have made any number of calls, unless it is new.
            is_first = self._from_nothing
            self._pairs.read(time, record.processes, lambda row: is_first or row.start_ns > boot_ns)
            # Most that are short are never listed: so only what was listed before is compared.
            self._processes.read(time, record.process_totals, lambda _: is_first)
            if self._evicted is not None and record.evicted > self._evicted:
                self.evicted += record.evicted - self._evicted
        else:
            self._callers.begin(record.users, whole=record.whole)
            self._pairs.begin(record.processes, whole=record.whole)
            self._processes.begin(record.process_totals, whole=record.whole)
        self._from_nothing = False
        self._evicted = record.evicted
        if record.whole:
            self._pairs.keep(record.processes)
            self._processes.keep(record.process_totals)
        else:
            self._pairs.drop(record.removed.get("processes", ()))
            self._processes.drop(record.removed.get("process_totals", ()))

    def _read_comms(self, record: Comms) -> None:
        if self._tick("groups", record.time):
            self._comms.read(record.time, record.rows)
        else:
            self._comms.begin(record.rows, whole=record.whole)

    def _read_cgroups(self, record: Cgroups) -> None:
        # They come before those of the programs, of the same moment, whose clock is theirs too.
        if self._clocks["groups"] is not None and self._in_span(record):
            self._cgroups.read(record.time, record.rows)
        else:
            self._cgroups.begin(record.rows, whole=record.whole)

    def _read_loaded(self, record: ProgramRuns | MapReading | BpfEvent | Loaded) -> None:
        if isinstance(record, Loaded):
            in_span = self._in_span(record)
            self.loaded.note(record, in_span=in_span)
            if in_span and record.state == "on" and record.generation <= 1:
                self._clocks["load"] = record.time  # nothing ran while it was compiled
        elif isinstance(record, BpfEvent):
            if self._in_span(record):
                self.loaded.event(record)
        elif isinstance(record, ProgramRuns):  # it comes before the maps of the same moment
            is_known = bool(record.rows) and self._tick("load", record.time)
            self.loaded.read_runs(record, is_first=not is_known)
        else:
            self.loaded.read_map(record, in_span=self._in_span(record))

    def _abi(self, abi: str) -> str:
        return "" if abi == self.header.abi else abi

    def _name(self, uid: int, user: str | None) -> None:
        if user is not None and uid not in self.users and len(self.users) < KEYS_MAX:
            self.users[uid] = user

    def _add_user(self, row: UserRow, before: UserRow | None, number: int) -> None:
        user = str(row.uid)
        execs = row.execs - (before.execs if before else 0)
        failed = max(0, row.failed - (before.failed if before else 0))
        if execs > failed:
            self.items.add(Item("user", user, "programs"), number, execs - failed)
        if failed:
            self.items.add(Item("user", user, "failed programs"), number, failed)

    def _add_caller(self, row: UserCalls, before: UserCalls | None, number: int) -> None:
        user = str(row.uid)
        if (calls := row.count - (before.count if before else 0)) > 0:
            self.items.add(Item("user", user, "calls"), number, calls)
        if (failed := row.errors - (before.errors if before else 0)) > 0:
            self.items.add(Item("user", user, "failed calls"), number, failed)

    def _add_call(self, row: SyscallRow, before: SyscallRow | None, number: int) -> None:
        abi = self._abi(row.abi)
        call = Item("call", row.name, "", abi)
        if (calls := row.count - (before.count if before else 0)) > 0:
            self.items.add(call, number, calls)
        returned = difference(row.histogram_ns, before.histogram_ns if before else ())
        if any(returned):
            self._histograms.add(call, number, returned)
            self._total_ns.add(call, number, max(0, row.total_ns - (before.total_ns if before else 0)))
        for error, count in row.errnos.items():
            if (failed := count - (before.errnos.get(error, 0) if before else 0)) > 0:
                self.items.add(Item("errno", error, row.name, abi), number, failed)

    def _add_process(self, row: ProcessTotal, before: ProcessTotal | None, number: int) -> None:
        if (calls := row.count - (before.count if before else 0)) > 0:
            self.items.add(Item("process", row.comm), number, calls)

    def _add_comm(self, row: CommRow, before: CommRow | None, number: int) -> None:
        self._add_group("process", row.comm, row, before, number)

    def _add_cgroup(self, row: CgroupRow, before: CgroupRow | None, number: int) -> None:
        name = row.container_name or row.unit or row.container or row.path
        name = name or ("other cgroups" if row.id == OTHER_ID else f"cgroup {row.id}")
        self._add_group("unit", name, row, before, number)

    def _add_group(self, kind: Kind, name: str, row: Figures, before: Figures | None, number: int) -> None:
        item = Item(kind, name, "calls")
        if (calls := row.calls - (before.calls if before else 0)) > 0:
            self.items.add(item, number, calls)
        if (failed := row.errors - (before.errors if before else 0)) > 0:
            self.items.add(Item(kind, name, "failed calls"), number, failed)
        returned = difference(row.histogram_ns, before.histogram_ns if before else ())
        if any(returned):
            self._histograms.add(item, number, returned)
            self._total_ns.add(item, number, max(0, row.total_ns - (before.total_ns if before else 0)))

    def _add_pair(self, row: ProcessCalls, before: ProcessCalls | None, number: int) -> None:
        item = Item("pair", row.comm, row.name, self._abi(row.abi))
        if (calls := row.count - (before.count if before else 0)) > 0:
            self.items.add(item, number, calls)
            total_ns, earlier = row.total_ns, before.total_ns if before else 0
            if total_ns is not None and earlier is not None:
                self._total_ns.add(item, number, max(0, total_ns - earlier))


def _padded(values: Iterable[float], size: int) -> list[float]:
    padded = list(values)
    return padded + [0.0] * (size - len(padded))
