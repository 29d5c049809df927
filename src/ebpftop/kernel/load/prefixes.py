"""BCC's conventions: which function of a C file is a program, and where its name says that it hangs.

BCC attaches a function by a prefix of its name (bcc/__init__.py, `_trace_autoload`); its macros make such names
(src/cc/export/helpers.h). All other functions that are not static are programs too, which something else attaches.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from ebpftop.core.c_text import Function
from ebpftop.kernel.load.events import Event

Style: TypeAlias = Literal["plain", "kprobe", "syscall", "tracepoint", "raw_tracepoint", "fentry", "fexit", "lsm"]
"""What a program gets: ``plain`` takes a context alone, ``kprobe`` arguments behind it, ``syscall`` those of a call,
the others what their macro declares."""

# bcc/__init__.py, `_syscall_prefixes`: BCC puts the one of this machine in the place of any of them.
_SYSCALL = re.compile(r"(?:__(?:x64|x32_compat|ia32_compat|arm64|s390x|s390)_)?sys_(\w+)\Z")
_MACROS: dict[str, tuple[Style, int]] = {
    "TRACEPOINT_PROBE": ("tracepoint", 2),
    "RAW_TRACEPOINT_PROBE": ("raw_tracepoint", 1),
    "KFUNC_PROBE": ("fentry", 1),
    "KRETFUNC_PROBE": ("fexit", 1),
    "MODULE_KFUNC_PROBE": ("fentry", 2),
    "MODULE_KRETFUNC_PROBE": ("fexit", 2),
    "LSM_PROBE": ("lsm", 1),
}
_NAMED: dict[Style, str] = {"fentry": "kfunc", "fexit": "kretfunc"}


class Hook(NamedTuple):
    """A program's names in the compiled object (newer versions of BCC have other ones), its event, and its style."""

    names: tuple[str, ...]
    event: Event | None
    style: Style


def hook_of(function: Function) -> Hook | None:
    """Return what the name of *function* says; None if it is not a program."""
    if function.name in _MACROS:
        return _of_macro(function)
    if function.is_static:
        return None
    name = function.name
    prefix, _, rest = name.partition("__")
    arguments = len(function.arguments)
    if prefix in ("kprobe", "kretprobe") and rest:
        call = _SYSCALL.match(rest)
        kind = ("syscall" if prefix == "kprobe" else "syscall_exit") if call else prefix
        return Hook((name,), Event(kind, (call[1] if call else rest,)), "kprobe")
    if prefix == "tracepoint" and "__" in rest:
        category, _, event = rest.partition("__")
        return Hook((name,), Event("tracepoint", (category, event)), "tracepoint")
    if prefix == "raw_tracepoint" and rest:
        return Hook((name,), Event("raw_tracepoint", (rest,)), "raw_tracepoint")
    if prefix in ("kfunc", "kretfunc") and rest:
        style: Style = "fentry" if prefix == "kfunc" else "fexit"
        return Hook((name,), Event(style, (rest.removeprefix("vmlinux__"),)), style)
    if prefix == "lsm" and rest:
        return Hook((name,), Event("lsm", (rest,)), "lsm")
    if prefix == "syscall" and rest:
        return Hook((name,), None, "syscall")
    return Hook((name,), None, "kprobe" if arguments > 1 else "plain")


def _of_macro(function: Function) -> Hook | None:
    style, count = _MACROS[function.name]
    parts = function.arguments[:count]
    if len(parts) < count or not all(re.fullmatch(r"\w+", part) for part in parts):
        return None
    if style == "tracepoint":
        return Hook((f"tracepoint__{parts[0]}__{parts[1]}",), Event(style, parts), style)
    prefix, target = _NAMED.get(style, style), parts[-1]
    if style not in _NAMED:
        return Hook((f"{prefix}__{target}",), Event(style, (target,)), style)
    module = parts[0] if count > 1 else "vmlinux"
    names = (f"{prefix}__{module}__{target}", f"{prefix}__{target}")
    return Hook(names, Event(style, (target,)), style)
