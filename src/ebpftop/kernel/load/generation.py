"""One state of a file: what was compiled from it, and what became of that in the kernel."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.btf_types import BtfTypes
from ebpftop.kernel.compiled import with_map_fds
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.errors import BtfError, LoadError
from ebpftop.kernel.load import maps, programs
from ebpftop.kernel.load.attach import Link, Place, attach_id
from ebpftop.kernel.load.built import Built, BuiltProgram, CompileRequest, Received
from ebpftop.kernel.load.counters import Counters
from ebpftop.kernel.load.ladder import Ladder, nowhere
from ebpftop.kernel.load.lines import as_named
from ebpftop.kernel.load.loading import Loading, ProgramState, Stage
from ebpftop.kernel.load.maps import OpenMap, Shapes
from ebpftop.kernel.load.server import LoadServer
from ebpftop.kernel.load.source import Source
from ebpftop.kernel.load.source_lines import Lined, with_texts

_ERROR = re.compile(r"^.*\berror: .*$", re.MULTILINE)
_WALKED = re.compile(r"^\d+: \(", re.MULTILINE)  # an instruction in the verifier's log


@dataclass
class Generation:
    """What runs: maps, programs, and where they are attached."""

    maps: dict[str, OpenMap]
    shapes: dict[str, Shapes]
    programs: list[ProgramState]
    copies: dict[str, dict[Place, int]] = field(default_factory=dict)
    """Of programs of fentry and its like, which the kernel ties to one function: those for their other places."""
    links: list[Link] = field(default_factory=list)
    counters: Counters | None = None

    def named(self, name: str) -> ProgramState | None:
        """Return a program by name."""
        return next((one for one in self.programs if one.name == name), None)

    def close(self, other: Generation | None) -> None:
        """Detach and remove it all, but maps that *other* goes on with."""
        for link in self.links:
            link.close()
        kept = {one.fd for one in other.maps.values()} if other else set()
        fds = [fd for one in self.programs for fd in (one.fd, one.plain_fd) if fd is not None]
        fds += [fd for copies in self.copies.values() for fd in copies.values()]
        fds += [one.fd for one in self.maps.values() if one.fd not in kept]
        for fd in fds:
            os.close(fd)
        if self.counters is not None:
            self.counters.close()
            self.counters = None
        self.links.clear()
        self.programs.clear()
        self.copies.clear()
        self.maps.clear()


@dataclass(frozen=True)
class Failure:
    """Why a file was not loaded."""

    stage: Stage
    error: str
    remedy: str = ""
    output: str = ""
    compiled: str = ""
    compile_s: float = 0.0
    btf: bytes = b""
    programs: tuple[ProgramState, ...] = ()

    def loading(self, source: Source, generation: int) -> Loading:
        """Return it as what an attempt came to."""
        return Loading(
            False,
            generation,
            self.stage,
            self.error,
            self.remedy,
            compile_s=self.compile_s,
            output=self.output,
            source=source.text,
            structs=source.structs,
            shows=source.shows,
            included=source.includes,
            missing=source.missing,
            compiled=self.compiled,
            btf=self.btf,
            programs=self.programs,
        )


def first_error(output: str, name: str) -> str | None:
    """Return the first line that is an error of what clang says of the file *name*: ``hello.c:5:3: error: ..``."""
    found = _ERROR.search(as_named(output, name))
    return found[0] if found else None


def _copies(program: programs.Program, others: Iterable[Place | None], btf_fd: int | None) -> dict[Place, int]:
    """Load a tracing program for its other places too; one that is missing is refused when it is attached there."""
    copies: dict[Place, int] = {}
    for place in others:
        with suppress(LoadError):
            if place is not None:
                found = programs.load(program, place.kind, attach_id(place), btf_fd)
                if isinstance(found, programs.Accepted):
                    copies[place] = found.fd
    return copies


class Build:
    """A file that was compiled; its maps are made, its programs are about to be loaded."""

    def __init__(self, source: Source, text: str, received: Received, seconds: float) -> None:
        self._source = source
        self._text = text
        self.built: Built = received.built
        self._seconds = seconds
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

    @classmethod
    def make(cls, server: LoadServer, source: Source, text: str, map_bytes_max: int) -> Build | Failure:
        """Compile *text*, which was made of *source*."""
        started_s = time.monotonic()
        included = {name: one.text for name, one in source.includes.items()}
        request = CompileRequest(source.name, text, included, map_bytes_max=map_bytes_max)
        received = server.compile(request)
        seconds = time.monotonic() - started_s
        built = received.built
        if built.error:
            received.close()
            stage: Stage = "map" if built.stage == "map" else "limit" if built.stage == "limit" else "clang"
            error = first_error(built.output, source.name) or built.error if stage == "clang" else built.error
            return Failure(stage, error, built.remedy, built.output, text, seconds)
        build = cls(source, text, received, seconds)
        sizes = {one.name: maps.memory_bytes(one.info) for one in build.maps.values()}
        if sum(sizes.values()) > map_bytes_max:
            largest = max(sizes, key=sizes.__getitem__)
            build.close(None)
            error, remedy = maps.too_large(largest, sizes[largest], map_bytes_max)
            return Failure("map", error, remedy, built.output, text, seconds)
        return build

    def keep_maps(self, old: Generation | None) -> None:
        """Go on with the maps of *old* that are the same."""
        for name, one in self.maps.items():
            before = old.maps.get(name) if old else None
            if old is not None and before is not None:
                kept = maps.keep(one, self.shapes[name], before, old.shapes[name])
                self.maps[name] = kept or one

    def load_programs(self, ladder: Ladder, *, counting: bool = False) -> dict[str, str]:
        """Load all programs; return the functions that the kernel refused, and why. If *counting*, they count lines."""
        btf_fd = programs.load_btf(self._lined.btf) if self._lined.btf else None
        try:
            fds = {i: self.maps[one.name].fd for i, one in enumerate(self.built.maps)}
            if counting:
                self._make_counters(fds)
            self.states = [self._load(one, fds, btf_fd, ladder) for one in self.built.programs]
        finally:
            if btf_fd is not None:
                os.close(btf_fd)  # the programs hold it
        return {self.function(one.name): one.reason or "" for one in self.states if one.fd is None}

    def _make_counters(self, fds: Mapping[int, int]) -> None:
        lines = self._lined.lines
        found = [(one.name, with_map_fds(one.code, fds), lines.get(one.name, ())) for one in self.built.programs]
        with suppress(OSError):
            self._counters = Counters(found, self._source.name)

    def function(self, name: str) -> str:
        """Return how the source calls the program *name*."""
        found = self._source.program(name)
        return found.function if found else name

    def _load(self, one: BuiltProgram, fds: Mapping[int, int], btf_fd: int | None, ladder: Ladder) -> ProgramState:
        function = self.function(one.name)
        kind = ladder.kind(function)
        code = with_map_fds(one.code, fds)
        state = ProgramState(
            one.name,
            None,
            programs.TYPES[kind],
            ladder.events(function),
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
            return replace(state, reason=str(error))
        program = programs.Program(
            one.name, code, one.functions, state.raw_lines, self.built.license, self.built.version
        )
        found = programs.load(program, kind, target_id, btf_fd)
        seconds = time.monotonic() - started_s
        if isinstance(found, programs.Refused):
            return replace(
                state, reason=bpf_syscall.refusal(found.code), errno=found.code, log=found.log, load_s=seconds
            )
        state = replace(state, fd=found.fd, reason=ladder.reason(function), log=found.log, load_s=seconds)
        state, program = self._with_counters(state, program, kind, target_id, btf_fd)
        if target_id:
            self._copies[one.name] = _copies(program, others, btf_fd)
        return state

    def _with_counters(
        self, state: ProgramState, program: programs.Program, kind: str, target_id: int, btf_fd: int | None
    ) -> tuple[ProgramState, programs.Program]:
        """Load a copy that counts its lines, to be attached in its place; return both, or what there was before."""
        counters = self._counters
        if counters is None:
            return state, program
        counted = counters.counted(state.name, program.functions, program.lines, state.log)
        if counted is not None:
            copy = program._replace(**counted._asdict())
            found = programs.load(copy, kind, target_id, btf_fd)
            if isinstance(found, programs.Accepted):
                return replace(state, fd=found.fd, plain_fd=state.fd), copy
            counters.fail(state.name, f"with counters, {bpf_syscall.refusal(found.code)}")
        return replace(state, counts_reason=counters.reasons.get(state.name)), program

    def generation(self) -> Generation:
        """Return it as what is about to run, and owns maps and programs from now on."""
        return Generation(self.maps, self.shapes, list(self.states), self._copies, counters=self._counters)

    def is_refused_by_verifier(self) -> bool:
        """Return whether one is refused for what it does, which is the same wherever it hangs."""
        return any(one.fd is None and _WALKED.search(one.log) for one in self.states)

    def refused(self) -> Failure:
        """Return that the kernel refused a program."""
        refused = [one for one in self.states if one.fd is None]
        if not self.is_refused_by_verifier() and (found := next(filter(None, map(nowhere, refused)), None)) is not None:
            return replace(self.failure("attach", found[0]), remedy=found[1])
        names = [one.name for one in refused]
        return self.failure("verifier", f"the kernel refused to load {', '.join(names)}")

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
