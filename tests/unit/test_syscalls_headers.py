"""The tables of numbers against the kernel's own headers, as the C library's development package brings them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

import pytest

from ebpftop.core.syscall_records import Abi
from ebpftop.syscalls import abi

# What arch/arm64/include/uapi/asm/unistd.h asks of the header that it shares with other architectures.
_ARM64 = ("__ARCH_WANT_RENAMEAT", "__ARCH_WANT_NEW_STAT", "__ARCH_WANT_SET_GET_RLIMIT", "__ARCH_WANT_TIME32_SYSCALLS",
          "__ARCH_WANT_SYS_CLONE3", "__ARCH_WANT_MEMFD_SECRET")  # fmt: skip
_NO_CALLS = {"syscalls", "arch_specific_syscall"}
# Reserved for calls that no kernel has (any more): they answer ENOSYS, and the tables leave them out.
_DEAD = re.compile(
    "_sysctl|afs_syscall|bdflush|break|create_module|ftime|get_kernel_syms|getpmsg|gtty|idle|lock|mpx|nfsservctl|prof|"
    "profil|putpmsg|query_module|security|stty|tuxcall|ulimit|uselib|vserver"
)


def header_numbers(include: str, defines: tuple[str, ...] = ()) -> Mapping[str, int]:
    """Return name and number of every call that a header defines, as the preprocessor sees it."""
    done = subprocess.run(
        ["gcc", "-E", "-dM", "-x", "c", *(f"-D{name}" for name in (*defines, "__BITS_PER_LONG=64")), "-"],
        input=f"#include <{include}>\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = dict(re.findall(r"^#define __NR(3264_\w+|_\w+) (.+)$", done.stdout, re.MULTILINE))

    def number(text: str) -> int:
        text = text.strip("()").removeprefix("__X32_SYSCALL_BIT + ")
        return int(text) if text.isdigit() else number(words[text.removeprefix("__NR")])

    return {
        name[1:]: number(text) for name, text in words.items() if name.startswith("_") and name[1:] not in _NO_CALLS
    }


@pytest.mark.parametrize(
    ("which", "include", "defines"),
    [
        ("arm64", "asm-generic/unistd.h", _ARM64),
        ("x86_64", "asm/unistd_64.h", ()),
        ("i386", "asm/unistd_32.h", ()),
        ("x32", "asm/unistd_x32.h", ()),
    ],
)
def test_every_call_of_the_header_has_the_same_number(which: Abi, include: str, defines: tuple[str, ...]) -> None:
    theirs = header_numbers(include, defines)
    assert len(theirs) > 300
    known = {name: number for name, number in theirs.items() if abi.number(which, name) is not None}
    assert [name for name in theirs.keys() - known.keys() if not _DEAD.fullmatch(name)] == []
    assert {name: abi.number(which, name) for name in known} == known
