"""Programs of one's own on arm64: names, numbers and registers of system calls, as that kernel has them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from ebpftop.kernel import stub_headers
from ebpftop.kernel.load.adapt import Compat, adapted
from ebpftop.kernel.load.attach import places
from ebpftop.kernel.load.contexts import PREAMBLE
from ebpftop.kernel.load.events import parse
from ebpftop.kernel.load.slots import index_of
from ebpftop.kernel.load.source import read_from
from ebpftop.kernel.load.source_files import Includes

# Which word of struct pt_regs is argument 1 to 6 of a call, and its number (arch/*/include/asm/ptrace.h, syscall(2)).
WORDS = {"x86": [14, 13, 12, 7, 9, 8, 15], "arm64": [34, 1, 2, 3, 4, 5, 35]}
PROGRAM = """\
#include <stdio.h>
#include <string.h>
typedef unsigned long long __u64, u64; typedef unsigned int u32; typedef int s32;
struct bpf_raw_tracepoint_args { u64 args[8]; };
#define bpf_probe_read_kernel(to, size, from) memcpy(to, from, size)
int main(void)
{
	u64 words[40];

	for (int i = 0; i < 40; i++)
		words[i] = i;
	for (int i = 1; i <= 6; i++)
		printf("%lu ", i == 1 ? __EB_ARG1(words) : i == 2 ? __EB_ARG2(words) : i == 3 ? __EB_ARG3(words)
			: i == 4 ? __EB_ARG4(words) : i == 5 ? __EB_ARG5(words) : __EB_ARG6(words));
	printf("%lu\\n", (unsigned long)__EB_NR(words));
	return 0;
}
"""


@pytest.fixture
def on_arm64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")


@pytest.mark.parametrize("arch", WORDS)
def test_the_arguments_of_a_call_are_in_the_registers_of_the_architecture(arch: str, tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc")
    begin, _, main = PROGRAM.partition("int main")
    text = "\n".join((begin, stub_headers.PT_REGS[arch], f"#define bpf_target_{arch}", PREAMBLE, "int main" + main))
    (tmp_path / "registers.c").write_text(text)
    program = tmp_path / "registers"
    subprocess.run([gcc, "-w", "-o", program, tmp_path / "registers.c"], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert [int(word) for word in printed.split()] == WORDS[arch]


@pytest.mark.usefixtures("on_arm64")
@pytest.mark.parametrize("event", ["syscall:openat", "kprobe:__arm64_sys_openat", "kprobe:sys_openat"])
def test_a_call_has_the_places_of_the_architecture(event: str) -> None:
    assert [place.via for place in places(parse(event))] == [
        "kprobe:__arm64_sys_openat",
        "fentry:__arm64_sys_openat",
        "tracepoint:syscalls:sys_enter_openat",
        "raw_tracepoint:sys_enter",
    ]


@pytest.mark.usefixtures("on_arm64")
def test_numbers_of_calls_are_those_of_the_architecture() -> None:
    text = "int kprobe__sys_openat(struct pt_regs *ctx) { return 0; }\n"
    made = adapted(
        read_from(Path("x.c"), text, Includes(Path("x.c"))),
        {"kprobe__sys_openat": "raw_tracepoint"},
        compat=Compat(0, 1 << 22),
    )
    assert "__eb_nr != 56)" in made  # include/uapi/asm-generic/unistd.h
    assert "& 0x400000u" in made
    assert index_of("openat") == 56


@pytest.mark.usefixtures("on_arm64")
def test_headers_lie_where_bcc_expects_those_of_the_architecture() -> None:
    assert "arch/arm64/include/asm/page.h" in stub_headers.headers()
    assert "struct user_pt_regs" in stub_headers.headers()[stub_headers.KCONFIG_NAME]
