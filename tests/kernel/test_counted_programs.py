"""Programs of chance with counters compute what they computed without, and count what was run."""

from __future__ import annotations

import ctypes
import os
import random
import struct

import pytest

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.bpf_syscall import MapInfo, Program
from ebpftop.kernel.compiled import INSN
from ebpftop.kernel.load.line_counts import COUNTER_BYTES, plan
from ebpftop.kernel.maps import Map, lookup
from tests.kernel.support import needs_root

pytestmark = needs_root

_SCHED_CLS, _TEST_RUN, _ARRAY = 3, 10, 2
_U64 = (1 << 64) - 1
_OPERATIONS = {0x0F: lambda a, b: a + b, 0x1F: lambda a, b: a - b, 0xAF: lambda a, b: a ^ b, 0x4F: lambda a, b: a | b}
_EQUAL, _GREATER, _GOTO = 0x15, 0x25, 0x05
_STACK_BYTES = 64


def made(rng: random.Random, length: int) -> bytes:
    """Return a program that sets all registers, calculates, jumps forward, uses its stack, and returns r0."""
    insns: list[tuple[int, int, int, int, int]] = [(0xB7, to, 0, 0, rng.randrange(8)) for to in range(10)]
    insns += [(0x7B, 10, source, -8 * (source % 8 + 1), 0) for source in range(8)]
    start = len(insns)
    end = start + length
    for at in range(start, end):
        kind = rng.random()
        if kind < 0.5:
            insns.append((rng.choice(list(_OPERATIONS)), rng.randrange(10), rng.randrange(10), 0, 0))
        elif kind < 0.6:
            insns.append((0x79, rng.randrange(10), 10, -8 * rng.randrange(1, 9), 0))
        elif kind < 0.7:
            insns.append((0x7B, 10, rng.randrange(10), -8 * rng.randrange(1, 9), 0))
        else:
            opcode = rng.choice((_EQUAL, _GREATER, _EQUAL))
            insns.append((opcode, rng.randrange(10), 0, rng.randrange(min(6, end - at)), rng.randrange(12)))
    insns.append((0x95, 0, 0, 0, 0))
    return b"".join(INSN.pack(opcode, to | source << 4, offset, value) for opcode, to, source, offset, value in insns)


def interpreted(code: bytes) -> tuple[int, list[int]]:
    """Return what the program returns, and the numbers of the instructions that it ran."""
    registers = [0] * 10
    stack: dict[int, int] = {}
    at, ran = 0, []
    while True:
        opcode, both, offset, value = INSN.unpack_from(code, at * INSN.size)
        to, source = both & 15, both >> 4
        ran.append(at)
        at += 1
        if opcode == 0x95:
            return registers[0] & 0xFFFFFFFF, ran
        if opcode == 0xB7:
            registers[to] = value
        elif opcode == 0x7B:
            stack[offset] = registers[source]
        elif opcode == 0x79:
            registers[to] = stack[offset]
        elif opcode in _OPERATIONS:
            registers[to] = _OPERATIONS[opcode](registers[to], registers[source]) & _U64
        elif registers[to] == value if opcode == _EQUAL else registers[to] > value:
            at += offset


def run(code: bytes) -> int:
    """Let the kernel run it once; return what it returns."""
    fd = bpf_syscall.load_program(Program(_SCHED_CLS, "counted", code, "GPL", 0))
    try:
        data = ctypes.create_string_buffer(64)
        attr = ctypes.create_string_buffer(
            struct.pack("=IIIIQQII", fd, 0, 64, 0, ctypes.addressof(data), 0, 1, 0), bpf_syscall.ATTR_SIZE
        )
        if bpf_syscall.call(_TEST_RUN, attr, bpf_syscall.ATTR_SIZE) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return int(struct.unpack_from("=I", attr.raw, 4)[0])
    finally:
        os.close(fd)


@pytest.mark.parametrize("seed", range(24))
def test_it_returns_the_same_and_counts_each_block(seed: int) -> None:
    rng = random.Random(seed)
    for length in (5, 20, 60):
        code = made(rng, length)
        expected, ran = interpreted(code)
        assert run(code) == expected
        plain = plan(code, {})
        size = plain.counters * COUNTER_BYTES
        counters = Map(bpf_syscall.create_map("counters", MapInfo(_ARRAY, 4, size, 1, 0)), 1)
        try:
            assert run(plain.counted(counters.map_fd, 0, b"", b"", _STACK_BYTES).code) == expected
            found = struct.unpack(f"={plain.counters}Q", lookup(counters, bytes(4), size) or bytes(size))
        finally:
            os.close(counters.map_fd)
        assert list(found) == [ran.count(block.insns[0].at) for block in plain.blocks]
