"""Where counting begins: a reading that is subtracted from all later ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from ebpftop.core.clock import time_text
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
        """Return what came after *before*. If the sum shrank, the counters were reset: all of it came after."""
        if self.count < before.count:
            return self
        return Sum(self.count - before.count, max(0, self.errors - before.errors))


_NOTHING = Sum()


@dataclass(frozen=True)
class Baseline:
    """A reading at which counting begins, and why: the key Z, or a change of the filter."""

    reading: Syscalls
    why: Why
    callers: Syscalls | None = None
    """The first reading of who calls since then; None if there was none yet."""

    @classmethod
    def at(cls, reading: Syscalls, why: Why) -> Baseline:
        """Begin at *reading*."""
        return cls(reading, why).completed(reading)

    def completed(self, reading: Syscalls) -> Baseline:
        """Return this baseline; with the callers in *reading* if it is the first since then."""
        if self.callers is None and reading.callers_time >= self.reading.time:
            return Baseline(self.reading, self.why, reading)
        return self

    @property
    def text(self) -> str:
        """The label of figures that are counted from here."""
        at = time_text(self.reading.time)
        return f"since {at}, {'Z' if self.why == 'Z' else 'the filter'}"

    @cached_property
    def rows(self) -> Mapping[CallKey, SyscallRow]:
        """The counters of each call."""
        return {(row.abi, row.nr): row for row in self.reading.rows}

    # A reading lists only the busiest pairs of process and call. A pair that is not listed had at most as many calls as
    # the smallest one that is. So that many are subtracted, and the figure of a process is a lower bound.

    def pair(self, process: ProcessKey, call: CallKey) -> Sum:
        """Return an upper bound of what a process and a call had reached."""
        listed = self._pairs.get((process, call))
        if listed is None:
            whole = self._came_later(process) or process in self._listed_whole
            return _NOTHING if whole else self._most_unlisted.get(call, _NOTHING)
        return listed

    def process(self, process: ProcessKey) -> Sum:
        """Return an upper bound of what a process had reached."""
        listed = self._processes.get(process)
        if listed is None:
            return _NOTHING if self._came_later(process) else self._most_unlisted_process
        return listed

    @property
    def _listed(self) -> Syscalls:
        return self.callers or self.reading

    def _came_later(self, process: ProcessKey) -> bool:
        return self.callers is not None and process[1] > self.callers.boot_ns

    @cached_property
    def _listed_whole(self) -> frozenset[ProcessKey]:
        ranked = sorted(self._processes, key=lambda process: -self._processes[process].count)
        return frozenset(ranked[:WHOLE_PROCESSES])

    @cached_property
    def _pairs(self) -> Mapping[tuple[ProcessKey, CallKey], Sum]:
        return {((p.pid, p.start_ns), (p.abi, p.nr)): Sum(p.count, p.errors) for p in self._listed.processes}

    @cached_property
    def _processes(self) -> Mapping[ProcessKey, Sum]:
        return {(p.pid, p.start_ns): Sum(p.count, p.errors) for p in self._listed.process_totals}

    @cached_property
    def _most_unlisted(self) -> Mapping[CallKey, Sum]:
        listed: dict[CallKey, list[Sum]] = {}
        for (_, call), pair in self._pairs.items():
            listed.setdefault(call, []).append(pair)
        return {call: _least(pairs, PROCESSES_OF_A_CALL) for call, pairs in listed.items()}

    @cached_property
    def _most_unlisted_process(self) -> Sum:
        return _least(self._processes.values(), WHOLE_PROCESSES)


def _least(listed: Iterable[Sum], whole: int) -> Sum:
    """Return the smallest of the *whole* largest. If there are fewer, all are listed: return zero."""
    counts = sorted((one.count for one in listed), reverse=True)
    return Sum(counts[whole - 1], counts[whole - 1]) if len(counts) >= whole else _NOTHING
