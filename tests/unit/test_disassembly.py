"""BPF instructions in words. The encodings are those of Documentation/bpf/standardization/instruction-set.rst."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ebpftop.kernel.load.code import KernelNames, ProgramCode, kernel_names, listing
from ebpftop.kernel.load.disassembly import Names, disassembled
from ebpftop.kernel.symbol_table import kernel_symbols


def insn(opcode: int, to: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", opcode, to | source << 4, offset, immediate)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (insn(0xBF, 2, 10), "r2 = r10"),
        (insn(0x07, 2, immediate=-8), "r2 += -8"),
        (insn(0xB4, 1, immediate=5), "w1 = 5"),
        (insn(0x0C, 1, 2), "w1 += w2"),
        (insn(0x77, 0, immediate=32), "r0 >>= 32"),
        (insn(0xC7, 3, immediate=32), "r3 s>>= 32"),
        (insn(0x57, 3, immediate=4095), "r3 &= 0xfff"),
        (insn(0x87, 4), "r4 = -r4"),
        (insn(0x84, 4), "w4 = -w4"),
        (insn(0xDC, 1, immediate=16), "r1 = be16 r1"),
        (insn(0xD4, 1, immediate=64), "r1 = le64 r1"),
        (insn(0xD7, 1, immediate=32), "r1 = bswap32 r1"),
        (insn(0x3F, 1, 2, offset=1), "r1 s/= r2"),
        (insn(0xBF, 1, 2, offset=8), "r1 = (s8) r2"),
        (insn(0x79, 1, 0), "r1 = *(u64 *)(r0 + 0)"),
        (insn(0x61, 1, 6, offset=16), "r1 = *(u32 *)(r6 + 16)"),
        (insn(0x91, 1, 6, offset=-1), "r1 = *(s8 *)(r6 - 1)"),
        (insn(0x7B, 10, 0, offset=-8), "*(u64 *)(r10 - 8) = r0"),
        (insn(0x6A, 10, offset=-2, immediate=7), "*(u16 *)(r10 - 2) = 7"),
        (insn(0xDB, 0, 1), "lock *(u64 *)(r0 + 0) += r1"),
        (insn(0xDB, 0, 1, immediate=0x01), "r1 = fetch_add(*(u64 *)(r0 + 0), r1)"),
        (insn(0xDB, 0, 1, immediate=0xE1), "r1 = exchange(*(u64 *)(r0 + 0), r1)"),
        (insn(0xC3, 0, 1, immediate=0xF1), "r0 = compare_exchange(*(u32 *)(r0 + 0), r0, r1)"),
        (insn(0x15, 0, offset=1), "if r0 == 0 goto +1"),
        (insn(0x1D, 0, 1, offset=-3), "if r0 == r1 goto -3"),
        (insn(0x56, 2, offset=4, immediate=-1), "if w2 != -1 goto +4"),
        (insn(0x65, 2, offset=4, immediate=7), "if r2 s> 7 goto +4"),
        (insn(0x45, 2, offset=4, immediate=1), "if r2 & 1 goto +4"),
        (insn(0x05, offset=8), "goto +8"),
        (insn(0x06, immediate=80000), "goto +80000"),
        (insn(0x85, immediate=5), "call bpf_ktime_get_ns"),
        (insn(0x85, immediate=4000), "call a helper"),
        (insn(0x85, source=1, immediate=12), "call +12"),
        (insn(0x95), "exit"),
        (insn(0x18, 1, 1, immediate=7) + insn(0), "r1 = map[counts]"),
        (insn(0x18, 1, 1, immediate=8) + insn(0), "r1 = map[8]"),
        (insn(0x18, 1, 2, immediate=7) + insn(0, immediate=16), "r1 = map[counts][0] + 16"),
        (insn(0x18, 1, immediate=-1) + insn(0), "r1 = 0xffffffff"),
        (insn(0x18, 1, immediate=1) + insn(0, immediate=1), "r1 = 0x100000001"),
        (insn(0xFF), "unknown ff00000000000000"),
    ],
)
def test_an_instruction_in_words(code: bytes, text: str) -> None:
    names = Names({7: "counts"}.get, {5: "bpf_ktime_get_ns"}.get)
    assert [one.text for one in disassembled(code, names)] == [text]


def test_instructions_are_numbered_by_eight_bytes() -> None:
    code = insn(0xBF, 2, 10) + insn(0x18, 1) + insn(0) + insn(0x95)
    assert [one.at for one in disassembled(code)] == [0, 1, 3]


@pytest.mark.parametrize("opcode", range(256))
def test_no_opcode_breaks_it(opcode: int) -> None:
    for immediate in (0, -1, 0xF1):
        assert [one.text for one in disassembled(insn(opcode, 9, 9, -1, immediate))]


def test_what_is_cut_is_left_out() -> None:
    assert [one.text for one in disassembled(insn(0x95) + b"\x18\x01")] == ["exit"]


def test_helpers_are_called_from_one_symbol_of_the_kernel(tmp_path: Path) -> None:
    symbols = tmp_path / "kallsyms"
    names = ("__pfx___bpf_call_base", "__bpf_call_base", "__bpf_call_base_args", "__ksymtab___bpf_call_base")
    symbols.write_text("".join(f"{0xFF00 + i:x} T {name}\n" for i, name in enumerate(names)))
    with symbols.open() as file:
        assert kernel_names(file.fileno()).base == 0xFF01


def test_a_tail_call_has_its_name_though_the_kernel_shows_only_its_number() -> None:
    code = ProgramCode(insn(0x85, immediate=12), (), (), (), (), {})
    names = KernelNames(kernel_symbols([]), 0)
    assert [one.text for one in listing(code, names, None).xlated] == ["call bpf_tail_call"]
