"""Counters in a program: where they go, with which registers, and what is read from them. Bytes in, bytes out."""

from __future__ import annotations

import struct

import pytest

from ebpftop.kernel.load.control_flow import NotCountable, blocks, free_registers, instructions
from ebpftop.kernel.load.disassembly import Names, disassembled
from ebpftop.kernel.load.line_counts import plan
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO

MAP_FD = 7


def insn(opcode: int, to: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", opcode, to | source << 4, offset, immediate)


def mov(to: int, immediate: int) -> bytes:
    return insn(0xB7, to, immediate=immediate)


def copy(to: int, source: int) -> bytes:
    return insn(0xBF, to, source)


def if_zero(register: int, offset: int) -> bytes:
    return insn(0x15, register, offset=offset)


def goto(offset: int) -> bytes:
    return insn(0x05, offset=offset)


def call(number: int) -> bytes:
    return insn(0x85, immediate=number)


EXIT = insn(0x95)
# if (random()) r0 = 1; else r0 = 2; return r0;
BRANCH = call(7) + if_zero(0, 2) + mov(0, 1) + goto(1) + mov(0, 2) + EXIT
LOOP = mov(6, 10) + call(5) + insn(0x07, 6, immediate=-1) + insn(0x55, 6, offset=-3) + mov(0, 0) + EXIT


def text(code: bytes) -> list[str]:
    return [one.text for one in disassembled(code, Names({MAP_FD: "lines"}.get, {5: "time", 7: "random"}.get))]


def counted(code: bytes, lines: bytes = b"", functions: bytes = b"", depth: int | None = 0) -> list[str]:
    return text(plan(code, {}).counted(MAP_FD, 0, functions, lines, depth).code)


def test_blocks_begin_where_jumps_lead_and_behind_them() -> None:
    found = blocks(instructions(BRANCH))
    assert [(block.insns[0].at, block.next, block.may_end) for block in found] == [
        (0, (1, 2), False),
        (2, (3,), False),
        (4, (3,), False),
        (5, (), True),
    ]


def test_each_block_gets_a_counter_and_jumps_lead_to_it() -> None:
    assert counted(BRANCH) == [
        "r0 = map[lines][0] + 0",
        "r5 = 1",
        "lock *(u64 *)(r0 + 0) += r5",
        "call random",
        "if r0 == 0 goto +6",
        "r0 = map[lines][0] + 8",
        "r5 = 1",
        "lock *(u64 *)(r0 + 0) += r5",
        "r0 = 1",
        "goto +5",
        "r0 = map[lines][0] + 16",
        "r5 = 1",
        "lock *(u64 *)(r0 + 0) += r5",
        "r0 = 2",
        "r5 = map[lines][0] + 24",
        "r4 = 1",
        "lock *(u64 *)(r5 + 0) += r4",
        "exit",
    ]


def test_a_jump_back_leads_to_the_counter_of_the_loop() -> None:
    code = counted(LOOP)
    assert code[code.index("call time") - 3 :] == [
        "r0 = map[lines][0] + 8",
        "r5 = 1",
        "lock *(u64 *)(r0 + 0) += r5",
        "call time",
        "r6 += -1",
        "if r6 != 0 goto -7",
        "r0 = map[lines][0] + 16",
        "r5 = 1",
        "lock *(u64 *)(r0 + 0) += r5",
        "r0 = 0",
        "exit",
    ]


def test_a_register_that_is_read_later_is_not_free() -> None:
    code = copy(6, 1) + call(7) + if_zero(0, 1) + copy(1, 6) + EXIT
    start, side, end = free_registers(blocks(instructions(code)))
    assert not start.usable & 0b10  # the context
    assert not side.usable & 1 << 6
    assert not side.usable & 1  # what random returned is returned
    assert not end.usable & 1
    assert end.usable & 1 << 6


def test_what_only_one_way_has_written_is_neither_free_nor_saved() -> None:
    # if (r0) r7 = 5; if (r0) r0 = r7;
    code = call(7) + if_zero(0, 1) + mov(7, 5) + if_zero(0, 1) + copy(0, 7) + EXIT
    join = free_registers(blocks(instructions(code)))[2]
    assert not join.usable & 1 << 7
    assert not join.savable & 1 << 7


def full(depth: int | None) -> list[str]:
    """Count a program that uses all registers over a branch."""
    all_set = b"".join(mov(register, register) for register in range(10))
    summed = b"".join(insn(0x0F, 0, register) for register in range(1, 10))
    return counted(all_set + if_zero(0, 0) + summed + EXIT, depth=depth)


def test_registers_that_are_in_use_are_saved_below_the_stack() -> None:
    code = full(depth=20)
    place = code.index("*(u64 *)(r10 - 32) = r0")
    assert code[place : place + 7] == [
        "*(u64 *)(r10 - 32) = r0",
        "*(u64 *)(r10 - 40) = r5",
        "r0 = map[lines][0] + 8",
        "r5 = 1",
        "lock *(u64 *)(r0 + 0) += r5",
        "r0 = *(u64 *)(r10 - 32)",
        "r5 = *(u64 *)(r10 - 40)",
    ]


@pytest.mark.parametrize(("depth", "reason"), [(512, "no room"), (500, "no room"), (None, "no register")])
def test_without_room_for_them_nothing_is_counted(depth: int | None, reason: str) -> None:
    with pytest.raises(NotCountable, match=reason):
        full(depth)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (insn(0x85, source=1, immediate=1) + EXIT + EXIT, "called and not inlined"),
        (insn(0x18, 1, 4) + insn(0) + EXIT, "called and not inlined"),
        (insn(0xE5, offset=0) + EXIT, "not known"),
        (goto(5) + EXIT, "no instruction"),
        (b"", "no instructions"),
    ],
)
def test_what_cannot_be_counted_says_why(code: bytes, reason: str) -> None:
    with pytest.raises(NotCountable, match=reason):
        plan(code, {})


def test_a_jump_that_would_be_too_far_is_refused() -> None:
    many = (if_zero(0, 0) + mov(1, 1) * 6) * 4000
    code = mov(0, 0) + if_zero(0, 28000) + many + EXIT
    with pytest.raises(NotCountable, match="too far"):
        plan(code, {}).counted(MAP_FD, 0, b"", b"", 0)


def test_lines_and_functions_move_with_their_instructions() -> None:
    lines = b"".join(LINE_INFO.pack(at, 0, 0, line << 10) for at, line in ((0, 3), (2, 4), (4, 6), (5, 8)))
    made = plan(BRANCH, {}).counted(MAP_FD, 0, FUNCTION_INFO.pack(0, 9), lines, 0)
    assert list(FUNCTION_INFO.iter_unpack(made.functions)) == [(0, 9)]
    assert [(one[0], one[3] >> 10) for one in LINE_INFO.iter_unpack(made.lines)] == [(0, 3), (6, 4), (12, 6), (17, 8)]


def test_lines_of_a_branch() -> None:
    made = plan(BRANCH, {0: 3, 2: 4, 4: 6, 5: 8})
    assert made.counters == 4
    assert made.runs([10, 7, 3, 10]) == {3: 10, 4: 7, 6: 3, 8: 10}


def test_a_line_that_is_several_blocks_ran_as_often_as_it_was_entered() -> None:
    # All of the loop is line 2: it was entered once, however often it went round.
    assert plan(LOOP, {0: 1, 1: 2, 4: 3}).runs([1, 10, 1]) == {1: 1, 2: 1, 3: 1}
    # The loop's head is line 2, its body line 3.
    code = mov(6, 10) + if_zero(6, 3) + call(5) + insn(0x07, 6, immediate=-1) + goto(-4) + mov(0, 0) + EXIT
    assert plan(code, {0: 1, 1: 2, 2: 3, 4: 2, 5: 4}).runs([1, 11, 10, 1]) == {1: 1, 2: 11, 3: 10, 4: 1}


def test_what_prepares_a_value_elsewhere_is_not_the_line() -> None:
    # Line 5 sets r2 before the branch, and calls behind it.
    code = call(7) + mov(2, 8) + if_zero(0, 1) + call(5) + mov(0, 0) + EXIT
    made = plan(code, {0: 4, 1: 5, 2: 4, 3: 5, 4: 6})
    assert made.runs([10, 2, 10])[5] == 2


def test_a_line_in_another_file_is_not_counted() -> None:
    assert plan(BRANCH, {0: 0}).runs([1, 1, 0, 1]) == {}


def test_after_a_tail_call_it_goes_on_only_if_that_failed() -> None:
    code = mov(3, 1) + call(12) + call(5) + mov(0, 0) + EXIT
    assert plan(code, {0: 2, 2: 3}).runs([10, 4]) == {2: 10, 3: 4}
