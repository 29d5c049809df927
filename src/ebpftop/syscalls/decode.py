"""The arguments of a traced call in words, as strace shows them.

What the registers hold is decoded here, and up to two strings (mostly paths) that the BPF program reads at entry;
`path_args` returns which arguments they are. What else pointers lead to is `ebpftop.syscalls.memory`.
Results are printable: other bytes are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from ebpftop.core.escape import escape
from ebpftop.syscalls import abi as _abi
from ebpftop.syscalls import constants, signatures
from ebpftop.syscalls.clone_words import clone
from ebpftop.syscalls.errno_names import raw_signal_name
from ebpftop.syscalls.flag_names import Words

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

MAX_PATHS = 2
"""Strings of one call that the kernel side reads."""

_REGISTERS = 6
_U16 = 0xFFFF
_U32 = 0xFFFF_FFFF
_32_BIT: frozenset[Abi] = frozenset(("i386", "arm"))
# Arguments that count only if the one before has one of these bits: O_CREAT or O_TMPFILE (the bit of its own, the
# same on every ABI here), a character or block device (S_IFCHR is in S_IFBLK), MEMBARRIER_CMD_FLAG_CPU, and
# PR_CAP_AMBIENT_IS_SET, _RAISE, _LOWER.
_ASKED_BY = {"mode": 0o100 | 0o20000000, "dev": 0o020000, "cpu": 1, "cap": 3}

_Text: TypeAlias = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Slot:
    """One argument: the register it is in (the high half of a 64-bit one in another), and how it reads.

    `path` is its place among the strings read at entry. `fd` is set of a descriptor. `asked_by` are bits of the
    register before: without one of them the argument does not count.
    """

    register: int
    text: _Text
    high: int | None = None
    path: int | None = None
    asked_by: int = 0
    fd: Literal["fd", "dirfd"] | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """All arguments of one call. If the call has several meanings, `key` names the case by the register `at`."""

    slots: tuple[_Slot, ...]
    at: int = 0
    key: Callable[[int], str] | None = None
    cases: Mapping[str, tuple[_Slot, ...]] = field(default_factory=dict)


def decode(
    abi: Abi,
    nr: int,
    args: Sequence[int],
    paths: Sequence[bytes | None] = (),
    memory: Mapping[int, str] = MappingProxyType({}),
    files: Mapping[int, str] = MappingProxyType({}),
    *,
    ret: int | None = None,
    longest: int | None = None,
) -> tuple[str, ...]:
    """Return the arguments of one call in words.

    *args* are the six registers at entry, unsigned. *paths* are the strings of `path_args`, in that order: what the
    kernel read up to a NUL, None if it could not (the pointer is shown then). A string longer than *longest* bytes is
    cut, and marked so. *memory* are words for what arguments point to (`ebpftop.syscalls.memory`), *files*
    what descriptors among them are; both by argument. *ret* is what the call returned, if it has.
    Calls that ebpftop does not know show six numbers.
    """
    name = _abi.name(abi, nr)
    call = _call(abi, name)
    width = _U32 if abi in _32_BIT else 0xFFFF_FFFF_FFFF_FFFF
    registers = [arg & width for arg in args]
    slots = call.slots if call.key is None else call.cases.get(call.key(registers[call.at]), call.slots)
    words = []
    for slot in slots:
        if slot.asked_by and not registers[slot.register - 1] & slot.asked_by:
            continue
        value = registers[slot.register]
        if slot.high is not None:
            value |= registers[slot.high] << 32
        path = paths[slot.path] if slot.path is not None and slot.path < len(paths) else None
        if path is not None:
            words.append(quote(path, longest))
        else:
            words.append(
                (slot.text is _pointer and memory.get(slot.register)) or slot.text(value) + files.get(slot.register, "")
            )
    if name == "clone":
        return clone(abi, registers, ret)
    # What it restores is on the stack: no register leads there.
    return tuple(words) if name != "rt_sigreturn" else tuple(memory.values())


def path_args(abi: Abi, name: str) -> tuple[int, ...]:
    """Return which arguments (from 0) of call *name* are strings to read at entry: at most MAX_PATHS."""
    return tuple(slot.register for slot in _call(abi, name).slots if slot.path is not None)


def descriptor_args(abi: Abi, name: str) -> tuple[tuple[int, bool], ...]:
    """Return which arguments (from 0) of call *name* are descriptors, and of each whether AT_FDCWD has a meaning."""
    return tuple((slot.register, slot.fd == "dirfd") for slot in _call(abi, name).slots if slot.fd)


_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r"}


def quote(raw: bytes, longest: int | None = None) -> str:
    r"""Return the C string *raw* in quotes, printable; cut to *longest* bytes, and ``...`` after it if so."""
    string = raw.partition(b"\0")[0]
    cut = "" if longest is None or len(string) <= longest else "..."
    string = string[:longest]
    # Bytes that are not UTF-8 pass as lone surrogates, so that the backslashes of their escapes are not escaped again.
    text = string.decode("utf-8", "surrogateescape").translate(_ESCAPES)
    return f'"{escape(text.encode("utf-8", "surrogateescape"))}"{cut}'


# How numbers read.


def _signed(bits: int) -> _Text:
    mask, half = (1 << bits) - 1, 1 << bits - 1
    return lambda value: str(((value & mask) ^ half) - half)


def _unsigned_32(value: int) -> str:
    return str(value & _U32)


def _hexadecimal(value: int) -> str:
    return hex(value) if value else "0"


def _hexadecimal_32(value: int) -> str:
    return _hexadecimal(value & _U32)


def _pointer(value: int) -> str:
    return hex(value) if value else "NULL"


def _octal(value: int) -> str:
    return f"0{value & 0xFFFF:02o}"


_FILE_TYPES = {
    0o010000: "S_IFIFO",
    0o020000: "S_IFCHR",
    0o040000: "S_IFDIR",
    0o060000: "S_IFBLK",
    0o100000: "S_IFREG",
    0o140000: "S_IFSOCK",
}


def _file_mode(value: int) -> str:
    kind = _FILE_TYPES.get(value & 0o170000)
    return f"{kind}|{_octal(value & 0o7777)}" if kind else _octal(value)


def _device(value: int) -> str:
    """Show a device number (include/linux/kdev_t.h, new_decode_dev) as the macro that makes it."""
    return f"makedev({value >> 8 & 0xFFF:#x}, {value & 0xFF | value >> 12 & 0xFFF00:#x})"


def _ipc_mode(value: int) -> str:
    flags, mode = value & _U32 & ~0o777, value & 0o777
    words = [constants.WORDS["ipc_flags"](flags)] if flags else []
    return "|".join([*words, _octal(mode)])


_int = _signed(32)
_AT_FDCWD = 0xFFFF_FF9C


def _directory(value: int) -> str:
    return "AT_FDCWD" if value & _U32 == _AT_FDCWD else _int(value)


def _id(value: int) -> str:
    return "-1" if value & _U32 == _U32 else str(value & _U32)


def _id_16(value: int) -> str:
    """Show an id of the old calls from before ids had 32 bits (include/linux/highuid.h)."""
    return "-1" if value & _U16 == _U16 else str(value & _U16)


def _signal(value: int) -> str:
    return raw_signal_name(value & _U32) if 0 < value & _U32 <= 64 else _int(value)


_NUMBERS: Mapping[str, _Text] = {
    "fd": _int,
    "dirfd": _directory,
    "pid": _int,
    "id": _id,
    "id16": _id_16,
    "int": _int,
    "uint": _unsigned_32,
    "ulong": str,
    "size": str,
    "wide": _signed(64),
    "pair": _signed(64),
    "hex": _hexadecimal,
    "hex32": _hexadecimal_32,
    # mmap2 counts its offset in pages of 4096 bytes, whatever the machine's are.
    "pages": lambda value: _hexadecimal(value * 4096),
    "ptr": _pointer,
    "path": _pointer,
    "cpu": _int,
    "dev": _device,
    "ipc_mode": _ipc_mode,
    "mode": _octal,
    "fmode": _file_mode,
    "sig": _signal,
}
_WIDE = frozenset(("wide", "fanotify_mask"))


# From a line of the table to slots.


@cache
def _table() -> Mapping[str, tuple[str, ...]]:
    """Return the lines of each call, by name or ``abi:name``."""
    table: dict[str, list[str]] = {}
    for line in signatures.TEXT.splitlines():
        names, _, rest = line.partition(" ")
        for name in filter(None, names.split(",")):
            table.setdefault(name, []).append(rest)
    return {name: tuple(lines) for name, lines in table.items()}


def _lines(abi: Abi, name: str) -> tuple[str, ...] | None:
    table = _table()
    for candidate in (f"{abi}:{name}", name, re.sub(r"_time64$|64$|32$", "", name)):
        if candidate in table:
            return table[candidate]
    return None


@cache
def _call(abi: Abi, name: str) -> _Call:
    lines = _lines(abi, name)
    if lines is None:
        return _Call(tuple(_Slot(register, _hexadecimal) for register in range(_REGISTERS)))
    plain, *conditional = lines
    slots = _slots(abi, plain.split())
    if not conditional:
        return _Call(slots)
    at = int(conditional[0].partition("=")[0])
    words = _words(abi, plain.split()[at])
    cases: dict[str, tuple[_Slot, ...]] = {}
    for line in conditional:
        condition, *kinds = line.split()
        for value in condition.partition("=")[2].split(","):
            cases[value] = _slots(abi, kinds)
    return _Call(slots, at, words.case, cases)


def _slots(abi: Abi, kinds: Sequence[str]) -> tuple[_Slot, ...]:
    slots: list[_Slot] = []
    register = paths = 0
    for kind in kinds:
        narrow = abi in _32_BIT
        both = kind == "pair" or (kind in _WIDE and narrow)
        if kind in _WIDE and abi == "arm" and register % 2:
            # The EABI starts a 64-bit argument at an even register.
            register += 1
        path = None
        if kind == "path" and paths < MAX_PATHS:
            path, paths = paths, paths + 1
        if kind != "_":
            high = register + 1 if both and narrow else None
            base = kind.rstrip("?")
            asked_by = _ASKED_BY[base] if base != kind else 0
            fd: Literal["fd", "dirfd"] | None = base if base in ("fd", "dirfd") else None  # type: ignore[assignment]
            slots.append(_Slot(register, _text(abi, base), high, path, asked_by, fd))
        register += 2 if both else 1
    return tuple(slots)


def _text(abi: Abi, kind: str) -> _Text:
    if kind == "long":
        return _signed(32 if abi in _32_BIT else 64)
    return _NUMBERS.get(kind) or _words(abi, kind)


def _words(abi: Abi, kind: str) -> Words:
    return constants.ABI_WORDS.get((abi, kind)) or constants.WORDS[kind]
