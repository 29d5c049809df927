"""The filter, written into the maps that every program reads (bpf/filter.h, bpf/filter.c)."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ebpftop.core.comm import comm_matches
from ebpftop.core.escape import escape
from ebpftop.core.source import SourceError
from ebpftop.filters.spec import NOT, Filter
from ebpftop.kernel import maps
from ebpftop.kernel.barrier import wait_for_programs
from ebpftop.kernel.cgroups import CgroupChoice, cgroup_paths, hierarchies, id_of
from ebpftop.kernel.dispatch import PROGRAMS, TABLES, Dispatcher
from ebpftop.kernel.errors import DamagedError, LoadError
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.filter_check import checked
from ebpftop.kernel.filter_layout import (
    CGROUPS_MAX,
    COMM_KEY_SIZE,
    CONFIG_SIZE,
    EXCLUDED,
    HIDE_SELF,
    PATH_LEN,
    SLOT_SIZE,
    SLOTS,
    any_prefix,
    bits_of,
    cgroup_ids,
    comm_key,
    config_of,
    flags_of,
    flags_of_slot,
    path_key,
    slot_of,
)
from ebpftop.kernel.loader import Link, Module
from ebpftop.kernel.procfs_tree import descendants
from ebpftop.kernel.threads import sees_all
from ebpftop.lifecycle import helpers

# How often to check which processes still exist, and how many of them at each reading.
_CHECK_S = 2.0
_CHECKS_MAX = 256
_MAPS = ("filter_config", "filter_uids", "filter_pids", "filter_comms")
_PROGRAMS = ("filter_on_sched_process_fork", "filter_on_sched_process_free")
_PATHS = "filter_paths"

_ENTRIES = {"filter_pids": 131072}  # processes that are followed
# Bits of a value in filter_pids. The slots of the filter have the lower ones.
_FOLLOW_BITS = range(EXCLUDED + SLOTS, 8)
_WRITES_MAX = 100  # of cgroups that are made again all the time


class KernelFilter:
    """Owner of the filter's maps, and of the programs that follow processes as they fork.

    There are two slots. The next filter is built in the slot that nobody reads, and made active by a single write. So
    no event is matched by half of a filter, and a change loses nothing that both filters match.
    """

    def __init__(self, defines: Defines, own_pids: Sequence[int]) -> None:
        """Load bpf/filter.c; *own_pids* are the processes that `hide_self` hides. Raises SourceError."""
        try:
            self._module = _load(defines)
        except LoadError as error:
            raise SourceError(str(error), "`ebpftop check -v` shows the output of the compiler") from error
        self.dispatcher = Dispatcher(self._module)
        self._own_pids = tuple(own_pids)
        self._lock = threading.Lock()
        self._links: list[Link] = []
        self._mkdir: Link | None = None
        self._roots: dict[bool, Path] = {}
        self._missed: dict[int, int] = {}  # ids that the kernel had not written at the last reading, by place
        self._gone: tuple[str, ...] = ()
        self._marked_pids: list[bytes] = []
        self._next_check_s = 0.0
        self._closed = False
        self._has_applied = False
        self._active = 0
        self._slots = [bytes(SLOT_SIZE)] * SLOTS
        self._comms: tuple[set[bytes], set[bytes]] = set(), set()
        """The keys of the names that the active slot matches, and of those that it excludes."""
        self._cgroups: tuple[CgroupChoice, ...] = ()
        self._filter = Filter(hide_self=False)
        self._followed: dict[int, int] = {}  # processes that others than the filter follow, by bit

    @property
    def shared(self) -> Mapping[str, maps.Map]:
        """The maps that every other module shares."""
        return {name: self._module.table(name) for name in (*_MAPS, *TABLES)}

    def apply(self, requested: Filter) -> None:
        """Apply *requested* from now on; raises SourceError if that is impossible, and then nothing has changed.

        Takes some milliseconds, with `pids` some more: processes are looked up in /proc.
        """
        cgroups = checked(requested)
        with self._lock:
            slot = 1 - self._active
            self._clear(bits_of(slot))
            self._follow_cgroups(cgroups, slot)
            for values, bit, option in (
                (requested, 1 << slot, "--pid"),
                (requested.excluded, 1 << (slot + EXCLUDED), f"--{NOT}pid"),
            ):
                for uid in values.uids:
                    self._mark("filter_uids", struct.pack("=I", uid), bit)
                if values.pids:
                    self._follow(values.pids, bit, option)
            comms = self._mark_comms(requested, slot)
            flags = flags_of(requested, cgroups)
            self._slots[slot] = slot_of(flags, cgroups)
            self._keep_ids(self._ids_in_kernel())
            self._write_config(hide_self_only=False)
            self._active, self._cgroups, self._missed = slot, cgroups, {}
            self._write_config(hide_self_only=False)
            self._settle_ids()
            if flags == HIDE_SELF:
                self._write_config(hide_self_only=True)
            if self._has_applied:  # nothing was in use before, and the start waits for this
                wait_for_programs()
            self._has_applied = True
            for key in set().union(*self._comms).difference(*comms):
                # It may match for a shorter name of this filter too, but would hide names of the next filter.
                maps.delete(self._module.table("filter_comms"), key)
            self._comms, self._filter = comms, requested
            self._clear(bits_of(1 - slot))
            self._stop_following()
            if not cgroups and self._mkdir is not None:
                self._module.release(self._mkdir)
                self._mkdir = None
            self._gone = ()

    def refresh(self) -> tuple[str, ...]:
        """Update the ids of cgroups that were created again; return what the filter names but no longer exists.

        The program in the kernel updates most ids itself, at once; the others (paths beyond 255 bytes, kernels that do
        not report it) are updated here. It takes microseconds. A process is gone if all its descendants are.
        """
        with self._lock:
            if self._closed:
                return self._gone
            gone = [f"cgroup {escape(path)}" for path in self._update_ids()]
            pids = self._filter.pids
            if pids or self._filter.excluded.pids or self._followed:
                self._unmark_exited()
            if pids and not self._has_marked(1 << self._active):
                gone += [f"pid {pid}" for pid in pids]
            self._gone = tuple(gone)
            return self._gone

    def _unmark_exited(self) -> None:
        """Unmark processes that no longer exist, a few at a time, if filter_on_sched_process_free did not do it.

        A kernel may free a process while the current task is one that it runs no program for: a sandbox hides its own
        processes this way.
        """
        table = self._module.table("filter_pids")
        if not self._marked_pids and time.monotonic() >= self._next_check_s and sees_all():
            self._marked_pids = [key for key, _ in maps.items(table, 4, 1)]
            self._next_check_s = time.monotonic() + _CHECK_S
        for _ in range(min(_CHECKS_MAX, len(self._marked_pids))):
            key = self._marked_pids.pop()
            if not os.path.exists(f"/proc/{int.from_bytes(key, sys.byteorder)}"):
                maps.delete(table, key)

    @property
    def gone(self) -> tuple[str, ...]:
        """What `refresh` returned last."""
        return self._gone

    def _update_ids(self) -> list[str]:
        """Write the ids of cgroups that were made again and that the kernel did not write; return the paths gone.

        Whoever writes replaces what the kernel writes in the same moment. So where the kernel follows a cgroup, an id
        is only written if the kernel's was another one at two readings: then it has missed it, and writes no other.
        """
        if not self._cgroups:
            return []
        written = self._ids_in_kernel()
        ids, gone, missed = list(written), [], {}
        for place, choice in enumerate(self._cgroups):
            id = id_of(choice, self._roots)
            if id is None:
                gone.append(choice.path)
            elif id != written[place] and self._is_followed(choice) and self._missed.get(place) != id:
                missed[place] = id
            else:
                ids[place] = id
        self._missed = missed
        self._keep_ids(ids)
        if ids != written:
            # In place: only old ids change, which no cgroup has any more; each other word stays as it was.
            self._write_config(hide_self_only=False)
        return gone

    def _settle_ids(self) -> None:
        """Write the ids again until they are those of now: the kernel may have written one when we wrote all."""
        for _ in range(_WRITES_MAX):
            ids = [id_of(choice, self._roots) or choice.id for choice in self._cgroups]
            if ids == self._ids_in_kernel():
                break
            self._keep_ids(ids)
            self._write_config(hide_self_only=False)

    def _keep_ids(self, ids: Sequence[int]) -> None:
        self._cgroups = tuple(replace(choice, id=id) for choice, id in zip(self._cgroups, ids, strict=True))
        flags = flags_of_slot(self._slots[self._active])
        self._slots[self._active] = slot_of(flags, self._cgroups)

    def _ids_in_kernel(self) -> list[int]:
        """Return the ids that the programs compare with now, in the order of the filter's cgroups."""
        value = maps.lookup(self._module.table("filter_config"), bytes(4), CONFIG_SIZE)
        assert value is not None  # an array has all its entries
        return cgroup_ids(value, self._active, len(self._cgroups))

    def _is_followed(self, choice: CgroupChoice) -> bool:
        return self._mkdir is not None and path_key(choice) is not None

    def _follow_cgroups(self, cgroups: tuple[CgroupChoice, ...], slot: int) -> None:
        """Let the kernel update the ids of *cgroups* if they are created again, as far as it can."""
        self._roots = {hierarchy.v1: hierarchy.root for hierarchy in hierarchies()} if cgroups else {}
        if not self._module.has((_PATHS,), ("filter_on_cgroup_mkdir",)):
            return
        table = self._module.table(_PATHS)
        keys: dict[bytes, int] = {}
        for number, choices in ((slot, cgroups), (1 - slot, self._cgroups)):
            for place, choice in enumerate(choices):
                if key := path_key(choice):
                    keys[key] = keys.get(key, 0) | 1 << (number * CGROUPS_MAX + place)
        for key, _ in list(maps.items(table, PATH_LEN, 4)):
            if key not in keys:
                maps.delete(table, key)
        for key, places in keys.items():
            maps.update(table, key, struct.pack("=I", places))
        if cgroups and self._mkdir is None:
            with suppress(LoadError, DamagedError):  # without it, `refresh` finds them
                self._mkdir = self._module.attach("raw_tracepoint", "cgroup_mkdir", "filter_on_cgroup_mkdir")

    def matches(self, pid: int, uid: int, comm: bytes) -> bool:
        """Return whether the filter matches a running process, as the kernel would decide for its next event."""
        current, excluded = self._filter, self._filter.excluded
        if current.hide_self and pid in self._own_pids:
            return False
        if uid in excluded.uids or (current.uids and uid not in current.uids):
            return False
        if current.pids or excluded.pids:
            bits = self._marked("filter_pids", struct.pack("=I", pid)) >> self._active
            if bits >> EXCLUDED & 1 or (current.pids and not bits & 1):
                return False
        name = escape(comm)
        if any(comm_matches(pattern, name) for pattern in excluded.comms):
            return False
        if current.comms and not any(comm_matches(pattern, name) for pattern in current.comms):
            return False
        paths = cgroup_paths(pid) if self._cgroups else {}
        for choice in self._cgroups:
            if choice.matches(paths.get(choice.v1), choice.v1):
                return not choice.excluded
        return all(choice.excluded for choice in self._cgroups)

    def is_self(self, pid: int, comm: bytes) -> bool:
        """Return whether a process is hidden as ebpftop's own.

        What compiles forks a process for each file, which has ended when its events are read: known by its name alone.
        """
        return self._filter.hide_self and (pid in self._own_pids or comm in helpers.COMPILERS)

    @property
    def lost(self) -> int:
        """How many forks could not be followed, because more processes run than the map holds."""
        return maps.per_cpu_sum(self._module.table("lost"), 1)  # LOST_MAP

    # ---- the maps ----

    def _write_config(self, *, hide_self_only: bool) -> None:
        value = config_of(self._slots, self._active, self._own_pids, hide_self_only=hide_self_only)
        maps.update(self._module.table("filter_config"), bytes(4), value)

    def _marked(self, name: str, key: bytes) -> int:
        value = maps.lookup(self._module.table(name), key, 1)
        return value[0] if value else 0

    def _has_marked(self, bit: int) -> bool:
        """Return whether a process that has *bit* is left."""
        table = self._module.table("filter_pids")
        if not self._followed and not self._filter.excluded.pids:
            return maps.has_entries(table, 4)
        return any(value[0] & bit for _, value in maps.items(table, 4, 1))

    def _mark(self, name: str, key: bytes, bits: int) -> None:
        maps.update(self._module.table(name), key, bytes([self._marked(name, key) | bits]))

    def _mark_comms(self, requested: Filter, slot: int) -> tuple[set[bytes], set[bytes]]:
        """Write the names of both slots; return the new one's keys, those that match and those that are excluded.

        A lookup finds only the longest prefix, so that entry must include the shorter prefixes of either slot too.
        """
        new = {comm_key(comm) for comm in requested.comms}, {comm_key(comm) for comm in requested.excluded.comms}
        for key in set().union(*new, *self._comms):
            value = 0
            for number, (matched, excluded) in ((slot, new), (1 - slot, self._comms)):
                value |= any_prefix(matched, key) << number | any_prefix(excluded, key) << (number + EXCLUDED)
            maps.update(self._module.table("filter_comms"), key, bytes([value]))
        return new

    def _clear(self, bits: int) -> None:
        """Remove *bits* from all values. A fork may copy them meanwhile, so repeat until none is left."""
        for name, key_size in (("filter_uids", 4), ("filter_comms", COMM_KEY_SIZE), ("filter_pids", 4)):
            table = self._module.table(name)
            while stale := [(key, value[0]) for key, value in maps.items(table, key_size, 1) if value[0] & bits]:
                for key, value in stale:
                    if value & ~bits:
                        maps.update_existing(table, key, bytes([value & ~bits]))
                    else:
                        maps.delete(table, key)

    # ---- processes ----

    def follow(self, pid: int) -> int:
        """Mark *pid* and its descendants with a bit that is returned; see `probes.trace_conditions.Followed`."""
        asker = f"pid={pid}"
        with self._lock:
            free = [bit for bit in _FOLLOW_BITS if bit not in self._followed]
            if not free:
                raise SourceError(f"{asker}: {len(_FOLLOW_BITS)} processes are followed already", "follow one less")
            if not os.path.exists(f"/proc/{pid}"):
                raise SourceError(f"{asker}: no such process", "name one that runs; of a thread, its process")
            bit = free[0]
            self._followed[bit] = pid
            try:
                self._follow((pid,), 1 << bit, asker)
            except SourceError:
                self._forget(bit)
                raise
            return bit

    def unfollow(self, bit: int) -> None:
        """Remove the marks of *bit*."""
        with self._lock:
            if not self._closed:
                self._forget(bit)

    def _forget(self, bit: int) -> None:
        self._followed.pop(bit, None)
        self._clear(1 << bit)
        self._stop_following()

    def _stop_following(self) -> None:
        """Follow no forks any more if nobody needs it."""
        if not self._filter.pids and not self._filter.excluded.pids and not self._followed:
            self._unfollow()

    def _follow(self, pids: tuple[int, ...], bit: int, asker: str) -> None:
        """Mark *pids* and their descendants, and let the kernel mark what they fork from now on."""
        if not self._links:
            try:
                self._links = [
                    self._module.attach("raw_tracepoint", "sched_process_fork", "filter_on_sched_process_fork"),
                    self._module.attach("raw_tracepoint", "sched_process_free", "filter_on_sched_process_free"),
                ]
            except LoadError as error:
                raise SourceError(f"{asker}: forks cannot be followed: {error}", f"leave {asker} out") from error
            except DamagedError as error:
                raise SourceError(
                    f"{asker}: what was kept of an earlier start is damaged", "start once more"
                ) from error
        # Repeat until /proc shows no new one: a child forked by a process not yet marked is found in the next round.
        while new := [
            pid for pid in descendants(pids) if not self._marked("filter_pids", struct.pack("=I", pid)) & bit
        ]:
            for pid in new:
                key = struct.pack("=I", pid)
                try:
                    self._mark("filter_pids", key, bit)
                except OSError as error:
                    self._clear(bit)
                    raise SourceError(f"{asker}: there are more descendants than the map holds") from error
                if not Path("/proc", str(pid)).exists():
                    maps.delete(self._module.table("filter_pids"), key)

    def _unfollow(self) -> None:
        for link in self._links:
            self._module.release(link)
        self._links.clear()

    def close(self) -> None:
        """Detach everything and free it."""
        with self._lock:
            self._closed = True
            self._unfollow()
            self._module.close()


def _load(defines: Defines) -> Module:
    """Return bpf/filter.c in the kernel, its programs not attached; raises LoadError."""
    try:
        module = Module("filter.c", defines, entries=_ENTRIES)
        if module.has((*_MAPS, *TABLES, "lost"), (*_PROGRAMS, *PROGRAMS)):
            return module
        module.close()
        module.verify_cached()
    except DamagedError:
        pass
    return Module("filter.c", defines, entries=_ENTRIES)
