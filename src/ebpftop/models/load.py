"""A file that was loaded: what was tried last, what runs, its maps, its output, its bytecode."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

from ebpftop.core.load_records import (
    BpfEvent,
    Code,
    LineCounts,
    Loaded,
    LoadedMap,
    LoadedProgram,
    MapReading,
    ProgramRuns,
    hidden_text,
)
from ebpftop.core.records import Lost, Probe
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.core.trace_records import Trace
from ebpftop.models.filter_match import UNFILTERED, ViewFilter
from ebpftop.models.lesson import Lesson
from ebpftop.models.load_fields import leaves
from ebpftop.models.load_logs import EventsLog, TraceLog
from ebpftop.models.load_maps import EVENTS, MapTable
from ebpftop.models.processes import ENDED_BYTES, ENDED_KEPT, Processes
from ebpftop.models.programs import Rates, Totals, Usage

PROBE = "load"

_UNCLAIMED = 1000


class LineUse:
    """How often each line of the source ran: totals, and a second."""

    def __init__(self) -> None:
        self.totals: Mapping[int, int] = {}
        self.rates: Mapping[int, float] = {}
        self.time = 0.0
        self.generation = -1

    def read(self, reading: LineCounts) -> None:
        totals = {row.line: row.runs for row in reading.rows}
        seconds = reading.time - self.time
        if self.time and seconds > 0 and reading.generation == self.generation:
            before = self.totals
            self.rates = {line: max(0, runs - before.get(line, 0)) / seconds for line, runs in totals.items()}
        else:
            self.rates = {}
        self.totals, self.time, self.generation = totals, reading.time, reading.generation


class LoadModel:
    """All that the workbench shows. It has no clock: times are those of the records."""

    def __init__(self) -> None:
        self.latest: Loaded | None = None
        """What was tried last."""
        self.codes: dict[str, Code] = {}
        """What each program became, by its name."""
        self.lines = LineUse()
        self.maps: dict[str, MapTable] = {}
        """Those with entries, in the order of the source."""
        self.events: dict[str, EventsLog] = {}
        self.printed = TraceLog()
        self.usage: dict[str, Usage] = {}
        """What each program ran, by its name."""
        self.lost: dict[str, int] = {}
        self.hidden = ""
        """How many events were left out, and why; empty if none was."""
        self.processes = Processes(ENDED_KEPT, ENDED_BYTES)
        self.view_filter: ViewFilter = UNFILTERED
        self.lesson = Lesson()
        """The lesson that the file is, if it is one."""
        self.readings = 0
        self.time = 0.0
        """When something of it came last, Unix seconds; 0.0: nothing did."""
        self.is_on: bool | None = None
        """Whether the probe is attached, as far as it said so."""
        self._before = 0
        self._unclaimed: deque[Trace] = deque(maxlen=_UNCLAIMED)
        """Lines of programs that are not of the file, as far as is known yet: they come by another thread."""

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts."""
        self._before = before.of("event")

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only events of what matches."""
        self.view_filter = view_filter
        self.readings += 1

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        self.processes.feed(batch)
        for record in batch.records:
            if not isinstance(record, Trace):  # of which not all are of the file
                self.lesson.add(record)
            if isinstance(record, BpfEvent):
                self._log_of(record).add(record)
            elif isinstance(record, Trace):
                if not self._is_own(record):
                    self._unclaimed.append(record)
                    continue
                self._add_line(record)
            elif isinstance(record, MapReading):
                self._read_map(record)
            elif isinstance(record, Loaded):
                self._load(record)
            elif isinstance(record, LineCounts):
                self.lines.read(record)
            elif isinstance(record, Code):
                self.codes[record.program] = record
            elif isinstance(record, ProgramRuns):
                self._read_runs(record)
            elif isinstance(record, Lost) and record.probe == PROBE:
                self.lost[record.where] = record.count
            elif isinstance(record, Probe) and record.probe == PROBE:
                self.is_on = record.state == "on"
            else:
                continue
            self.readings += 1
            self.time = max(self.time, record.time)

    # What is asked of it.

    @property
    def failed(self) -> bool:
        """Whether what was tried last does not run."""
        return self.latest is not None and self.latest.state == "failed"

    @property
    def programs(self) -> Sequence[LoadedProgram]:
        """The programs that run."""
        return self.latest.programs if self.latest is not None else ()

    @property
    def is_running(self) -> bool:
        """Whether anything of it runs: after a first attempt that failed, its programs are those that were tried."""
        return any(one.id is not None or one.attached for one in self.programs)

    @property
    def insns(self) -> int:
        """The instructions of the programs that run, as the verifier left them."""
        return sum(one.insns for one in self.programs) if self.is_running else 0

    @property
    def running(self) -> Sequence[str]:
        """The source of what runs."""
        latest = self.latest
        return () if latest is None else latest.source if latest.running is None else latest.running

    def matches(self, event: BpfEvent | Trace) -> bool | None:
        """Return whether the filter matches an event, or a line; None if that is not known yet."""
        if isinstance(event, Trace):
            return self.view_filter.matches_line(event, self.processes)
        return self.view_filter.matches_event(event, self.processes)

    def rates_of(self, program: str) -> Rates | None:
        """Return what a program did over the last reading; None if that is not known."""
        usage = self.usage.get(program)
        return usage.now if usage is not None else None

    # What comes.

    def _load(self, record: Loaded) -> None:
        self.latest = record
        if record.state == "on" and record.generation != self.lines.generation:
            self.lines = LineUse()  # its lines are others, or are not counted any more
        names = {one.name for one in record.programs}
        self.usage = {name: usage for name, usage in self.usage.items() if name in names}
        self.codes = {name: code for name, code in self.codes.items() if name in names}
        ordered = sorted(record.maps, key=lambda one: _first_line(self.running, one.name))
        self.maps = {one.name: self._table_of(one) for one in ordered if one.type not in EVENTS}
        self._claim()
        buffers = [one for one in ordered if one.type in EVENTS]
        self.events = {one.name: self._events_of(one) for one in buffers}

    def _read_runs(self, reading: ProgramRuns) -> None:
        self.hidden = hidden_text(reading.own_events, reading.excluded_events)
        for row in reading.rows if reading.counted else ():
            usage = self.usage.setdefault(row.program, Usage())
            usage.read(Totals(row.runs, row.run_ns, row.misses), reading.time)

    def _table_of(self, info: LoadedMap) -> MapTable:
        table = self.maps.get(info.name)
        if table is None:
            return MapTable(info)
        if table.info != info:
            table.describe(info)
        return table

    def _events_of(self, info: LoadedMap) -> EventsLog:
        log = self.events.get(info.name)
        if log is None:
            log = EventsLog(leaves(info.value))
            if not self.events:
                log.ring.begin_at(self._before)
        log.leaves = leaves(info.value)
        return log

    def _log_of(self, event: BpfEvent) -> EventsLog:
        log = self.events.get(event.map)
        if log is None:
            log = self.events[event.map] = EventsLog(())
        return log

    def _read_map(self, reading: MapReading) -> None:
        table = self.maps.get(reading.map)
        if table is not None:
            table.read(reading)

    def _claim(self) -> None:
        """Take the lines that came before it was known whose they are."""
        own = [line for line in self._unclaimed if self._is_own(line)]
        if own:
            others = [line for line in self._unclaimed if not self._is_own(line)]
            self._unclaimed = deque(others, maxlen=_UNCLAIMED)
            for line in own:
                self._add_line(line)

    def _add_line(self, line: Trace) -> None:
        self.printed.add(line)
        self.lesson.add(line)

    def _is_own(self, line: Trace) -> bool:
        return line.program is not None and any(line.program.name[:15] == one.name[:15] for one in self.programs)


def _first_line(source: Sequence[str], name: str) -> int:
    """Return the first line that names a map: there it is defined."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    return next((at for at, line in enumerate(source) if word.search(line)), len(source))
