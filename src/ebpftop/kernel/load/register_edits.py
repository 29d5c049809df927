"""Rewrite the places of a function that read registers of its context: PT_REGS_PARM1(ctx), PT_REGS_RC(ctx)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ebpftop.core.c_text import CText, Function
from ebpftop.kernel.load.contexts import ONE_ARGUMENT, Context, NotAdaptable

_CAST = r"(?:\([^()]*\)\s*)?"
_MACRO = re.compile(
    rf"(?P<cast>\(\s*(?:const\s+)?struct\s+pt_regs\s*\*\s*\)\s*)?"
    rf"\bPT_REGS_(?:(?P<call>SYSCALL_CTX)|PARM(?P<number>[1-6])(?P<of_call>_SYSCALL)?|(?P<result>RC)|(?P<other>\w+))"
    rf"\s*\(\s*{_CAST}(?P<of>\w+)\s*\)"
)
_HEAD = re.compile(r"\bPT_REGS_\w+\s*\(")
_ASSIGNED = re.compile(r"(\w+)\s*=\s*\Z")


@dataclass(frozen=True, slots=True)
class Edit:
    """Other *text* for what stands between two offsets."""

    begin: int
    end: int
    text: str


def reads_registers(c: CText, function: Function) -> bool:
    """Whether *function* mentions registers."""
    return _HEAD.search(c.code, function.open_at, function.close_at) is not None


def register_edits(
    c: CText,
    function: Function,
    context: Context,
    name: str,
    *,
    is_wrapper: bool = False,
    argument: Callable[[int], str] | None = None,
) -> Iterator[Edit]:
    """Yield the edits of a *function* that has its context in *name*.

    *is_wrapper*: it was written for the kernel's function of a system call, whose one argument are the registers of the
    call. Others have the arguments of the call itself in PT_REGS_PARM1 and so on; *argument* makes the text for one.
    Raises NotAdaptable.
    """
    calls: set[str] = set()
    argument = argument or (lambda number: context.argument(number, name))
    for match in _MACRO.finditer(c.code, function.open_at, function.close_at):
        cast, number, of = match["cast"], match["number"], match["of"]
        if of in calls and number:
            # BCC reads through a pointer itself, but not where the register is one of an array, as on arm64.
            if not _is_address(c.code, match.start()):
                yield Edit(match.start(), match.end(), f"({cast or ''}__EB_ARG{number}({of}))")
        elif of != name:
            continue
        elif match["call"] or (number == "1" and (cast or is_wrapper) and context.is_call):
            if assigned := _ASSIGNED.search(c.code, function.open_at, match.start()):
                calls.add(assigned[1])
            if context.kind != "kprobe" or match["call"]:
                yield Edit(match.start(), match.end(), f"((struct pt_regs *){context.registers(name)})")
        elif number:
            if is_wrapper:
                raise NotAdaptable(ONE_ARGUMENT)
            yield Edit(match.start(), match.end(), f"({cast or ''}{argument(int(number))})")
        elif match["result"]:
            if context.kind != "kretprobe":
                yield Edit(match.start(), match.end(), f"({context.result(name)})")
        elif context.kind not in ("kprobe", "kretprobe"):
            raise NotAdaptable(f"only a kprobe has PT_REGS_{match['other']}")


def _is_address(code: str, at: int) -> bool:
    """Whether it is the address of a register that is asked for: whoever does that reads there by a helper."""
    before = code[:at].rstrip()
    return before.endswith("&") and not before.endswith("&&")
