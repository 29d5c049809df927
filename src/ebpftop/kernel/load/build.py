"""A file that was compiled: its maps are made, its programs are loaded, and it is about to run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.btf_types import BtfTypes
from ebpftop.kernel.compiled import with_map_fds
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.errors import BtfError, LoadError
from ebpftop.kernel.load import maps, programs
from ebpftop.kernel.load.attach import Place, attach_id
from ebpftop.kernel.load.built import Built, BuiltProgram, CompileRequest, Received
from ebpftop.kernel.load.counted_copy import load_counted
from ebpftop.kernel.load.counters import Counters
from ebpftop.kernel.load.deadline import Deadline, Ended
from ebpftop.kernel.load.generation import Failure, Generation, first_error
from ebpftop.kernel.load.ladder import Ladder, nowhere
from ebpftop.kernel.load.loading import Loading, ProgramState, Stage
from ebpftop.kernel.load.lost_counts import LostCounts
from ebpftop.kernel.load.maps import OpenMap, Shapes
from ebpftop.kernel.load.server import LoadServer
from ebpftop.kernel.load.source import Source
from ebpftop.kernel.load.source_lines import Lined, with_texts

_WALKED = re.compile(r"^\d+: \(|^processed [1-9]", re.MULTILINE)  # an instruction in the verifier's log, or its totals
_LATE_REMEDY = "loops multiply its work: give them fixed, small limits, and fewer branches inside; or split the program"


class Build:
    """A file that was compiled; its maps are made, its programs are about to be loaded."""

    def __init__(self, source: Source, text: str, received: Received, seconds: float, deadline: Deadline) -> None:
        self._source = source
        self._text = text
        self.built: Built = received.built
        self._seconds = seconds
        self._deadline = deadline
        self._late: str | None = None
        """The program that there was no time for."""
        self._has_begun = False
        """Whether the verifier was at it then."""
        self._lined: Lined = with_texts(self.built, source.name, source.text.splitlines(), kernel_version())
        try:
            self._types = BtfTypes(self.built.btf) if self.built.btf else None
        except BtfError:
            self._types = None
        self._events = {one.name: one.event_fields for one in self.built.maps}
        self.maps: dict[str, OpenMap] = {}
        self.shapes: dict[str, Shapes] = {}
        for name, fd in received.map_fds.items():
            self.maps[name] = maps.opened(name, fd, self._events[name])
            self.shapes[name] = maps.shapes(self.maps[name], self._types)
        received.map_fds.clear()
        self.states: list[ProgramState] = []
        self._copies: dict[str, dict[Place, int]] = {}
        self._counters: Counters | None = None
        self._lost: LostCounts | None = None

    @classmethod
    def make(
        cls, server: LoadServer, source: Source, text: str, map_bytes_max: int, deadline: Deadline
    ) -> Build | Failure:
        """Compile *text*, which was made of *source*. Raises Ended if it is abandoned."""
        started_s = time.monotonic()
        included = {name: one.text for name, one in source.includes.items()}
        request = CompileRequest(source.name, text, included, map_bytes_max=map_bytes_max)
        received = server.compile(request, deadline)
        seconds = time.monotonic() - started_s
        built = received.built
        if deadline.is_abandoned:
            received.close()
            raise Ended
        deadline.scale(built.speed)
        if built.error:
            received.close()
            stage: Stage = "map" if built.stage == "map" else "limit" if built.stage == "limit" else "clang"
            error = first_error(built.output, source.name) or built.error if stage == "clang" else built.error
            line = source.line_of_map(built.map) if built.map else None
            return Failure(stage, error, built.remedy, built.output, text, seconds, line=line)
        build = cls(source, text, received, seconds, deadline)
        sizes = {one.name: maps.memory_bytes(one.info) for one in build.maps.values()}
        if sum(sizes.values()) > map_bytes_max:
            largest = max(sizes, key=sizes.__getitem__)
            build.close(None)
            error, remedy = maps.too_large(largest, sizes[largest], map_bytes_max)
            line = source.line_of_map(largest)
            return Failure("map", error, remedy, built.output, text, seconds, line=line)
        return build

    def keep_maps(self, old: Generation | None) -> None:
        """Go on with the maps of *old* that are the same."""
        for name, one in self.maps.items():
            before = old.maps.get(name) if old else None
            if old is not None and before is not None:
                kept = maps.keep(one, self.shapes[name], before, old.shapes[name])
                self.maps[name] = kept or one

    def load_programs(self, ladder: Ladder, *, counting: bool = False) -> dict[str, str]:
        """Load all programs; return the functions that the kernel refused, and why. If *counting*, they count lines.

        Raises Ended if that is abandoned. If it takes too long, the rest is not loaded: see `is_late`.
        """
        btf_fd = programs.load_btf(self._lined.btf) if self._lined.btf else None
        try:
            fds = {i: self.maps[one.name].fd for i, one in enumerate(self.built.maps)}
            if counting:
                self._make_counters(fds)
            self._make_lost_counts()
            for one in self.built.programs:
                self._late = one.name
                self._load(one, fds, btf_fd, ladder)
            self._late = None
        except Ended as ended:
            if self._deadline.is_abandoned:
                raise
            self._has_begun = ended.has_begun
        finally:
            if btf_fd is not None:
                os.close(btf_fd)  # the programs hold it
        return {self.function(one.name): one.reason or "" for one in self.states if one.fd is None}

    def _make_counters(self, fds: Mapping[int, int]) -> None:
        lines = self._lined.lines
        found = [(one.name, with_map_fds(one.code, fds), lines.get(one.name, ())) for one in self.built.programs]
        with suppress(OSError):
            self._counters = Counters(found, self._source.name)

    def _make_lost_counts(self) -> None:
        buffers = {name: one.fd for name, one in self.maps.items() if one.is_buffer}
        if buffers:
            with suppress(OSError):  # then it is not known what is lost
                self._lost = LostCounts(buffers)

    def function(self, name: str) -> str:
        """Return how the source calls the program *name*."""
        found = self._source.program(name)
        return found.function if found else name

    def _load(self, one: BuiltProgram, fds: Mapping[int, int], btf_fd: int | None, ladder: Ladder) -> None:
        """Load a program; `states` has what became of it. Raises Ended."""
        function = self.function(one.name)
        kind = ladder.kind(function)
        code = with_map_fds(one.code, fds)
        state = ProgramState(
            one.name,
            None,
            programs.TYPES[kind],
            ladder.events(function),
            line=self._source.line_of_program(function),
            attempts=ladder.attempts(function),
            insns=code,
            functions=one.functions,
            lines=self._lined.lines.get(one.name, ()),
            raw_lines=self._lined.raw[one.name],
        )
        first, *others = ladder.places(function) or (None,)
        started_s = time.monotonic()
        try:
            target_id = attach_id(first) if first else 0
        except LoadError as error:
            self.states.append(replace(state, reason=str(error)))
            return
        program = programs.Program(
            one.name, code, one.functions, state.raw_lines, self.built.license, self.built.version
        )
        found = programs.load(program, kind, target_id, btf_fd, self._deadline)
        seconds = time.monotonic() - started_s
        if isinstance(found, programs.Refused):
            reason = bpf_syscall.refusal(found.code)
            self.states.append(replace(state, reason=reason, errno=found.code, log=found.log, load_s=seconds))
            return
        self.states.append(replace(state, fd=found.fd, reason=ladder.reason(function), log=found.log, load_s=seconds))
        program = self._with_counters(program, kind, target_id, btf_fd)
        if target_id:
            self._load_copies(program, others, btf_fd)

    def _with_counters(
        self, program: programs.Program, kind: str, target_id: int, btf_fd: int | None
    ) -> programs.Program:
        """Load a copy of the last one that counts, to be attached in its place; return what is loaded."""
        state = self.states[-1]
        found = load_counted(
            program,
            state.log,
            self._counters,
            self._lost,
            lambda copy: programs.load(copy, kind, target_id, btf_fd, self._deadline),
        )
        reasons = self._counters.reasons if self._counters is not None else {}
        state = replace(state, counts_reason=reasons.get(state.name))
        if found is None:
            self.states[-1] = state
            return program
        self.states[-1] = replace(state, fd=found.fd, plain_fd=state.fd)
        return found.program

    def _load_copies(self, program: programs.Program, others: Iterable[Place | None], btf_fd: int | None) -> None:
        """Load a tracing program for its other places too; one that is missing is refused when it is attached there."""
        copies = self._copies.setdefault(self.states[-1].name, {})
        for place in others:
            with suppress(LoadError):
                if place is not None:
                    found = programs.load(program, place.kind, attach_id(place), btf_fd, self._deadline)
                    if isinstance(found, programs.Accepted):
                        copies[place] = found.fd

    def generation(self) -> Generation:
        """Return it as what is about to run, and owns maps and programs from now on."""
        return Generation(
            self.maps, self.shapes, list(self.states), self._copies, counters=self._counters, lost=self._lost
        )

    def is_refused_by_verifier(self) -> bool:
        """Return whether one is refused for what it does, which is the same wherever it hangs."""
        return any(one.fd is None and _WALKED.search(one.log) for one in self.states)

    @property
    def is_late(self) -> bool:
        """Whether there was no time to load all programs."""
        return self._late is not None

    def refused(self) -> Failure:
        """Return that the kernel refused a program, or had not decided on it in time."""
        refused = [one for one in self.states if one.fd is None]
        if self._late is not None and not refused:
            return self._too_late(self._late)
        if not self.is_refused_by_verifier() and (found := next(filter(None, map(nowhere, refused)), None)) is not None:
            return replace(self.failure("attach", found[0]), remedy=found[1])
        names = [one.name for one in refused]
        return self.failure("verifier", f"the kernel refused to load {', '.join(names)}")

    def _too_late(self, name: str) -> Failure:
        seconds = f"{self._deadline.seconds:.0f} s"
        error = f"{name}: the verifier did not end within {seconds}"
        if not self._has_begun:
            error = f"there was no time left for {name}: all of a file may take {seconds}"
        failed = self.failure("verifier", error)
        found = self._source.program(name)
        accepted = tuple(replace(one, log="") for one in failed.programs)
        return replace(failed, remedy=_LATE_REMEDY, line=found.line if found else None, programs=accepted)

    def failure(self, stage: Stage, error: str) -> Failure:
        """Return that something else failed, with all that is known of the programs."""
        states = tuple(replace(one, fd=None, plain_fd=None) for one in self.states)
        return Failure(stage, error, "", self.built.output, self._text, self._seconds, self._lined.btf, states)

    def loading(self, generation: int, states: tuple[ProgramState, ...], slot_errors: Mapping[str, str]) -> Loading:
        """Return it as what runs now."""
        return Loading(
            True,
            generation,
            compile_s=self._seconds,
            output=self.built.output,
            source=self._source.text,
            compiled=self._text,
            btf=self._lined.btf,
            programs=states,
            maps=tuple(self.maps),
            kept=frozenset(name for name, one in self.maps.items() if one.kept),
            structs=self._source.structs,
            shows=self._source.shows,
            included=self._source.includes,
            missing=self._source.missing,
            slot_errors=slot_errors,
        )

    def close(self, old: Generation | None) -> None:
        """Remove it all, but maps of *old*."""
        self.generation().close(old)
