"""How often programs ran since ebpftop watches: the kernel counts since they were loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ebpftop.kernel.bpf_objects import Counts


class Runs(NamedTuple):
    """Totals."""

    runs: int = 0
    run_ns: int = 0
    misses: int = 0

    def plus(self, other: Runs) -> Runs:
        """Return the sum."""
        return Runs(self.runs + other.runs, self.run_ns + other.run_ns, self.misses + other.misses)


class RunTotals:
    """The totals of each program, and of all together. What ran while nobody watched is in none."""

    def __init__(self) -> None:
        self.of: dict[int, Runs] = {}
        """Those of the programs that there are, by id."""
        self._gone = Runs()
        self._last: dict[int, Counts] = {}
        self._is_first = True

    def pause(self) -> None:
        """Nobody watches from now on: the next reading is only what later ones are measured against."""
        self._is_first = True

    def update(self, counts: Iterable[Counts]) -> None:
        """Take a reading of all programs. One that was loaded since the last one counts with all that it ran."""
        last = {one.id: one for one in counts}
        totals = {}
        for number, one in last.items():
            before = self.of.get(number, Runs())
            if self._is_first:
                totals[number] = before
                continue
            old = self._last.get(number) or Counts(number, 0, 0, 0)
            totals[number] = before.plus(
                Runs(max(0, one.runs - old.runs), max(0, one.run_ns - old.run_ns), max(0, one.misses - old.misses))
            )
        for number in self.of.keys() - last.keys():
            self._gone = self._gone.plus(self.of[number])
        self.of, self._last, self._is_first = totals, last, False

    @property
    def all(self) -> Runs:
        """All programs together, with those that have gone."""
        total = self._gone
        for one in self.of.values():
            total = total.plus(one)
        return total
