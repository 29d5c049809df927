"""What may be typed to filter lists of system calls: the fields of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ebpftop.core.syscall_records import Handler, InFlight, Syscall
from ebpftop.filters.kinds import AnyOf, Choice, Number, Text, duration, share
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.baseline import failed_share
from ebpftop.models.callers import Caller, CallOf
from ebpftop.models.processes import Processes
from ebpftop.models.program_fields import ERRNO
from ebpftop.models.syscalls import Call
from ebpftop.models.wait_text import target_text

NANOSECONDS = duration(1e-9)
HANDLERS = Choice(("count", "ignore", "trace", "exec", "timer"))


def calls_language(is_last: Callable[[], bool], handler_of: Callable[[Call], Handler]) -> Language[Call]:
    """Return the language of the table of calls, which shows totals, or the last reading alone if *is_last*."""
    return Language(
        (
            text_field("name", lambda c: c.row.name, "the call's name", "syscall"),
            Field("calls", Number(), lambda c, _: c.count(last=is_last()), "how often", ("count",)),
            Field("rate", Number(), lambda c, _: c.rate, "calls a second"),
            Field("errors", Number(hint=">0"), lambda c, _: c.errors(last=is_last()), "how often it failed"),
            Field("failed", share(), lambda c, _: c.failure_rate(last=is_last()), "share that failed"),
            Field("errno", AnyOf(ERRNO), lambda c, _: [(None, name) for name in c.errnos()], "an error it returned"),
            Field("time", NANOSECONDS, lambda c, _: c.spent_ns(last=is_last()), "time spent in it"),
            Field("p50", NANOSECONDS, lambda c, _: c.quantile(0.5, last=is_last())),
            Field("p90", NANOSECONDS, lambda c, _: c.quantile(0.9, last=is_last())),
            Field("p99", NANOSECONDS, lambda c, _: c.quantile(0.99, last=is_last())),
            Field("max", NANOSECONDS, lambda c, _: c.longest(last=is_last())),
            Field("handler", HANDLERS, lambda c, _: handler_of(c)),
            text_field("abi", lambda c: c.row.abi),
        ),
        lambda c: f"{c.row.name} {c.row.abi} {handler_of(c)} {' '.join(c.errnos())}",
        lambda c: c.row.name,
    )


def _line(call: Syscall) -> str:
    return f"{call.name}({', '.join(call.args)}) = {call.error or call.ret}"


def _line_of_descent(processes: Processes, pid: int) -> Iterator[int]:
    """Yield *pid*, and those of the processes that it is known to descend from."""
    yield pid
    known = processes.owner(pid)
    if known is not None:
        yield known.ppid
        yield from (one.ppid for one in processes.ancestors(known.ppid, known.start_ns))


def traced_language(processes: Callable[[], Processes]) -> Language[Syscall]:
    """Return the language of the list of traced calls; *processes* are those that are known."""
    return Language(
        (
            text_field("name", lambda s: s.name, "the call's name", "syscall"),
            text_field("comm", lambda s: s.comm),
            Field("pid", Number(hint="4321"), lambda s, _: s.pid),
            Field(
                "under",
                AnyOf(Number(hint="4321")),
                lambda s, _: list(_line_of_descent(processes(), s.pid)),
                "a process, and all that are known to descend from it",
            ),
            Field("tid", Number(hint="4321"), lambda s, _: s.tid or s.pid),
            Field("ret", ERRNO, lambda s, _: (s.ret, s.error), "what it returned"),
            Field("duration", NANOSECONDS, lambda s, _: s.ns, "how long it took", ("latency",)),
            Field("args", AnyOf(Text(hint="*passwd*")), lambda s, _: s.args, "one of its arguments"),
            text_field("abi", lambda s: s.abi),
        ),
        lambda s: f"{s.comm} {s.pid} {s.tid} {_line(s)}",
        _line,
    )


def _in_flight_state(call: InFlight, _: float) -> str:
    return "before" if call.before else "running" if call.running else "waiting"


def awaited_fields(call: InFlight, _: float) -> tuple[str, ...]:
    """Return names and pids of those that end the wait."""
    return tuple(text for one in call.awaited for text in (one.comm, str(one.pid)))


IN_FLIGHT: Language[InFlight] = Language(
    (
        text_field("name", lambda w: w.name, "the call's name", "syscall"),
        text_field("comm", lambda w: w.comm),
        Field("pid", Number(hint="4321"), lambda w, _: w.pid),
        Field("tid", Number(hint="4321"), lambda w, _: w.tid),
        Field("duration", NANOSECONDS, lambda w, _: w.ns, "since it was entered", ("for",)),
        Field("state", Choice(("before", "running", "waiting")), _in_flight_state),
        text_field("on", target_text, "what it waits for: tcp*, /var/*, child*"),
        Field("by", AnyOf(Text(hint="php-fpm or 812")), awaited_fields, "who ends the wait: name or pid"),
        Field("kernel", AnyOf(Text(hint="tcp_*")), lambda w, _: w.kernel_stack or (), "a kernel function it is in"),
        text_field("abi", lambda w: w.abi),
    ),
    lambda w: f"{w.name} {w.comm} {w.pid} {w.tid} {target_text(w)}",
    lambda w: w.name,
)

CALLERS: Language[Caller] = Language(
    (
        text_field("comm", lambda c: c.comm),
        Field("pid", Number(hint="4321"), lambda c, _: c.pid),
        Field("calls", Number(), lambda c, _: c.count, "", ("count",)),
        Field("errors", Number(hint=">0"), lambda c, _: c.errors),
        Field("err", share(), lambda c, _: failed_share(c.errors, c.count), "share of these that failed"),
        Field("time", NANOSECONDS, lambda c, _: c.total_ns, "time spent in it"),
        Field("max", NANOSECONDS, lambda c, _: c.max_ns, "the longest call"),
    ),
    lambda c: f"{c.pid or ''} {c.comm}",
    lambda c: c.comm,
)

CALLS_OF: Language[CallOf] = Language(
    (
        text_field("name", lambda c: c.name, "", "syscall"),
        Field("calls", Number(), lambda c, _: c.count, "", ("count",)),
        Field("errors", Number(hint=">0"), lambda c, _: c.errors),
        Field("time", NANOSECONDS, lambda c, _: c.total_ns, "time spent in it"),
        Field("max", NANOSECONDS, lambda c, _: c.max_ns, "the longest call"),
    ),
    lambda c: c.name,
)
