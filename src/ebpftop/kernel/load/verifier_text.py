"""The verifier's log without addresses of the kernel.

It writes the address of a map into each instruction that loads one (print_bpf_insn in kernel/bpf/disasm.c), of root's
programs as it is, whatever kptr_restrict says. Records are kept and sent elsewhere, where it would tell how the memory
of the kernel is laid out; and the name of the map says more.
"""

from __future__ import annotations

import re

_WIDE = 0x18  # BPF_LD | BPF_IMM | BPF_DW, include/uapi/linux/bpf.h
_INSN_BYTES = 8
_KERNEL_FROM = 0xFFFF << 48
"""The upper part of memory is the kernel's, on x86-64 and on arm64."""

_LOADS = re.compile(r"(?P<insn>\d+): (?:[.\d]+ )?\(18\) (?P<register>r\d+) = 0x(?P<value>[0-9a-f]+)")
_NAMED = re.compile(r"\(18\) (r\d+) = 0x([0-9a-f]+)\s*; (?:.*\s)?R\d+(?:_w)?=map_(?:ptr|value)\([^)]*?\bmap=([^,)]+)")


def without_addresses(log: str, code: bytes) -> str:
    """Return the *log* of a program, whose instructions are *code*, with names of maps instead of their addresses."""
    names = {value: name for _, value, name in _NAMED.findall(log)}

    def load(match: re.Match[str]) -> str:
        if not _is_address(int(match["insn"]), int(match["value"], 16), code):
            return match[0]
        before = match[0][: match.start("value") - match.start() - len("0x")]
        return f"{before}map[{names.get(match['value'], '..')}]"

    return _LOADS.sub(load, log)


def _is_address(insn: int, value: int, code: bytes) -> bool:
    at = insn * _INSN_BYTES
    if code[at : at + 1] == bytes((_WIDE,)):
        return code[at + 1] >> 4 != 0  # BPF_PSEUDO_..: not a number that the source has
    return value >= _KERNEL_FROM
