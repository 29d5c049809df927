"""The eBPF programs of the machine: what each runs, and what that takes of a CPU, over time."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ebpftop.core.program_records import ProgramMap, ProgramOwner, ProgramRow, Programs
from ebpftop.core.records import Probe
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch

PROBE = "programs"

KEPT = 60
"""Readings whose rates are kept of each program."""

NEWS_S = 10.0
"""So long a program is marked that was loaded, or is gone."""


class Totals(NamedTuple):
    """What only grows: runs, the time that they took on all CPUs together, and runs that were left out."""

    runs: int
    run_ns: int
    misses: int


class Rates(NamedTuple):
    """What a program did between two readings. `cpu` is the share of one CPU, of all CPUs together."""

    runs: float
    cpu: float
    misses: float

    @property
    def ns_per_run(self) -> float | None:
        """How long a run took on average; None if there was none."""
        return self.cpu * 1e9 / self.runs if self.runs > 0 else None


NOTHING = Rates(0.0, 0.0, 0.0)


class Usage:
    """Totals as they were read, and what follows from them: the rates over the last reading, and those before."""

    __slots__ = ("history", "now", "time", "totals")

    def __init__(self) -> None:
        self.totals = Totals(0, 0, 0)
        self.time: float | None = None
        self.now: Rates | None = None
        """Over the last reading; None if there was no other before it."""
        self.history: deque[Rates] = deque(maxlen=KEPT)

    def read(self, totals: Totals, time: float) -> None:
        """Read *totals* at *time* (Unix seconds). If one of them shrank, they were reset: all of them is new."""
        if self.time is not None and time == self.time:
            return  # a rate needs a time; the next reading has what was gained
        if self.time is not None and time > self.time:
            before, seconds = self.totals, time - self.time
            if any(new < old for new, old in zip(totals, before, strict=True)):
                before = Totals(0, 0, 0)
            self.now = Rates(
                (totals.runs - before.runs) / seconds,
                (totals.run_ns - before.run_ns) / seconds / 1e9,
                (totals.misses - before.misses) / seconds,
            )
            self.history.append(self.now)
        else:  # the first one, or the clock was set back
            self.now = None
        self.totals, self.time = totals, time

    def cut(self) -> None:
        """What comes next does not follow from what was read last: nothing was counted meanwhile."""
        self.time = self.now = None
        self.history.clear()


@dataclass(eq=False, slots=True)
class Program:
    """A program, as it was read last.

    `came` is when it was first seen if it was not there from the beginning, `gone` when it was missed (Unix seconds).
    """

    row: ProgramRow
    came: float | None = None
    gone: float | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def rates(self) -> Rates | None:
        """What it did over the last reading; None if that is not known."""
        return self.usage.now

    @property
    def cpu(self) -> float:
        """The share of one CPU over the last reading; -1 if that is not known."""
        return -1.0 if self.usage.now is None else self.usage.now.cpu


@dataclass(frozen=True, slots=True)
class Shares:
    """What all programs did over the last reading: ebpftop's own, and those of others."""

    all: Rates
    own: Rates
    others: Rates


class ProgramsModel:
    """All programs of the machine. Rates are over the times of the readings; there is no other clock."""

    def __init__(self) -> None:
        self.latest: Programs | None = None
        self.readings = 0
        self.machine = Usage()
        self.maps: Mapping[int, ProgramMap] = {}
        self._programs: dict[int, Program] = {}
        self._users: defaultdict[int, list[Program]] | None = None
        """The programs that use each map; None until somebody asks."""
        self._is_cut = True

    def begin_after(self, before: EventCounts) -> None:
        """Nothing of it depends on what was before."""

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        for record in batch.records:
            if isinstance(record, Programs):
                self._read(record)
            elif isinstance(record, Probe) and record.probe == PROBE and record.state != "on":
                self._cut()

    @property
    def counts_runs(self) -> bool:
        """Whether the kernel counts runs and times."""
        return self.latest is not None and self.latest.stats is not None

    @property
    def programs(self) -> list[Program]:
        """All of them, in the order of their ids, also those that are gone since a moment ago."""
        return list(self._programs.values())

    def find(self, number: int) -> Program | None:
        """Return the program of an id."""
        return self._programs.get(number)

    def maps_of(self, row: ProgramRow) -> list[ProgramMap]:
        """Return the maps that a program uses, as far as they are known."""
        return [self.maps[number] for number in row.maps if number in self.maps]

    def users_of(self, number: int) -> list[Program]:
        """Return the programs that use a map."""
        if self._users is None:
            self._users = defaultdict(list)
            for program in self._programs.values():
                for each in program.row.maps:
                    self._users[each].append(program)
        return self._users.get(number, [])

    @property
    def shares(self) -> Shares | None:
        """What all did over the last reading, and what of it was ebpftop's own; None if that is not known."""
        whole = self.machine.now
        if whole is None:
            return None
        known = [p.usage.now for p in self._programs.values() if p.row.own and p.usage.now is not None]
        own = Rates(*(sum(part) for part in zip(*known, strict=True))) if known else NOTHING
        # What has gone since the reading before is in the whole, and in no row.
        others = Rates(*(max(0.0, all_of - ours) for all_of, ours in zip(whole, own, strict=True)))
        return Shares(whole, own, others)

    def _cut(self) -> None:
        self._is_cut = True
        self.readings += 1
        for usage in (self.machine, *(program.usage for program in self._programs.values())):
            usage.cut()

    def _read(self, reading: Programs) -> None:
        time, before = reading.time, self._programs
        found: dict[int, Program] = {}
        for row in reading.rows:
            program = before.get(row.id)
            if program is None or program.row.tag != row.tag:
                # Ids are used again after a restart of the machine, as in recordings that were joined.
                program = Program(row, came=None if self._is_cut else time)
                if not self._is_cut:
                    # It had run nothing before that is not in its first totals.
                    program.usage.read(Totals(0, 0, 0), self.latest.time if self.latest is not None else time)
            program.row, program.gone = row, None
            found[row.id] = program
        for number, program in before.items():
            if number not in found and not self._is_cut:
                program.gone = program.gone or time
                if 0 <= time - program.gone < NEWS_S:
                    program.usage.now = NOTHING
                    found[number] = program
        if reading.stats is not None:
            for program in found.values():
                if program.gone is None:
                    row = program.row
                    program.usage.read(Totals(row.runs, row.run_ns, row.misses), time)
            machine = reading.machine
            self.machine.read(Totals(machine.runs, machine.run_ns, machine.misses), time)
        else:
            for usage in (self.machine, *(program.usage for program in found.values())):
                usage.cut()
        self._programs, self._users = dict(sorted(found.items())), None
        self.maps = {one.id: one for one in reading.maps}
        self.latest = reading
        self.readings += 1
        self._is_cut = False


def is_new(program: Program, now: float) -> bool:
    """Return whether it was loaded a moment before *now*."""
    return program.came is not None and program.gone is None and 0 <= now - program.came < NEWS_S


def owners_text(owners: tuple[ProgramOwner, ...]) -> str:
    """Name the processes that hold a program: each name once."""
    return ", ".join(dict.fromkeys(owner.comm for owner in owners))
