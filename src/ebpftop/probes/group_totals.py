"""Reads the map of bpf/syscalls_groups.h, and sums up by cgroup, by program and by user."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ebpftop.core.escape import comm_text
from ebpftop.core.group_records import OTHER_COMM, OTHER_ID
from ebpftop.core.user_records import OTHER_UID
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.probes.cgroup_facts import CgroupKey

GROUPS_MAX = max(1024, min(8192, 131072 // maps.CPUS))
"""Groups in the kernel's map: each has a value for every CPU."""
ROWS_MAX = 4096
"""Cgroups, programs and users that are counted one by one; each of a table."""
OTHER_CGROUP = CgroupKey("v2", OTHER_ID)

FIRST_BUCKET, BUCKETS = 4, 32
_SEEN_WORDS = 8
_GROUP = struct.Struct("=QII16s")
_COUNT = struct.Struct(f"={8 + _SEEN_WORDS + 3 + _SEEN_WORDS}Q{BUCKETS}I")
# Where the parts of struct group_count begin.
_SEEN = 8
_UNRETURNED = _SEEN + _SEEN_WORDS
_UNRETURNED_SEEN = _UNRETURNED + 3
_NS = _UNRETURNED_SEEN + _SEEN_WORDS
_NONE = bytes(_COUNT.size)
_U32 = 0xFFFFFFFF


@dataclass(slots=True)
class Totals:
    """What one cgroup, program or user did."""

    calls: int = 0
    errors: int = 0
    execs: int = 0
    failed: int = 0
    total_ns: int = 0
    max_ns: int = 0
    seen: int = 0
    seen_other: bool = False
    ns: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    last: str = ""
    last_ns: int = 0

    def add(self, other: Totals) -> None:
        """Add what came after it."""
        self.calls += other.calls
        self.errors += other.errors
        self.execs += other.execs
        self.failed += other.failed
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self.seen |= other.seen
        self.seen_other |= other.seen_other
        if any(other.ns):
            self.ns = [a + b for a, b in zip(self.ns, other.ns, strict=True)]
        if other.last_ns > self.last_ns:
            self.last, self.last_ns = other.last, other.last_ns


Key = TypeVar("Key", CgroupKey, str, int)


class Table(Generic[Key]):
    """Totals by key: at most `ROWS_MAX`, and one of all others."""

    def __init__(self, other: Key) -> None:
        self.totals: dict[Key, Totals] = {}
        self.changed: set[Key] = set()
        self._other: Key = other

    def add(self, key: Key, more: Totals) -> None:
        """Add to the totals of *key*, or of the others if there is no room for it."""
        if key not in self.totals and len(self.totals) >= ROWS_MAX:
            key = self._other
        self.changed.add(key)
        totals = self.totals.get(key)
        if totals is None:
            totals = self.totals[key] = Totals()
        totals.add(more)

    def add_to_others(self, more: Totals) -> None:
        """Add what is known of none."""
        self.add(self._other, more)

    def fold(self, key: Key) -> None:
        """Let *key* have no row of its own any more."""
        totals = self.totals.pop(key)
        self.changed.add(key)
        totals.last, totals.last_ns = "", 0
        self.add_to_others(totals)

    @property
    def is_filling(self) -> bool:
        """Whether more than three quarters of its room are used."""
        return len(self.totals) > ROWS_MAX * 3 // 4


class GroupTotals:
    """Totals since the start, through all toggles. A reading costs by what changed."""

    def __init__(self) -> None:
        self.cgroups = Table(OTHER_CGROUP)
        self.comms = Table(OTHER_COMM)
        self.uids = Table(OTHER_UID)
        self.start()

    def start(self) -> None:
        """Start with maps that are empty."""
        self._groups: dict[bytes, bytes] = {}
        self._overflow = b""

    def read(self, module: Module) -> None:
        """Add what was counted since the last reading."""
        table = module.table("groups")
        size = _COUNT.size * maps.CPUS
        groups = maps.keys_and_values(table, _GROUP.size, size)
        self._add_groups(*groups)
        if len(groups[0]) > table.max_entries // 2:
            # Make room: what is taken out is added here, and those that go on are made again.
            self._add_groups(*maps.pop(table, _GROUP.size, size))
            self._groups.clear()
        overflow = maps.lookup(module.table("overflow_groups"), bytes(4), size)
        if overflow is not None and overflow != self._overflow and any(overflow):
            more = _since(self._overflow or None, overflow)
            self._overflow = overflow
            more.last_ns = 0  # of many: it would not say which
            for each in (self.cgroups, self.comms, self.uids):
                each.add_to_others(more)

    def _add_groups(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for key, value in zip(keys, values, strict=True):
            before = self._groups.get(key)
            if value != before:
                self._groups[key] = value
                self._add(key, _since(before, value))

    def _add(self, key: bytes, more: Totals) -> None:
        cgroup_id, v1, uid, comm = _GROUP.unpack(key)
        name = comm_text(comm)
        more.last = name
        self.cgroups.add(CgroupKey("v1" if v1 else "v2", cgroup_id), more)
        self.comms.add(name, more)
        self.uids.add(uid, more)


def _since(before: bytes | None, now: bytes) -> Totals:
    """Return what the counters *now* of all CPUs have that those *before* did not."""
    more = Totals()
    for at in range(0, len(now), _COUNT.size):
        new = now[at : at + _COUNT.size]
        old = before[at : at + _COUNT.size] if before else _NONE
        if new == old:
            continue
        a, b = _COUNT.unpack(new), _COUNT.unpack(old)
        more.calls += a[0] - b[0] + a[_UNRETURNED] - b[_UNRETURNED]
        more.errors += a[1] - b[1]
        more.execs += a[2] - b[2] + a[_UNRETURNED + 1] - b[_UNRETURNED + 1]
        more.failed += a[3] - b[3]
        more.total_ns += a[4] - b[4]
        more.max_ns = max(more.max_ns, a[5])
        more.last_ns = max(more.last_ns, a[6])
        more.seen_other |= bool(a[7] or a[_UNRETURNED + 2])
        more.seen |= _bits(a[_SEEN:_UNRETURNED]) | _bits(a[_UNRETURNED_SEEN:_NS])
        for i in range(BUCKETS):
            more.ns[i] += (a[_NS + i] - b[_NS + i]) & _U32
    return more


def _bits(words: tuple[int, ...]) -> int:
    return sum(word << 64 * i for i, word in enumerate(words) if word)
