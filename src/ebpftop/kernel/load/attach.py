"""Where a program of a user can hang: for each of its events the places, best first; and attaching it there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from ebpftop.core.records import Attempt
from ebpftop.kernel import attach as ladder
from ebpftop.kernel import bpf_syscall, btf, perf_event, tracefs
from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.btf_types import BtfTypes, Kind
from ebpftop.kernel.errors import BtfError, LoadError
from ebpftop.kernel.load.elf_offset import symbol_offset
from ebpftop.kernel.load.events import Event
from ebpftop.kernel.load.wrappers import wrapped_call
from ebpftop.kernel.offsets import function_id, syscall_prefix
from ebpftop.kernel.perf_event import KPROBE_TYPE, UPROBE_TYPE

_CALLS_TAXED = ("tracepoint", "raw_tracepoint")


@dataclass(frozen=True)
class Place:
    """One place, and the kind of program that it takes."""

    kind: str
    target: str
    cost: str = ladder.FREE

    @property
    def via(self) -> str:
        """Its name."""
        return f"{self.kind}:{self.target}"

    def attempt(self, reason: str | None) -> Attempt:
        """Return the outcome there: attached (None), or not for some *reason*."""
        return Attempt(via=self.via, cost=self.cost, reason=reason)


def places(event: Event) -> tuple[Place, ...]:
    """Return where a program can hang that is asked for *event*. Each is of another kind."""
    target = ":".join(event.target)
    kind = str(event.kind)
    call = wrapped_call(event)
    if call is not None:
        target = call.target[0]
        kind = str(call.kind) if kind in ("kprobe", "kretprobe") else kind
    function = f"{syscall_prefix()}sys_{target}"
    if call is not None and kind in ("fentry", "fexit"):
        # A program at its BTF has the same words in its context: the registers, and behind them what is returned.
        other = Place("tp_btf", "sys_enter" if kind == "fentry" else "sys_exit", ladder.TAXES)
        return Place(kind, function), other
    if kind == "syscall":
        return (
            Place("kprobe", function),
            Place("fentry", function),
            Place("tracepoint", f"syscalls:sys_enter_{target}", ladder.TAXES),
            Place("raw_tracepoint", "sys_enter", ladder.TAXES),
        )
    if kind == "syscall_exit":
        return (
            Place("kretprobe", function),
            Place("fexit", function),
            Place("tracepoint", f"syscalls:sys_exit_{target}", ladder.TAXES),
            Place("raw_tracepoint", "sys_exit", ladder.TAXES),
        )
    if kind == "kprobe":
        return Place("kprobe", target), Place("fentry", target)
    if kind == "kretprobe":
        return Place("kretprobe", target), Place("fexit", target)
    if kind in ("profile", "software", "hardware"):
        return (Place("perf", f"{kind}:{target}", "an interrupt for each sample"),)
    taxed = kind in _CALLS_TAXED and target.split(":")[0] in ("syscalls", "raw_syscalls", "sys_enter", "sys_exit")
    return (Place(kind, target, ladder.TAXES if taxed else ladder.FREE),)


def absent(place: Place, features: KernelFeatures) -> str | None:
    """Return what the kernel lacks for *place*, if that can be seen without trying; None if it lacks nothing."""
    if place.kind in ("kprobe", "kretprobe") and not KPROBE_TYPE.exists():
        return "this kernel has no kprobes (CONFIG_KPROBES)"
    if place.kind in ("uprobe", "uretprobe") and not UPROBE_TYPE.exists():
        return "this kernel has no user-space probes (CONFIG_UPROBES)"
    if place.kind in ("fentry", "fexit"):
        if _function_id(place.target) is None:
            # Without any description, that is the reason.
            is_described = function_id(f"{syscall_prefix()}sys_execve") is not None
            return f"this kernel describes no function {place.target}" if is_described else features.no_fentry
        if features.no_fentry is not None:
            return features.no_fentry
    if place.kind == "tp_btf" and tracepoint_id(place.target) is None:
        return f"this kernel describes no tracepoint {place.target}"
    if place.kind == "tracepoint":
        if features.tracefs is None:
            return tracefs.refusal()[0]
        folder = features.tracefs / "events" / place.target.replace(":", "/")
        if not os.access(folder, os.F_OK, effective_ids=True):
            return f"this kernel has no tracepoint {place.target}"
    return None


def attach_id(place: Place) -> int:
    """Return the BTF type id of what a tracing program belongs to, a function or a tracepoint; 0 for other programs.

    Raises LoadError if the kernel does not describe it.
    """
    if place.kind == "tp_btf":
        if (found := tracepoint_id(place.target)) is None:
            raise LoadError(f"this kernel describes no tracepoint {place.target}")
        return found
    if place.kind not in ("fentry", "fexit", "lsm"):
        return 0
    name = f"bpf_lsm_{place.target}" if place.kind == "lsm" else place.target
    found = _function_id(name)
    if found is None:
        raise LoadError(f"this kernel describes no function {name}")
    return found


@cache
def _function_id(name: str) -> int | None:
    """Return the BTF type id of a kernel function; None if the kernel describes none of that name."""
    if "_sys_" in name:
        return function_id(name)  # these are kept on disk
    return types.find(Kind.FUNC, name) if (types := _kernel_types()) is not None else None


@cache
def tracepoint_id(name: str) -> int | None:
    """Return the BTF type id of a raw tracepoint (include/trace/bpf_probe.h); None if the kernel has none."""
    types = _kernel_types()
    return types.find(Kind.TYPEDEF, f"btf_trace_{name}") if types is not None else None


@lru_cache(maxsize=1)
def _kernel_types() -> BtfTypes | None:
    try:
        return BtfTypes(btf.of_running_kernel())
    except BtfError:
        return None


def forget_types() -> None:
    """Free the 15 MB of the kernel's types that names were looked up in. What was found is kept."""
    _kernel_types.cache_clear()


@dataclass
class Link:
    """One attachment. It ends when its descriptors are closed."""

    place: Place
    fds: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Detach. Safe to call twice."""
        while self.fds:
            os.close(self.fds.pop())


def attach(program_fd: int, place: Place) -> Link:
    """Attach a program that was loaded for *place*. Raises LoadError with the kernel's reason."""
    try:
        return Link(place, list(_open(program_fd, place)))
    except (OSError, ValueError) as error:
        code = error.errno if isinstance(error, OSError) else None
        raise LoadError(f"the kernel refused to attach it: {os.strerror(code) if code else error}") from error


def _open(program_fd: int, place: Place) -> Iterable[int]:
    kind, target = place.kind, place.target
    if kind == "raw_tracepoint":
        return (bpf_syscall.open_raw_tracepoint(program_fd, target),)
    if kind == "tracepoint":
        return (perf_event.attach_tracepoint(program_fd, tracefs.find(), target),)
    if kind in ("fentry", "fexit", "lsm", "tp_btf"):
        return (bpf_syscall.open_raw_tracepoint(program_fd, None),)
    if kind in ("kprobe", "kretprobe"):
        function, _, offset = target.partition("+")
        if offset:
            raise ValueError("an offset within a function is not supported")
        return (perf_event.attach_kprobe(program_fd, function, returns=kind == "kretprobe"),)
    if kind in ("uprobe", "uretprobe"):
        path, _, symbol = target.rpartition(":")
        offset_of = symbol_offset(Path(path), symbol)
        return (perf_event.attach_uprobe(program_fd, path, offset_of, returns=kind == "uretprobe"),)
    if kind == "perf":
        return perf_event.attach_sampling(program_fd, *sampling(target.split(":")))
    raise ValueError(f"programs cannot be attached to {kind}")


def sampling(parts: Sequence[str]) -> tuple[int, int, int, bool]:
    """Return type, number and period of a perf event, and whether the period is a frequency. Raises ValueError.

    *parts* are those of an event: "profile", "hz" and a frequency; or "software" or "hardware", an event's name
    (perf_event_open(2)) and a period.
    """
    kind, name, amount = parts
    if kind == "profile":
        return perf_event.TYPE_SOFTWARE, perf_event.SOFTWARE["cpu-clock"], int(amount), True
    numbers = perf_event.SOFTWARE if kind == "software" else perf_event.HARDWARE
    if name not in numbers:
        raise ValueError(f"unknown {kind} event {name}: one of {', '.join(numbers)}")
    number = perf_event.TYPE_SOFTWARE if kind == "software" else perf_event.TYPE_HARDWARE
    return number, numbers[name], int(amount), False
