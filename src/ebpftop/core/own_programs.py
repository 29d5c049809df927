"""What the kernel has of a probe: its programs, their code, and what is in their maps. See `docs/programs.md`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from ebpftop.core.records import Count, ProbeName, TimedRecord

ENTRIES_MAX = 32
"""Entries of a map that are read."""


class OwnProgram(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A program of a probe. `place` is what it is attached to; empty: another program calls it.

    `runs`, `run_ns` (of all CPUs) and `misses` are totals since it was loaded. `verifier`: what that said. `code`: its
    instructions as the verifier left them, one a line.
    """

    name: str
    type: str
    place: str = ""
    id: Count
    tag: str = ""
    runs: Count = 0
    run_ns: Count = 0
    misses: Count = 0
    jited_bytes: Count = 0
    verifier: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


class OwnMap(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A map of a probe; `entries` are texts of its first ones: key and value. `more`: there are others."""

    name: str
    type: str
    id: Count
    key_bytes: Count = 0
    value_bytes: Count = 0
    entries_max: Count = 0
    entries: tuple[tuple[str, str], ...] = ()
    more: bool = False


class OwnFile(TimedRecord, frozen=True, kw_only=True, tag="own"):
    """A C file of ebpftop in the kernel: what is loaded of it for a probe, and its source. A later one replaces it."""

    probe: ProbeName
    file: str
    source: tuple[str, ...] = ()
    programs: tuple[OwnProgram, ...] = ()
    maps: tuple[OwnMap, ...] = ()

    paths = ("source", "place", "verifier", "code", "entries")


@runtime_checkable
class OwnPrograms(Protocol):
    """A source that reads the kernel, and can tell what it has loaded into it."""

    def own_file(self, probe: ProbeName) -> OwnFile | None:
        """Return what is loaded of *probe*; None if nothing is. Slow: call it from a thread."""
