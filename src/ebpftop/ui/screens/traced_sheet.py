"""One traced call, whole: its arguments one a line, its result, who made it, and where in its program."""

from __future__ import annotations

from ebpftop.core.clock import whole_text
from ebpftop.core.format import nanoseconds
from ebpftop.core.syscall_records import Syscall
from ebpftop.models.subject import Subject
from ebpftop.models.traced_paths import path_of
from ebpftop.ui.panes.common import date_and_time
from ebpftop.ui.screens.traced_lines import is_plain, result_of
from ebpftop.ui.widgets.sheet import Details, Sheet

_NS_PER_S = 1e9


def traced_subject(call: Syscall) -> Subject:
    """Return what a traced call is about: the call, its process, its error, its path."""
    return Subject(
        "syscall",
        call.comm,
        call.pid,
        error=call.error,
        call=call.name,
        abi=call.abi,
        nr=call.nr,
        text=path_of(call) or "",
        time=call.time,
    )


def strace_line(call: Syscall) -> str:
    """Return the call as strace writes it, with its time: `close(3) = 0 <0.000012>`."""
    took = f" <{call.ns / _NS_PER_S:.6f}>" if call.ns is not None else ""
    return f"{call.name}({', '.join(call.args)}) {''.join(span.text for span in result_of(call, 0))}{took}"


def traced_details(call: Syscall) -> Details:
    """Return the details of a traced call."""

    def sheet() -> Sheet:
        facts = Sheet()
        facts.heading("Arguments")
        if not call.args:
            facts.line(("none", "$dim"))
        for number, arg in enumerate(call.args, 1):
            facts.fact(str(number), arg, "$dim" if is_plain(arg) else "")
        facts.heading("Result")
        facts.fact("returned", "".join(span.text for span in result_of(call, 0)).removeprefix("= "), _look(call))
        facts.fact("took", nanoseconds(call.ns) if call.ns is not None else None, note=_exact(call))
        facts.fact("at", date_and_time(call.time))
        facts.heading("Made by")
        facts.fact("process", f"{call.comm} [{call.pid}]")
        facts.fact("thread", call.tid if call.tid not in (0, call.pid) else None)
        facts.fact("call", f"{call.name} · {call.abi} {call.nr}")
        _stack(facts, "Stack, innermost first", call.stack)
        _stack(facts, "Where it slept in the kernel, innermost first", call.kernel_stack)
        return facts

    return Details(
        title=f"{call.name} by {call.comm} [{call.pid}]",
        sheet=sheet,
        copies="\n".join((strace_line(call), *(f" > {frame}" for frame in call.stack or ()))),
        copies_what="Call",
        subject=traced_subject(call),
        when=whole_text(call.time, date=False),
    )


def _stack(facts: Sheet, title: str, frames: tuple[str, ...] | None) -> None:
    """Add a stack: functions, and dimmed the files that they are in."""
    if not frames:
        return
    facts.heading(title)
    for frame in frames:
        code, _, file = frame.rpartition(" (")
        function, plus, offset = (code or frame).rpartition("+0x")
        where = f"{plus}{offset}" if plus else ""
        facts.line((function or offset, ""), (f"{where}  {file.removesuffix(')')}" if code else where, "$dim"))


def _look(call: Syscall) -> str:
    return "$error" if call.error else ""


def _exact(call: Syscall) -> str:
    return f"{call.ns:,} ns" if call.ns is not None and call.ns >= 1000 else ""
