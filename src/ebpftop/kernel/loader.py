"""Into the kernel and out of it: make a compiled file's maps, load its programs, attach them, leave nothing behind."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import bcc
from bcc.libbcc import lib

from ebpftop.kernel.bpf_syscall import refusal
from ebpftop.kernel.compiler import MapSpec, compiled, recheck, with_map_fds, with_parameters
from ebpftop.kernel.errors import DamagedError, LoadError, NotCompiledError
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.maps import Map
from ebpftop.lifecycle.leftovers import Owner

__all__ = ("DamagedError", "Kind", "Link", "LoadError", "Module", "NotCompiledError")

Kind = Literal["kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "raw_tracepoint"]

_TYPES: Mapping[Kind, int] = {
    "kprobe": bcc.BPF.KPROBE,
    "kretprobe": bcc.BPF.KPROBE,
    "tracepoint": bcc.BPF.TRACEPOINT,
    "raw_tracepoint": bcc.BPF.RAW_TRACEPOINT,
    "fentry": bcc.BPF.TRACING,
    "fexit": bcc.BPF.TRACING,
}
# How BCC's KFUNC_PROBE macros name a program; newer versions put the name of the kernel module in between.
_PREFIX = {"fentry": "kfunc__", "fexit": "kretfunc__"}
_NO_MAPS: Mapping[str, Map] = MappingProxyType({})
_NO_NUMBERS: Mapping[str, int] = MappingProxyType({})

lib.bcc_create_map.argtypes = [ctypes.c_int, ctypes.c_char_p, *[ctypes.c_int] * 4]
lib.bcc_prog_load.argtypes = [
    *(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
    *(ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
]


class Link(NamedTuple):
    """One attachment: its descriptor, and the name of a kprobe's event."""

    fd: int
    event: bytes | None


def _create_map(spec: MapSpec, entries: int) -> Map:
    ctypes.set_errno(0)
    fd = lib.bcc_create_map(spec.type, spec.name.encode(), spec.key_size, spec.value_size, entries, spec.flags)
    if fd < 0:
        raise LoadError(f"the kernel refused to make the map {spec.name}: {os.strerror(ctypes.get_errno())}")
    return Map(fd, entries)


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
    ) -> None:
        """Compile bpf/*file* with *defines* as `-D` flags, and make its maps; raises LoadError, DamagedError.

        *extra_maps*, by name, belong to another owner and are used instead of new ones. What is chosen for this run is
        not compiled in: *parameters* are the values of the file's parameters (bpf/ebpftop.h), *entries* the sizes of
        maps, in entries (of a ring buffer in bytes), if not the size that the file declares.
        """
        self.file = file
        self._defines = defines
        self._compiled = compiled(file, defines)
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
        self._links: list[Link] = []
        self._programs: dict[str, int] = {}
        self._own: dict[str, Map] = {}
        self._tables: dict[str, Map] = {}
        try:
            for spec in self._compiled.maps:
                if spec.name not in extra_maps:
                    self._own[spec.name] = _create_map(spec, entries.get(spec.name, spec.max_entries))
                self._tables[spec.name] = extra_maps.get(spec.name) or self._own[spec.name]
        except LoadError:
            self.close()
            self.verify_cached()
            raise

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

    def load(self, function: str, kind: Kind) -> int:
        """Load *function* as a program of *kind*; return its descriptor. Raises LoadError with the kernel's reason."""
        if function not in self._programs:
            fds = {i: self._tables[spec.name].map_fd for i, spec in enumerate(self._compiled.maps)}
            code = with_parameters(with_map_fds(self._compiled.programs[function], fds), self._parameters)
            name, gpl = function.encode(), self._compiled.license.encode()
            ctypes.set_errno(0)
            fd = lib.bcc_prog_load(_TYPES[kind], name, code, len(code), gpl, self._compiled.version, 0, None, 0)
            if fd < 0:
                code_of_error = ctypes.get_errno() or -fd
                self.verify_cached()
                raise LoadError(refusal(code_of_error))
            self._programs[function] = fd
        return self._programs[function]

    def attach(self, kind: Kind, target: str, function: str) -> Link:
        """Load and attach *function*. Raises LoadError, and NotCompiledError if the file was compiled without it."""
        program_fd = self.load(self._named(function, kind), kind)
        event: bytes | None = None
        ctypes.set_errno(0)
        if kind == "raw_tracepoint":
            fd = lib.bpf_attach_raw_tracepoint(program_fd, target.encode())
        elif kind == "tracepoint":
            category, _, name = target.partition(":")
            fd = lib.bpf_attach_tracepoint(program_fd, category.encode(), name.encode())
        elif kind in ("fentry", "fexit"):
            fd = lib.bpf_attach_kfunc(program_fd)
        else:
            event = Owner.of_this_process().event("p" if kind == "kprobe" else "r", target).encode()
            fd = lib.bpf_attach_kprobe(program_fd, int(kind == "kretprobe"), event, target.encode(), 0, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise LoadError(f"the kernel refused to attach it: {os.strerror(code) if code else 'no reason given'}")
        link = Link(fd, event)
        self._links.append(link)
        return link

    def release(self, link: Link) -> None:
        """Detach one program."""
        os.close(link.fd)
        if link.event is not None:
            lib.bpf_detach_kprobe(link.event)
        self._links.remove(link)

    def _named(self, function: str, kind: Kind) -> str:
        """Return the full name of a program: fentry and fexit programs are named after the kernel function."""
        prefix = _PREFIX.get(kind)
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
        self._programs.clear()
        self._own.clear()
        self._tables.clear()
