"""Which processes are listed: those that make each call most, and those that make most calls.

What the last reading listed stays until another has a quarter more calls: many have about the same number, and rows
that come and go at each reading tell nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from ebpftop.core.records import PROCESSES_OF_A_CALL, WHOLE_PROCESSES, ProcessCalls, ProcessTotal


class CallingProcess:
    """A process that is in the map of callers, or that is listed."""

    __slots__ = (
        *("calls", "comm", "count", "ended", "errors", "keys", "key", "most", "named_by"),
        *("pid", "places", "renamed", "rows", "shown", "start_ns", "total", "whole"),
    )

    def __init__(self, key: bytes, start_ns: int, pid: int) -> None:
        self.key = key
        self.start_ns = start_ns
        self.pid = pid
        self.count = 0
        self.errors = 0
        self.calls: dict[int, list[int]] = {}
        """Calls and errors by slot, of all users that it calls as; they never shrink."""
        self.keys: list[bytes] = []
        """The keys of its pairs in the kernel's map."""
        self.most = 0
        self.named_by = b""
        """The value of its busiest pair, which has its name."""
        self.renamed: bytes | None = None
        self.comm: str | None = None
        self.ended = False
        self.whole = False
        """It is among the busiest processes: all its calls are listed."""
        self.places: set[int] = set()
        """The slots that it is listed for."""
        self.rows: dict[int, ProcessCalls] = {}
        self.shown: tuple[ProcessCalls, ...] = ()
        self.total: ProcessTotal | None = None

    @property
    def is_listed(self) -> bool:
        return self.whole or bool(self.places)


class BusiestCallers:
    """The processes that are listed. Only those that grew are compared, with the least of those that are listed."""

    def __init__(self) -> None:
        self._whole: list[CallingProcess] = []
        self._of_slot: dict[int, list[CallingProcess]] = {}
        self.least_whole = 0
        """A process with more calls than this is one of the busiest."""
        self.least: dict[int, int] = {}
        """The same of each slot."""

    def choose(self, grown: Mapping[int, Mapping[bytes, CallingProcess]], changed: dict[bytes, CallingProcess]) -> None:
        """List what has become one of the busiest; *grown* are the processes with more calls, by slot.

        What is not listed any more is added to *changed*, which has all processes with more calls.
        """
        for slot, processes in grown.items():
            listed, least = self._of_slot.get(slot, []), self.least.get(slot, 0)
            rising = [p for p in processes.values() if slot not in p.places and p.calls[slot][0] > least]
            if rising:

                def place(process: CallingProcess, slot: int = slot) -> tuple[int, int, int, int]:
                    count, errors = process.calls[slot]
                    return -count * (5 if slot in process.places else 4), -errors, process.start_ns, process.pid

                ranked = sorted((*listed, *rising), key=place)
                listed = self._of_slot[slot] = ranked[:PROCESSES_OF_A_CALL]
                for process in ranked[PROCESSES_OF_A_CALL:]:
                    if slot in process.places:
                        process.places.discard(slot)
                        changed[process.key] = process
                for process in listed:
                    process.places.add(slot)
            full = len(listed) >= PROCESSES_OF_A_CALL
            self.least[slot] = min(p.calls[slot][0] for p in listed) * 5 // 4 if full else 0
        self._choose_whole(changed)

    def _choose_whole(self, changed: dict[bytes, CallingProcess]) -> None:
        rising = [p for p in changed.values() if not p.whole and p.count > self.least_whole]
        if rising:
            ranked = sorted(
                (*self._whole, *rising), key=lambda p: (-p.count * (5 if p.whole else 4), p.start_ns, p.pid)
            )
            self._whole = ranked[:WHOLE_PROCESSES]
            for process in ranked[WHOLE_PROCESSES:]:
                if process.whole:
                    process.whole = False
                    changed[process.key] = process
            for process in self._whole:
                process.whole = True
        full = len(self._whole) >= WHOLE_PROCESSES
        self.least_whole = min(p.count for p in self._whole) * 5 // 4 if full else 0
