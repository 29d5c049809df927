"""Instructions put between those of a program: jumps still lead to where they led, lines are still those they were."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ebpftop.kernel.compiled import INSN
from ebpftop.kernel.load.control_flow import Insn, NotCountable
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO

_JMP32 = 6
_NOTHING: Mapping[int, bytes] = MappingProxyType({})


class Counted(NamedTuple):
    """A program with counters: its instructions, struct bpf_func_info and bpf_line_info, one after the other."""

    code: bytes
    functions: bytes
    lines: bytes


def inserted(
    insns: Sequence[Insn],
    functions: bytes,
    lines: bytes,
    *,
    before: Mapping[int, bytes] = _NOTHING,
    after: Mapping[int, bytes] = _NOTHING,
) -> Counted:
    """Return the program of *insns*, with instructions *before* and *after* some of them, by their numbers.

    A jump to an instruction leads to what is before it, and passes over what is after the one that precedes it.
    *functions* and *lines* are those of the program without. Raises NotCountable.
    """
    pieces: list[bytes] = []
    moved: dict[int, int] = {}  # where an instruction was, and where it, or what is before it, is now
    jumps: list[tuple[int, Insn]] = []
    size = 0
    for one in insns:
        moved[one.at] = size
        first = before.get(one.at, b"")
        if one.target is not None:
            jumps.append((size + len(first) // INSN.size, one))
        piece = first + one.code + after.get(one.at, b"")
        pieces.append(piece)
        size += len(piece) // INSN.size
    code = bytearray(b"".join(pieces))
    for at, one in jumps:
        _set_target(code, at, one, moved)
    return Counted(bytes(code), _move(functions, FUNCTION_INFO, moved), _move(lines, LINE_INFO, moved))


def _set_target(code: bytearray, at: int, one: Insn, moved: Mapping[int, int]) -> None:
    """Let the jump that is now at *at* lead to where its target is now."""
    assert one.target is not None
    if one.target not in moved:
        raise NotCountable("it jumps to where it has no instruction")
    distance = moved[one.target] - at - 1
    opcode, registers, offset, immediate = INSN.unpack_from(code, at * INSN.size)
    if one.is_goto and opcode & 7 == _JMP32:
        immediate = distance
    else:
        offset = distance
    try:
        INSN.pack_into(code, at * INSN.size, opcode, registers, offset, immediate)
    except struct.error:
        raise NotCountable("a jump would be too far") from None


def _move(records: bytes, form: struct.Struct, moved: Mapping[int, int]) -> bytes:
    """Return records, which begin with the number of an instruction, for where these are now."""
    found = []
    for at, *rest in form.iter_unpack(records):
        if at in moved:
            found.append(form.pack(moved[at], *rest))
    return b"".join(found)
