"""Where a program may hang: ``kind:what``, as `--attach FUNCTION=EVENT` and comments in the C file say it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "syscall": ("syscall:NAME", "the entry of a system call, by the best way that this kernel has"),
        "syscall_exit": ("syscall_exit:NAME", "the return of a system call"),
        "kprobe": ("kprobe:FUNCTION", "the entry of a kernel function"),
        "kretprobe": ("kretprobe:FUNCTION", "the return of a kernel function"),
        "fentry": ("fentry:FUNCTION", "the entry of a kernel function, by its BTF"),
        "fexit": ("fexit:FUNCTION", "the return of a kernel function, by its BTF"),
        "lsm": ("lsm:HOOK", "a hook of the security modules"),
        "tracepoint": ("tracepoint:CATEGORY:NAME", "a tracepoint, with its fields"),
        "raw_tracepoint": ("raw_tracepoint:NAME", "a tracepoint, with its arguments"),
        "uprobe": ("uprobe:FILE:SYMBOL", "the entry of a function of a program or library"),
        "uretprobe": ("uretprobe:FILE:SYMBOL", "the return of such a function"),
        "profile": ("profile:hz:RATE", "so many times a second on each CPU"),
        "software": ("software:NAME:COUNT", "each COUNT-th software event of perf: cpu-clock, page-faults .."),
        "hardware": ("hardware:NAME:COUNT", "each COUNT-th hardware event of perf: cycles, cache-misses .."),
    }
)
"""The kinds: how one is written, and what it is."""

_TWO_PARTS = frozenset(("tracepoint", "uprobe", "uretprobe", "profile", "software", "hardware"))
_FUNCTION = re.compile(r"[A-Za-z_.][\w.$]*(?:\+(?:0x[0-9a-fA-F]+|\d+))?\Z")
_WORD = re.compile(r"[A-Za-z_][\w-]*\Z")
_COUNT = re.compile(r"[1-9]\d{0,17}\Z")
_SHORT = {"raw_tp": "raw_tracepoint", "tp": "tracepoint"}


class EventError(ValueError):
    """Not an event: what is wrong, and what one looks like. The text says both."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its *kind*, one of `KINDS`, and its *target*, in one part or two."""

    kind: str
    target: tuple[str, ...]

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        return ":".join((self.kind, *self.target))

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Event:
    """Return the event that *text* names. Raises EventError."""
    kind, colon, rest = text.strip().partition(":")
    kind = _SHORT.get(kind, kind)
    if kind not in KINDS or not colon:
        raise EventError(f"{text!r} is not an event", _remedy(kind, rest))
    if kind in _TWO_PARTS:
        # A file's name may hold colons, a symbol may not.
        first, _, second = rest.rpartition(":") if kind.startswith("u") else rest.partition(":")
        parts: tuple[str, ...] = (first, second)
        right = bool(first) and _is_right(kind, first, second)
    else:
        parts = (rest,)
        right = bool(_FUNCTION.match(rest)) if kind != "raw_tracepoint" else bool(_WORD.match(rest))
    if not right:
        raise EventError(f"{text!r} is not an event", f"one of this kind is written as {KINDS[kind][0]}")
    return Event(kind, parts)


def _remedy(kind: str, rest: str) -> str:
    """Return what was probably meant by ``kind:rest``, a kind that there is not, or by a name alone."""
    close = difflib.get_close_matches(kind, KINDS, 1, 0.75)
    if close and rest:
        return f"{close[0]}:{rest}? it is written as {KINDS[close[0]][0]}"
    forms = ", ".join(form for form, _ in KINDS.values())
    meant = f"syscall:{kind} or kprobe:{kind}? " if _FUNCTION.match(kind) and not rest else ""
    return f"{meant}one is written as {forms}"


def _is_right(kind: str, first: str, second: str) -> bool:
    if kind == "tracepoint":
        return bool(_WORD.match(first) and _WORD.match(second))
    if kind in ("uprobe", "uretprobe"):
        return bool(_FUNCTION.match(second)) and first.isprintable()
    if kind == "profile":
        return first == "hz" and bool(_COUNT.match(second)) and int(second) <= 10_000
    return bool(_WORD.match(first) and _COUNT.match(second))
