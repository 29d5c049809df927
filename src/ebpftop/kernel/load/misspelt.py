"""What is wrong with the name of an event that the kernel does not have, and which names it has that are close.

It is asked only where a program could not be attached: to search all functions of a kernel takes half a second.
"""

from __future__ import annotations

import difflib
import platform
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel import btf, perf_event, tracefs
from ebpftop.kernel.btf_types import BtfTypes, Kind
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load.attach import places
from ebpftop.kernel.load.elf_offset import symbol_offset
from ebpftop.kernel.load.events import Event
from ebpftop.syscalls import abi as abis

_CLOSE_MAX = 3
_CLOSE = 0.65
_LSM = "bpf_lsm_"
_FUNCTIONS = ("kprobe", "kretprobe", "fentry", "fexit")
_BY_NAME = ("raw_tracepoint", "tp_btf")


class Misspelt(NamedTuple):
    """What there is not, and what is probably meant; empty if nothing is close."""

    message: str
    suggestion: str


def misspelt(event: Event) -> Misspelt | None:
    """Return what is wrong with the name of *event*; None if it is right, or that cannot be known."""
    if event.kind in ("uprobe", "uretprobe"):
        return _symbol(*event.target)
    return of_kernel(event)


@lru_cache(256)
def of_kernel(event: Event) -> Misspelt | None:
    """Do so for one of the kernel's, which are not asked again: a name that has come to be there is attached."""
    target = ":".join(event.target)
    if event.kind in ("syscall", "syscall_exit"):
        return _syscall(event, target)
    if event.kind in _FUNCTIONS:
        functions = _functions()
        name = target.partition("+")[0]
        # Not every function is described, but those that can be probed are, nearly all.
        if not functions or name in functions or any(place.target != target for place in places(event)):
            return None
        return _found(f"this kernel has no function {name}", name, functions)
    if event.kind == "lsm":
        hooks = {name.removeprefix(_LSM) for name in _functions() if name.startswith(_LSM)}
        if not hooks or target in hooks:
            return None
        return _found(f"this kernel has no security hook {target}", target, hooks)
    if event.kind == "tracepoint":
        return _tracepoint(target, set(_tracepoints()))
    if event.kind in _BY_NAME:
        raw = {name.partition(":")[2] for name in _tracepoints()}
        raw |= {"sys_enter", "sys_exit"} if raw else set()
        return _tracepoint(target, raw)
    if event.kind in ("software", "hardware"):
        names = perf_event.SOFTWARE if event.kind == "software" else perf_event.HARDWARE
        found = _found(f"there is no {event.kind} event {event.target[0]}", event.target[0], names)
        if event.target[0] in names:
            return None
        return found if found.suggestion else found._replace(suggestion=f"one of {', '.join(names)}")
    return None


def _symbol(path: str, symbol: str) -> Misspelt | None:
    if not Path(path).exists():
        return Misspelt(f"there is no file {path}", "name a program or library: uprobe:/bin/bash:readline")
    try:
        symbol_offset(Path(path), symbol)
    except (OSError, ValueError) as error:
        return Misspelt(str(error), "")
    return None


def _syscall(event: Event, name: str) -> Misspelt | None:
    try:
        known = abis.numbers(abis.native_abi(platform.machine()))
    except abis.UnknownMachine:
        return None
    functions = _functions()
    # A kernel may be newer than the table.
    if name in known or any(place.target in functions for place in places(event)):
        return None
    return _found(f"there is no system call {name}", name, known)


def _tracepoint(name: str, names: Collection[str]) -> Misspelt | None:
    if not names or name in names:
        return None
    return _found(f"this kernel has no tracepoint {name}", name, names)


def _found(message: str, name: str, names: Iterable[str]) -> Misspelt:
    close = _close(name, names)
    return Misspelt(message, f"{' or '.join(close)}?" if close else "")


def _close(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that are closest to *name*. Those of another length are not compared: it is slow."""
    least, most = len(name) * _CLOSE / (2 - _CLOSE), len(name) * (2 - _CLOSE) / _CLOSE
    near = [one for one in names if least <= len(one) <= most and one[:1] == name[:1]]
    return difflib.get_close_matches(name, sorted(near), _CLOSE_MAX, _CLOSE)


def _functions() -> frozenset[str]:
    """Return the functions that the kernel describes; none if it describes nothing."""
    with suppress(BtfError):
        return frozenset(name for _, name in BtfTypes(btf.of_running_kernel()).named(Kind.FUNC))
    return frozenset()


def _tracepoints() -> Iterable[str]:
    """Yield all tracepoints, as ``category:name``; nothing if tracefs is not mounted."""
    folder = tracefs.find()
    with suppress(OSError):
        for category in (folder / "events").iterdir() if folder else ():
            if category.is_dir():
                yield from (f"{category.name}:{event.name}" for event in category.iterdir() if event.is_dir())
