"""Which processes are listed: those that make each call most or spend most time in it, and the busiest of all.

What the last reading listed stays until another has a quarter more: many have about the same number, and rows that come
and go at each reading tell nobody anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ebpftop.core.syscall_records import (
    PROCESSES_OF_A_CALL,
    WHOLE_PROCESSES,
    WORKING_PROCESSES,
    ProcessCalls,
    ProcessTotal,
)
from ebpftop.probes.pair_figures import COUNT, TOTAL_NS


class CallingProcess:
    """A process that is in the map of callers, or that is listed."""

    __slots__ = (
        *("calls", "comm", "count", "ended", "errors", "keys", "key", "max_ns", "most", "named_by"),
        *("pid", "places", "renamed", "rows", "shown", "start_ns", "total", "total_ns", "whole", "working_ns"),
    )

    def __init__(self, key: bytes, start_ns: int, pid: int) -> None:
        self.key = key
        self.start_ns = start_ns
        self.pid = pid
        self.count = 0
        self.errors = 0
        self.total_ns = 0
        self.max_ns = 0
        self.working_ns = 0
        """The time in calls that do not wait."""
        self.calls: dict[int, list[int]] = {}
        """Calls, errors, total and longest time by slot, of all users that it calls as; they never shrink."""
        self.keys: list[bytes] = []
        """The keys of its pairs in the kernel's map."""
        self.most = 0
        self.named_by = b""
        """The value of its busiest pair, which has its name."""
        self.renamed: bytes | None = None
        self.comm: str | None = None
        self.ended = False
        self.whole = 0
        """In how many lists of the busiest processes it is: if in any, all its calls are listed."""
        self.places: dict[int, int] = {}
        """The slots that it is listed for, and in how many lists of each."""
        self.rows: dict[int, ProcessCalls] = {}
        self.shown: tuple[ProcessCalls, ...] = ()
        self.total: ProcessTotal | None = None

    @property
    def is_listed(self) -> bool:
        return bool(self.whole or self.places)


Figure = Callable[[CallingProcess], int]


class _Largest:
    """The processes with the largest of one figure."""

    __slots__ = ("_figure", "least", "listed")

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self.listed: dict[bytes, CallingProcess] = {}
        self.least = 0
        """A process with more than this is one of them."""

    def choose(self, grown: Iterable[CallingProcess], room: int) -> tuple[list[CallingProcess], list[CallingProcess]]:
        """Let those that have *grown* take their places, if they have earned one; return who came and who went."""
        figure, listed, least = self._figure, self.listed, self.least
        came: list[CallingProcess] = []
        went: list[CallingProcess] = []
        rising = [p for p in grown if figure(p) > least and p.key not in listed]
        if rising:

            def place(process: CallingProcess) -> tuple[int, int, int, int]:
                weight = 5 if process.key in listed else 4
                return -figure(process) * weight, -process.errors, process.start_ns, process.pid

            ranked = sorted((*listed.values(), *rising), key=place)
            came = [p for p in ranked[:room] if p.key not in listed]
            went = [p for p in ranked[room:] if p.key in listed]
            self.listed = {p.key: p for p in ranked[:room]}
        full = len(self.listed) >= room
        self.least = min(map(figure, self.listed.values())) * 5 // 4 if full else 0
        return came, went


class BusiestCallers:
    """The processes that are listed. Only those that grew are compared, with the least of those that are listed."""

    def __init__(self) -> None:
        self._of_slot: dict[int, tuple[_Largest, _Largest]] = {}
        self._by_count = _Largest(lambda process: process.count)
        self._by_time = _Largest(lambda process: process.working_ns)

    def least(self, slot: int) -> tuple[int, int]:
        """Return the calls and the time with more of which a process is listed for *slot*."""
        lists = self._of_slot.get(slot)
        return (lists[0].least, lists[1].least) if lists else (0, 0)

    @property
    def least_whole(self) -> tuple[int, int]:
        """The calls, and the time in calls that do not wait, with more of which a process is listed whole."""
        return self._by_count.least, self._by_time.least

    def choose(self, grown: Mapping[int, Mapping[bytes, CallingProcess]], changed: dict[bytes, CallingProcess]) -> None:
        """List what has become one of the busiest; *grown* are the processes whose figures grew, by slot.

        What is not listed any more is added to *changed*, which has all processes whose figures grew.
        """
        for slot, processes in grown.items():
            lists = self._of_slot.get(slot) or self._of_slot.setdefault(slot, _lists_of(slot))
            for largest in lists:
                came, went = largest.choose(processes.values(), PROCESSES_OF_A_CALL)
                for process in came:
                    process.places[slot] = process.places.get(slot, 0) + 1
                for process in went:
                    process.places[slot] -= 1
                    if not process.places[slot]:
                        del process.places[slot]
                    changed[process.key] = process
        for largest, room in ((self._by_count, WHOLE_PROCESSES), (self._by_time, WORKING_PROCESSES)):
            came, went = largest.choose(changed.values(), room)
            for process in came:
                process.whole += 1
            for process in went:
                process.whole -= 1
                changed[process.key] = process


def _lists_of(slot: int) -> tuple[_Largest, _Largest]:
    return _Largest(lambda process: process.calls[slot][COUNT]), _Largest(lambda process: process.calls[slot][TOTAL_NS])
