"""BPF instructions in words: `r2 = r10`, `if r0 == 0 goto +1`, `call bpf_ktime_get_ns`.

The instruction set: Documentation/bpf/standardization/instruction-set.rst. The kernel's own extensions of it in the
instructions that it shows (BPF_XLATED) are those of kernel/bpf/disasm.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ebpftop.kernel.compiled import INSN

_LD, _LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = range(8)  # class: the low three bits of the opcode
_SIZES: Mapping[int, str] = {0x00: "u32", 0x08: "u16", 0x10: "u8", 0x18: "u64"}
_SIGNED_SIZES: Mapping[int, str] = {0x00: "s32", 0x08: "s16", 0x10: "s8", 0x18: "s64"}
_MEM, _MEMSX, _ATOMIC, _IMM = 0x60, 0x80, 0xC0, 0x00
_PROBE_MODES = frozenset({0x20, 0x40, 0xA0})  # BPF_PROBE_MEM and its kin, which the kernel shows as plain loads
_OPERATORS: Mapping[int, str] = {
    **{0x00: "+=", 0x10: "-=", 0x20: "*=", 0x30: "/=", 0x40: "|=", 0x50: "&=", 0x60: "<<=", 0x70: ">>="},
    **{0x90: "%=", 0xA0: "^=", 0xB0: "=", 0xC0: "s>>="},
}
_COMPARISONS: Mapping[int, str] = {
    **{0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&", 0x50: "!=", 0x60: "s>", 0x70: "s>="},
    **{0xA0: "<", 0xB0: "<=", 0xC0: "s<", 0xD0: "s<="},
}
_ATOMIC_OPERATORS: Mapping[int, str] = {0x00: "+=", 0x40: "|=", 0x50: "&=", 0xA0: "^="}
_ATOMIC_NAMES: Mapping[int, str] = {0x00: "add", 0x40: "or", 0x50: "and", 0xA0: "xor"}
_FETCH, _XCHG, _CMPXCHG = 0x01, 0xE1, 0xF1
_NEG, _END, _MOV, _DIV, _MOD = 0x80, 0xD0, 0xB0, 0x30, 0x90
_JA, _CALL, _EXIT, _JCOND = 0x00, 0x80, 0x90, 0xE0
_X = 0x08  # the operand is a register
_PSEUDO_CALL, _PSEUDO_KFUNC = 1, 2
_PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE, _PSEUDO_BTF_ID, _PSEUDO_FUNC, _PSEUDO_MAP_IDX, _PSEUDO_MAP_IDX_VALUE = range(1, 7)
_SMALL = 1024
"""Numbers up to this are shown as decimal, larger ones as hexadecimal."""


class Insn(NamedTuple):
    """An instruction in words. `at` counts instructions of eight bytes; one that loads 64 bits is two."""

    at: int
    text: str


class Names(NamedTuple):
    """What numbers in instructions stand for; None where they are unknown."""

    map: Callable[[int], str | None]
    """Of the number of a map: its id in what the kernel shows, its descriptor in what is loaded."""
    function: Callable[[int], str | None]
    """Of the number of a function that is called: a helper's number, or its distance in what the kernel shows."""
    address: Callable[[int], str | None] = lambda _: None
    """Of an address of the kernel that is loaded."""


NO_NAMES = Names(lambda _: None, lambda _: None)


def disassembled(code: bytes, names: Names = NO_NAMES) -> Iterator[Insn]:
    """Yield the instructions of *code* in words; what is not known is shown in hexadecimal."""
    at = 0
    while at + INSN.size <= len(code):
        opcode, registers, offset, immediate = INSN.unpack_from(code, at)
        number = at // INSN.size
        if opcode == 0x18 and at + 2 * INSN.size <= len(code):
            high = INSN.unpack_from(code, at + INSN.size)[3]
            yield Insn(number, _wide(registers, immediate, high, names))
            at += 2 * INSN.size
            continue
        yield Insn(number, _plain(opcode, registers, offset, immediate, names))
        at += INSN.size


def number_text(value: int) -> str:
    """Return a number as it is shown."""
    return str(value) if -_SMALL < value < _SMALL else hex(value)


def _wide(registers: int, low: int, high: int, names: Names) -> str:
    to, kind = registers & 15, registers >> 4
    if kind in (_PSEUDO_MAP_FD, _PSEUDO_MAP_IDX):
        return f"r{to} = map[{names.map(low) or low}]"
    if kind in (_PSEUDO_MAP_VALUE, _PSEUDO_MAP_IDX_VALUE):
        return f"r{to} = map[{names.map(low) or low}][0] + {number_text(high)}"
    if kind == _PSEUDO_FUNC:
        return f"r{to} = function at {low:+d}"
    (value,) = struct.unpack("=Q", struct.pack("=ii", low, high))
    if kind == _PSEUDO_BTF_ID:
        return f"r{to} = variable {low}"
    return f"r{to} = {names.address(value) or number_text(value)}"


def _plain(opcode: int, registers: int, offset: int, immediate: int, names: Names) -> str:
    to, source = registers & 15, registers >> 4
    kind = opcode & 7
    if kind in (_ALU, _ALU64):
        return _arithmetic(opcode, to, source, offset, immediate)
    if kind in (_JMP, _JMP32):
        return _jump(opcode, to, source, offset, immediate, names)
    size, mode = opcode & 0x18, opcode & 0xE0
    if kind == _LDX and (mode in (_MEM, _MEMSX) or mode in _PROBE_MODES):
        types = _SIGNED_SIZES if mode == _MEMSX else _SIZES
        return f"r{to} = *({types[size]} *)({_place(source, offset)})"
    if kind == _ST and mode == _MEM:
        return f"*({_SIZES[size]} *)({_place(to, offset)}) = {number_text(immediate)}"
    if kind == _STX and mode == _MEM:
        return f"*({_SIZES[size]} *)({_place(to, offset)}) = r{source}"
    if kind == _STX and mode == _ATOMIC:
        return _atomic(f"*({_SIZES[size]} *)({_place(to, offset)})", source, immediate)
    if kind == _LD and mode in (0x20, 0x40):
        place = f"r{source} + {immediate}" if mode == 0x40 else str(immediate)
        return f"r0 = *({_SIZES[size]} *)skb[{place}]"
    return _unknown(opcode, registers, offset, immediate)


def _place(register: int, offset: int) -> str:
    return f"r{register} {'-' if offset < 0 else '+'} {abs(offset)}"


def _arithmetic(opcode: int, to: int, source: int, offset: int, immediate: int) -> str:
    operation, is_64 = opcode & 0xF0, opcode & 7 == _ALU64
    name = "r" if is_64 else "w"
    if operation == _NEG:
        return f"{name}{to} = -{name}{to}"
    if operation == _END:
        if is_64:
            return f"r{to} = bswap{immediate} r{to}"
        return f"r{to} = {'be' if opcode & _X else 'le'}{immediate} r{to}"
    operator = _OPERATORS.get(operation)
    if operator is None:
        return _unknown(opcode, to | source << 4, offset, immediate)
    value = f"{name}{source}" if opcode & _X else number_text(immediate)
    if operation == _MOV and opcode & _X and offset:
        return f"{name}{to} = {'percpu' if offset == -1 else f'(s{offset})'} {value}"
    if operation in (_DIV, _MOD) and offset == 1:
        operator = f"s{operator}"
    return f"{name}{to} {operator} {value}"


def _jump(opcode: int, to: int, source: int, offset: int, immediate: int, names: Names) -> str:
    operation, is_64 = opcode & 0xF0, opcode & 7 == _JMP
    if operation == _EXIT:
        return "exit"
    if operation == _CALL:
        if source == _PSEUDO_CALL:
            return f"call {immediate:+d}"
        if opcode & _X:
            return f"call r{to}"
        return f"call {names.function(immediate) or ('a kernel function' if source == _PSEUDO_KFUNC else 'a helper')}"
    if operation == _JA:
        return f"goto {offset if is_64 else immediate:+d}"
    if operation == _JCOND:
        return f"may_goto {offset:+d}"
    comparison = _COMPARISONS.get(operation)
    if comparison is None:
        return _unknown(opcode, to | source << 4, offset, immediate)
    name = "r" if is_64 else "w"
    value = f"{name}{source}" if opcode & _X else number_text(immediate)
    return f"if {name}{to} {comparison} {value} goto {offset:+d}"


def _atomic(place: str, source: int, operation: int) -> str:
    if operation == _XCHG:
        return f"r{source} = exchange({place}, r{source})"
    if operation == _CMPXCHG:
        return f"r0 = compare_exchange({place}, r0, r{source})"
    base = operation & ~_FETCH
    if operation & _FETCH and base in _ATOMIC_NAMES:
        return f"r{source} = fetch_{_ATOMIC_NAMES[base]}({place}, r{source})"
    operator = _ATOMIC_OPERATORS.get(operation)
    return f"lock {place} {operator} r{source}" if operator else f"lock {place} {operation:#x} r{source}"


def _unknown(opcode: int, registers: int, offset: int, immediate: int) -> str:
    return f"unknown {INSN.pack(opcode, registers, offset, immediate).hex()}"
