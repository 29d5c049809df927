"""Where counting begins: a reading that is subtracted from all later ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from ebpftop.core.clock import time_text
from ebpftop.core.syscall_records import (
    PROCESSES_OF_A_CALL,
    WHOLE_PROCESSES,
    Abi,
    ProcessCalls,
    ProcessTotal,
    SyscallRow,
    Syscalls,
    UserCalls,
)

CallKey: TypeAlias = tuple[Abi, int]
ProcessKey: TypeAlias = tuple[int, int]
"""Process id and start (ns since boot)."""

Why: TypeAlias = Literal["Z", "filter"]


def failed_share(errors: int, calls: int) -> float:
    """Return which share of *calls* failed, 0 to 1.

    Calls are counted when they begin, errors when they end. Of a call that was in flight when counting began, only the
    error is counted: there may be more errors than calls.
    """
    return min(1.0, max(0.0, errors / calls)) if calls > 0 else 0.0


@dataclass(frozen=True)
class Sum:
    """Calls, how many of them failed, and how long they took; None: unknown, as in older recordings."""

    count: int = 0
    errors: int = 0
    total_ns: int | None = 0
    max_ns: int | None = 0

    @classmethod
    def of(cls, row: ProcessCalls | ProcessTotal | UserCalls | SyscallRow | None) -> Sum:
        """Return the figures of a row of a reading; zero if there is none."""
        return cls(row.count, row.errors, row.total_ns, row.max_ns) if row is not None else _NOTHING

    def since(self, before: Sum) -> Sum:
        """Return what came after *before*. If the sum shrank, the counters were reset: all of it came after."""
        if self.count < before.count:
            return self
        total_ns = None
        if self.total_ns is not None and before.total_ns is not None:
            total_ns = max(0, self.total_ns - before.total_ns)
        # Of a longest call that was longer before, it is not known how long the longest here was.
        grew = self.max_ns is not None and before.max_ns is not None and self.max_ns > before.max_ns
        errors = max(0, self.errors - before.errors)
        return Sum(self.count - before.count, errors, total_ns, self.max_ns if grew else None)


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

    # A reading lists only the busiest pairs of process and call, and one that is not listed had at most a quarter more
    # calls than the smallest one that is. So that many are subtracted, and the figure of a process is a lower bound.
    # The same holds for its time in a call; its time in all calls, and the longest one, are then not known.

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
        listed: dict[ProcessKey, int] = {}
        for (process, _), pair in self._pairs.items():
            listed[process] = listed.get(process, 0) + pair.count
        return frozenset(process for process, total in self._processes.items() if total.count == listed.get(process, 0))

    @cached_property
    def _pairs(self) -> Mapping[tuple[ProcessKey, CallKey], Sum]:
        return {((p.pid, p.start_ns), (p.abi, p.nr)): Sum.of(p) for p in self._listed.processes}

    @cached_property
    def _processes(self) -> Mapping[ProcessKey, Sum]:
        return {(p.pid, p.start_ns): Sum.of(p) for p in self._listed.process_totals}

    @cached_property
    def _most_unlisted(self) -> Mapping[CallKey, Sum]:
        listed: dict[CallKey, list[Sum]] = {}
        for (_, call), pair in self._pairs.items():
            listed.setdefault(call, []).append(pair)
        return {call: _bound(pairs) for call, pairs in listed.items()}

    @cached_property
    def _most_unlisted_process(self) -> Sum:
        most = _most([one.count for one in self._processes.values()], WHOLE_PROCESSES)
        return Sum(most, most, None, None) if most else _NOTHING


def _bound(listed: list[Sum]) -> Sum:
    """Return what a process that is not listed for a call had reached at most; *listed* are those that are."""
    most = _most([one.count for one in listed], PROCESSES_OF_A_CALL)
    times = [one.total_ns for one in listed if one.total_ns is not None]
    total_ns = _most(times, PROCESSES_OF_A_CALL) if len(times) == len(listed) else None
    return Sum(most, most, total_ns, None)


def _most(listed: list[int], room: int) -> int:
    """Return a quarter more than the smallest of the *room* largest. If there are fewer, all are listed: return 0."""
    figures = sorted(listed, reverse=True)
    return figures[room - 1] * 5 // 4 if len(figures) >= room else 0
