"""Offsets from the headers of the running kernel, where it has no BTF.

A compiler that is asked for `offsetof` answers in the bytecode that it would load.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from ebpftop.kernel.btf import BtfError
from ebpftop.kernel.loader import LoadError, bytecode
from ebpftop.kernel.offsets import Defines, Wanted, wanted_fields

_HEADERS_C = """
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/binfmts.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/user_namespace.h>
#include <linux/mm_types.h>
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#include <linux/ptrace.h>
"""
_LINES = "offsets"


def from_headers() -> Defines:
    """Return the flags by compiling `offsetof` against this kernel's own headers: twice where a member is missing."""
    candidates = [(wanted, path) for wanted in wanted_fields() for path in wanted.paths]
    try:
        offsets = _compiled_offsets(candidates)
    except LoadError as error:
        missing = _missing(str(error))
        if not missing:
            raise BtfError(f"they do not compile: {_first_error(str(error))}") from error
        candidates = [candidate for number, candidate in enumerate(candidates) if number not in missing]
        try:
            offsets = _compiled_offsets(candidates)
        except LoadError as second:
            raise BtfError(f"they do not compile: {_first_error(str(second))}") from second
    defines: dict[str, int | str] = {}
    for (wanted, path), offset in zip(candidates, offsets, strict=True):
        defines.setdefault(f"OFF_{wanted.name}", offset + int(path.partition("+")[2] or 0))
    for wanted in wanted_fields():
        if f"OFF_{wanted.name}" not in defines and not wanted.optional:
            raise BtfError(f"they have no {wanted.struct}.{' or '.join(wanted.paths)}")
    defines["SIZE_UPID"] = 16
    return defines


def _compiled_offsets(candidates: Sequence[tuple[Wanted, str]]) -> list[int]:
    """Return the offset of each candidate; raises LoadError."""
    source = [_HEADERS_C]
    for number, (wanted, path) in enumerate(candidates):
        member = path.partition("+")[0]
        source.append(f'#line {number + 1} "{_LINES}"')
        source.append(f"int offset{number}(void *ctx) {{ return offsetof(struct {wanted.struct}, {member}); }}")
    names = [f"offset{number}" for number in range(len(candidates))]
    return [_returned(code) for code in bytecode("\n".join(source), names)]


def _missing(words: str) -> set[int]:
    """Return the numbers of the candidates that are no members, from what the compiler said: each has its own line."""
    return {int(line) - 1 for line in re.findall(rf"^{_LINES}:(\d+):.* no member named", words, re.MULTILINE)}


def _first_error(words: str) -> str:
    return next((line for line in words.splitlines() if "error:" in line), "the compiler did not say why")


def _returned(code: bytes) -> int:
    """Return N of the bytecode of `return N`: the immediate of its first instruction (struct bpf_insn)."""
    opcode, _, _, immediate = struct.unpack_from("<BBhi", code)
    if opcode != 0xB7:  # BPF_ALU64 | BPF_MOV | BPF_K
        raise BtfError("the compiler did not answer with a constant")
    return int(immediate)
