"""Offsets from the headers of the running kernel, if it has no BTF.

The source is written so that the compiler's error messages contain the offsets. A compiler that only reports errors is
several times faster than one that makes programs, and a member that a kernel does not have needs no second try.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ebpftop.kernel.compiler import compile_with_headers
from ebpftop.kernel.errors import BtfError, LoadError
from ebpftop.kernel.fields import Defines, all_fields

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
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/fdtable.h>
#include <linux/dcache.h>
#include <linux/mount.h>
#include <linux/tty.h>
/* The head of a structure that only fs/mount.h has, which no package of headers contains. The same since 3.3. */
struct mount {
    struct hlist_node mnt_hash;
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};
"""
# Where the user's registers lie on a task's stack in the kernel: task_pt_regs() of arch/*/include/asm/processor.h.
_REGISTERS = "THREAD_SIZE - sizeof(struct pt_regs)"
_LINES = "offsets"
# clang's messages, the same since its version 3: an array's size in a type, and a member that does not exist.
_ERROR = re.compile(r"^(?P<file>[^:\n]*):(?P<line>\d+):\d+: (?:fatal )?error: (?P<text>.*)$", re.MULTILINE)
_SIZE = re.compile(r"'char \(\*\)\[(\d+)\]'")
# The last one: a structure that only kernel/sched/sched.h has.
_NOT_THERE = re.compile("no member named|undeclared identifier|incomplete type")
_ATTACH_TYPES = re.compile(r"^enum bpf_attach_type \{(.*?)__MAX_BPF_ATTACH_TYPE", re.MULTILINE | re.DOTALL)
_ENUMERATOR = re.compile(r"^\s*[A-Z]\w*,", re.MULTILINE)


def from_headers() -> Defines:
    """Return the flags by asking the compiler for `offsetof` against this kernel's own headers; raises BtfError."""
    candidates = [(field, path) for field in all_fields() for path in field.paths]
    questions = [f"offsetof(struct {field.struct}, {path.partition('+')[0]})" for field, path in candidates]
    *offsets, pids_id, padded, plain = _answers(
        [*questions, "pids_cgrp_id", f"{_REGISTERS} - TOP_OF_KERNEL_STACK_PADDING", _REGISTERS]
    )
    defines: dict[str, int | str] = {} if pids_id is None else {"CSS_PIDS_ID": pids_id}
    registers = plain if padded is None else padded
    if registers is not None:
        defines["STACK_TO_REGISTERS"] = registers
    for (field, path), offset in zip(candidates, offsets, strict=True):
        if offset is not None:
            defines.setdefault(f"OFF_{field.name}", offset + int(path.partition("+")[2] or 0))
    for field in all_fields():
        if f"OFF_{field.name}" not in defines and not field.optional:
            raise BtfError(f"they have no {field.struct}.{' or '.join(field.paths)}")
    defines["SIZE_UPID"] = 16
    return defines


def _answers(questions: Sequence[str]) -> list[int | None]:
    """Return the value of each constant expression, None if what it names does not exist; raises BtfError."""
    source = [_own_attach_types(), _HEADERS_C]
    for number, question in enumerate(questions, 1):
        source.append(f'#line {number} "{_LINES}"')
        # A pointer to an array of that many chars and one cannot be 0.5, and the message names the type.
        source.append(f"char (*of{number})[{question} + 1] = 0.5;")
    try:
        compile_with_headers("\n".join(source))
    except LoadError as error:
        answers = dict(_answered(str(error), len(questions)))
    else:
        answers = {}
    if len(answers) < len(questions):
        raise BtfError(f"of {len(questions)} questions the compiler answered {len(answers)}")
    return [answers[number] for number in range(1, len(questions) + 1)]


def _own_attach_types() -> str:
    """Return the line that restores the true sizes of this kernel's structures.

    Before 6.1 struct cgroup has arrays with an element for each way to attach a BPF program, in front of members that
    we need. BCC replaces the kernel's list of those ways by its own, which is longer.
    """
    modules = Path("/lib/modules", os.uname().release)
    for name in ("build", "source"):
        header = modules / name / "include/uapi/linux/bpf.h"
        if header.exists() and (enum := _ATTACH_TYPES.search(header.read_text())):
            return f"#undef MAX_BPF_ATTACH_TYPE\n#define MAX_BPF_ATTACH_TYPE {len(_ENUMERATOR.findall(enum[1]))}"
    return ""


def _answered(words: str, count: int) -> Iterator[tuple[int, int | None]]:
    """Yield line and offset of each answer, until there are *count*: BCC may run the compiler again after that.

    An error outside of the questions makes all answers invalid: BtfError.
    """
    for error in _ERROR.finditer(words):
        if error["file"] != _LINES:
            raise BtfError(f"they do not compile: {error[0]}")
        size = _SIZE.search(error["text"])
        if size is None and not _NOT_THERE.search(error["text"]):
            raise BtfError(f"they do not compile: {error[0]}")
        yield int(error["line"]), int(size[1]) - 1 if size else None
        if int(error["line"]) == count:
            return
