"""Numbers, names and families, against the headers and tables that others made."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from typing import get_args

import pytest

from ebpftop.core.syscall_records import Abi
from ebpftop.syscalls import abi, families

ABIS: tuple[Abi, ...] = get_args(Abi)
X86: tuple[Abi, ...] = ("x86_64", "i386", "x32")


@pytest.mark.parametrize(
    ("which", "name", "number"),
    [
        ("x86_64", "getpid", 39),
        ("x86_64", "timer_create", 222),
        ("i386", "getpid", 20),
        ("x86_64", "writev", 20),
        ("x32", "read", 0),
        ("x32", "execve", 520),
        ("x32", "rt_sigaction", 512),
        ("arm64", "mmap", 222),
        ("arm64", "execve", 221),
        ("arm", "execve", 11),
        ("arm", "set_tls", 0xF0005),
    ],
)
def test_a_call_has_the_number_that_its_abi_gives_it(which: Abi, name: str, number: int) -> None:
    assert abi.number(which, name) == number
    assert abi.name(which, number) == name


@pytest.mark.parametrize("which", ABIS)
def test_every_name_leads_back_to_itself_and_no_mark_is_left_in_a_number(which: Abi) -> None:
    table = abi.numbers(which)
    assert len(table) > 300
    assert all(abi.name(which, nr) == name for name, nr in table.items())
    assert all(0 <= nr < 0x100000 for nr in table.values())


@pytest.mark.parametrize("which", ABIS)
def test_an_unknown_number_keeps_its_number_in_the_name(which: Abi) -> None:
    assert abi.name(which, 9999) == "syscall_9999"
    assert abi.number(which, "no_such_call") is None


def test_the_running_kernel_agrees_about_getppid() -> None:
    native = abi.native_abi(os.uname().machine)
    number = abi.number(native, "getppid")
    assert ctypes.CDLL(None).syscall(number) == os.getppid()


def test_the_machine_decides_native_and_compat_abis() -> None:
    assert (abi.native_abi("x86_64"), abi.compat_abis("x86_64")) == ("x86_64", ("i386", "x32"))
    assert (abi.native_abi("aarch64"), abi.compat_abis("aarch64")) == ("arm64", ("arm",))
    assert (abi.native_abi("i686"), abi.compat_abis("i686")) == ("i386", ())
    assert abi.native_abi("armv7l") == "arm"
    with pytest.raises(abi.UnknownMachine, match="riscv64"):
        abi.native_abi("riscv64")


def test_a_bare_name_means_every_abi_that_has_it() -> None:
    assert abi.resolve("read", X86) == (("x86_64", 0), ("i386", 3), ("x32", 0))
    assert abi.resolve("waitpid", X86) == (("i386", 7),)


def test_a_prefix_means_that_abi_alone() -> None:
    assert abi.resolve("i386:getpid", X86) == (("i386", 20),)
    assert abi.resolve("x86_64:read", X86) == (("x86_64", 0),)


def test_the_name_that_an_unknown_number_carries_can_be_typed() -> None:
    assert abi.resolve("x86_64:syscall_9999", X86) == (("x86_64", 9999),)


def test_a_list_keeps_its_order_and_takes_each_pair_once() -> None:
    assert abi.resolve_list("i386:getpid, x86_64:read,i386:getpid,", X86) == (("i386", 20), ("x86_64", 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("getpdi", r"no system call 'getpdi' on x86_64, i386, x32; did you mean .*\bgetpid\b"),
        ("READ", r"did you mean read\b"),
        ("pread", r"\bpread64\b"),
        ("x86_64:waitpid", r"no system call 'waitpid' on x86_64; i386 has it"),
        ("arm:read", r"no ABI 'arm' on this machine in 'arm:read'; it has x86_64, i386, x32"),
        ("", r"no system call ''"),
    ],
)
def test_an_unknown_name_is_answered_with_what_there_is(text: str, message: str) -> None:
    with pytest.raises(abi.UnknownSyscall, match=message):
        abi.resolve(text, X86)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(abi.UnknownSyscall, match="no system call named"):
        abi.resolve_list(" ,", X86)


def test_no_table_is_loaded_before_it_is_needed() -> None:
    probe = (
        "import sys; import ebpftop.syscalls.abi, ebpftop.syscalls.families;"
        "print(any(m.startswith('system_calls') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_timers_and_execs_are_found_by_name_on_every_abi() -> None:
    assert families.family_numbers("x86_64")["timer_create"] == {222, 283}
    assert families.family_numbers("x86_64")["exec"] == {59, 322}
    assert families.family_numbers("arm64")["exec"] == {221, 281}
    assert families.family_numbers("arm64")["timer_delete"] == {111}
    assert families.family_numbers("x32")["exec"] == {520, 545}


@pytest.mark.parametrize("which", ABIS)
def test_no_timer_call_of_any_abi_is_missed(which: Abi) -> None:
    timers = {nr for name, nr in abi.numbers(which).items() if re.match(r"timer|(get|set)itimer|alarm", name)}
    found = families.family_numbers(which)
    assert timers == found["timer_create"] | found["timer_delete"] | found["timer_other"]


def test_a_call_outside_the_families_has_none() -> None:
    assert families.family("timer_delete") == "timer_delete"
    assert families.family("read") is None
