"""What `--trace` asks for: which system calls are reported one by one, and on which condition.

    ITEM[,ITEM..]                   ITEM = [ABI:]CALLS[:CONDITION..]
    CALLS                           a name, a pattern ('open*'), a set as strace names it (%file), or all
    CONDITION                       failed, an error (EACCES), >10ms, a path (/etc/*, */passwd), pid=812

All conditions of an item must hold. A call that several items name
is reported if one of them does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

from ebpftop.syscalls import abi as _abi
from ebpftop.syscalls.errno_names import error_code, error_name
from ebpftop.syscalls.sets import SETS, is_in

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

CONDITIONS_MAX = 8
"""Different conditions at a time: CONDITIONS of bpf/syscalls_conditions.h."""
PATH_MAX = 63
"""Bytes of a path in a condition, without the NUL: CONDITION_PATH_LEN of bpf/syscalls_conditions.h."""
PID_MAX = 2**22  # PID_MAX_LIMIT of include/linux/threads.h

_UNITS_NS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_SLOWER = re.compile(r">\s*([0-9]+(?:\.[0-9]+)?)\s*(ns|us|µs|ms|s|m)")
_LONGEST_NS = 2**63
_HELP = "failed, an error as EACCES, >10ms, a path as /etc/* or */passwd, or pid=812"


class BadTrace(ValueError):
    """A text that `--trace` cannot mean. The message is one line, with what would do."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When a call is reported; everything that is set must hold.

    *error* is an errno; *slower_ns* is exceeded by the call's duration; *path* is one of the call's own paths, as the
    program gave it, ``*`` in front or behind stands for anything; *pid* is a process, its threads and descendants.
    """

    failed: bool = False
    error: int | None = None
    slower_ns: int | None = None
    path: str | None = None
    pid: int | None = None

    def __str__(self) -> str:
        """What `--trace` has behind the colon."""
        return ":".join(self._parts())

    def _parts(self) -> Iterator[str]:
        if self.failed:
            yield "failed"
        if self.error is not None:
            yield error_name(self.error)
        if self.slower_ns is not None:
            yield f">{duration_text(self.slower_ns)}"
        if self.path is not None:
            yield self.path
        if self.pid is not None:
            yield f"pid={self.pid}"

    @property
    def at_return(self) -> bool:
        """Whether it cannot be decided before the call returns."""
        return self.failed or self.error is not None or self.slower_ns is not None or self.path is not None


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A system call that is reported, each time if there is no *condition*."""

    abi: Abi
    nr: int
    condition: Condition | None = None


def parse_trace(text: str, abis: Sequence[Abi]) -> tuple[TracedCall, ...]:
    """Return the calls that *text* asks for, in its order, each once with each condition.

    Raises BadTrace, UnknownSyscall.
    """
    items = [item for item in map(str.strip, text.split(",")) if item]
    if not items:
        raise _abi.UnknownSyscall("no system call named; expected a list as in openat,%net,read:>10ms")
    traced = tuple(dict.fromkeys(call for item in items for call in _item(item, abis)))
    conditions = {call.condition for call in traced if call.condition is not None}
    if len(conditions) > CONDITIONS_MAX:
        raise BadTrace(f"{len(conditions)} different conditions; the kernel side decides at most {CONDITIONS_MAX}")
    return traced


def parse_condition(text: str) -> Condition | None:
    """Return the condition of *text*, which is what stands behind the first colon; None if it is empty.

    Raises BadTrace.
    """
    parts = [part for part in map(str.strip, text.split(":")) if part]
    return _condition(parts) if parts else None


def _item(item: str, abis: Sequence[Abi]) -> Iterator[TracedCall]:
    calls, *conditions = map(str.strip, item.split(":"))
    prefix = ""
    if conditions and (calls in abis or calls in ("x86_64", "i386", "x32", "arm64", "arm")):
        prefix = f"{calls}:"
        calls, *conditions = conditions
    if not calls or "" in conditions:
        raise BadTrace(f"{item!r}: expected CALLS or CALLS:CONDITION, as in openat:failed")
    found = _calls(prefix, calls, abis)
    condition = _condition(conditions) if conditions else None
    for abi, nr in found:
        yield TracedCall(abi, nr, condition)


def _calls(prefix: str, calls: str, abis: Sequence[Abi]) -> Iterable[tuple[Abi, int]]:
    chosen = [abi for abi in abis if prefix in ("", f"{abi}:")]
    if calls == "all":
        found = _matching(chosen, "*")
    elif calls.startswith("%"):
        names = SETS.get(calls[1:])
        if names is None:
            raise _abi.UnknownSyscall(f"unknown set {calls!r}; there are {', '.join(f'%{name}' for name in SETS)}")
        found = ((abi, nr) for abi in chosen for name, nr in _abi.numbers(abi).items() if is_in(name, names))
    elif any(sign in calls for sign in "*?["):
        found = _matching(chosen, calls)
    else:
        return _abi.resolve(prefix + calls, abis)
    pairs = tuple(found)
    if not pairs:
        raise _abi.UnknownSyscall(f"no system call matches {prefix + calls!r}")
    return pairs


def _matching(abis: Iterable[Abi], pattern: str) -> Iterator[tuple[Abi, int]]:
    return ((abi, nr) for abi in abis for name, nr in _abi.numbers(abi).items() if fnmatchcase(name, pattern))


def _condition(parts: Sequence[str]) -> Condition:
    failed, error, slower_ns, path, pid = False, None, None, None, None
    for part in parts:
        before = failed, error, slower_ns, path, pid
        if part == "failed":
            failed = True
        elif part.startswith(">"):
            slower_ns = _slower(part)
        elif part.startswith("pid="):
            pid = _pid(part)
        elif part[0] in "/*.":
            path = _path(part)
        elif (code := error_code(part)) is not None:
            error = code
        else:
            raise BadTrace(f"unknown condition {part!r}: expected {_HELP}")
        now = failed, error, slower_ns, path, pid
        if any(old not in (None, False, new) for old, new in zip(before, now, strict=True)):
            raise BadTrace(f"{part!r}: an item has one condition of each kind; name the call again for another one")
    return Condition(failed=failed, error=error, slower_ns=slower_ns, path=path, pid=pid)


def _slower(text: str) -> int:
    found = _SLOWER.fullmatch(text)
    if found is None:
        raise BadTrace(f"{text!r} is not a duration with its unit, as in >10ms (ns us ms s m)")
    ns = round(float(found[1]) * _UNITS_NS[found[2]])
    if ns >= _LONGEST_NS:
        raise BadTrace(f"{text!r} is longer than the kernel's clock counts")
    return ns


def _pid(text: str) -> int:
    digits = text.removeprefix("pid=")
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits) <= PID_MAX):
        raise BadTrace(f"{text!r} is not a process id, as in pid=812")
    return int(digits)


def _path(text: str) -> str:
    inner = text.removeprefix("*") if text.startswith("*") else text.removesuffix("*")
    if "*" in inner or not inner:
        raise BadTrace(f"{text!r}: a path has one * in front or behind, as in /etc/* or */passwd")
    if len(inner.encode("utf-8", "surrogateescape")) > PATH_MAX:
        raise BadTrace(f"{text!r}: at most {PATH_MAX} bytes of a path are compared; end it with *")
    return text


def duration_text(ns: int) -> str:
    """Return a duration as a condition has it: 10ms."""
    for unit in ("s", "ms", "us"):
        if ns >= _UNITS_NS[unit] and ns * 100 % _UNITS_NS[unit] == 0:
            whole, hundredths = divmod(ns * 100 // _UNITS_NS[unit], 100)
            return f"{whole}.{hundredths:02}".rstrip("0").rstrip(".") + unit
    return f"{ns}ns"


@dataclass(frozen=True, slots=True)
class TraceItem:
    """One item of `--trace`: its text, its condition (empty: always), and the calls that it means."""

    text: str
    condition: str
    calls: frozenset[tuple[Abi, int]]


def is_one_name(item: str) -> bool:
    """Return whether an item that can be parsed names one call, not a set of them."""
    calls, *rest = item.split(":")
    if rest and calls in ("x86_64", "i386", "x32", "arm64", "arm"):
        calls = rest[0]
    return calls != "all" and not calls.startswith("%") and not any(sign in calls for sign in "*?[")


def spelled(calls: Mapping[tuple[Abi, int], Sequence[str]], abis: Sequence[Abi]) -> str:
    """Return the text by which `parse_trace` finds *calls* again, each with its conditions."""
    return ",".join(item.text for item in trace_items(calls, abis))


def trace_items(
    calls: Mapping[tuple[Abi, int], Iterable[str]],
    abis: Sequence[Abi],
    besides: frozenset[tuple[Abi, int]] = frozenset(),
) -> Iterator[TraceItem]:
    """Yield the items by which `parse_trace` finds *calls* again, each with its conditions.

    Calls of *besides* may be meant too: they are ignored. So may those that are reported always.
    """
    by_condition: dict[str, set[tuple[Abi, int]]] = {}
    for call, conditions in calls.items():
        for condition in sorted(conditions) or ("",):
            by_condition.setdefault(condition, set()).add(call)
    always = frozenset(by_condition.get("", ()))
    for condition, some in by_condition.items():
        for name, meant in _names(some, abis, besides | always):
            yield TraceItem(f"{name}:{condition}" if condition else name, condition, frozenset(meant))


def _names(
    calls: set[tuple[Abi, int]], abis: Sequence[Abi], besides: frozenset[tuple[Abi, int]]
) -> Iterator[tuple[str, set[tuple[Abi, int]]]]:
    """Yield names of all *calls*, each with what it means: of all, of sets, then of the same call of every ABI."""

    def means(members: frozenset[tuple[Abi, int]]) -> bool:
        return members <= calls | besides and 2 * len(members & calls) > len(members)

    if abis and means(every(abis)):
        yield "all", calls
        return
    if len(calls) > _FEW:
        for name, members in _sets(tuple(abis)):
            if len(members) > _FEW and means(members):
                yield f"%{name}", calls & members
                calls = calls - members
    found: set[str] = set()
    for abi, nr in sorted(calls, key=lambda call: (_abi.name(*call), call)):
        name = _abi.name(abi, nr)
        alike = {(one, number) for one in abis if (number := _abi.number(one, name)) is not None}
        if not alike or not alike <= calls | besides:
            yield f"{abi}:{name}", {(abi, nr)}
        elif name not in found:
            found.add(name)
            yield name, alike & calls


_FEW = 3 * 3
"""Calls that are rather named one by one: each of them is one of three ABIs at most."""


@cache
def _every(abis: tuple[Abi, ...]) -> frozenset[tuple[Abi, int]]:
    return frozenset((abi, nr) for abi in abis for nr in _abi.numbers(abi).values())


def every(abis: Sequence[Abi]) -> frozenset[tuple[Abi, int]]:
    """Return all calls of *abis*."""
    return _every(tuple(abis))


@cache
def _sets(abis: tuple[Abi, ...]) -> tuple[tuple[str, frozenset[tuple[Abi, int]]], ...]:
    """Return the sets, the largest first, with the calls that they mean."""
    found = {
        name: frozenset((abi, nr) for abi, nr in every(abis) if is_in(_abi.name(abi, nr), names))
        for name, names in SETS.items()
    }
    return tuple(sorted(((name, some) for name, some in found.items() if some), key=lambda one: -len(one[1])))
