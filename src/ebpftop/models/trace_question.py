"""What `T` asks about a row: the calls to trace, and the conditions that fit it, each with its key and its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ebpftop.core.format import counted, nanoseconds
from ebpftop.core.syscall_records import Abi
from ebpftop.models.asked import Asked
from ebpftop.models.subject import Subject
from ebpftop.models.syscalls import Call
from ebpftop.syscalls.abi import UnknownSyscall
from ebpftop.syscalls.decode import path_args
from ebpftop.syscalls.errno_names import error_code
from ebpftop.syscalls.tracing import (
    CONDITIONS_MAX,
    PATH_MAX,
    BadTrace,
    Condition,
    TraceItem,
    duration_text,
    parse_condition,
    parse_trace,
)

_SLOW_NS = 10_000_000
_ERROR = "ENOENT"
_PATH = "/etc/*"
_KINDS_OF_CALLS = ("call", "error", "path", "syscall")
_KEYS_OF = {"error": "e", "path": "p"}


class Choice(NamedTuple):
    """A condition to choose: its key, what it is called, its text behind the colon, and what it goes by."""

    key: str
    label: str
    condition: str
    about: str = ""

    @property
    def is_final(self) -> bool:
        """Whether there is no value that one may want to change."""
        return self.condition in ("", "failed")


@dataclass(frozen=True)
class Question:
    """What is asked about a row. *stops*: what is traced of it already, and can be stopped."""

    about: str
    calls: str
    choices: tuple[Choice, ...]
    default: str
    stops: tuple[TraceItem, ...] = ()

    def text(self, calls: str, condition: str) -> str:
        """Return what `--trace` has for *calls* on a condition."""
        names = [name.strip() for name in calls.split(",") if name.strip()]
        return ",".join(f"{name}:{condition}" if condition else name for name in names)


def question(subject: Subject | None, call: Call | None, asked: Asked, abis: Sequence[Abi]) -> Question:
    """Return the question about *subject*; *call*: what is counted of its system call, if it is about one."""
    is_call = subject is not None and bool(subject.call) and subject.kind in _KINDS_OF_CALLS
    calls = _name(subject, abis) if subject is not None and is_call else "all"
    pid = subject.pid if subject is not None else None
    choices = _choices(subject, call)
    stops: tuple[TraceItem, ...] = ()
    if subject is not None and is_call and subject.abi is not None and subject.nr is not None:
        stops = asked.items_of((subject.abi, subject.nr), abis)
    elif pid is not None:
        stops = tuple(item for item in asked.items(abis) if f"pid={pid}" in item.condition.split(":"))
    if is_call:
        default = _KEYS_OF.get(subject.kind, "a") if subject is not None else "a"
        if subject is not None and subject.kind == "call" and pid is not None:
            default = "P"
    else:
        default = "P" if pid is not None else "f"
    about = calls if is_call or pid is None else f"{subject.comm if subject else ''} {pid}".strip()
    return Question(about, calls, choices, default, stops)


def _name(subject: Subject, abis: Sequence[Abi]) -> str:
    return subject.call if not abis or subject.abi in (None, abis[0]) else f"{subject.abi}:{subject.call}"


def _choices(subject: Subject | None, call: Call | None) -> tuple[Choice, ...]:
    return (
        Choice("a", "all", "", "each call"),
        Choice("f", "failed", "failed", "those that return an error"),
        _slower(call),
        _error(subject, call),
        _path(subject, call),
        _process(subject),
    )


def _slower(call: Call | None) -> Choice:
    p99 = call.quantile(0.99, last=False) if call is not None else None
    ns = _round(p99) if p99 else _SLOW_NS
    about = f"p99 of it is {nanoseconds(p99)}" if p99 else "that took longer"
    return Choice("s", "slower than", f">{duration_text(ns)}", about)


def _round(ns: float) -> int:
    """Return *ns* with two digits that count."""
    step = 1
    while ns / step >= 100:
        step *= 10
    return max(1, round(ns / step) * step)


def _error(subject: Subject | None, call: Call | None) -> Choice:
    if subject is not None and subject.error and error_code(subject.error) is not None:
        return Choice("e", "this errno", subject.error, "that of the row")
    found = {name: n for name, n in call.errnos().items() if error_code(name) is not None} if call is not None else {}
    if found:
        return Choice("e", "this errno", max(found, key=lambda name: found[name]), "its most frequent one")
    return Choice("e", "this errno", _ERROR, "that returned it")


def _path(subject: Subject | None, call: Call | None) -> Choice:
    text = subject.text if subject is not None and subject.kind != "trace" else ""
    if call is not None and subject is not None and subject.call and not path_args(call.row.abi, call.row.name):
        return Choice("p", "this path", _PATH, "this call has none")
    path = path_condition(text)
    return Choice("p", "this path", path or _PATH, "that of the row" if path else "* in front or behind is anything")


def path_condition(path: str) -> str:
    """Return the condition that *path* meets, as a list shows it; empty if there is none.

    What is left of it begins behind what a condition cannot hold: signs of the language, and bytes shown as escapes.
    """
    end = "*" if path.endswith("…") else ""
    inner = path.removesuffix("…")
    for sign in (",", ":", "*", "\\"):
        inner = inner.rpartition(sign)[2] if not end else inner.partition(sign)[0]
    cut = inner != path.removesuffix("…")
    if end:
        found = f"{inner[:PATH_MAX]}*"
    elif cut or not inner.startswith(("/", ".")) or len(inner.encode()) > PATH_MAX:
        found = f"*{inner.encode()[-PATH_MAX:].decode(errors='ignore')}"
    else:
        found = inner
    try:
        condition = parse_condition(found)
    except BadTrace:
        return ""
    return found if condition is not None and condition.path is not None else ""


def _process(subject: Subject | None) -> Choice:
    if subject is None or subject.pid is None:
        return Choice("P", "this process", "pid=", "type its id: with all that it starts")
    if subject.kind == "exec" and not subject.running and subject.ppid:
        about = f"{subject.comm} {subject.pid} has ended: the process that started it"
        return Choice("P", "this process", f"pid={subject.ppid}", about)
    return Choice("P", "this process", f"pid={subject.pid}", f"{subject.comm}, and all that it starts".strip(", "))


def problem(text: str, asked: Asked, abis: Sequence[Abi]) -> str:
    """Return why *text* cannot be asked beside what is asked; empty if it can."""
    try:
        now = asked.asking(text, abis)
    except (BadTrace, UnknownSyscall) as error:
        return str(error)
    if len(now.conditions) > CONDITIONS_MAX:
        return f"{CONDITIONS_MAX} different conditions are in use; S shows them, x there stops all"
    return ""


def meaning(text: str, abis: Sequence[Abi]) -> str:
    """Return in words what *text* asks, which can be parsed."""
    said = []
    for item in filter(None, map(str.strip, text.split(","))):
        calls = parse_trace(item, abis)
        names = item.split(":")[1] if item.split(":")[0] in abis else item.split(":")[0]
        many = {(call.abi, call.nr) for call in calls}
        what = names if len(many) <= len(abis) else "call" if names == "all" else f"of {counted(len(many), 'call')}"
        said.append(f"each {what}{_condition_words(calls[0].condition)}")
    return "; ".join(said)


def _condition_words(condition: Condition | None) -> str:
    if condition is None:
        return ""
    words = []
    if condition.failed:
        words.append("fails")
    if condition.error is not None:
        words.append(f"returns {Condition(error=condition.error)!s}")
    if condition.slower_ns is not None:
        words.append(f"takes longer than {duration_text(condition.slower_ns)}")
    if condition.path is not None:
        words.append(f"names {condition.path}")
    of = f" of process {condition.pid} and all that it starts" if condition.pid is not None else ""
    return f"{of}{' that ' if words else ''}{' and '.join(words)}"
