"""The verifier's log: which line it is about, and what it says without addresses of the kernel.

It writes the address of a map into each instruction that loads one (print_bpf_insn in kernel/bpf/disasm.c), of root's
programs as it is, whatever kptr_restrict says. Records are kept and sent elsewhere, where it would tell how the memory
of the kernel is laid out; and the name of the map says more.
"""

from __future__ import annotations

import re

from ebpftop.kernel.load.loading import LineInfo, ProgramState

_WIDE = 0x18  # BPF_LD | BPF_IMM | BPF_DW, include/uapi/linux/bpf.h
_INSN_BYTES = 8
_KERNEL_FROM = 0xFFFF << 48
"""The upper part of memory is the kernel's, on x86-64 and on arm64."""

_LOADS = re.compile(r"(?P<insn>\d+): (?:[.\d]+ )?\(18\) (?P<register>r\d+) = 0x(?P<value>[0-9a-f]+)")
_NAMED = re.compile(r"\(18\) (r\d+) = 0x([0-9a-f]+)\s*; (?:.*\s)?R\d+(?:_w)?=map_(?:ptr|value)\([^)]*?\bmap=([^,)]+)")
_NAMED_INSN = re.compile(r"\binsn[= ](\d+)")
_OPCODE = re.compile(r"unknown opcode ([0-9a-f]{2})\b")
_WALKED = re.compile(r"^(\d+): \(", re.MULTILINE)


def without_addresses(log: str, code: bytes) -> str:
    """Return the *log* of a program, whose instructions are *code*, with names of maps instead of their addresses."""
    names = {value: name for _, value, name in _NAMED.findall(log)}

    def load(match: re.Match[str]) -> str:
        if not _is_address(int(match["insn"]), int(match["value"], 16), code):
            return match[0]
        before = match[0][: match.start("value") - match.start() - len("0x")]
        return f"{before}map[{names.get(match['value'], '..')}]"

    return _LOADS.sub(load, log)


def refused_place(message: str, program: ProgramState) -> LineInfo | None:
    """Return the place in the source that *message* of the verifier about *program* is about; None if it is unknown."""
    code = program.insns
    named, opcode = _NAMED_INSN.search(message), _OPCODE.match(message)
    walked = _WALKED.findall(program.log)
    insn: int | None = None
    if named:
        insn = int(named[1])
    elif opcode:
        found = range(0, len(code), _INSN_BYTES)
        insn = next((at // _INSN_BYTES for at in found if code[at] == int(opcode[1], 16)), None)
    elif walked:
        insn = int(walked[-1])
    if insn is None:
        return None
    return next((one for one in reversed(program.lines) if one.insn <= insn and one.line), None)


def _is_address(insn: int, value: int, code: bytes) -> bool:
    at = insn * _INSN_BYTES
    if code[at : at + 1] == bytes((_WIDE,)):
        return code[at + 1] >> 4 != 0  # BPF_PSEUDO_..: not a number that the source has
    return value >= _KERNEL_FROM
