"""No address of the kernel leaves in the verifier's log."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from msgspec.structs import replace

from ebpftop.kernel.load.loading import LineInfo, ProgramState
from ebpftop.kernel.load.verifier_text import refused_place, without_addresses
from ebpftop.models.load_diagnostics import of_verifier

LOGS = sorted((Path(__file__).parent / "load_logs").glob("*.[5-7].*.log"))
ADDRESS = re.compile(r"\b0x(?:ffff[89a-e]|ffffc)[0-9a-f]{11}\b")
NUMBER = 0xFFFF888000000000

CODE = b"".join(
    struct.pack("=BBhi", opcode, registers, 0, immediate)
    for opcode, registers, immediate in (
        (0x18, 0x11, 5),  # r1 = map 5
        (0, 0, 0),
        (0x18, 0x02, 0),  # r2 = a number
        (0, 0, 0),
        (0x95, 0, 0),
    )
)


@pytest.mark.parametrize("file", LOGS, ids=lambda file: file.stem)
def test_no_log_that_was_seen_keeps_an_address(file: Path) -> None:
    log = file.read_text()
    masked = without_addresses(log, b"")
    assert not ADDRESS.search(masked)
    source = file.with_name(f"{file.name.split('.')[0]}.c").read_text().split("\n")
    before, after = (replace(of_verifier("hello", text, source), log=()) for text in (log, masked))
    assert after == before, "what it means is the same"


def test_a_map_is_named_wherever_its_address_stood() -> None:
    log = (
        "      0: .......... (18) r1 = 0xffff88813e67cc00\n"
        "0: (18) r1 = 0xffff88813e67cc00       ; R1=map_ptr(map=counts,ks=4,vs=8)\n"
        "mark_precise: frame0: regs=r1 stack= before 0: (18) r1 = 0xffff88813e67cc00\n"
    )
    masked = without_addresses(log, CODE)
    assert "0xffff" not in masked
    assert masked.count("(18) r1 = map[counts]") == 3
    assert masked.count("\n") == 3


def test_the_place_of_a_refusal_is_that_of_its_instruction() -> None:
    lines = (
        LineInfo(0, 5, 1, "a.c", ""),
        LineInfo(2, 3, 1, "/tree/include/quoted/x.h", ""),
        LineInfo(4, 7, 1, "a.c", ""),
    )
    code = CODE[:-8] + struct.pack("=BBhi", 0x8D, 0, 0, 0)
    program = ProgramState("hello", None, 5, log="0: (18) r1 = 0x1\n2: (18) r2 = 0x0\n", insns=code, lines=lines)
    for message, expected in (
        ("R2 invalid mem access 'scalar'", lines[1]),
        ("infinite loop detected at insn 1", lines[0]),
        ("unknown opcode 8d", lines[2]),
    ):
        assert refused_place(message, program) == expected
    assert refused_place("nothing was walked", ProgramState("hello", None, 5, lines=lines)) is None


def test_a_number_of_the_source_stays() -> None:
    line = f"2: (18) r2 = {NUMBER:#x}       ; R2=scalar(umax={NUMBER:#x},var_off=(0x0; 0xffffffffffffffff))\n"
    assert without_addresses(line, CODE) == line
    assert without_addresses("0: (18) r1 = 0xffff962501e69c00\n", CODE) == "0: (18) r1 = map[..]\n"
    assert without_addresses("7: (18) r1 = 0x6f57206f6c6c6548\n", b"") == "7: (18) r1 = 0x6f57206f6c6c6548\n"
