"""What the kernel has of a probe: its programs, their code, and what is in their maps. See `docs/programs.md`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ebpftop.core.records import ProbeName

ENTRIES_MAX = 32
"""Entries of a map that are read."""


@dataclass(frozen=True)
class OwnProgram:
    """A program of a probe. `place` is what it is attached to; empty: another program calls it.

    `runs`, `run_ns` (of all CPUs) and `misses` are totals since it was loaded. `verifier`: what that said. `code`: its
    instructions as the verifier left them, one a line.
    """

    name: str
    type: str
    place: str
    id: int
    tag: str
    runs: int
    run_ns: int
    misses: int
    jited_bytes: int
    verifier: str
    code: tuple[str, ...]


@dataclass(frozen=True)
class OwnMap:
    """A map of a probe; `entries` are texts of its first ones: key and value. `more`: there are others."""

    name: str
    type: str
    id: int
    key_bytes: int
    value_bytes: int
    entries_max: int
    entries: tuple[tuple[str, str], ...] = ()
    more: bool = False


@dataclass(frozen=True)
class OwnFile:
    """A C file of ebpftop in the kernel: what is loaded of it, and its source."""

    file: str
    source: tuple[str, ...]
    programs: tuple[OwnProgram, ...]
    maps: tuple[OwnMap, ...]


@runtime_checkable
class OwnPrograms(Protocol):
    """A source that reads the kernel, and can tell what it has loaded into it."""

    def own_file(self, probe: ProbeName) -> OwnFile | None:
        """Return what is loaded of *probe*; None if nothing is. Slow: call it from a thread."""
