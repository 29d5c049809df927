"""Machine code in words, of both processors: LLVM, which BCC brings, knows them all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# In a process of its own: it loads LLVM.
_PROGRAM = """\
import json, sys
import bcc
from ebpftop.kernel.load.native_code import native
code, address, machine = bytes.fromhex(sys.argv[1]), int(sys.argv[2], 16), sys.argv[3]
names = {0x2000: "bpf_ktime_get_ns"}
print(json.dumps(native(code, address, names.get, machine)))
"""


def native(code: str, machine: str) -> list[list[object]]:
    command = (sys.executable, "-c", _PROGRAM, code, "1000", machine)
    found: list[list[object]] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


@pytest.mark.parametrize(
    ("machine", "code", "expected"),
    [
        (
            "x86_64",
            "55 4889e5 e8f70f0000 4885c0 7401 c9 c3 48bf001c90088188ffff f0480138",
            [
                (0, "push rbp"),
                (1, "mov rbp, rsp"),
                (4, "call bpf_ktime_get_ns"),
                (9, "test rax, rax"),
                (12, "je 15"),
                (14, "leave"),
                (15, "ret"),
                (16, "movabs rdi, 0xffff888108901c00"),
            ],
        ),
        (
            "aarch64",
            "fd7bbfa9 fd030091 fe030094 400000b4 1f2003d5 c0035fd6",
            [
                (0, "stp x29, x30, [sp, #-16]!"),
                (4, "mov x29, sp"),
                (8, "bl bpf_ktime_get_ns"),
                (12, "cbz x0, 20"),
                (16, "nop"),
                (20, "ret"),
            ],
        ),
    ],
)
def test_instructions_with_names_and_places(machine: str, code: str, expected: list[tuple[int, str]]) -> None:
    found = native(code.replace(" ", ""), machine)
    assert [tuple(one) for one in found][: len(expected)] == expected


def test_what_is_no_instruction_is_shown_as_bytes() -> None:
    assert native("06", "x86_64") == [[0, "byte 0x06"]]


def test_an_unknown_processor_is_said() -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        native("00", "riscv64")
    assert "no disassembler for riscv64" in error.value.stderr
