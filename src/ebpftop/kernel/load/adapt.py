"""One source, several kinds of program: what a program finds in its context depends on where it hangs.

A file for BCC is written for kprobes: arguments behind the context, PT_REGS_PARM1(ctx), PT_REGS_RC(ctx). For a kernel
without them these places are rewritten, each on its own line, so that lines keep their numbers. What is not mentioned
here is as BCC makes it.

What a context holds, in words of 64 bits:

- fentry, fexit: the arguments of the function, behind them what it returns (as BPF_PROG of libbpf has it)
- tracepoint syscalls:sys_enter_*: word 1 is the number, from word 2 on the arguments; sys_exit_*: word 2 is the result
- raw tracepoint sys_enter: the registers, the number; sys_exit: the registers, the result
- a system call's own function (__x64_sys_*): its first argument are the registers of the call
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from ebpftop.kernel.load.c_text import CText, Function
from ebpftop.kernel.load.source import ProgramSource, Source
from ebpftop.syscalls import abi

Kind: TypeAlias = Literal["kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "raw_tracepoint"]

PREAMBLE = """\
#define __EB_WORD(ctx, n) (((unsigned long *)(ctx))[n])
#define __EB_READ(from) \\
	({ unsigned long __eb_v = 0; bpf_probe_read_kernel(&__eb_v, sizeof(__eb_v), (from)); __eb_v; })
#define __EB_REGS(regs) ((struct pt_regs *)(unsigned long)(regs))
#if defined(bpf_target_x86)
#define __EB_ARG1(regs) __EB_READ(&__EB_REGS(regs)->di)
#define __EB_ARG2(regs) __EB_READ(&__EB_REGS(regs)->si)
#define __EB_ARG3(regs) __EB_READ(&__EB_REGS(regs)->dx)
#define __EB_ARG4(regs) __EB_READ(&__EB_REGS(regs)->r10)
#define __EB_ARG5(regs) __EB_READ(&__EB_REGS(regs)->r8)
#define __EB_ARG6(regs) __EB_READ(&__EB_REGS(regs)->r9)
#define __EB_NR(regs) __EB_READ(&__EB_REGS(regs)->orig_ax)
#define __EB_FIRST(ctx) (((struct pt_regs *)(ctx))->di)
#elif defined(bpf_target_arm64)
#define __EB_ARG1(regs) __EB_READ(&__EB_REGS(regs)->regs[0])
#define __EB_ARG2(regs) __EB_READ(&__EB_REGS(regs)->regs[1])
#define __EB_ARG3(regs) __EB_READ(&__EB_REGS(regs)->regs[2])
#define __EB_ARG4(regs) __EB_READ(&__EB_REGS(regs)->regs[3])
#define __EB_ARG5(regs) __EB_READ(&__EB_REGS(regs)->regs[4])
#define __EB_ARG6(regs) __EB_READ(&__EB_REGS(regs)->regs[5])
#define __EB_NR(regs) (unsigned int)__EB_READ(&__EB_REGS(regs)->syscallno)
#define __EB_FIRST(ctx) (((struct pt_regs *)(ctx))->regs[0])
#endif
"""
"""What adapted programs use. Put before the first line of a text that `adapted` changed."""

_PARAMETER = re.compile(r"\bPT_REGS_PARM([1-6])(?:_SYSCALL)?\s*\(\s*(\w+)\s*\)")
_RESULT = re.compile(r"\bPT_REGS_RC\s*\(\s*(\w+)\s*\)")
_REGISTERS = re.compile(r"\bPT_REGS_\w+\s*\(")
_CALLS = frozenset(("syscall", "syscall_exit"))
_ENTRIES = frozenset(("syscall", "kprobe", "fentry"))
# BCC itself takes the arguments of these from the registers of the call (src/cc/frontends/clang/b_frontend_action.cc).
_BY_BCC = ("syscall__", "kprobe____x64_sys_")
_NO_NUMBERS: Mapping[str, int] = MappingProxyType({})


class NotAdaptable(Exception):
    """A program that cannot be made into one of that kind; the text says why."""


@dataclass(frozen=True, slots=True)
class Compat:
    """How a task shows that it is in a 32-bit call: a mask of 32 bits, at an offset in bytes in task_struct."""

    offset: int
    mask: int


@dataclass(frozen=True, slots=True)
class _Edit:
    begin: int
    end: int
    text: str


def adapted(
    source: Source,
    choice: Mapping[str, Kind],
    *,
    counts: Mapping[str, int] = _NO_NUMBERS,
    compat: Compat | None = None,
) -> str:
    """Return the text of *source*, in which each program of *choice* is one of that kind. Lines stay what they are.

    *counts*: of a program at the return of a kernel function by fexit, how many arguments that function has. *compat*
    lets a program at a raw tracepoint pass over 32-bit calls, whose numbers mean other calls. Raises NotAdaptable.
    """
    edits: list[_Edit] = []
    for program in source.programs:
        if (kind := choice.get(program.function)) is not None and _is_to_change(program, kind):
            edits += _program_edits(source, program, kind, counts.get(program.function), compat)
    kinds = {kind for program in source.programs if (kind := choice.get(program.function)) and program.events}
    if edits and len(kinds) == 1:
        edits += _helper_edits(source, kinds.pop(), counts)
    text = source.text
    for edit in sorted(edits, key=lambda edit: edit.begin, reverse=True):
        lines = text.count("\n", edit.begin, edit.end)
        text = text[: edit.begin] + edit.text + "\n" * lines + text[edit.end :]
    return text


def is_changed(source: Source, text: str) -> bool:
    """Whether *text* needs `PREAMBLE`."""
    return text != source.text


def _is_to_change(program: ProgramSource, kind: Kind) -> bool:
    """Whether what BCC makes of the program is not right for *kind*."""
    if not program.events:
        return False
    kinds = {event.kind for event in program.events}
    if program.style in ("tracepoint", "raw_tracepoint", "fentry", "fexit", "lsm"):
        if kind != program.style:
            raise NotAdaptable(f"{program.function} is written for {program.style}")
        return False
    if kinds <= {"tracepoint", "raw_tracepoint", "uprobe", "uretprobe", "profile", "software", "hardware"}:
        return False
    if len(kinds) > 1:
        raise NotAdaptable(f"{program.function} hangs at events of more than one kind")
    if kind in ("kprobe", "kretprobe"):
        return kinds == {"syscall"} and not program.function.startswith(_BY_BCC) and _has_arguments(program)
    return True


def _has_arguments(program: ProgramSource) -> bool:
    # One that its name attaches finds what BCC lets it find.
    return not program.from_name or len(program.written.arguments) > 1


def _program_edits(
    source: Source, program: ProgramSource, kind: Kind, count: int | None, compat: Compat | None
) -> Iterator[_Edit]:
    function, event = program.written, program.events[0].kind
    context = _context_name(function)
    values = _Values(event, kind, count)
    assigned = "".join(
        f" {_declaration(argument)} = ({_type(argument)}){values.argument(number, context)};"
        for number, argument in enumerate(function.arguments[1:], 1)
    )
    first = " ".join(function.parameters.split(",")[0].split()) or "void"
    keeps_type = kind in ("kprobe", "kretprobe") and first != "void"
    head = f"({first if keeps_type else f'void *{context}'})"
    gate = _gate(program, context, compat) if kind == "raw_tracepoint" else ""
    close = source.text.rindex(")", function.paren_at, function.open_at)
    yield _Edit(function.paren_at, close + 1, head)
    yield _Edit(function.open_at, function.open_at + 1, "{" + gate + assigned)
    yield from _body_edits(source.c, function, values)


def _helper_edits(source: Source, kind: Kind, counts: Mapping[str, int]) -> Iterator[_Edit]:
    """Change the functions that programs call with their context, where all programs are of one kind."""
    events = {event.kind for program in source.programs for event in program.events}
    if len(events) != 1 or kind in ("kprobe", "kretprobe"):
        return
    values = _Values(events.pop(), kind, next(iter(counts.values()), None))
    for function in source.c.functions:
        if function.is_static and _REGISTERS.search(source.c.code, function.open_at, function.close_at):
            yield from _body_edits(source.c, function, values)


def _body_edits(c: CText, function: Function, values: _Values) -> Iterator[_Edit]:
    for match in _PARAMETER.finditer(c.code, function.open_at, function.close_at):
        yield _Edit(match.start(), match.end(), f"({values.argument(int(match[1]), match[2])})")
    if values.has_result:
        for match in _RESULT.finditer(c.code, function.open_at, function.close_at):
            yield _Edit(match.start(), match.end(), f"((long){values.result(match[1])})")


@dataclass(frozen=True, slots=True)
class _Values:
    """Where the context of a program at *event* has arguments and results, if the program is of *kind*."""

    event: str
    kind: Kind
    count: int | None

    @property
    def has_result(self) -> bool:
        return self.kind not in ("kprobe", "kretprobe")

    def argument(self, number: int, context: str) -> str:
        """Return the *number*-th argument, from 1. Raises NotAdaptable."""
        if self.event not in _ENTRIES:
            raise NotAdaptable("the arguments are not known where it returns")
        if self.event in _CALLS:
            if self.kind == "tracepoint":
                return f"__EB_WORD({context}, {number + 1})"
            registers = f"__EB_FIRST({context})" if self.kind == "kprobe" else f"__EB_WORD({context}, 0)"
            return f"__EB_ARG{number}({registers})"
        if self.kind == "fentry":
            return f"__EB_WORD({context}, {number - 1})"
        raise NotAdaptable(f"a kernel function cannot be seen by a {self.kind}")

    def result(self, context: str) -> str:
        """Return what was returned. Raises NotAdaptable."""
        if self.event in _ENTRIES:
            raise NotAdaptable("nothing was returned yet where it enters")
        if self.event in _CALLS:
            at = {"fexit": 1, "raw_tracepoint": 1, "tracepoint": 2}.get(self.kind)
        else:
            at = self.count if self.kind == "fexit" else None
        if at is None:
            raise NotAdaptable(f"what it returns cannot be seen by a {self.kind}")
        return f"__EB_WORD({context}, {at})"


def _gate(program: ProgramSource, context: str, compat: Compat | None) -> str:
    """Return what leaves a program at a raw tracepoint of all calls, unless the call is one of its own."""
    native = abi.native_abi(platform.machine())
    known = abi.numbers(native)
    numbers = sorted({known[event.target[0]] for event in program.events if event.target[0] in known})
    if not numbers:
        names = ", ".join(event.target[0] for event in program.events)
        raise NotAdaptable(f"{platform.machine()} has no system call {names}")
    returns = program.events[0].kind == "syscall_exit"
    number = f"__EB_NR(__EB_WORD({context}, 0))" if returns else f"__EB_WORD({context}, 1)"
    gate = f" unsigned long __eb_nr = {number};"
    gate += f" if ({' && '.join(f'__eb_nr != {one}' for one in numbers)}) return 0;"
    if compat is not None:
        task = f"(char *)bpf_get_current_task() + {compat.offset}"
        gate += f" if ((unsigned int)__EB_READ({task}) & {compat.mask:#x}u) return 0;"
    return gate


def _context_name(function: Function) -> str:
    arguments = function.arguments
    found = re.search(r"(\w+)\s*\Z", arguments[0]) if arguments else None
    return found[1] if found and found[1] != "void" else "ctx"


_ARGUMENT = re.compile(r"(?P<type>.*?)(?P<name>[A-Za-z_]\w*)\s*(?P<array>(?:\[[^]]*\])*)\Z", re.DOTALL)


def _parts(argument: str) -> tuple[str, str]:
    """Return type and name of an argument. Raises NotAdaptable."""
    found = _ARGUMENT.match(argument)
    if found is None or not found["type"].strip() or "(" in argument:
        raise NotAdaptable(f"the argument {' '.join(argument.split())!r} cannot be read")
    return " ".join(found["type"].split()) + (" *" if found["array"] else ""), found["name"]


def _type(argument: str) -> str:
    return re.sub(r"\s*\bconst\Z", "", _parts(argument)[0])


def _declaration(argument: str) -> str:
    kind, name = _parts(argument)
    return f"{kind} {name}"
