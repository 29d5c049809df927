"""A BPF program of one's own: a C file that is loaded, read, and loaded again each time it is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

import msgspec

from ebpftop.core.escape import printable
from ebpftop.core.load_records import Diagnostic, Loaded
from ebpftop.core.records import Probe, Record, Where
from ebpftop.core.source import SourceError
from ebpftop.kernel import bpf_syscall, clocks
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading, ProgramFacts
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import Context, KernelProbe
from ebpftop.probes.load_attempts import Attempts
from ebpftop.probes.load_edits import MapEdits, refusing
from ebpftop.probes.load_events import EventReader
from ebpftop.probes.load_maps import ShownMaps
from ebpftop.probes.load_names import LoadNames
from ebpftop.probes.load_problems import in_a_line
from ebpftop.probes.load_report import Facts, codes, loaded
from ebpftop.probes.load_request import LoadRequest
from ebpftop.probes.load_runs import RunTotals, facts_of, lines_of
from ebpftop.probes.load_work import LoadWork
from ebpftop.probes.registry import LOAD

_EVENTS_MAX = 20_000
"""Events of one reading that become records; more are counted as lost."""


class LoadProbe(KernelProbe):
    """The records of one file.

    What is slow about loading it is done in threads (load_work.py), while what ran before is read as ever; `start`,
    `count_lines` and `open_file` begin it. Their owner calls `advance`, with the lock that it has for all of this, as
    does `read_events`.
    """

    file: ClassVar[str] = ""

    def __init__(
        self, context: Context, request: LoadRequest, make: Callable[[LoadRequest], LoadedFile] | None = None
    ) -> None:
        super().__init__(context)
        self.name = LOAD
        self._request = request
        self._make = make or _file
        self._loaded_file: LoadedFile | None = None
        self._attempts = Attempts()
        self._maps = ShownMaps()
        self._names = LoadNames(context.users, context.root, self._maps.addresses)
        self._events_reader = EventReader(context, self._maps, self._names)
        self._record: Loaded | None = None
        self._news: list[Record] = []
        self._via_reported: str | None = None
        self._failed_reported = False
        self._stats_fd: int | None = None
        self._runs = RunTotals()
        self._lost = 0
        self._own_ids: frozenset[int] = frozenset()
        self.attached_at: float | None = None
        """When its programs were attached for the first time, Unix seconds: since then they count."""

    @property
    def on(self) -> bool:
        return self._loaded_file is not None

    @property
    def loading(self) -> Loading | None:
        """What the last attempt to load the file came to."""
        return self._loaded_file.loading if self._loaded_file is not None else None

    @property
    def expects_events(self) -> bool:
        return True

    def program_ids(self) -> frozenset[int]:
        """Return the ids of its programs, those before the last reload included."""
        return self._own_ids

    def compile(self) -> None:
        """It is compiled when it is loaded."""

    def attach(self, module: Module) -> str:
        raise NotImplementedError("it is no module")

    def start(self) -> None:
        """Begin to load the file; `is_loading` until that is over."""
        self._enable_stats()
        self._loaded_file = self._make(self._request)
        self._attempts.begin(self._loaded_file)

    def _enable_stats(self) -> None:
        with suppress(OSError):  # before Linux 5.8, and without the rights: nothing is known of runs
            self._stats_fd = self.context.root.enable_stats()

    def state(self, now: float) -> Probe:
        self._via_reported = self.via
        state = super().state(now)
        failures = self.failures()
        self._failed_reported = bool(failures)
        return msgspec.structs.replace(state, state="failed", reason="; ".join(failures)) if failures else state

    def detach(self) -> None:
        """Its programs run no more, but go with their maps, in `stop`: all that they wrote and counted is read."""
        self._attempts.end()
        if self._loaded_file is not None:
            self._loaded_file.detach()
        self._maps.read_all_next()

    def stop(self) -> None:
        self._attempts.end()
        file, self._loaded_file = self._loaded_file, None
        if file is not None:
            # Keep the totals of programs that are about to be unloaded.
            self._runs.add(facts_of(file))
            self._lost_before["ring"] = self._lost_of(file)
            self._lost = self._events_reader.unknown = 0
            file.close()
        if self._stats_fd is not None:
            bpf_syscall.close_stats(self._stats_fd)
        self._stats_fd = None
        self._maps.close()
        self.via, self.attempts = None, ()
        self._names.close()

    def failures(self) -> tuple[str, ...]:
        """Return why nothing of the file runs, for stderr; () if it runs."""
        if not self.on or self._record is None or self._record.state != "failed" or self._record.generation:
            return ()
        name = self._record.file
        found = [one for one in self._record.diagnostics if one.severity == "error"]
        tried = self.loading
        source = tried.source if tried is not None else ""
        lines = [in_a_line(name, one, source) for one in found]
        if not lines and tried is not None:
            lines = ["; ".join(filter(None, (f"{name}: {tried.error}", tried.remedy)))]
        return tuple(lines)

    # Loading.

    @property
    def is_loading(self) -> bool:
        """Whether the file is being loaded, or its code read. Any thread may ask."""
        return self._attempts.is_loading

    def wait(self, timeout_s: float) -> None:
        """Wait until `advance` has something to do. Any thread may."""
        self._attempts.wait(timeout_s)

    def abandon(self) -> None:
        """Load nothing that is not loaded by now. Any thread may; `stop` is to follow."""
        self._attempts.abandon()

    def advance(self) -> None:
        """Go on with what threads have done: attach what was compiled and verified, begin what is due."""
        self._news += self._attempts.pop_codes()
        file = self._loaded_file
        before = facts_of(file) if file is not None and self._attempts.is_loading else {}
        if (work := self._attempts.advance()) is not None:
            self._end_of(work, before)
        if self._loaded_file is not None:
            self._attempts.begin_due(self._loaded_file)

    def _end_of(self, work: LoadWork, before: Mapping[str, ProgramFacts]) -> None:
        """Note what became of an attempt; *before*: the programs that ran until then."""
        tried = work.loading
        if work.why == "open":
            if tried is None or not tried.ok:
                work.file.close()
            else:
                self._run_instead(work.file, tried)
        elif tried is not None:
            if tried.ok:
                self._runs.add(before)
            elif work.why == "count":
                self._attempts.counts_lines = work.file.counting  # as before
                return
            self._report(work.file, tried, work.problems)

    def _run_instead(self, file: LoadedFile, tried: Loading) -> None:
        """Go on with another file, which was loaded already."""
        self.stop()
        self._request, self._record, self._runs = LoadRequest(file.path), None, RunTotals()
        self._enable_stats()
        self._loaded_file, self._attempts.counts_lines = file, False
        self._report(file, tried)
        self._news.append(self.state(time.time()))

    def _report(self, file: LoadedFile, tried: Loading, problems: tuple[Diagnostic, ...] | None = None) -> None:
        """Note what was *tried*, and make a record of what became of the file."""
        now, good = time.time(), file.good
        if tried.ok:
            self.attached_at = self.attached_at or now
            self._maps.open(file, tried, self._names)
        # What printed before a reload is read after it.
        programs = facts_of(file)
        self._own_ids |= {facts.id for facts in programs.values()}
        self.via = ", ".join(dict.fromkeys(place for one in (good or tried).programs for place in one.attached)) or None
        self.attempts = tuple(
            msgspec.structs.replace(attempt, via=f"{printable(one.name)}: {attempt.via}")
            for one in (good or tried).programs
            for attempt in one.attempts
        )
        facts = Facts(programs, self._maps.layouts, self._maps.opened)
        self._record = loaded(now, file.path, tried, good, facts, problems)
        self._news.append(self._record)
        if tried.ok:
            names = {one.id: name for name, one in file.maps.items()}
            read = partial(codes, now, file=file.path.name, maps=names, root=self.context.root)
            self._attempts.read_code(tried, read)
            file.release_plain()  # what reads them has descriptors of its own

    # Reading.

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        self.advance()
        file = self._loaded_file
        if file is None:
            return []
        if not everything:
            self._attempts.begin_if_saved(file)
            self._attempts.begin_due(file)
        if (record := self._attempts.progress(now, file, self._record)) is not None:
            self._record = record
            self._news.append(record)
        if self.via != self._via_reported or (self._failed_reported and not self.failures()):
            self._news.append(self.state(now))
        records, self._news = self._news, []
        offset = clocks.unix_offset()
        raw = file.events()
        self._lost += max(0, len(raw) - _EVENTS_MAX)
        records += filter(None, (self._events_reader.event(one, now, offset) for one in raw[:_EVENTS_MAX]))
        return records

    def read_counters(self, now: float) -> list[Record]:
        file = self._loaded_file
        if file is None:
            return []
        runs = self._runs.reading(file, now, counted=self._stats_fd is not None)
        left_out = self._events_reader
        runs = msgspec.structs.replace(runs, own_events=left_out.own, excluded_events=left_out.excluded)
        records: list[Record] = [runs]
        if file.counting:
            records.append(lines_of(file, now))
        records += self._maps.readings(file, now)
        return records

    def lost_now(self) -> dict[Where, int]:
        return {"ring": self._lost_of(self._loaded_file)}

    def _lost_of(self, file: LoadedFile | None) -> int:
        counts = file.lost().values() if file is not None else ()
        lost = self._lost + self._events_reader.unknown + sum(count for count in counts if count is not None)
        return self._lost_before.get("ring", 0) + lost

    # What the screen asks for.

    @property
    def edits(self) -> MapEdits:
        """Return what changes the maps of what runs. Raises SourceError."""
        return MapEdits(self._running(), self._maps, self._names)

    def open_file(self, path: Path) -> LoadWork:
        """Begin to load another file instead, whose functions hang where it says itself.

        What ran is closed if that works, else it runs on.
        """
        with refusing():
            file = self._make(LoadRequest(path))
        return self._attempts.begin_instead(file)

    def count_lines(self, on: bool) -> LoadWork:
        """Begin to load the programs such that they count how often each line runs, or do not any more."""
        return self._attempts.begin_to_count(self._running(), on)

    def _running(self) -> LoadedFile:
        if self._loaded_file is None:
            raise SourceError("the program is not loaded")
        return self._loaded_file


def _file(request: LoadRequest) -> LoadedFile:
    return LoadedFile(request.path, attach=request.attach, map_bytes_max=request.map_bytes_max)
