"""Into the kernel and out of it: make a compiled file's maps, load its programs, attach them, leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

from ebpftop.kernel import bpf_syscall, perf_event, tracefs
from ebpftop.kernel.bpf_syscall import MapInfo, Program, refusal
from ebpftop.kernel.compiled import Compiled, MapSpec, with_map_fds, with_parameters
from ebpftop.kernel.compiler import compiled, recheck
from ebpftop.kernel.errors import DamagedError, LoadError, NotCompiledError
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.maps import Map
from ebpftop.kernel.offsets import function_id

__all__ = ("DamagedError", "Kind", "Link", "LoadError", "Module", "NotCompiledError")

Kind = Literal["kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "raw_tracepoint"]

# enum bpf_prog_type and, of tracing programs, enum bpf_attach_type: include/uapi/linux/bpf.h
_TYPES: Mapping[Kind, int] = {
    "kprobe": 2,
    "kretprobe": 2,
    "tracepoint": 5,
    "raw_tracepoint": bpf_syscall.TYPE_RAW_TRACEPOINT,
    "fentry": bpf_syscall.TYPE_TRACING,
    "fexit": bpf_syscall.TYPE_TRACING,
}
_ATTACH_TYPES: Mapping[Kind, int] = {"fentry": bpf_syscall.TRACE_FENTRY, "fexit": 25}
# How BCC's KFUNC_PROBE macros name a program; newer versions put the name of the kernel module in between.
_PREFIX = {"fentry": "kfunc__", "fexit": "kretfunc__"}
_NO_MAPS: Mapping[str, Map] = MappingProxyType({})
_NO_NUMBERS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Link:
    """One attachment: how it ends; and how often the program that it reaches its own by did not run since it began."""

    close: Callable[[], None]
    missed_runs: Callable[[], int] = lambda: 0


Dispatch = Callable[[str, int, int], Link]
"""Lets the program that several probes share at a tracepoint (its name) make a tail call to one of them: its slot, its
descriptor. Raises LoadError."""


def _create_map(spec: MapSpec, entries: int, btf_fd: int | None) -> Map:
    info = MapInfo(spec.type, spec.key_size, spec.value_size, entries, spec.flags)
    try:
        if btf_fd is not None and spec.value_type:
            with suppress(OSError):  # a type that this kind of map does not take
                fd = bpf_syscall.create_map(spec.name, info, (btf_fd, spec.key_type, spec.value_type))
                return Map(fd, entries)
        return Map(bpf_syscall.create_map(spec.name, info), entries)
    except OSError as error:
        raise LoadError(f"the kernel refused to make the map {spec.name}: {os.strerror(error.errno or 0)}") from error


class Module:
    """One C file in the kernel: its maps; its programs, attached one by one."""

    def __init__(
        self,
        file: str,
        defines: Defines,
        extra_maps: Mapping[str, Map] = _NO_MAPS,
        *,
        parameters: Mapping[str, int] = _NO_NUMBERS,
        entries: Mapping[str, int] = _NO_NUMBERS,
        made: Compiled | None = None,
        dispatch: Dispatch | None = None,
    ) -> None:
        """Compile bpf/*file* with *defines* as `-D` flags, and make its maps; raises LoadError, DamagedError.

        *extra_maps*, by name, belong to another owner and are used instead of new ones. What is chosen for this run is
        not compiled in: *parameters* are the values of the file's parameters (bpf/ebpftop.h), *entries* the sizes of
        maps, in entries (of a ring buffer in bytes), if not the size that the file declares. *made* is what `compiled`
        returned for the same file and *defines*. *dispatch* attaches programs that have a slot.
        """
        self.file = file
        self._defines = defines
        self._compiled = made or compiled(file, defines)
        declared = self._compiled.parameters
        for what, names, known in (
            ("parameter", declared, parameters),
            ("parameter", parameters, declared),
            ("map", entries, {spec.name for spec in self._compiled.maps}),
        ):
            if unknown := names.keys() - set(known):
                lacks = "no value" if names is declared else "no declaration"
                raise LoadError(f"{file}: the {what} {min(unknown)} has {lacks}")
        self._parameters = {number: parameters[name] for name, number in declared.items()}
        self._dispatch = dispatch
        self._links: list[Link] = []
        self._missed_runs = 0
        self._programs: dict[str, int] = {}
        self._loaded_as: dict[str, tuple[str, Kind, str | None]] = {}
        self._places: dict[str, list[str]] = {}
        self._own: dict[str, Map] = {}
        self._tables: dict[str, Map] = {}
        self._btf_fd = self._load_types()
        try:
            for spec in self._compiled.maps:
                if spec.name not in extra_maps:
                    self._own[spec.name] = _create_map(spec, entries.get(spec.name, spec.max_entries), self._btf_fd)
                self._tables[spec.name] = extra_maps.get(spec.name) or self._own[spec.name]
        except LoadError:
            self.close()
            self.verify_cached()
            raise

    def _load_types(self) -> int | None:
        if not self._compiled.btf:
            return None
        from ebpftop.kernel.load.programs import load_btf  # not at a start that has no use for it

        return load_btf(self._compiled.btf)

    def verify_cached(self) -> None:
        """Raise DamagedError if the cache entry of this file is not what the compiler makes of it now."""
        if recheck(self.file, self._defines):
            raise DamagedError(self.file)

    def table(self, name: str) -> Map:
        """Return a map by name."""
        return self._tables[name]

    def has(self, maps: Iterable[str], programs: Iterable[str]) -> bool:
        """Return whether the file has all of these."""
        return self._tables.keys() >= set(maps) and self._compiled.programs.keys() >= set(programs)

    def load(self, function: str, kind: Kind, target: str | None = None) -> int:
        """Load *function* as a program of *kind*; return its descriptor. Raises LoadError with the kernel's reason.

        *target* is the kernel function that a program of fentry or fexit belongs to.
        """
        shared = kind in _PREFIX and not function.startswith(_PREFIX[kind])
        name = f"{function}@{target}" if shared else function
        if name not in self._programs:
            program = self._program(function, kind, target)
            try:
                self._programs[name] = self._verified(program)
            except OSError as error:
                self.verify_cached()
                raise LoadError(refusal(error.errno)) from error
            self._loaded_as[name] = function, kind, target
        return self._programs[name]

    def _program(self, function: str, kind: Kind, target: str | None) -> Program:
        fds = {i: self._tables[spec.name].map_fd for i, spec in enumerate(self._compiled.maps)}
        code = with_parameters(with_map_fds(self._compiled.programs[function], fds), self._parameters)
        attach_type = _ATTACH_TYPES.get(kind, 0)
        attach_id = (target and function_id(target)) or 0 if attach_type else 0
        if attach_type and not attach_id:
            raise LoadError(f"this kernel describes no function {target}")
        made = self._compiled
        program = Program(_TYPES[kind], function, code, made.license, made.version, attach_type, attach_id)
        functions = made.functions.get(function, b"")
        if self._btf_fd is None or not functions:
            return program
        return program._replace(btf_fd=self._btf_fd, functions=functions, lines=made.lines.get(function, b""))

    def _verified(self, program: Program) -> int:
        if program.btf_fd:
            with suppress(OSError):  # the kernel may know less of types than clang does
                return bpf_syscall.load_program(program)
        return bpf_syscall.load_program(program._replace(btf_fd=0, functions=b"", lines=b""))

    def verifier_says(self, name: str) -> str:
        """Return what the verifier says of a program that is loaded; empty if that is refused now."""
        try:
            return bpf_syscall.verifier_says(self._program(*self._loaded_as[name]))
        except (KeyError, LoadError, OSError):
            return ""

    @property
    def types(self) -> bytes:
        """The BTF of the file; empty if it was compiled without."""
        return self._compiled.btf

    @property
    def maps(self) -> Mapping[str, tuple[MapSpec, Map]]:
        """The maps of the file as it declares them, also those of another owner, by name."""
        return {spec.name: (spec, self._tables[spec.name]) for spec in self._compiled.maps if spec.name in self._tables}

    def places(self, name: str) -> tuple[str, ...]:
        """Return what a program of this file is attached to: ``raw_tracepoint:sys_enter``."""
        return tuple(self._places.get(name, ()))

    def unload(self, function: str) -> None:
        """Remove a program from the kernel, which nothing is attached to any more."""
        os.close(self._programs.pop(function))

    def attach(self, kind: Kind, target: str, function: str, slot: int | None = None) -> Link:
        """Load and attach *function*. Raises LoadError, and NotCompiledError if the file was compiled without it.

        If it has a *slot*, it is attached to the program that several share at *target*.
        """
        program_fd = self.load(self._named(function, kind), kind, target if kind in _ATTACH_TYPES else None)
        name = next(name for name, fd in self._programs.items() if fd == program_fd)
        if slot is None:
            link = Link(partial(os.close, self._open_link(kind, target, program_fd)))
        elif self._dispatch is None:
            raise LoadError("there is no program that it could be reached from")
        else:
            link = self._dispatch(target, slot, program_fd)
        self._links.append(link)
        self._places.setdefault(name, []).append(f"{kind}:{target}{'' if slot is None else f', slot {slot}'}")
        return link

    def _open_link(self, kind: Kind, target: str, program_fd: int) -> int:
        try:
            if kind == "raw_tracepoint":
                return bpf_syscall.open_raw_tracepoint(program_fd, target)
            if kind == "tracepoint":
                return perf_event.attach_tracepoint(program_fd, tracefs.find(), target)
            if kind in ("fentry", "fexit"):
                return bpf_syscall.open_raw_tracepoint(program_fd, None)
            return perf_event.attach_kprobe(program_fd, target, returns=kind == "kretprobe")
        except (OSError, ValueError) as error:
            code = isinstance(error, OSError) and error.errno
            raise LoadError(
                f"the kernel refused to attach it: {os.strerror(code) if code else 'no reason given'}"
            ) from error

    def release(self, link: Link) -> None:
        """Detach one program."""
        self._missed_runs += link.missed_runs()
        link.close()
        self._links.remove(link)

    def missed_runs(self) -> int:
        """Return how often a program of the file did not run because it ran already on that CPU."""
        own = sum(bpf_syscall.runs(fd).recursion_misses for fd in self.programs.values())
        return own + self._missed_runs + sum(link.missed_runs() for link in self._links.copy())

    def _named(self, function: str, kind: Kind) -> str:
        """Return the full name of a program: those of fentry and fexit that are made for one function have its name."""
        prefix = _PREFIX.get(kind) if function not in self._compiled.programs else None
        for name in self._compiled.programs:
            if name == function if prefix is None else name.startswith(prefix) and name.endswith(function):
                return name
        raise NotCompiledError(f"{self.file} has no {kind} program {function}")

    @property
    def programs(self) -> Mapping[str, int]:
        """Names and descriptors of the programs loaded now."""
        return dict(self._programs)

    def detach(self) -> None:
        """Detach everything, in reverse order; programs and maps stay until `close`."""
        for link in reversed(self._links.copy()):
            self.release(link)

    def close(self) -> None:
        """Detach everything and free all memory. Safe to call twice."""
        self.detach()
        for fd in (*self._programs.values(), *(own.map_fd for own in self._own.values())):
            os.close(fd)
        if self._btf_fd is not None:
            os.close(self._btf_fd)
            self._btf_fd = None
        self._programs.clear()
        self._own.clear()
        self._tables.clear()
