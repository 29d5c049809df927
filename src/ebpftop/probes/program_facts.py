"""What is known of the programs of the machine beside how often they ran: names, maps, owners, where they are attached.

Whatever asks for all processes, links or cgroups is asked now and then, at once if there are new programs.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ebpftop.core.escape import c_string, comm_text, escape
from ebpftop.core.program_records import ProgramMap, ProgramOwner
from ebpftop.kernel import btf, cgroups, device_programs
from ebpftop.kernel.bpf_holders import Holder
from ebpftop.kernel.bpf_names import cgroup_attach_types, map_type, program_type
from ebpftop.kernel.bpf_objects import FACTS_MAX, LinkFacts, ProgramFacts
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.root_work import CGROUPS_MAX, RootWork
from ebpftop.probes import program_places
from ebpftop.probes.pacing import Pace

_PATIENCE_S = 2.0
"""How long the first reading may look for owners."""
_EACH_S = 0.1
"""How long each later one may."""
_SETTLES_S = 1.5
"""A program is loaded first, and attached, pinned or handed on within this time."""

# How often, how soon if programs are new, and which share of a CPU at most.
_OWNERS = (10.0, 1.0, 0.02)
_LINKS = (5.0, 0.0, 0.02)
_CGROUPS = (30.0, 1.0, 0.01)
_DEVICES = (10.0, 1.0, 0.01)
_MAPS = (10.0, 10.0, 0.01)


class ProgramTable:
    """All programs by their ids, with what belongs to them. `refresh` asks the kernel; it may raise OSError."""

    def __init__(self, root: RootWork) -> None:
        self._root = root
        self.facts: dict[int, ProgramFacts] = {}
        self.maps: dict[int, ProgramMap] = {}
        self.owners: Mapping[int, tuple[ProgramOwner, ...]] = {}
        self.owners_time: float | None = None
        """When the last look at all processes ended, Unix seconds."""
        self.places_refused: str | None = None
        """Why links could not be listed."""
        self._holders = _Holders(root)
        self._links = _Links(root)
        self._cgroups = _Cgroups(root)
        self._devices = _Devices()
        self._functions = _Functions()
        self._map_pace = Pace(*_MAPS)
        self._news_s = 0.0

    def refresh(self, ids: Collection[int]) -> None:
        """Look at the programs *ids*: all that there are."""
        now_s = time.monotonic()
        for gone in self.facts.keys() - set(ids):
            del self.facts[gone]
        if new := sorted(set(ids) - self.facts.keys()):
            self._news_s = now_s + _SETTLES_S
            self._learn(new)
        self._refresh_maps(now_s)
        self._links.refresh(now_s, self._news_s)
        self.places_refused = self._links.refused
        types = {facts.type for facts in self.facts.values()}
        self._cgroups.refresh(now_s, self._news_s, types, links=self._links.to_cgroups)
        self._devices.refresh(now_s, self._news_s, types)
        if self._holders.refresh(now_s, self._news_s):
            self.owners, self.owners_time = self._holders.owners, time.time()

    def _learn(self, new: Iterable[int]) -> None:
        for some in _batches(new, FACTS_MAX):
            self.facts |= {facts.id: facts for facts in self._root.program_facts(some)}
        self._functions.learn(self.facts.values())

    def _refresh_maps(self, now_s: float) -> None:
        used = {number for facts in self.facts.values() for number in facts.maps}
        for gone in self.maps.keys() - used:
            del self.maps[gone]
        everything = self._map_pace.due(now_s)
        for some in _batches(sorted(used if everything else used - self.maps.keys()), FACTS_MAX):
            for one in self._root.map_facts(some):
                found = ProgramMap(
                    id=one.id, type=map_type(one.type), name=c_string(one.name), entries=one.entries, bytes=one.memory
                )
                if self.maps.get(one.id) != found:
                    self.maps[one.id] = found
        if everything:
            self._map_pace.done(now_s, time.monotonic())

    def name(self, facts: ProgramFacts) -> str:
        """Return the whole name of a program where it is known."""
        return escape(facts.function or facts.name)

    def places(self, facts: ProgramFacts) -> tuple[str, ...]:
        """Return where a program is attached, each place once."""
        function = self._functions.of(facts)
        cgroup = self._cgroups.path
        found = [program_places.of_link(link, function, cgroup) for link in self._links.of.get(facts.id, ())]
        found += self._cgroups.places.get(facts.id, ())
        found += self._devices.places.get(facts.id, ())
        # The owner of a link of a perf event holds that too; before Linux 6.6 only the event says where it is.
        if events := self._holders.places.get(facts.id):
            found = [place for place in found if place != program_places.AN_EVENT] + list(events)
        return tuple(dict.fromkeys(filter(None, found)))


def _batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    rest = iter(numbers)
    while some := list(islice(rest, size)):
        yield some


class _Holders:
    """Which processes hold programs: /proc is walked a piece at a time, since there may be thousands of processes."""

    def __init__(self, root: RootWork) -> None:
        self._root = root
        self._pace = Pace(*_OWNERS)
        self._after = 0
        self._began_s = 0.0
        self._took_s = 0.0
        self._found: list[Holder] = []
        self._is_first = True
        self.owners: dict[int, tuple[ProgramOwner, ...]] = {}
        self.places: dict[int, tuple[str, ...]] = {}

    def refresh(self, now_s: float, news_s: float) -> bool:
        """Go on for a while if it is due; return whether a round has ended."""
        if not self._after and not self._pace.due(now_s, news_s):
            return False
        if not self._after:
            self._began_s = now_s
        began_s = time.monotonic()
        until_s = began_s + (_PATIENCE_S if self._is_first else _EACH_S)
        ended = False
        while not ended and time.monotonic() < until_s:
            found, self._after = self._root.holders(self._after)
            self._found += found
            ended = not self._after
        ended_s = time.monotonic()
        self._took_s += ended_s - began_s
        if ended:
            self._is_first = False
            self._pace.done(self._began_s, ended_s, self._took_s)
            self._note(self._found)
            self._found, self._took_s = [], 0.0
        return ended

    def _note(self, found: Iterable[Holder]) -> None:
        owners: defaultdict[int, dict[ProgramOwner, None]] = defaultdict(dict)
        places: defaultdict[int, dict[str, None]] = defaultdict(dict)
        for held in found:
            owners[held.program][ProgramOwner(pid=held.pid, comm=comm_text(held.comm))] = None
            if place := program_places.of_holder(held):
                places[held.program][place] = None
        self.owners = {number: tuple(each) for number, each in owners.items()}
        self.places = {number: tuple(each) for number, each in places.items()}


class _Links:
    """All links by the program that they attach."""

    def __init__(self, root: RootWork) -> None:
        self._root = root
        self._pace = Pace(*_LINKS)
        self.of: dict[int, list[LinkFacts]] = {}
        self.refused: str | None = None

    def refresh(self, now_s: float, news_s: float) -> None:
        if not self._pace.due(now_s, news_s):
            return
        found: defaultdict[int, list[LinkFacts]] = defaultdict(list)
        than = 0
        try:
            while some := self._root.link_facts(than):
                than = some[-1].id
                for link in some:
                    found[link.program].append(link)
        except OSError as error:
            self.refused = error.strerror
        else:
            self.refused = None
        self.of = found
        self._pace.done(now_s, time.monotonic())

    @property
    def to_cgroups(self) -> bool:
        """Whether there are links to cgroups."""
        return any(link.type == program_places.CGROUP_LINK for links in self.of.values() for link in links)


class _Cgroups:
    """Programs that are attached to cgroups without a link, as systemd attaches them; and the paths of cgroups."""

    def __init__(self, root: RootWork) -> None:
        self._root = root
        self._pace = Pace(*_CGROUPS)
        self._paths: dict[int, str] = {}
        self.places: dict[int, list[str]] = {}

    def refresh(self, now_s: float, news_s: float, program_types: Collection[int], *, links: bool) -> None:
        """Look at all cgroups if there are programs for them, or *links* to them."""
        kinds = sorted({kind for number in program_types for kind in cgroup_attach_types(number)})
        if not kinds and not links:
            self.places = {}
            return
        if not self._pace.due(now_s, news_s):
            return
        found: defaultdict[int, list[str]] = defaultdict(list)
        root = cgroups.unified()
        self._paths = {number: escape(path) for number, path in cgroups.folders(root).items()} if root else {}
        for kind in kinds:
            with suppress(OSError):  # older than this kind, or cgroups are not told to us
                for some in _batches(self._paths, CGROUPS_MAX):
                    for number, programs in self._root.cgroup_programs(kind, some):
                        for program in programs:
                            found[program].append(program_places.of_cgroup(kind, self._paths[number]))
        self.places = found
        self._pace.done(now_s, time.monotonic())

    def path(self, number: int) -> str | None:
        """Return the path of a cgroup, if that is mounted here."""
        return self._paths.get(number)


class _Devices:
    """Programs that are attached to network devices without a link."""

    def __init__(self) -> None:
        self._pace = Pace(*_DEVICES)
        self.places: dict[int, list[str]] = {}

    def refresh(self, now_s: float, news_s: float, program_types: Collection[int]) -> None:
        names = {program_type(number) for number in program_types}
        filters = not names.isdisjoint(("sched_cls", "sched_act"))
        if not filters and "xdp" not in names:
            self.places = {}
            return
        if not self._pace.due(now_s, news_s):
            return
        found: defaultdict[int, list[str]] = defaultdict(list)
        with suppress(OSError):
            for one in device_programs.attached_to_devices(filters=filters):
                found[one.program].append(program_places.of_device(one))
        self.places = found
        self._pace.done(now_s, time.monotonic())


class _Functions:
    """Names of the kernel functions that programs of tracing are attached to, by BTF object and type."""

    def __init__(self, read: Callable[[str], bytes] | None = None) -> None:
        self._read = read or _types_of
        self._names: dict[tuple[bytes, int], str] = {}

    def learn(self, programs: Iterable[ProgramFacts]) -> None:
        """Look up the functions of *programs*: all of one object at once, for that takes a tenth of a second."""
        wanted: defaultdict[bytes, set[int]] = defaultdict(set)
        for facts in programs:
            if facts.attach_btf and facts.attach_type and (facts.attach_btf, facts.attach_type) not in self._names:
                wanted[facts.attach_btf].add(facts.attach_type)
        for name, ids in wanted.items():
            found: Mapping[int, bytes] = {}
            with suppress(OSError, BtfError):
                base = None if name == _KERNEL else self._read(_KERNEL.decode())
                found = btf.names(self._read(name.decode("ascii", "replace")), ids, base)
            self._names |= {(name, number): _function(found.get(number, b"")) for number in ids}

    def of(self, facts: ProgramFacts) -> str:
        """Return the function; empty if it is not known, or there is none."""
        return self._names.get((facts.attach_btf, facts.attach_type), "")


_KERNEL = b"vmlinux"


def _types_of(name: str) -> bytes:
    if "/" in name or name.startswith("."):
        raise FileNotFoundError(name)
    return Path("/sys/kernel/btf", name).read_bytes()


def _function(name: bytes) -> str:
    # So the kernel calls its tracepoints and the hooks of security modules (include/trace/bpf_probe.h, bpf_lsm.h).
    return escape(name.removeprefix(b"btf_trace_").removeprefix(b"bpf_lsm_"))
