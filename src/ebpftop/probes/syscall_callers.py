"""Who makes which system call: when that is read. ebpftop.probes.syscall_processes is how."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from ebpftop.kernel import maps
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Module
from ebpftop.probes.process_names import NAME_PLACES
from ebpftop.probes.syscall_processes import ProcessCounters, SyscallCounters
from ebpftop.probes.syscall_slots import Slots

# Pairs of process and call. Each has a value for every CPU, so that large machines get fewer: 16 MB on 128 CPUs.
PROCESS_CALLS_MAX = max(4096, min(16384, 131072 // maps.CPUS))
ENDED_MAX = 8192  # processes that ended since the pairs were read
FILLING_EVERY_S = 0.1  # how often to check whether the pairs have to be read early
FAST_PAIRS_PER_S = 200  # so many pairs, some ten programs a second: check between the readings too
CALM_CALLS = 1000  # if there were fewer since the pairs were read, it matters little whose they were
_EARLY_S = 0.25  # the pairs are read with the reading that comes nearest to when they are due


def map_entries() -> Mapping[str, int]:
    """Return the sizes of the maps that are only about processes."""
    return {"process_calls": PROCESS_CALLS_MAX, "process_names": NAME_PLACES, "ended_processes": ENDED_MAX}


def attach(module: Module) -> None:
    """Attach what sees processes renamed and ended.

    Without the first, the names in the pairs are nearly as good; without the other, pairs stay until they are evicted.
    """
    for event, function in (
        ("task_rename", "name_on_task_rename"),
        ("sched_process_exit", "pairs_on_sched_process_exit"),
    ):
        with suppress(LoadError):
            module.attach("raw_tracepoint", event, function)


class Callers:
    """Who calls, as it was read last. That is the most expensive part of a reading, so it is not read with each."""

    def __init__(self, slots: Slots, *, every_s: float, calm_s: float, latency: bool) -> None:
        """Read every *every_s*, while there are few calls every *calm_s*; 0: with each reading."""
        self.pairs = ProcessCounters(slots, latency=latency)
        self.are_made_fast = False
        """So many pairs of process and call are new that the map may fill before the next reading."""
        self._every_s, self._calm_s = every_s, calm_s
        self._watched = False
        self._at_calls = 0
        self._check_s = 0.0
        self.forget()

    def forget(self) -> None:
        """Forget what was read: the maps are gone."""
        self.counters = SyscallCounters()
        self.time: float | None = None
        """When `counters` were read, in Unix seconds."""
        self.be_due()

    def be_due(self) -> None:
        """Let the next reading have who calls."""
        self._due_s = self._calm_due_s = 0.0

    def watch(self, watched: bool) -> bool:
        """Read with every reading while that is *watched*; return whether it was not before."""
        begins = watched and not self._watched
        self._watched = watched
        return begins

    def read(self, module: Module, now: float, calls: int) -> None:
        """Read who calls if it is time; *calls* is how many calls there were."""
        now_s = monotonic()
        calm = calls < self._at_calls + CALM_CALLS
        if self._watched or now_s >= (self._calm_due_s if calm else self._due_s):
            self.counters, self.time = self.pairs.read(module), now
            self._due_s = now_s + self._every_s - _EARLY_S
            self._calm_due_s = max(self._due_s, now_s + self._calm_s - _EARLY_S)
            self._at_calls = calls

    def read_early(self, module: Module) -> None:
        """Read the pairs, without a record of them, if the map fills. It is checked now and then."""
        now_s, made = monotonic(), self.pairs.made
        if now_s < self._check_s:
            return
        if self.pairs.is_filling(module):
            self.pairs.update(module)
        seconds = max(0.2, now_s + FILLING_EVERY_S - self._check_s)
        self.are_made_fast = self.pairs.made - made > FAST_PAIRS_PER_S * seconds
        self._check_s = now_s + FILLING_EVERY_S
