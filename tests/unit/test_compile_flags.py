"""What is passed to the compiler as `-D` describes the kernel; what is chosen for a run is a parameter or a map's size.

Each set of flags is compiled and cached separately, half a second each. A parameter costs nothing, also at run time.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

BPF = Path(__file__).parents[2] / "bpf"
FILES = sorted(path.name for path in BPF.glob("*.c"))

LAYOUT = "where fields of this kernel's structures are, from its BTF"
CALLS = "the calls that start programs and open files: numbers and functions of this kernel's ABIs"
KERNEL = "what this kernel has"
SPEED = "leaves out programs that this kernel cannot use, or does not need: most of the time that a start takes"

FLAGS = {
    r"OFF_\w+": LAYOUT,
    "SIZE_UPID": LAYOUT,
    "CSS_PIDS_ID": LAYOUT,
    "COMPAT_MASK": LAYOUT,
    r"NR_\w+": CALLS,
    r"SYS_\w+": CALLS,
    r"OPENS_FUNCTION_\d": "the kernel's functions of the calls that open files",
    "HAVE_X32": KERNEL,
    "HAVE_RING": KERNEL,
    "HAVE_TASK_BTF": KERNEL,
    "HAVE_PREPARE_EXEC": KERNEL,
    "HAVE_RDONLY_CAST": KERNEL,
    "HAVE_TASK_REGISTERS": KERNEL,
    "STACK_TO_REGISTERS": LAYOUT,
    "PREEMPT_COUNT_ID": "a variable of this kernel, from its BTF",
    "RDONLY_CAST_ID": "a function of this kernel, from its BTF",
    r"\w+_STRUCT_ID": "a type of this kernel, from its BTF",
    "WITH_CALLERS": "this kernel has maps that hold a pointer to a task, and is faster with one",
    "VIA_TRACEPOINT": "this kernel has no raw tracepoints: programs get another context",
    "WITH_FENTRY": SPEED,
    "WITH_KPROBES": SPEED,
    "WITH_TRACEPOINTS": SPEED,
    "WITH_SCHED_TRACEPOINTS": SPEED,
    "WITH_RAW_SYSCALLS": SPEED,
}
"""Every flag that the C files may mention, with the reason. A choice of the user has no place here."""

BCC = re.compile(r"BPF_\w+|PT_REGS_\w+|KFUNC_PROBE|KRETFUNC_PROBE|NULL|__VA_ARGS__")


def code_of(file: str) -> str:
    """Return the text of a C file and of what it includes, without comments and strings."""
    text = re.sub(r"/\*.*?\*/", " ", (BPF / file).read_text(), flags=re.DOTALL)
    return re.sub(r'#include "(.+)"|"(?:\\.|[^"\\])*"', lambda found: code_of(found[1]) if found[1] else '""', text)


def defined_in(code: str) -> set[str]:
    """Return the macros and the constants of enumerations that *code* defines."""
    enums = chain.from_iterable(
        re.findall(r"\w+", body) for body in re.findall(r"enum \w*\s*\{(.*?)\}", code, re.DOTALL)
    )
    return {*re.findall(r"#define (\w+)", code), *enums}


@pytest.mark.parametrize("file", FILES)
def test_a_c_file_mentions_no_flag_without_a_reason(file: str) -> None:
    code = re.sub(r"PARAMETER\(\w+\)|\w+##\w+", "", code_of(file))
    mentioned = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code)) - defined_in(code)
    unknown = {name for name in mentioned if not BCC.fullmatch(name)}
    assert {name for name in unknown if not any(re.fullmatch(flag, name) for flag in FLAGS)} == set()


def test_every_reason_is_about_a_flag_that_is_mentioned() -> None:
    words = set(re.findall(r"\w+", "".join(map(code_of, FILES))))
    assert [flag for flag in FLAGS if not any(re.fullmatch(flag, word) for word in words)] == []


@pytest.mark.parametrize("file", FILES)
def test_each_parameter_of_a_file_has_a_number_of_its_own_and_is_used(file: str) -> None:
    code = code_of(file)
    declared = re.findall(r"\bPARAMETER_(\w+) = (\d+)", code)
    names = {name for name, _ in declared}
    assert set(re.findall(r"\bPARAMETER_(\w+)(?!##)\b", code)) - {"MARK"} == names
    assert set(re.findall(r"\bPARAMETER\((\w+)\)", code)) - {"name"} == names
    assert len({number for _, number in declared}) == len(declared)


def test_what_the_verifier_trusts_is_only_passed_to_the_helper_that_requires_it() -> None:
    """All else that is loaded from such a pointer makes it search the kernel's BTF: see current_task()."""
    code = "".join(path.read_text() for path in sorted(BPF.glob("*.[ch]")))
    uses = re.findall(r"[^;{}]*\btrusted_current_task\(\)", code)
    allowed = r"registers_of\($|RDONLY_CAST_ID\)\)\($"
    others = [use for use in uses if not re.search(allowed, use.removesuffix("trusted_current_task()"))]
    assert [use.split() for use in others] == [["return", "trusted_current_task()"]], "where there is no cast"
    assert len(uses) == 5
    assert len(re.findall(r"\)158\)", code)) == 1
