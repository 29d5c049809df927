"""The conditions of traced calls, in the maps of bpf/syscalls_conditions.h."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Protocol

from ebpftop.core.source import SourceError
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.syscalls.tracing import CONDITIONS_MAX, Condition

_FAILED, _ERROR, _SLOWER, _PATH, _PATH_END = 1, 2, 4, 8, 16  # enum condition_flag
_PATH_LEN = 64
_CONDITION = struct.Struct(f"=IIQII{_PATH_LEN}s{_PATH_LEN}s")
_KINDS = struct.Struct("=II8I")


class Followed(Protocol):
    """Who marks processes and their descendants in the kernel: `ebpftop.kernel.filter_maps.KernelFilter`."""

    def follow(self, pid: int) -> int:
        """Mark *pid*, all that descends from it, and what they fork from now on; return the bit of `filter_pids`.

        Raises SourceError if there is no such process, or no bit left.
        """

    def unfollow(self, bit: int) -> None:
        """Remove the marks of *bit*."""


class NoProcesses:
    """Stands for `Followed` where no processes can be followed."""

    def follow(self, pid: int) -> int:
        raise SourceError(f"pid={pid}: processes cannot be followed here")

    def unfollow(self, bit: int) -> None: ...


class TraceConditions:
    """The conditions in use: each has a place in the kernel's map as long as a call is traced by it."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._places: dict[Condition, int] = {}
        self._bits: dict[Condition, int] = {}  # of those with a process, while they are in the kernel

    def add(self, conditions: Iterable[Condition]) -> None:
        """Give each of *conditions* a place; raises SourceError if there is none left, and then nothing has changed."""
        new = [condition for condition in dict.fromkeys(conditions) if condition not in self._places]
        free = [place for place in range(CONDITIONS_MAX) if place not in self._places.values()]
        if len(new) > len(free):
            raise SourceError(
                f"system calls are traced on {CONDITIONS_MAX} different conditions already",
                "count one of those calls again (T on its row), then trace this one",
            )
        self._places.update(zip(new, free, strict=False))

    def mask(self, conditions: Iterable[Condition]) -> int:
        """Return the places of *conditions* as bits."""
        return sum(1 << self._places[condition] for condition in frozenset(conditions))

    def write(self, module: Module) -> None:
        """Write all conditions into the kernel; raises SourceError for a process that cannot be followed."""
        for condition in self._places:
            if condition.pid is not None and condition not in self._bits:
                self._bits[condition] = self._followed.follow(condition.pid)
        for condition, place in self._places.items():
            maps.update(module.table("conditions"), struct.pack("=I", place), packed(condition))
        maps.update(module.table("condition_kinds"), bytes(4), kinds(self._places, self._bits))

    def keep(self, used: Iterable[Condition], module: Module | None) -> None:
        """Free the places of all conditions but those *used*; no call in the kernel has the others any more."""
        for condition in self._places.keys() - frozenset(used):
            del self._places[condition]
            if condition in self._bits:
                self._followed.unfollow(self._bits.pop(condition))
        if module is not None:
            maps.update(module.table("condition_kinds"), bytes(4), kinds(self._places, self._bits))

    def forget(self) -> None:
        """Follow no process any more: the programs are no longer in the kernel. `write` follows them again."""
        for bit in self._bits.values():
            self._followed.unfollow(bit)
        self._bits.clear()


def packed(condition: Condition) -> bytes:
    """Return `struct condition` of bpf/syscalls_conditions.h."""
    flags = _FAILED if condition.failed else 0
    flags |= _ERROR if condition.error is not None else 0
    flags |= _SLOWER if condition.slower_ns is not None else 0
    path, length = b"", 0
    if condition.path is not None:
        path = condition.path.encode("utf-8", "surrogateescape")
        if path.startswith(b"*"):
            flags |= _PATH_END
            path = path[1:] + b"\0"
            length = len(path)
        else:
            flags |= _PATH
            path = path[:-1] if path.endswith(b"*") else path + b"\0"
    mask = b"\xff" * len(path)
    return _CONDITION.pack(flags, condition.error or 0, condition.slower_ns or 0, 0, length, path, mask)


def kinds(places: Mapping[Condition, int], bits: Mapping[Condition, int]) -> bytes:
    """Return `struct condition_kinds` of bpf/syscalls_conditions.h."""
    at_return = sum(1 << place for condition, place in places.items() if condition.at_return)
    by_process = sum(1 << place for condition, place in places.items() if condition.pid is not None)
    of_followed = [0] * 8
    for condition, bit in bits.items():
        of_followed[bit] |= 1 << places[condition]
    return _KINDS.pack(at_return, by_process, *of_followed)
