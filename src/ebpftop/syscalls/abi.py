"""Numbers and names of the system calls of each ABI, and how the command line names a call.

The tables come from the PyPI package ``system-calls`` (generated from the kernel's own) and load at first use, one ABI
at a time: importing this module costs nothing.

An x32 number is given WITHOUT the bit 0x40000000 that marks it on entry, everywhere in ebpftop: the ABI beside it
says so already. x32 shares most numbers with x86_64 and has calls of its own from 512 on (arch/x86/entry/syscalls/
syscall_64.tbl): x32 ``read`` is 0, ``execve`` is 520.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

X32_BIT = 0x40000000
"""Set in the number of a call that enters through the x32 ABI (arch/x86/include/uapi/asm/unistd.h)."""

_COMPAT: Mapping[Abi, tuple[Abi, ...]] = {
    "x86_64": ("i386", "x32"),
    "i386": (),
    "x32": (),
    "arm64": ("arm",),
    "arm": (),
}
_UNNAMED = re.compile(r"syscall_([0-9]+)")


class UnknownSyscall(ValueError):
    """A name that no ABI of this machine has. The message is one line, with the closest names there are."""


class UnknownMachine(ValueError):
    """A processor whose system calls ebpftop has no table for."""


@cache
def numbers(abi: Abi) -> Mapping[str, int]:
    """Return every call of *abi*, name to number (x32: without X32_BIT)."""
    module = importlib.import_module(f"system_calls.tables.{abi}")
    table: dict[str, int] = getattr(module, f"syscalls_{abi}")
    mark = X32_BIT if abi == "x32" else 0
    return MappingProxyType({sys.intern(name): nr - mark for name, nr in table.items()})


@cache
def _names(abi: Abi) -> Mapping[int, str]:
    return {nr: name for name, nr in numbers(abi).items()}


def name(abi: Abi, nr: int) -> str:
    """Return the name of call *nr*; ``syscall_9999`` for a number that *abi* has no name for."""
    return _names(abi).get(nr) or f"syscall_{nr}"


def number(abi: Abi, name: str) -> int | None:
    """Return the number of call *name*, None if *abi* has no such call."""
    return numbers(abi).get(name)


def native_abi(machine: str) -> Abi:
    """Return the ABI of 64-bit programs (32-bit ones on a 32-bit kernel) on *machine*, as `os.uname` names it.

    ``armv8l`` is what a 64-bit kernel calls itself to programs under linux32 (COMPAT_UTS_MACHINE).
    """
    if machine in ("x86_64", "amd64"):
        return "x86_64"
    if machine in ("aarch64", "aarch64_be", "arm64", "armv8l", "armv8b"):
        return "arm64"
    if machine.startswith("arm"):
        return "arm"
    if re.fullmatch(r"i[3-6]86", machine):
        return "i386"
    raise UnknownMachine(f"no system call table for {machine!r} machines; ebpftop knows x86-64 and ARM")


def compat_abis(machine: str) -> tuple[Abi, ...]:
    """Return the further ABIs by which programs may enter the kernel of *machine*."""
    return _COMPAT[native_abi(machine)]


def all_abis(machine: str) -> tuple[Abi, ...]:
    """Return every ABI by which programs may enter the kernel of *machine*, its native one first."""
    return native_abi(machine), *compat_abis(machine)


def resolve(text: str, abis: Sequence[Abi]) -> tuple[tuple[Abi, int], ...]:
    """Return the (abi, number) pairs that *text* means.

    ``read`` means that call on every one of *abis* that has it, ``i386:read`` on that one. ``syscall_9999``, the name
    that unknown numbers carry, is taken too. Raises UnknownSyscall.
    """
    prefix, colon, call = text.strip().rpartition(":")
    chosen: Sequence[Abi] = [abi for abi in abis if abi == prefix] if colon else abis
    if not chosen:
        raise UnknownSyscall(f"no ABI {prefix!r} on this machine in {text!r}; it has {', '.join(abis)}")
    if unnamed := _UNNAMED.fullmatch(call):
        return tuple((abi, int(unnamed[1])) for abi in chosen)
    found = tuple((abi, nr) for abi in chosen if (nr := number(abi, call)) is not None)
    if not found:
        raise UnknownSyscall(f"no system call {call!r} on {', '.join(chosen)}{_suggest(call, chosen, abis)}")
    return found


def resolve_list(text: str, abis: Sequence[Abi]) -> tuple[tuple[Abi, int], ...]:
    """Return what a comma-separated list of names means, in its order and each pair once. Raises UnknownSyscall."""
    names = [part for part in text.split(",") if part.strip()]
    if not names:
        raise UnknownSyscall("no system call named; expected a list as in read,openat,i386:getpid")
    return tuple(dict.fromkeys(pair for part in names for pair in resolve(part, abis)))


def _suggest(call: str, chosen: Sequence[Abi], abis: Sequence[Abi]) -> str:
    """Return a hint: which other ABI has the call, or which names are close."""
    elsewhere = [abi for abi in abis if number(abi, call) is not None]
    if elsewhere:
        return f"; {', '.join(elsewhere)} has it"
    known = sorted({name for abi in chosen for name in numbers(abi)})
    # The stem catches what edit distance misses: "stat" in newfstatat, "pread" in pread64.
    close = dict.fromkeys(difflib.get_close_matches(call.lower(), known, n=4, cutoff=0.7))
    if len(call) > 2:
        close |= dict.fromkeys(sorted((name for name in known if call.lower() in name), key=len)[:4])
    return f"; did you mean {', '.join(list(close)[:4])}?" if close else ""
