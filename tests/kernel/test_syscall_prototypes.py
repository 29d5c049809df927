"""The kernel's own prototypes (events/syscalls/*/format in tracefs) against the table that decode() works by."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping

import pytest

from ebpftop.syscalls import abi, decode
from tests.prototypes import argument_count

# The kernel names these events after its functions, not after the calls.
RENAMED = {
    "newfstat": "fstat",
    "newlstat": "lstat",
    "newstat": "stat",
    "newuname": "uname",
    "sendfile64": "sendfile",
    "umount": "umount2",
}
# `const char *` that is data with a length, not a string.
DATA = frozenset(("write", "pwrite64", "mq_timedsend"))
# On 64-bit ABIs the kernel shifts the upper half of the offset out again.
IGNORES_LAST_HALF = frozenset(("preadv", "pwritev"))

WIDE = re.compile(r"\*|\blong\b|\b(size_t|loff_t|off_t|u64|__u64|aio_context_t|__sighandler_t|cap_user_\w+_t)\b")
# Declared `unsigned long` or `long`, of which the kernel reads 32 bits; so it does of every descriptor.
NARROWER = {"clone.clone_flags", "mbind.mode", "ptrace.pid", "ptrace.request", "unshare.unshare_flags"}
# Declared `int`; strace shows the whole register.
WIDER = {"readlink.bufsiz", "readlinkat.bufsiz"}

# The mount is seen by this child alone, and gone with it.
DUMP = """
{ [ -d /sys/kernel/tracing/events ] || mount -t tracefs nodev /sys/kernel/tracing; } &&
cd /sys/kernel/tracing/events/syscalls &&
for event in sys_enter_*; do echo "@$event"; cat "$event/format"; done
"""


@pytest.fixture(scope="module")
def prototypes() -> Mapping[str, list[str]]:
    """The declarations of each call's arguments, as in ``const char * filename``."""
    dump = subprocess.run(["unshare", "--mount", "sh", "-c", DUMP], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for event in dump.split("@sys_enter_")[1:]:
        name, _, text = event.partition("\n")
        fields = re.findall(r"field:(.*?);", text.partition("__syscall_nr")[2])
        found[RENAMED.get(name, name)] = [declaration for declaration in fields if not declaration.startswith("__data")]
    return found


def test_every_call_has_as_many_arguments_as_the_kernel_gives_it(prototypes: Mapping[str, list[str]]) -> None:
    native = abi.native_abi(os.uname().machine)
    known = {name: arguments for name, arguments in prototypes.items() if abi.number(native, name) is not None}
    assert len(known) > 250
    expected = {name: len(arguments) - (name in IGNORES_LAST_HALF) for name, arguments in known.items()}
    assert {name: argument_count(native, name) for name in known} == expected


def shows_64_bits(text: Callable[[int], str]) -> bool:
    return text(0x21 | 1 << 40) != text(0x21)


def test_an_argument_is_shown_as_wide_as_the_kernel_reads_it(prototypes: Mapping[str, list[str]]) -> None:
    native = abi.native_abi(os.uname().machine)
    narrower, wider = set(), set()
    for name, arguments in prototypes.items():
        for slot in decode._call(native, name).slots if decode._lines(native, name) else ():
            declaration = arguments[slot.register]
            argument = f"{name}.{declaration.split()[-1].lstrip('*')}"
            if shows_64_bits(slot.text) and not WIDE.search(declaration):
                wider.add(argument)
            if not shows_64_bits(slot.text) and WIDE.search(declaration):
                narrower.add(argument)
    descriptors = {argument for argument in narrower if argument.endswith(".fd")}
    assert narrower - descriptors == NARROWER & narrower
    assert wider == WIDER & wider


def test_what_is_read_as_a_string_is_one_to_the_kernel(prototypes: Mapping[str, list[str]]) -> None:
    native = abi.native_abi(os.uname().machine)
    for name, arguments in prototypes.items():
        strings = decode.path_args(native, name)
        assert all(re.match(r"(const )?char \*", arguments[index]) for index in strings), (name, arguments)
        constant = [i for i, argument in enumerate(arguments) if re.match(r"const char \* ?\w+$", argument)]
        if name not in DATA:
            assert set(constant[: decode.MAX_PATHS]) <= set(strings), (name, arguments)
