"""What passes between ebpftop and the process that compiles: a source to compile, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ebpftop.core.load_records import CodeLine
from ebpftop.kernel.load.limits import MAP_BYTES


class CompileRequest(msgspec.Struct, frozen=True, array_like=True):
    """A source to compile. Nothing else of the machine is read for it, but headers that are made here."""

    name: str
    """The name of the file, without its folder: how `#line` names it."""
    text: str
    """What BCC gets."""
    includes: dict[str, str] = {}
    """The files that it includes with quotes, by the name that they are included by."""
    flags: tuple[str, ...] = ()
    map_bytes_max: int = MAP_BYTES
    """What all its maps together may take of the kernel's memory."""


class CodeRequest(msgspec.Struct, frozen=True, array_like=True):
    """Show what became of a loaded program, whose descriptor comes beside this: see code.py."""

    file: str
    """The name of its source, without its folder."""
    maps: dict[int, str] = {}
    """The names of its maps by id: the kernel cuts them, and the server may not ask for them."""
    btf: bytes = b""
    """Its types, where the names of files and functions are."""


class ShownCode(msgspec.Struct, frozen=True, array_like=True):
    """A program's code in words; empty if `error` says why."""

    xlated: tuple[CodeLine, ...] = ()
    native: tuple[CodeLine, ...] = ()
    arch: str = ""
    error: str = ""


class BuiltProgram(msgspec.Struct, frozen=True, array_like=True):
    """A function that can be loaded. An instruction that loads a map has the map's index in `Built.maps`."""

    name: str
    code: bytes
    functions: bytes = b""
    """struct bpf_func_info, one after the other."""
    lines: bytes = b""
    """struct bpf_line_info, likewise."""


class BuiltMap(msgspec.Struct, frozen=True, array_like=True):
    """A map that was made for the source; its descriptor comes beside it."""

    name: str
    event_fields: tuple[tuple[str, str], ...] = ()
    """Name and C type of each member of the events that are written to it, as far as BCC knows them."""


class Built(msgspec.Struct, frozen=True, array_like=True):
    """What the compiler made, or why it made nothing."""

    error: str = ""
    """Why it failed, in words; empty if it worked. What clang wrote is in `output`."""
    remedy: str = ""
    stage: str = ""
    """What failed: "clang", "map", or "limit" if it was ended."""
    map: str = ""
    """The map that it failed for, if it was one."""
    output: str = ""
    seconds: float = 0.0
    speed: float = 1.0
    """How much more time than on other machines a file has on this one: see `limits.cpu_seconds`."""
    license: str = ""
    version: int = 0
    """KERNEL_VERSION of the kernel that it was made for."""
    programs: tuple[BuiltProgram, ...] = ()
    maps: tuple[BuiltMap, ...] = ()
    btf: bytes = b""
    """Its types; empty if the kernel did not accept them."""
    file_names: dict[int, str] = {}
    """Names of source files by their offset in the strings of `btf`."""


class Received:
    """What was built, and the descriptors of its maps, which belong to who holds this."""

    def __init__(self, built: Built, map_fds: Mapping[str, int]) -> None:
        self.built = built
        self.map_fds = dict(map_fds)

    def close(self) -> None:
        """Close the descriptors that nobody took out of `map_fds`."""
        import os

        for fd in self.map_fds.values():
            os.close(fd)
        self.map_fds.clear()
