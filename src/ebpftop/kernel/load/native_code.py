"""The machine's instructions in words, by LLVM's disassembler.

BCC links LLVM, so the process that compiles has it (load/server.py); loading it elsewhere takes 60 MB. Its interface in
C (llvm-c/Disassembler.h) has been the same since LLVM 3.
"""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

_TRIPLES: Mapping[str, tuple[str, bytes]] = {
    "x86_64": ("X86", b"x86_64-linux-gnu"),
    "aarch64": ("AArch64", b"aarch64-linux-gnu"),
}
_INTEL = 4  # LLVMDisassembler_Option_AsmPrinterVariant
_LIBRARY = re.compile(r"\S*/libLLVM\S*\.so\S*$", re.MULTILINE)
_ADDRESS = re.compile(r"-\d{10,}")  # of the kernel, as a signed number
_U64 = (1 << 64) - 1
_IN_BRANCH = 1  # LLVMDisassembler_ReferenceType_In_Branch
_OWN = "__at_"  # a name that LLVM does not quote
_TEXT_MAX = 256
_BLANKS = re.compile(r"\s+")
# What LLVM writes the types of operands as; the registers beside them say as much.
_SIZES = re.compile(r"\b(?:byte|word|dword|qword|xmmword) ptr ")


class _Number(Protocol):
    """A pointer to a number."""

    def __getitem__(self, index: int) -> int: ...

    def __setitem__(self, index: int, value: int) -> None: ...


_LookUp = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_char_p),
)


class NoDisassembler(Exception):
    """LLVM is not there, or does not know this machine."""


@cache
def _llvm() -> ctypes.CDLL:
    """Return LLVM as it is loaded in this process; raises NoDisassembler."""
    found = _LIBRARY.findall(Path("/proc/self/maps").read_text())
    for name in dict.fromkeys(found):
        library = ctypes.CDLL(name)
        if hasattr(library, "LLVMCreateDisasm"):
            library.LLVMCreateDisasm.restype = ctypes.c_void_p
            library.LLVMCreateDisasm.argtypes = [
                *(ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
            ]
            library.LLVMDisasmInstruction.restype = ctypes.c_size_t
            library.LLVMDisasmInstruction.argtypes = [
                *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t)
            ]
            library.LLVMSetDisasmOptions.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
            library.LLVMDisasmDispose.argtypes = [ctypes.c_void_p]
            return library
    raise NoDisassembler("LLVM is not loaded")


def native(
    code: bytes, address: int, name: Callable[[int], str | None], machine: str | None = None
) -> list[tuple[int, str]]:
    """Return where each instruction of *code* begins, and its text. *address* is where it lies.

    Where it jumps to in itself is shown as where that instruction begins. *name* returns the name of what is called at
    an address. *machine* is as `uname -m` has it. Raises NoDisassembler.
    """
    machine = machine or platform.machine()
    if machine not in _TRIPLES:
        raise NoDisassembler(f"no disassembler for {machine}")
    llvm = _llvm()
    target, triple = _TRIPLES[machine]
    for part in ("TargetInfo", "TargetMC", "Disassembler"):
        if (function := getattr(llvm, f"LLVMInitialize{target}{part}", None)) is None:
            raise NoDisassembler(f"LLVM does not know {machine}")
        function()
    kept: list[bytes] = []

    def look_up(_: int, value: int, kind: _Number, __: int, ___: object) -> int | None:
        is_branch = kind[0] == _IN_BRANCH
        kind[0] = 0  # no more is known
        if not is_branch:
            return None
        inside = address <= value < address + len(code)
        kept.append((f"{_OWN}{value - address}" if inside else name(value) or hex(value)).encode())
        return ctypes.cast(ctypes.c_char_p(kept[-1]), ctypes.c_void_p).value

    callback = _LookUp(look_up)
    context = llvm.LLVMCreateDisasm(triple, None, 0, None, ctypes.cast(callback, ctypes.c_void_p))
    if not context:
        raise NoDisassembler(f"LLVM does not know {machine}")
    try:
        llvm.LLVMSetDisasmOptions(context, _INTEL if target == "X86" else 0)
        return _instructions(llvm, context, code, address)
    finally:
        llvm.LLVMDisasmDispose(context)


def _instructions(llvm: ctypes.CDLL, context: int, code: bytes, address: int) -> list[tuple[int, str]]:
    buffer = ctypes.create_string_buffer(code, len(code))
    text = ctypes.create_string_buffer(_TEXT_MAX)
    found = []
    at = 0
    while at < len(code):
        start = ctypes.cast(ctypes.addressof(buffer) + at, ctypes.c_char_p)
        size = llvm.LLVMDisasmInstruction(context, start, len(code) - at, address + at, text, _TEXT_MAX)
        if not size:
            found.append((at, f"byte {code[at]:#04x}"))
            at += 1
            continue
        words = _BLANKS.sub(" ", text.value.decode("utf-8", "replace")).strip()
        words = _ADDRESS.sub(lambda match: hex(int(match[0]) & _U64), _SIZES.sub("", words))
        found.append((at, words.replace(_OWN, "")))
        at += size
    return found
