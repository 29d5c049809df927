"""Counters behind the calls that write to buffers: where they go, and which buffer they are of. Bytes in, bytes out."""

from __future__ import annotations

import struct

import pytest

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.load import lost_counts
from ebpftop.kernel.load.lost_counts import LostCounts
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO

LOST_FD, RING, OTHER, PERF = 50, 7, 8, 9


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> LostCounts:
    monkeypatch.setattr(bpf_syscall, "create_map", lambda *_: LOST_FD)
    return LostCounts({"ring": RING, "other": OTHER, "perf": PERF})


def insn(opcode: int, to: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", opcode, to | source << 4, offset, immediate)


def load_map(register: int, fd: int) -> bytes:
    return insn(0x18, register, 1, immediate=fd) + insn(0)


def call(number: int) -> bytes:
    return insn(0x85, immediate=number)


def count(unless: bytes, number: int) -> bytes:
    """What is put behind a call: unless it failed, pass over four instructions; they add 1 to a number."""
    return b"".join(
        (
            unless,
            insn(0x18, 1, 2, immediate=LOST_FD) + insn(0, immediate=8 * number),
            insn(0xB7, 2, immediate=1),
            insn(0xDB, 1, 2),
        )
    )


OUTPUT, RESERVE, PERF_OUTPUT = 130, 131, 25
IF_NOT_NEGATIVE = insn(0x75, 0, offset=4)
IF_NOT_ZERO = insn(0xBC, 1, 0) + insn(0x55, 1, offset=4)
"""By a copy of half of the pointer: the pointer itself is the program's to compare."""
ARGUMENTS = insn(0xB7, 2) + insn(0xB7, 3, immediate=8)
EXIT = insn(0xB7, 0) + insn(0x95)


@pytest.mark.parametrize(
    ("load", "number", "unless", "which"),
    [
        (load_map(1, RING), OUTPUT, IF_NOT_NEGATIVE, 0),
        (load_map(1, OTHER), RESERVE, IF_NOT_ZERO, 1),
        (load_map(2, PERF), PERF_OUTPUT, IF_NOT_NEGATIVE, 2),
        (load_map(6, OTHER) + call(5) + insn(0xBF, 1, 6), OUTPUT, IF_NOT_NEGATIVE, 1),
    ],
)
def test_each_call_that_writes_counts_its_failures(
    counts: LostCounts, load: bytes, number: int, unless: bytes, which: int
) -> None:
    between = insn(0xB7, 3, immediate=8)
    found = counts.counted(load + between + call(number) + EXIT, b"", b"")
    assert found is not None
    assert found.code == load + between + call(number) + count(unless, which) + EXIT


def test_jumps_pass_over_the_counter_and_lines_stay_with_their_instructions(counts: LostCounts) -> None:
    write = load_map(1, RING) + ARGUMENTS + call(OUTPUT)
    jump = insn(0x15, 6, offset=len(write) // 8)
    code = jump + write + EXIT
    last = len(code) // 8 - 2
    lines = LINE_INFO.pack(0, 1, 1, 1) + LINE_INFO.pack(last, 1, 1, 1)
    found = counts.counted(code, FUNCTION_INFO.pack(0, 1), lines)
    assert found is not None
    moved = count(IF_NOT_NEGATIVE, 0)
    assert found.code == insn(0x15, 6, offset=len(write + moved) // 8) + write + moved + EXIT
    assert [one[0] for one in LINE_INFO.iter_unpack(found.lines)] == [0, last + len(moved) // 8]


def test_where_it_is_not_seen_which_buffer_it_is_the_only_one_counts(counts: LostCounts) -> None:
    # A jump leads to the call: another map may come with it.
    alone = insn(0x15, 6, offset=2) + load_map(1, RING) + call(OUTPUT) + EXIT
    found = counts.counted(alone, b"", b"")
    assert found is not None
    assert count(IF_NOT_NEGATIVE, 0) in found.code


def test_a_buffer_of_which_something_is_not_counted_is_not_known(
    counts: LostCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_counts, "lookup", lambda *_: struct.pack("=3Q", 5, 6, 7))
    assert counts.lost() == {"ring": 5, "other": 6, "perf": 7}
    two = insn(0x15, 6, offset=3) + load_map(1, RING) + insn(0x05, offset=2) + load_map(1, OTHER) + call(OUTPUT) + EXIT
    assert counts.counted(two, b"", b"") is None
    assert counts.lost() == {"perf": 7}


def test_a_program_that_writes_to_no_buffer_stays_as_it_is(counts: LostCounts) -> None:
    assert counts.counted(call(5) + EXIT, b"", b"") is None
    assert counts.counted(load_map(1, RING) + call(1) + EXIT, b"", b"") is None
