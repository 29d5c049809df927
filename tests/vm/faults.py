"""Compare what each ladder's records say with what the workload did, to the event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from ebpftop.core.group_records import Uids
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Lost, ProbeName, Record
from ebpftop.core.state_records import States
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.models.opens import Open

from . import workload
from .workload import Done

HELLO = "Hello World!"
_Check: TypeAlias = Callable[[str, Sequence[Record], Done], Iterator[str]]


def fault_of(ladder: str, option: str, records: Sequence[Record], done: Done) -> str | None:
    """Say what *ladder*, standing on *option*, told wrongly; None where it told exactly what was done."""
    return next(_CHECKS[ladder](option, records, done), None)


def _execs(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    told = [r for r in records if isinstance(r, Exec) and r.ret == 0 and workload.MARKER in r.argv]
    yield from _each_once("exec", (r.pid for r in told), done.started)
    yield from _all_right(told)


def _failures(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    told = [r for r in records if isinstance(r, Exec) and r.ret != 0 and r.pid in done.failed]
    yield from _each_once("failed exec", (r.pid for r in told), done.failed)
    yield from _all_right(told)


def _all_right(told: Iterable[Exec]) -> Iterator[str]:
    for exec_ in told:
        file, error = (workload.MISSING, "ENOENT") if exec_.ret else (workload.PROGRAM, None)
        right = (file, error, workload.UID, workload.argv(int(exec_.argv[-1])))
        if (exec_.file, exec_.error, exec_.uid, exec_.argv) != right:
            yield f"told as {exec_}; it was {right}"


def _exits(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    ended = done.started | done.failed
    told = [r for r in records if isinstance(r, Exit) and r.pid in ended]
    yield from _each_once("exit", (r.pid for r in told), ended)
    for exit_ in told:
        if exit_.code != 0 or (exit_.pid in done.started and not exit_.duration_s):
            yield f"told as {exit_}; it ended with 0"


def _users(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    last = next((r for r in reversed(records) if isinstance(r, Users)), None)
    row = next((row for row in last.rows if row.uid == workload.UID), None) if last else None
    told = (row.execs, row.failed) if row else (0, 0)
    right = (len(done.started) + len(done.failed), len(done.failed))
    if told != right:
        yield f"told {told[0]} execs, {told[1]} of them failed; there were {right[0]} and {right[1]}"


def _syscalls(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    last = next((r for r in reversed(records) if isinstance(r, Syscalls)), None)
    rows = {row.name: row for row in last.rows} if last else {}
    passed_over = _passed_over(records)
    for name, handler, count in (
        ("sched_get_priority_max", "count", done.calls),
        ("timer_create", "timer", done.timers),
        ("timer_delete", "timer", done.timers),
    ):
        row = rows.get(name)
        told = (row.handler, row.count) if row else None
        if row is None or row.handler != handler or not count - passed_over <= row.count <= count:
            yield f"{name} told as {told}, {passed_over} lost; it was {(handler, count)}"
    execve = rows.get("execve")
    attempts = len(done.started) + len(done.failed) - passed_over
    if execve is None or execve.handler != "exec" or execve.count < attempts:
        yield f"execve told as {execve}; there were at least {attempts}, tail-called to the exec handler"


def _groups(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    last = next((r for r in reversed(records) if isinstance(r, Uids)), None)
    row = next((row for row in last.rows if row.uid == workload.UID), None) if last else None
    passed_over = _passed_over(records, "cgroups")
    for what, told, right in (
        ("execs", row.execs if row else 0, len(done.started) + len(done.failed)),
        ("failures", row.failed if row else 0, len(done.failed)),
    ):
        if not right - passed_over <= told <= right:
            yield f"{what} of the user told as {told}, {passed_over} lost; there were {right}"


def _uring(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    last = next((r for r in reversed(records) if isinstance(r, Syscalls)), None)
    told = (last.io_uring or {}).get("nop", 0) if last else 0
    if told != done.operations:
        yield f"{told} operations of io_uring told; there were {done.operations}"


def _returns(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    last = next((r for r in reversed(records) if isinstance(r, Syscalls)), None)
    row = next((row for row in last.rows if row.name == "sched_get_priority_max"), None) if last else None
    passed_over = _passed_over(records)
    for what, told, right in (
        ("durations", sum(row.histogram_ns) if row else 0, done.calls),
        ("errors", row.errnos.get("EINVAL", 0) if row else 0, done.wrong_calls),
    ):
        if not right - passed_over <= told <= right:
            yield f"{what} told as {told}, {passed_over} lost; there were {right}"
    if row and row.errnos.keys() - {"EINVAL"}:
        yield f"errors told as {row.errnos}; there was but EINVAL"


def _passed_over(records: Sequence[Record], probe: ProbeName = "syscalls") -> int:
    """Return how many system calls are missing as told: Linux 7.3 passes over those that find a program preempted."""
    lost = (r for r in records if isinstance(r, Lost) and (r.probe, r.where) == (probe, "recursion"))
    return sum(r.count for r in lost)


def _trace(option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    # Of all attach options this one alone sees programs that started; the others see every attempt.
    attempts = done.started | done.failed
    expected = done.started if option.endswith("sched_process_exec") else attempts
    told = [r.pid for r in records if isinstance(r, Trace) and r.message == HELLO and r.pid in attempts]
    yield from _each_once("hello", told, expected)


def _lines(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    # Whichever attach option says hello: to each program that started once, and as the thread that it was.
    told = [r for r in records if isinstance(r, Trace) and r.pid in done.started]
    yield from _each_once("hello", (r.pid for r in told), done.started)
    for line in told:
        if (line.tid, line.message) != (line.pid, HELLO) or line.task == "<...>":
            yield f"told as {line}; it was {HELLO!r} of a process with one thread"


def _opens(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    told = Counter((r.path, r.error, r.call, r.flags) for r in records if isinstance(r, Open) and _is_ours(r))
    right = Counter(
        {
            (workload.OPENED, None, "openat", _OPEN_FLAGS): done.opened,
            (workload.NOT_OPENED, "ENOENT", "openat", _OPEN_FLAGS): done.not_opened,
        }
    )
    if told != right:
        yield f"opens told as {dict(told)}; there were {dict(right)}"


def _states(_option: str, records: Sequence[Record], done: Done) -> Iterator[str]:
    rows = [row for r in records if isinstance(r, States) for row in r.rows if row.ended and row.pid in done.started]
    yield from _each_once("end", (row.pid for row in rows), done.started)
    for row in rows:
        if not row.running_ns:
            yield f"told as {row}; it ran"


def _is_ours(event: Open) -> bool:
    return event.path in (workload.OPENED, workload.NOT_OPENED)


_OPEN_FLAGS = "O_RDONLY|O_CLOEXEC"  # as Python's os.open gives them


def _each_once(what: str, told: Iterable[int], expected: Iterable[int]) -> Iterator[str]:
    """Compare process ids, each of which must be there exactly once."""
    counts, wanted = Counter(told), Counter(expected)
    if counts != wanted:
        missing, surplus = (wanted - counts).total(), (counts - wanted).total()
        yield f"{what}: {missing} missing, {surplus} too many of {wanted.total()}"


_CHECKS: Mapping[str, _Check] = MappingProxyType(
    {
        "execs": _execs,
        "execs.failures": _failures,
        "execs.exits": _exits,
        "users": _users,
        "syscalls": _syscalls,
        "syscalls.returns": _returns,
        "syscalls.io_uring": _uring,
        "trace": _trace,
        "trace.lines": _lines,
        "opens": _opens,
        "cgroups": _groups,
        "cgroups.returns": _groups,
        "states": _states,
    }
)
LADDERS = tuple(_CHECKS)
NOT_ATTACHED = frozenset({"programs"})
"""Probes that have nothing in the kernel: their own tests run in the guests."""
# No choice of their own: these stand where the other stands.
FOLLOWERS: Mapping[str, str] = MappingProxyType(
    {
        "syscalls.returns": "syscalls",
        "syscalls.io_uring": "syscalls",
        "cgroups.returns": "cgroups",
    }
)
