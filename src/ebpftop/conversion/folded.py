"""Folded stacks, which flamegraph.pl, inferno and speedscope read: a stack a line, its frames apart by semicolons.

Of the exec tree, a frame is a program and the one before it its parent. A value is what the program used itself: so the
width of a frame in a flame graph, which is its own value and those above it, is that of its whole tree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from ebpftop.conversion.exec_tree import DEEPEST, Began, Ended, ExecTree, Program, TreeProcess
from ebpftop.conversion.input import Input, ns, with_boot_offset
from ebpftop.core.process_records import Exec
from ebpftop.core.records import Header, Record
from ebpftop.core.syscall_records import Syscall

Value = Literal["wall", "cpu", "count"]

_STACKS = 500_000
"""Different stacks that are kept apart."""
_OTHER = "[other]"
_OFFSET = re.compile(r"\+0x[0-9a-f]+(?=$| )")
_MODULE = re.compile(r"(.*) \(([^()]*)\)")


class Stacks:
    """Values by stack."""

    def __init__(self) -> None:
        self._values: Counter[str] = Counter()

    def add(self, frames: Iterable[str], value: int) -> None:
        """Add to the value of a stack, the outermost frame first."""
        stack = ";".join(map(frame, frames))
        if stack not in self._values and len(self._values) >= _STACKS:
            stack = _OTHER
        self._values[stack] += value

    def lines(self, unit: int = 1) -> Iterator[bytes]:
        """Yield the lines, values in units of *unit*; stacks that have none are left out."""
        for stack, value in sorted(self._values.items()):
            if whole := round(value / unit):
                yield f"{stack} {whole}\n".encode()


def frame(name: str) -> str:
    r"""Return a frame as it may stand in a line: semicolons and spaces, which separate, as `\x3b` and `\x20`."""
    return (name or "?").replace(";", "\\x3b").replace(" ", "\\x20")


def programs(source: Input, value: Value) -> Iterator[bytes]:
    """Yield the exec tree: microseconds that programs took (wall), or were on a CPU (cpu); or how many there were."""
    offset_ns, records = with_boot_offset(source.records)
    tree = ExecTree(ns(source.begin), offset_ns)
    time = _WallTime()
    stacks = time.stacks
    last_ns = 0
    for record in records:
        if isinstance(record, Header):
            continue
        last_ns = max(last_ns, ns(record.time))
        for change in tree.follow(record):
            if value == "wall" and isinstance(change, (Began, Ended)):
                time.follow(change)
            elif value == "count" and isinstance(change, Began) and isinstance(change.program.start, Exec):
                if not change.program.was_there:
                    stacks.add(frames_of(change.program), 1)
            elif value == "cpu" and isinstance(change, Ended) and change.exit is not None:
                stacks.add(frames_of(change.program), round(1e9 * (change.exit.cpu_s or 0)))
    if value == "wall":
        for end in tree.finish(last_ns):
            time.follow(end)
    yield from stacks.lines(1 if value == "count" else 1000)


def calls(records: Iterable[Record], value: Value) -> Iterator[bytes]:
    """Yield the traced calls that have a stack: how long they took, in nanoseconds; or how many there were."""
    stacks = Stacks()
    for record in records:
        if isinstance(record, Syscall) and (record.stack is not None or record.kernel_stack is not None):
            user = [_user_frame(name) for name in reversed(record.stack or ())]
            kernel = [f"{_OFFSET.sub('', name)}_[k]" for name in reversed(record.kernel_stack or ())]
            stacks.add(
                (record.comm, *user, *(kernel or [record.name + "_[k]"])), 1 if value == "count" else record.ns or 0
            )
    yield from stacks.lines()


def _user_frame(name: str) -> str:
    """Return a function as other tools have it: ``libc.so.6`read`` of ``read+0x4d (libc.so.6)``."""
    name = _OFFSET.sub("", name)
    found = _MODULE.fullmatch(name)
    return f"{found[2]}`{found[1]}" if found else name


def frames_of(program: Program) -> list[str]:
    """Return the names of a program and of those that led to it, the first one first.

    Processes whose parents are learnt later may be deeper than `DEEPEST`.
    """
    names: list[str] = []
    above: Program | None = program
    while above is not None and len(names) <= DEEPEST:
        names.append(above.comm)
        above = above.parent
    return names[::-1]


class _WallTime:
    """How long each program took without its children: the time in which none of them ran.

    Programs that were there before the recording began have no time: they are mostly those that wait all day.
    """

    def __init__(self) -> None:
        self.stacks = Stacks()
        self._covered: dict[TreeProcess, _Union] = {}

    def follow(self, change: Began | Ended) -> None:
        program = change.program
        process = program.process
        if isinstance(change, Began):
            if not program.was_there:
                self._covered[process] = _Union(program.begin_ns)
            return
        above = process.parent and self._covered.get(process.parent)
        if above:
            above.add(program.begin_ns, change.end_ns)
        covered = self._covered.pop(process, None)
        if covered is None:
            return
        for child in process.children.values():
            # It goes on without its parent.
            covered.add(child.program.begin_ns, change.end_ns)
        own_ns = change.end_ns - program.begin_ns - covered.length(change.end_ns)
        self.stacks.add(frames_of(program), max(0, own_ns))


class _Union:
    """The time that intervals take together, behind a begin. They come about in the order of their ends."""

    _MOST = 4096

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self._length = 0
        self._islands: list[tuple[int, int]] = []

    def add(self, begin: int, end: int) -> None:
        """Add an interval."""
        begin = max(begin, self._begin)
        if end <= begin:
            return
        later: list[tuple[int, int]] = []
        while self._islands and self._islands[-1][1] >= begin:
            island = self._islands.pop()
            if island[0] > end:
                later.append(island)
            else:
                begin, end = min(begin, island[0]), max(end, island[1])
        self._islands.append((begin, end))
        self._islands += reversed(later)
        if len(self._islands) > self._MOST:
            for low, high in self._islands[: self._MOST // 2]:
                self._length += high - low
                self._begin = high
            del self._islands[: self._MOST // 2]

    def length(self, until: int) -> int:
        """Return how much of the time before *until* they take."""
        return self._length + sum(max(0, min(high, until) - low) for low, high in self._islands)
