"""How often the programs of a file ran, through all its reloads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ebpftop.core.escape import printable
from ebpftop.core.load_records import LineCount, LineCounts, ProgramRun, ProgramRuns
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import ProgramFacts


def facts_of(file: LoadedFile) -> dict[str, ProgramFacts]:
    """Return what the kernel says of the programs that run now, by name."""
    found = {}
    for name, state in file.programs.items():
        if state.fd is not None:
            with suppress(OSError, KeyError):
                found[name] = file.facts(name)
    return found


class RunTotals:
    """The totals of programs that were loaded before those that run now."""

    def __init__(self) -> None:
        self._before: dict[str, ProgramRun] = {}

    def add(self, facts: Mapping[str, ProgramFacts]) -> None:
        """Add programs that do not run any more."""
        for name, one in facts.items():
            self._before[name] = _plus(self._before.get(name), name, one)

    def reading(self, file: LoadedFile, now: float, *, counted: bool) -> ProgramRuns:
        """Return the totals; *counted*: whether the kernel counts them."""
        rows = {**self._before}
        for name, facts in facts_of(file).items():
            rows[name] = _plus(rows.get(name), name, facts)
        return ProgramRuns(time=now, rows=tuple(rows[name] for name in sorted(rows)), counted=counted)


def lines_of(file: LoadedFile, now: float) -> LineCounts:
    """Return how often each line ran since that is counted."""
    counts = sorted(file.line_counts().items())
    lines = tuple(LineCount(line=line, runs=runs) for line, runs in counts)
    return LineCounts(time=now, rows=lines, generation=file.generation)


def _plus(before: ProgramRun | None, name: str, facts: ProgramFacts) -> ProgramRun:
    return ProgramRun(
        program=printable(name),
        runs=facts.runs + (before.runs if before else 0),
        run_ns=facts.run_ns + (before.run_ns if before else 0),
        misses=facts.misses + (before.misses if before else 0),
    )
