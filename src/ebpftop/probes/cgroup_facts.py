"""What is known of a cgroup beside its counters: its path, hence unit and container; how the container is called; and
how many processes are in it now."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ebpftop.core.cgroup_path import container_of, containers_of, unit_of
from ebpftop.core.escape import escape
from ebpftop.core.group_records import ContainerState, HierarchyName
from ebpftop.kernel import cgroups, maps
from ebpftop.kernel.container_names import is_container_id
from ebpftop.kernel.root_work import CONTAINERS_MAX, RootWork
from ebpftop.probes.pacing import Pace

MADE_PATH_LEN = 512  # struct made_path of bpf/syscalls_groups.h
_NAMES_EVERY_S = 5.0
"""How often engines' files are read for containers without a name: an engine may write them after a start."""
_NAMES_MAX = 8192
LOOKED_AT = 200
"""Cgroups whose processes are counted at each reading; of more, each of them every so many readings."""
# All folders are walked for cgroups that are older than the probe: every 30 s, each second if there are such ones.
_WALKS = (30.0, 1.0, 0.01)
_USER_SLICE = re.compile(r"/user-(\d{1,10})\.slice/")


class CgroupKey(NamedTuple):
    """A cgroup: of the unified hierarchy, or of v1's pids controller; its id there."""

    hierarchy: HierarchyName
    id: int

    @property
    def v1(self) -> bool:
        """Whether it is one of v1."""
        return self.hierarchy == "v1"


class CgroupFacts(NamedTuple):
    """See `ebpftop.core.group_records.CgroupRow`."""

    path: str | None = None
    unit: str | None = None
    container: str | None = None
    container_name: str | None = None
    state: ContainerState | None = None
    gone: bool = False
    running: int | None = None
    blocked: int | None = None


_UNKNOWN = CgroupFacts()


class CgroupTable:
    """The facts of cgroups that were asked for. One that was removed keeps its path and its names."""

    def __init__(self, root: RootWork) -> None:
        self.facts: dict[CgroupKey, CgroupFacts] = {}
        self._members: dict[CgroupKey, tuple[int, ...]] = {}
        """The processes that are in a cgroup, as far as that can be read."""
        self._root = root
        self._raw_paths: dict[CgroupKey, str] = {}
        self._names: dict[str, str] = {}
        self._names_s = 0.0
        self._asked_s: dict[str, float] = {}
        """When the name of a container that has none was asked for last."""
        self._walks = Pace(*_WALKS)
        self._found: dict[CgroupKey, str] = {}
        self._news_s = 0.0
        self._next = 0

    def refresh(self, keys: Iterable[CgroupKey], made: maps.Map | None) -> None:
        """Look at the cgroups *keys*; *made*: the kernel's map of those that were made since the probe is on."""
        roots = {hierarchy.v1: hierarchy.root for hierarchy in cgroups.hierarchies()}
        unknown = [key for key in keys if key not in self._raw_paths]
        self._find(unknown, made, roots)
        self._ask_names()
        known = [key for key, facts in self.facts.items() if facts.path is not None and not facts.gone]
        if len(known) <= LOOKED_AT:
            looked_at = known
        else:
            self._next %= len(known)
            looked_at = [*known[self._next :], *known][:LOOKED_AT]
            self._next += LOOKED_AT
        states: dict[str, ContainerState] = {}
        for key in looked_at:
            self.facts[key] = self._looked_at(key, roots, states)

    def count_blocked(self, of_processes: Callable[[Sequence[int] | None], int | None]) -> None:
        """Note how many threads are blocked in each cgroup, as *of_processes* says of the pids that are in it."""
        for key, facts in self.facts.items():
            blocked = of_processes(self._members.get(key))
            if blocked != facts.blocked:
                self.facts[key] = facts._replace(blocked=blocked)

    def forget(self, key: CgroupKey) -> None:
        """Forget a cgroup that has no row any more."""
        self.facts.pop(key, None)
        self._members.pop(key, None)
        self._raw_paths.pop(key, None)

    def _find(self, keys: list[CgroupKey], made: maps.Map | None, roots: Mapping[bool, Path]) -> None:
        """Find the paths of cgroups that are not known yet."""
        if any(key not in self.facts for key in keys):
            self._news_s = time.monotonic()
        missing = False
        for key in keys:
            path = _path_when_made(made, key) or self._found.get(key)
            if path is None:
                self.facts[key] = _UNKNOWN
                missing = True
            else:
                self._learn(key, path)
        if not missing or not self._walks.due(time.monotonic(), self._news_s):
            return
        began_s = time.monotonic()
        self._found = {
            CgroupKey("v1" if v1 else "v2", id): path
            for v1, root in roots.items()
            for id, path in cgroups.folders(root).items()
        }
        self._walks.done(began_s, time.monotonic())
        for key in keys:
            if key not in self._raw_paths and key in self._found:
                self._learn(key, self._found[key])

    def _learn(self, key: CgroupKey, raw: str) -> None:
        path = escape(os.fsencode(raw))
        self._raw_paths[key] = raw
        container = container_of(path)
        self.facts[key] = CgroupFacts(path, unit_of(path), container, self._name(path))

    def _name(self, path: str) -> str | None:
        """Return what the container is called, as far as that is known; many are known by name alone."""
        inside = containers_of(path)
        if not inside:
            return None
        return self._names.get(inside[-1]) if is_container_id(inside[-1]) else inside[-1]

    def _ask_names(self) -> None:
        """Ask for the names of containers that have none yet, now and then."""
        unnamed: dict[str, int | None] = {}
        for facts in self.facts.values():
            if facts.container and facts.container_name is None and facts.path is not None and not facts.gone:
                id = containers_of(facts.path)[-1]
                if id not in self._names and is_container_id(id):
                    unnamed[id] = _user_of(facts.path)
        now_s = time.monotonic()
        if not unnamed or now_s < self._names_s:
            return
        self._names_s = now_s + _NAMES_EVERY_S
        self._asked_s = {id: self._asked_s.get(id, 0.0) for id in unnamed}
        asked = sorted(unnamed.items(), key=lambda one: self._asked_s[one[0]])[:CONTAINERS_MAX]
        self._asked_s |= {id: now_s for id, _ in asked}
        if len(self._names) > _NAMES_MAX:
            self._names.clear()  # those that still have rows are asked for again
        with suppress(OSError):  # the helper has ended, or is stuck
            for (id, _), name in zip(asked, self._root.container_names(asked), strict=True):
                if name:
                    self._names[id] = escape(name)
        for key, facts in self.facts.items():
            if facts.container and facts.container_name is None and facts.path is not None:
                self.facts[key] = facts._replace(container_name=self._name(facts.path))

    def _looked_at(self, key: CgroupKey, roots: Mapping[bool, Path], states: dict[str, ContainerState]) -> CgroupFacts:
        """Return the facts as of now: what is in the folder of the cgroup."""
        facts, root = self.facts[key], roots.get(key.v1)
        if root is None:
            return facts
        raw = self._raw_paths[key]
        folder = root / raw.lstrip("/")
        gone = False
        members: tuple[int, ...] | None = None
        try:
            gone = folder.stat().st_ino != key.id
            if not gone:
                members = tuple(map(int, (folder / "cgroup.procs").read_bytes().split()))
        except FileNotFoundError:
            gone = True
        except OSError:  # a threaded cgroup, or we may not
            pass
        state: ContainerState | None = None
        if facts.container is not None:
            own = _own_cgroup(raw)
            if own not in states:
                states[own] = _state(root, own, v1=key.v1)
            state = states[own]
        if gone:
            self._members[key] = ()
            return facts._replace(state=state, gone=gone, running=0, blocked=0)
        if members is None:
            self._members.pop(key, None)
            return facts._replace(state=state, gone=gone, running=None, blocked=None)
        self._members[key] = members
        return facts._replace(state=state, gone=gone, running=len(members))


def _path_when_made(made: maps.Map | None, key: CgroupKey) -> str | None:
    """Return the path that a cgroup was made with while the probe is on."""
    if made is None:
        return None
    raw = maps.lookup(made, struct.pack("=QQ", key.id, key.v1), MADE_PATH_LEN)
    return os.fsdecode(raw.partition(b"\0")[0]) if raw is not None else None


def _user_of(path: str) -> int | None:
    match = _USER_SLICE.search(path)
    return int(match[1]) if match else None


def _own_cgroup(path: str) -> str:
    """Return the topmost cgroup of the container that the cgroup *path* lies in."""
    inside = containers_of(escape(os.fsencode(path)))
    while (above := os.path.dirname(path)) != path and containers_of(escape(os.fsencode(above))) == inside:
        path = above
    return path


def _state(root: Path, path: str, *, v1: bool) -> ContainerState:
    """Return the state of a container, by its cgroup: whether there are processes in it, or below, and may run."""
    folder = root / path.lstrip("/")
    # Where there are both hierarchies, engines freeze by v1's controller, which is mounted beside them.
    paused = _is_frozen(root.parent / "freezer" / path.lstrip("/"))
    try:
        if v1:
            populated = int((folder / "pids.current").read_bytes()) > 0
        else:
            events = (folder / "cgroup.events").read_bytes().splitlines()
            populated = b"populated 0" not in events
            paused |= b"frozen 1" in events
    except (OSError, ValueError):
        populated = folder.exists()
    return "exited" if not populated else "paused" if paused else "running"


def _is_frozen(folder: Path) -> bool:
    try:
        return (folder / "freezer.state").read_bytes().strip() == b"FROZEN"
    except OSError:
        return False
