"""Which BPF program printed a line: the one whose machine code the calls lead back to that ended at our tracepoint."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ebpftop.core.escape import comm_text
from ebpftop.core.trace_records import PrintingProgram
from ebpftop.kernel.bpf_programs import CODES_MAX, Code, Listing
from ebpftop.kernel.clocks import SleepClock

UNKNOWN = 0
"""No program has this id."""

NAMED_MAX = 4096
"""If there are more names, those of programs whose places were taken are forgotten."""

_RECHECK_S = 1.0
"""A program may end, and another one come into its place: what has a place is taken as known for so long."""


class PrintingPrograms:
    """The programs of the machine by the places of their code; one that has ended stays until its place is taken."""

    def __init__(self, newer: Callable[[int], Listing]) -> None:
        """*newer* lists programs beyond an id; it may raise OSError."""
        self.own: frozenset[int] = frozenset()
        """The ids of our own programs, which stay where they are."""
        self._newer = newer
        self._last_id = 0
        self._codes: list[Code] = []
        self._starts: list[int] = []
        self._checked_s = -_RECHECK_S
        self._is_fresh = False
        self._clock = SleepClock()
        self._named: dict[int, PrintingProgram] = {}

    def begin(self) -> None:
        """Begin a round: programs that were loaded since the last one are asked for at most once in it."""
        self._is_fresh = False
        if len(self._named) > NAMED_MAX:
            have_places = {code.program_id for code in self._codes}
            self._named = {number: named for number, named in self._named.items() if number in have_places}

    def find(self, frames: Sequence[int], time_ns: int) -> int:
        """Return the id of the program that printed at *time_ns*; *frames* begin with our own program's. Or UNKNOWN."""
        code = self._at(frames)
        if code is None or (code.program_id not in self.own and time.monotonic() - self._checked_s > _RECHECK_S):
            self.refresh()
            code = self._at(frames)
        if code is None or code.loaded_ns - self._clock.asleep_ns() > time_ns:
            return UNKNOWN
        return code.program_id

    def program(self, program_id: int) -> PrintingProgram | None:
        """Return a program that was found; None for UNKNOWN."""
        return self._named.get(program_id)

    def refresh(self) -> None:
        """Ask for programs loaded since the last time. If that is refused, nothing is known of them."""
        if self._is_fresh:
            return
        self._is_fresh = True
        self._checked_s = time.monotonic()
        try:
            while True:
                self._last_id, codes = self._newer(self._last_id)
                self._add(codes)
                if len(codes) < CODES_MAX:
                    return
        except OSError:
            return

    @property
    def knows_own(self) -> bool:
        """Whether the kernel told where our own programs are, so that it tells it of others too."""
        return bool(self.own & self._named.keys())

    def _add(self, codes: Sequence[Code]) -> None:
        for code in codes:
            end = code.start + code.length
            first = bisect_right(self._starts, code.start)
            if first and self._codes[first - 1].start + self._codes[first - 1].length > code.start:
                first -= 1
            last = first
            while last < len(self._starts) and self._starts[last] < end:
                last += 1
            self._codes[first:last] = [code]
            self._starts[first:last] = [code.start]
            self._named[code.program_id] = PrintingProgram(id=code.program_id, name=comm_text(code.name))

    def _at(self, frames: Sequence[int]) -> Code | None:
        """Return the code in which the innermost of *frames* lies, but for the first."""
        for frame in frames[1:]:
            at = bisect_right(self._starts, frame) - 1
            if at >= 0 and frame <= self._starts[at] + self._codes[at].length:
                return self._codes[at]
        return None
