"""How a BPF program runs through its instructions: blocks that run as a whole, and registers that are free there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ebpftop.kernel.compiled import INSN

_LD, _LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = range(8)  # the low three bits of an opcode
_WIDE = 0x18
_JA, _CALL, _EXIT, _JCOND = 0x00, 0x80, 0x90, 0xE0  # the upper four bits of a jump's
_X = 0x08
_NEG, _END, _MOV = 0x80, 0xD0, 0xB0
_ATOMIC, _FETCH, _CMPXCHG = 0xC0, 0x01, 0xF1
_PSEUDO_CALL, _PSEUDO_FUNC, _TAIL_CALL = 1, 4, 12
_SCRATCH = 0b111111  # r0 to r5, which a call overwrites
_ARGUMENTS = 0b111110
_STACK_POINTER = 10


class NotCountable(Exception):
    """Why the lines of a program cannot be counted."""


class Insn(NamedTuple):
    """An instruction: its number as the kernel counts (one that loads 64 bits is two), its bytes and parts."""

    at: int
    code: bytes
    opcode: int
    to: int
    source: int
    offset: int
    immediate: int

    @property
    def kind(self) -> int:
        return self.opcode & 7

    @property
    def is_jump(self) -> bool:
        return self.kind in (_JMP, _JMP32)

    @property
    def is_exit(self) -> bool:
        return self.is_jump and self.opcode & 0xF0 == _EXIT

    @property
    def is_call(self) -> bool:
        return self.is_jump and self.opcode & 0xF0 == _CALL

    @property
    def is_tail_call(self) -> bool:
        return self.is_call and self.source == 0 and self.immediate == _TAIL_CALL

    @property
    def is_goto(self) -> bool:
        return self.is_jump and self.opcode & 0xF0 == _JA

    @property
    def prepares(self) -> bool:
        """Whether it does nothing but put a constant, a copy, or the sum of these into a register."""
        if self.opcode == _WIDE:
            return True
        adds_constant = self.opcode & 0xF8 == 0
        return self.kind in (_ALU, _ALU64) and (self.opcode & 0xF0 == _MOV or adds_constant)

    @property
    def target(self) -> int | None:
        """The number of the instruction that it may jump to."""
        if not self.is_jump or self.is_call or self.is_exit:
            return None
        return self.at + 1 + (self.immediate if self.is_goto and self.kind == _JMP32 else self.offset)


class Block(NamedTuple):
    """Instructions that run one after the other, from the first to the last; blocks that may come next, by index.

    If it `may_end`, the program may end in it, by an exit or by a tail call that works.
    """

    insns: tuple[Insn, ...]
    next: tuple[int, ...]
    may_end: bool


def instructions(code: bytes) -> tuple[Insn, ...]:
    """Return the instructions of *code*; raises NotCountable if it has functions that call each other."""

    def read() -> Iterator[Insn]:
        at = 0
        while at < len(code):
            opcode, registers, offset, immediate = INSN.unpack_from(code, at)
            size = INSN.size * (2 if opcode == _WIDE else 1)
            yield Insn(at // INSN.size, code[at : at + size], opcode, registers & 15, registers >> 4, offset, immediate)
            at += size

    found = tuple(read())
    for one in found:
        if (one.is_call and one.source == _PSEUDO_CALL) or (one.opcode == _WIDE and one.source == _PSEUDO_FUNC):
            raise NotCountable("it has functions that are called and not inlined")
        if one.is_jump and one.opcode & 0xF0 == _JCOND:
            raise NotCountable("it has a jump of a kind that is not known here")
    return found


def blocks(insns: Sequence[Insn]) -> tuple[Block, ...]:
    """Return the blocks of a program, in the order of its instructions. A tail call ends one: it may not come back."""
    known = {one.at for one in insns}
    starts = {insns[0].at}
    for one, following in zip(insns, [*insns[1:], None], strict=False):
        if one.target is not None:
            if one.target not in known:
                raise NotCountable("it jumps to where it has no instruction")
            starts.add(one.target)
        if following is not None and (one.target is not None or one.is_exit or one.is_tail_call):
            starts.add(following.at)
    order = sorted(starts)
    index = {at: i for i, at in enumerate(order)}
    members: list[list[Insn]] = [[] for _ in order]
    current = -1
    for one in insns:
        current = index.get(one.at, current)
        members[current].append(one)
    found = []
    for i, block in enumerate(members):
        last = block[-1]
        follows = [] if last.is_exit or last.is_goto or i + 1 == len(members) else [i + 1]
        target = [index[last.target]] if last.target is not None else []
        found.append(Block(tuple(block), tuple(dict.fromkeys(follows + target)), last.is_exit or last.is_tail_call))
    return tuple(found)


# ---- registers, as sets of bits ----


def _bit(register: int) -> int:
    return 1 << register


def _effect(one: Insn) -> tuple[int, int, int]:
    """Return which registers an instruction reads, writes, and makes unreadable."""
    to, source = _bit(one.to), _bit(one.source)
    if one.opcode == _WIDE:
        return 0, to, 0
    if one.kind in (_ALU, _ALU64):
        operation = one.opcode & 0xF0
        reads = source if one.opcode & _X and operation not in (_NEG, _END) else 0
        return reads | (0 if operation == _MOV else to), to, 0
    if one.is_jump:
        if one.is_exit:
            return _bit(0), 0, 0
        if one.is_call:
            return _ARGUMENTS | (to if one.opcode & _X else 0), _bit(0), _ARGUMENTS
        if one.is_goto:
            return 0, 0, 0
        return to | (source if one.opcode & _X else 0), 0, 0
    if one.kind == _LDX:
        return source, to, 0
    if one.kind == _ST:
        return to, 0, 0
    if one.kind == _STX:
        if one.opcode & 0xE0 == _ATOMIC and one.immediate == _CMPXCHG:
            return to | source | _bit(0), _bit(0), 0
        fetches = one.opcode & 0xE0 == _ATOMIC and one.immediate & _FETCH
        return to | source, source if fetches else 0, 0
    # An access to a packet reads r6 too, and destroys what a call does.
    return source | _bit(6), _bit(0), _ARGUMENTS


class Free(NamedTuple):
    """Registers at the start of a block, as bits: those that may be overwritten, and those that may be saved first."""

    usable: int
    savable: int


def free_registers(found: Sequence[Block]) -> tuple[Free, ...]:
    """Return what may be done with r0 to r9 at the start of each block.

    A register may be overwritten if nothing reads it later, or if nothing has written it on any way there. One that is
    written on every way there can be saved on the stack and restored; the verifier refuses that of others.
    """
    effects = [[_effect(one) for one in block.insns] for block in found]
    read_later = _read_later(found, effects)
    always, ever = _written(found, effects)
    all_of_them = (1 << _STACK_POINTER) - 1
    return tuple(
        Free(all_of_them & ~(read_later[i] & ever[i]), all_of_them & read_later[i] & always[i])
        for i in range(len(found))
    )


_Effects = Sequence[Sequence[tuple[int, int, int]]]


def _read_later(found: Sequence[Block], effects: _Effects) -> list[int]:
    """Return which registers are read, at the start of each block or later, before they are written."""
    result = [0] * len(found)
    changed = True
    while changed:
        changed = False
        for i in reversed(range(len(found))):
            live = 0
            for after in found[i].next:
                live |= result[after]
            for reads, writes, lost in reversed(effects[i]):
                live = live & ~(writes | lost) | reads
            if live != result[i]:
                result[i], changed = live, True
    return result


def _written(found: Sequence[Block], effects: _Effects) -> tuple[list[int], list[int]]:
    """Return which registers are written on all ways to each block, and which on any."""
    everything = (1 << (_STACK_POINTER + 1)) - 1
    start = _bit(1) | _bit(_STACK_POINTER)  # the context, the stack
    always, ever = [everything] * len(found), [0] * len(found)
    always[0], ever[0] = start, start
    changed = True
    while changed:
        changed = False
        for i, block in enumerate(found):
            all_ways, any_way = always[i], ever[i]
            for _, writes, lost in effects[i]:
                all_ways, any_way = (all_ways & ~lost) | writes, (any_way & ~lost) | writes
            for after in block.next:
                new = always[after] & all_ways, ever[after] | any_way
                if new != (always[after], ever[after]):
                    always[after], ever[after] = new
                    changed = True
    return always, ever
