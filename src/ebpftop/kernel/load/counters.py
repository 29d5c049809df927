"""The counters of the lines of all programs of a file, in one map: see line_counts.py."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.bpf_syscall import MapInfo
from ebpftop.kernel.load.line_counts import COUNTER_BYTES, Counted, NotCountable, Plan, plan
from ebpftop.kernel.load.loading import LineInfo
from ebpftop.kernel.maps import Map, lookup

_ARRAY = 2  # BPF_MAP_TYPE_ARRAY
_NAME = "ebpftop_lines"
_KEY = struct.pack("=I", 0)
_STACK = re.compile(r"^stack depth (?:max )?(\d+)", re.MULTILINE)  # "max" since Linux 7.x


class Counters:
    """The counters. They begin at 0 when it is made, and end when it is closed."""

    def __init__(self, programs: Iterable[tuple[str, bytes, tuple[LineInfo, ...]]], file: str) -> None:
        """Make the map for *programs*: name, instructions, lines; those of other files than *file* do not count.

        Raises OSError.
        """
        self._plans: dict[str, tuple[Plan, int]] = {}
        self.reasons: dict[str, str] = {}
        """Why the lines of a program are not counted, by its name."""
        size = 0
        for name, code, lines in programs:
            try:
                made = plan(code, {one.insn: one.line if one.file == file else 0 for one in lines})
            except NotCountable as error:
                self.reasons[name] = str(error)
                continue
            self._plans[name] = made, size
            size += made.counters
        self._bytes = max(1, size) * COUNTER_BYTES
        self._map = Map(bpf_syscall.create_map(_NAME, MapInfo(_ARRAY, 4, self._bytes, 1, 0)), 1)

    def counted(self, name: str, functions: bytes, lines: bytes, log: str) -> Counted | None:
        """Return a program with counters; None if it has none: `reasons` says why.

        *functions* and *lines* are those of the program without, *log* the totals that the verifier wrote about it.
        """
        if name not in self._plans:
            return None
        made, first = self._plans[name]
        depth = _STACK.search(log)
        try:
            return made.counted(self._map.map_fd, first, functions, lines, int(depth[1]) if depth else None)
        except NotCountable as error:
            self.fail(name, str(error))
            return None

    def fail(self, name: str, reason: str) -> None:
        """The program is not counted after all."""
        self._plans.pop(name, None)
        self.reasons[name] = reason

    def runs(self) -> dict[int, int]:
        """Return how often each line ran, in all programs together. Raises OSError."""
        value = lookup(self._map, _KEY, self._bytes)
        if value is None:
            return {}
        numbers = struct.unpack(f"={self._bytes // COUNTER_BYTES}Q", value)
        found: dict[int, int] = {}
        for made, first in self._plans.values():
            for line, runs in made.runs(numbers[first : first + made.counters]).items():
                found[line] = found.get(line, 0) + runs
        return found

    def close(self) -> None:
        """Remove the map. Programs that still run go on counting into it."""
        os.close(self._map.map_fd)
