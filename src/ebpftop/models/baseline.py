"""Where counting begins: a reading that all later ones are counted from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, TypeAlias

from ebpftop.core.records import PROCESSES_OF_A_CALL, WHOLE_PROCESSES, Abi, SyscallRow, Syscalls

CallKey: TypeAlias = tuple[Abi, int]
ProcessKey: TypeAlias = tuple[int, int]
"""Process id and start (ns since boot)."""

Why: TypeAlias = Literal["Z", "filter"]


@dataclass(frozen=True)
class Sum:
    """Calls, and how many of them failed."""

    count: int = 0
    errors: int = 0

    def since(self, before: Sum) -> Sum:
        """Return what came after *before*; a sum that shrank was counted anew, and all of it did."""
        if self.count < before.count:
            return self
        return Sum(self.count - before.count, max(0, self.errors - before.errors))


_NOTHING = Sum()


@dataclass(frozen=True)
class Baseline:
    """A reading from which is counted, and why from there: somebody pressed Z, or the filter changed."""

    reading: Syscalls
    why: Why

    @property
    def text(self) -> str:
        """What is said of figures that are counted from here."""
        at = datetime.fromtimestamp(self.reading.time).strftime("%H:%M:%S")
        return f"since {at}, {'Z' if self.why == 'Z' else 'the filter'}"

    @cached_property
    def rows(self) -> Mapping[CallKey, SyscallRow]:
        """The counters of each call."""
        return {(row.abi, row.nr): row for row in self.reading.rows}

    # A reading tells only the busiest pairs of process and call. One that it does not tell had at most as many calls as
    # the least that it tells. So many are left out, and what is said of a process is the least that it can be.

    def pair(self, process: ProcessKey, call: CallKey) -> Sum:
        """Return what a process and a call had at most come to."""
        told = self._pairs.get((process, call))
        if told is None:
            whole = self._came_later(process) or process in self._told_whole
            return _NOTHING if whole else self._most_untold.get(call, _NOTHING)
        return told

    def process(self, process: ProcessKey) -> Sum:
        """Return what a process had at most come to."""
        told = self._processes.get(process)
        if told is None:
            return _NOTHING if self._came_later(process) else self._most_untold_process
        return told

    def _came_later(self, process: ProcessKey) -> bool:
        return process[1] > self.reading.since_boot

    @cached_property
    def _told_whole(self) -> frozenset[ProcessKey]:
        ranked = sorted(self._processes, key=lambda process: -self._processes[process].count)
        return frozenset(ranked[:WHOLE_PROCESSES])

    @cached_property
    def _pairs(self) -> Mapping[tuple[ProcessKey, CallKey], Sum]:
        return {((p.pid, p.start), (p.abi, p.nr)): Sum(p.count, p.errors) for p in self.reading.processes}

    @cached_property
    def _processes(self) -> Mapping[ProcessKey, Sum]:
        return {(p.pid, p.start): Sum(p.count, p.errors) for p in self.reading.process_totals}

    @cached_property
    def _most_untold(self) -> Mapping[CallKey, Sum]:
        told: dict[CallKey, list[Sum]] = {}
        for (_, call), pair in self._pairs.items():
            told.setdefault(call, []).append(pair)
        return {call: _least(pairs, PROCESSES_OF_A_CALL) for call, pairs in told.items()}

    @cached_property
    def _most_untold_process(self) -> Sum:
        return _least(self._processes.values(), WHOLE_PROCESSES)


def _least(told: Iterable[Sum], whole: int) -> Sum:
    """Return the least of the *whole* largest; nothing where there are fewer, so that none is left untold."""
    counts = sorted((one.count for one in told), reverse=True)
    return Sum(counts[whole - 1], counts[whole - 1]) if len(counts) >= whole else _NOTHING
