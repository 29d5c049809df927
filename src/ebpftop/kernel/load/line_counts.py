"""How often each line of a program ran: counters are put between its instructions, and a copy is attached in its place.

A block of instructions that runs as a whole gets one counter: four instructions, which add 1 to a number in an array
map, at an address that the kernel fills in (BPF_PSEUDO_MAP_VALUE). That is atomic, since a program runs on all CPUs at
once: it costs 5 to 10 ns a block, and more if CPUs count at the same time. So it is off unless somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ebpftop.kernel.compiled import INSN
from ebpftop.kernel.load.control_flow import (
    Block,
    Free,
    Insn,
    NotCountable,
    blocks,
    free_registers,
    instructions,
)
from ebpftop.kernel.load.inserting import Counted, inserted

__all__ = ("COUNTER_BYTES", "Counted", "NotCountable", "Plan", "plan")

COUNTER_BYTES = 8
BLOCKS_MAX = 4096
_STACK_BYTES = 512
_PSEUDO_MAP_VALUE = 2
_LOAD_ADDRESS, _LOAD_ONE, _ADD, _STORE, _LOAD = 0x18, 0xB7, 0xDB, 0x7B, 0x79
_ORDER = (0, 5, 4, 3, 2, 1, 9, 8, 7, 6)
"""Registers in the order in which they are preferred: those of calls first, which need not be saved by the JIT."""


class BlockLines(NamedTuple):
    """The lines of a block: those that count, of its first and last instruction, and those that it comes back to."""

    counted: frozenset[int]
    first: int
    last: int
    again: frozenset[int]


@dataclass(frozen=True)
class Plan:
    """Where counters go, and what they count: the `lines` of each block."""

    insns: tuple[Insn, ...]
    blocks: tuple[Block, ...]
    free: tuple[Free, ...]
    lines: tuple[BlockLines, ...]

    @property
    def counters(self) -> int:
        """How many counters it needs."""
        return len(self.blocks)

    def counted(self, map_fd: int, first: int, functions: bytes, lines: bytes, depth: int | None) -> Counted:
        """Return the program with counters in the map of *map_fd*, an array with one value; *first* is its first one.

        *functions* and *lines* are those of the program without counters. *depth* is how many bytes of the stack it
        uses; None if that is unknown. Raises NotCountable.
        """
        stack = None if depth is None else -depth // 8 * 8
        before = {
            block.insns[0].at: _counter(map_fd, (first + index) * COUNTER_BYTES, self.free[index], stack)
            for index, block in enumerate(self.blocks)
        }
        return inserted(self.insns, functions, lines, before=before)

    def runs(self, values: Sequence[int]) -> dict[int, int]:
        """Return how often each line ran, by the *values* of the counters.

        A line that is several blocks ran as often as one of them was entered from another line.
        """
        passed = _passed(self.blocks, values)
        found: dict[int, int] = {}
        for index, here in enumerate(self.lines):
            # Who comes from the end of the same line has not entered it.
            inside = sum(
                runs for (before, after), runs in passed.items() if after == index and self._goes_on(before, index)
            )
            for line in here.counted:
                from_inside = inside if line == here.first else 0
                found[line] = found.get(line, 0) + max(0, values[index] - from_inside)
        return found

    def _goes_on(self, before: int, after: int) -> bool:
        """Whether one block goes on with the line that another one ended with, and does not come back to it."""
        line = self.lines[after].first
        return self.lines[before].last == line and line not in self.lines[after].again


def plan(code: bytes, lines: Mapping[int, int]) -> Plan:
    """Return where the counters of a program go. *lines*: of instructions, by number, where the line changes.

    A line of 0 is in another file. Raises NotCountable.
    """
    insns = instructions(code)
    if not insns:
        raise NotCountable("it has no instructions")
    found = blocks(insns)
    if len(found) > BLOCKS_MAX:
        raise NotCountable(f"it has more than {BLOCKS_MAX} branches")
    return Plan(insns, found, free_registers(found), _lines_of(found, lines))


def _lines_of(found: Sequence[Block], lines: Mapping[int, int]) -> tuple[BlockLines, ...]:
    """Return the lines of each block.

    The compiler moves what only prepares a value, such as an address on the stack, to where it runs seldom; and of
    what it made itself it says no line: then it seems to be that of the instruction before, maybe in another block. So
    a line counts where the rest of it is, if there is a rest.
    """
    in_order: list[list[int]] = []
    rest: list[set[int]] = []
    line = 0
    for block in found:
        in_order.append([])
        rest.append(set())
        is_said = False
        for one in block.insns:
            is_said = is_said or one.at in lines
            line = lines.get(one.at, line)
            if in_order[-1][-1:] != [line]:
                in_order[-1].append(line)
            if is_said and not one.prepares:
                rest[-1].add(line)
    has_rest = set().union(*rest)
    return tuple(
        BlockLines(
            frozenset((here | (set(order) - has_rest)) - {0}),
            order[0],
            order[-1],
            frozenset(line for line in order if order.count(line) > 1),
        )
        for order, here in zip(in_order, rest, strict=True)
    )


def _counter(map_fd: int, offset: int, free: Free, stack: int | None) -> bytes:
    """Return the instructions that count, at a place where registers are *free*.

    *stack* is the offset from the frame pointer below which nothing is used; None if that is unknown.
    """
    usable = [register for register in _ORDER if free.usable >> register & 1]
    saved: list[int] = []
    if len(usable) < 2:
        savable = [register for register in _ORDER if free.savable >> register & 1]
        saved = [] if stack is None else savable[: 2 - len(usable)]
        usable += saved
    if len(usable) < 2:
        raise NotCountable("it has no register left at one of its branches")
    lowest = stack or 0
    if lowest - 8 * len(saved) < -_STACK_BYTES:
        raise NotCountable("it has no room left on its stack")
    address, one = usable[:2]
    places = [(register, lowest - 8 * (i + 1)) for i, register in enumerate(saved)]
    return b"".join(
        (
            *(INSN.pack(_STORE, 10 | register << 4, place, 0) for register, place in places),
            INSN.pack(_LOAD_ADDRESS, address | _PSEUDO_MAP_VALUE << 4, 0, map_fd),
            INSN.pack(0, 0, 0, offset),
            INSN.pack(_LOAD_ONE, one, 0, 1),
            INSN.pack(_ADD, address | one << 4, 0, 0),
            *(INSN.pack(_LOAD, register | 10 << 4, place, 0) for register, place in places),
        )
    )


_Edge = tuple[int, int]


def _passed(found: Sequence[Block], values: Sequence[int]) -> dict[_Edge, int]:
    """Return how often each way from one block to the next was gone, as far as the counts of the blocks say it.

    A block was left as often as it was entered; what is not known of one way follows from the others.
    """
    unknown = {(i, after) for i, block in enumerate(found) for after in block.next}
    known: dict[_Edge, int] = {}
    progress = True
    while unknown and progress:
        progress = False
        for i, block in enumerate(found):
            sides = [] if block.may_end else [[(i, after) for after in block.next]]
            if i:  # the first block is entered from outside too
                sides.append([edge for edge in (*unknown, *known) if edge[1] == i])
            for edges in sides:
                left = [edge for edge in edges if edge in unknown]
                if len(left) == 1:
                    rest = values[i] - sum(known[edge] for edge in edges if edge in known)
                    known[left[0]] = max(0, rest)
                    unknown.discard(left[0])
                    progress = True
    return known
