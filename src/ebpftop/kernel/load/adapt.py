"""One source, several kinds of program: what a program finds in its context depends on where it hangs.

A file for BCC is written for kprobes: arguments behind the context, PT_REGS_PARM1(ctx), PT_REGS_RC(ctx). For a kernel
without them these places are rewritten, each on its own line, so that lines keep their numbers. What is not mentioned
here is as BCC makes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ebpftop.core.c_text import Function
from ebpftop.kernel.load.call_gate import Compat, gate
from ebpftop.kernel.load.contexts import ARGUMENTS_MAX, ONE_ARGUMENT, PREAMBLE, Context, Kind, NotAdaptable
from ebpftop.kernel.load.register_edits import Edit, reads_registers, register_edits
from ebpftop.kernel.load.source import ProgramSource, Source
from ebpftop.kernel.load.wrappers import wrapped_call

__all__ = ("PREAMBLE", "Compat", "Kind", "NotAdaptable", "adapted", "is_changed")

_NO_NUMBERS: Mapping[str, int] = MappingProxyType({})
_ADAPTED = frozenset(("syscall", "syscall_exit", "kprobe", "kretprobe", "fentry", "fexit"))
"""The events for which a program may be made into one of another kind."""
_CALLS = ("syscall", "syscall_exit")
_PROBES = ("kprobe", "kretprobe")
_OF_ALL_CALLS = ("raw_tracepoint", "tp_btf")
_OF_FUNCTIONS = (*_PROBES, "fentry", "fexit")
_MACRO_STYLES = ("tracepoint", "raw_tracepoint", "fentry", "fexit", "lsm")
_REGISTERS = frozenset(("pt_regs", "void", "long", "u64"))
"""Words of the types that a pointer to registers may have."""
_WORDS = "__eb_ctx"
"""The name of a context as words, in a program that is no kprobe."""
_WORD = re.compile(r"[A-Za-z_]\w*")


def adapted(
    source: Source,
    choice: Mapping[str, Kind],
    *,
    counts: Mapping[str, int] = _NO_NUMBERS,
    compat: Compat | None = None,
) -> str:
    """Return the text of *source*, in which each program of *choice* is one of that kind. Lines stay what they are.

    *counts*: of a program at the return of a kernel function by fexit, how many arguments that function has. *compat*
    lets a program at a raw tracepoint pass over 32-bit calls, whose numbers mean other calls. A program that hangs
    nowhere becomes what those are that may call it. Raises NotAdaptable.
    """
    contexts: dict[str, Context | None] = {}
    edits: list[Edit] = []
    function = ""
    try:
        for program in source.programs:
            if program.events and (function := program.function) in choice:
                contexts[function] = _context(program, choice[function], counts.get(function))
        hung = tuple(contexts)
        for program in source.programs:
            if not program.events:
                contexts[program.function] = _of_callers(program, {contexts[one] for one in hung})
        for program in source.programs:
            if (context := contexts.get(program.function)) is not None:
                # It is a place that is refused, and only those that hang at one have another.
                function = program.function if program.events else hung[0]
                edits += _program_edits(source, program, context, compat)
                edits += _helper_edits(source, program, context, contexts)
    except NotAdaptable as error:
        raise NotAdaptable(str(error), function) from error
    text = source.text
    for edit in sorted(set(edits), key=lambda edit: edit.begin, reverse=True):
        lines = text.count("\n", edit.begin, edit.end)
        text = text[: edit.begin] + edit.text + "\n" * lines + text[edit.end :]
    return text


def is_changed(source: Source, text: str) -> bool:
    """Whether *text* needs `PREAMBLE`."""
    return text != source.text


def _context(program: ProgramSource, kind: Kind, count: int | None) -> Context | None:
    """Return what *program* finds as one of *kind*; None if what BCC makes of it is right. Raises NotAdaptable."""
    calls = {wrapped_call(event) for event in program.events}
    if program.style in _MACRO_STYLES:
        if kind == program.style:
            return None
        if kind == "tp_btf" and len(calls) == 1 and (call := calls.pop()) is not None:
            return Context(call.kind, kind, wrapper=True)
        raise NotAdaptable(f"{program.function} is written for {program.style}")
    events = {(wrapped_call(event) or event).kind for event in program.events}
    if events & _ADAPTED:
        if len(events) > 1 or len({call is None for call in calls}) > 1:
            # One kprobe may be at several kinds of functions, if it reads nothing of its context.
            if kind in _PROBES and len(program.written.arguments) < 2:
                return None
            raise NotAdaptable(f"{program.function} hangs at events of different kinds")
        event = events.pop()
        if event not in _CALLS and kind not in _OF_FUNCTIONS:
            raise NotAdaptable(f"a kernel function cannot be seen by a {kind}")
        # BCC gives a function that is called syscall__NAME the arguments of the call.
        return Context(event, kind, count, wrapper=None not in calls and program.style != "syscall")
    if len(program.written.arguments) > 1 and kind in ("tracepoint", "raw_tracepoint", "perf"):
        raise NotAdaptable(f"{program.function} has arguments behind its context, which a {kind} does not pass")
    return None


def _of_callers(program: ProgramSource, callers: set[Context | None]) -> Context | None:
    """Return the context of a program that hangs nowhere: that of all that do, if they have the same."""
    if program.events or program.style in _MACRO_STYLES or len(callers) != 1:
        return None
    return next(iter(callers))


def _program_edits(source: Source, program: ProgramSource, context: Context, compat: Compat | None) -> Iterator[Edit]:
    function, name = program.written, _context_name(program.written)
    if program.style in _MACRO_STYLES:
        yield from _macro_edits(program, context, compat)
        return
    _check_context(source, function, name, context)
    if context.wrapper:
        _check_parameters(function)
    if _is_right_by_bcc(context):
        return
    is_kprobe = context.kind == "kprobe"
    words = name if is_kprobe else _WORDS
    used: set[int] = set()

    def argument(number: int) -> str:
        used.add(number)
        return f"(unsigned long)__eb_a{number}"

    yield from register_edits(
        source.c, function, context, name, is_wrapper=_is_of_wrapper(program, context), argument=argument
    )
    before = gate(program, words, context, compat) if context.kind in _OF_ALL_CALLS and program.events else ""
    mentioned = _mentioned(source, function)
    for number, declared in enumerate(function.arguments[1:], 1):
        kind, variable = _parts(declared)
        if variable in mentioned:
            before += _assigned(kind, variable, number, words, context)
    for number in sorted(used):
        before += _assigned("void *", f"__eb_a{number}", number, words, context)
    if not before and len(function.arguments) < 2:
        return
    first = _first_parameter(function, name)
    if is_kprobe:
        head = f"(struct pt_regs *{name})"
    else:
        head = f"(struct bpf_raw_tracepoint_args *{_WORDS})"
        before = f" {first} = (void *){_WORDS};{before}"
    yield Edit(function.paren_at, _closing(source.c.code, function.paren_at) + 1, head)
    yield Edit(function.open_at, function.open_at + 1, "{" + before)


def _is_of_wrapper(program: ProgramSource, context: Context) -> bool:
    """Whether PT_REGS_PARM1 of *program* is that of the kernel's function of a call: the registers of the call."""
    is_named = program.from_name or any(wrapped_call(event) for event in program.events)
    return is_named and context.is_call


def _macro_edits(program: ProgramSource, context: Context, compat: Compat | None) -> Iterator[Edit]:
    """Let a program of KFUNC_PROBE pass over other calls; its context is the same. Raises NotAdaptable.

    It is `ctx` in the function that the macro makes (BCC's src/cc/export/helpers.h, BPF_PROG).
    """
    function = program.written
    has_macro = function.name != program.function and function.name not in program.names
    arguments = [one for one in function.arguments if "*" in one or " " in one] if has_macro else []
    if len(arguments) > 1 + context.is_exit:
        raise NotAdaptable(ONE_ARGUMENT)
    name = "ctx" if has_macro else _context_name(function)
    yield Edit(function.open_at, function.open_at + 1, "{" + gate(program, name, context, compat))


def _mentioned(source: Source, function: Function) -> frozenset[str]:
    """Return all words that *function* may use, also by a macro."""
    c = source.c
    parts = [c.code[function.open_at : function.close_at], *(c.bare[begin:end] for _, begin, end in c.directives)]
    return frozenset(word for part in parts for word in _WORD.findall(part))


def _is_right_by_bcc(context: Context) -> bool:
    """Whether it is a kprobe, as BCC has it. Of system calls BCC knows only some, by their functions' names."""
    return context.kind in _PROBES and context.event != "syscall"


def _closing(code: str, open_at: int) -> int:
    """Return the offset of the parenthesis that closes the one at *open_at*."""
    depth = 0
    for at in range(open_at, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    raise NotAdaptable("its parameters cannot be read")


def _check_context(source: Source, function: Function, name: str, context: Context) -> None:
    """Raise NotAdaptable if the function reads its context as something else than a *context* of that kind."""
    if not re.compile(rf"\b{name}\s*->").search(source.c.code, function.open_at, function.close_at):
        return
    words = _WORD.findall(function.arguments[0])
    if "pt_regs" in words:
        if context.kind not in _PROBES and context.wrapper:
            raise NotAdaptable(
                f"{name}->.. are registers of the kernel's function, which only a kprobe has; "
                f"PT_REGS_PARM1({name}) is understood: the registers of the call, a struct pt_regs *"
            )
        if context.kind not in _PROBES:
            raise NotAdaptable(f"{name}->.. are registers, which only a kprobe has")
    elif "bpf_raw_tracepoint_args" in words:
        if context.kind != "raw_tracepoint":
            raise NotAdaptable(f"its context is that of a raw tracepoint, not of a {context.kind}")
    elif context.kind != "tracepoint":
        raise NotAdaptable(f"its context is not that of a {context.kind}")


def _check_parameters(function: Function) -> None:
    """Raise NotAdaptable if a program at the kernel's function of a call has arguments which that does not have."""
    for number, argument in enumerate(function.arguments[1:]):
        if number or not _REGISTERS & set(_WORD.findall(argument)):
            raise NotAdaptable(ONE_ARGUMENT)


def _helper_edits(
    source: Source, program: ProgramSource, context: Context, contexts: Mapping[str, Context | None]
) -> Iterator[Edit]:
    """Change the functions that *program* calls with its context. Raises NotAdaptable if others call them otherwise."""
    if _is_right_by_bcc(context):
        return
    for helper in _called(source, program.written):
        if any(helper == one.written for one in source.programs) or not reads_registers(source.c, helper):
            continue
        for argument in helper.arguments:
            name = _WORD.findall(argument)[-1] if _WORD.search(argument) else ""
            found = list(register_edits(source.c, helper, context, name)) if name else []
            if not found:
                continue
            for other in source.programs:
                is_other = contexts.get(other.function, context) != context
                if is_other and helper in _called(source, other.written):
                    raise NotAdaptable(
                        f"{helper.name}, which reads registers, serves {other.function} too, which hangs elsewhere"
                    )
            yield from found


def _called(source: Source, function: Function) -> list[Function]:
    """Return the functions of the file that *function* calls, and those that these call."""
    named = {one.name: one for one in source.c.functions if one.name != function.name}
    found: dict[str, Function] = {}
    waiting = [function]
    while waiting:
        one = waiting.pop()
        for word in _WORD.findall(source.c.code, one.open_at, one.close_at):
            if word in named and word not in found:
                found[word] = named[word]
                waiting.append(named[word])
    return list(found.values())


def _context_name(function: Function) -> str:
    arguments = function.arguments
    found = re.search(r"(\w+)\s*\Z", arguments[0]) if arguments else None
    return found[1] if found and found[1] not in ("void", "pt_regs") else "__eb_none"


def _first_parameter(function: Function, name: str) -> str:
    first = " ".join(function.arguments[0].split()) if function.arguments else ""
    return first if re.search(rf"\*\s*{name}\Z", first) else f"void *{name}"


_ARGUMENT = re.compile(r"(?P<type>.*?)(?P<name>[A-Za-z_]\w*)\s*(?P<array>(?:\[[^]]*\])*)\Z", re.DOTALL)


def _parts(argument: str) -> tuple[str, str]:
    """Return type and name of an argument. Raises NotAdaptable."""
    found = _ARGUMENT.match(argument)
    if found is None or not found["type"].strip() or "(" in argument:
        raise NotAdaptable(f"the argument {' '.join(argument.split())!r} cannot be read")
    kind = re.sub(r"\s*\bconst\Z", "", " ".join(found["type"].split()))
    return kind + (" *" if found["array"] else ""), found["name"]


def _assigned(kind: str, variable: str, number: int, name: str, context: Context) -> str:
    """Return the declaration of an argument as a variable, which gets its value. Raises NotAdaptable."""
    if number > ARGUMENTS_MAX:
        raise NotAdaptable(f"no argument after number {ARGUMENTS_MAX} is in a register")
    value = context.argument(number, name)
    # The first value of a pointer is not used: it shows BCC where the pointer comes from.
    origin = f" {variable} = ({kind}){context.anything(name)};" if "*" in kind else ""
    return f" {kind}{origin or f' {variable};'} {variable} = ({kind}){value};"
