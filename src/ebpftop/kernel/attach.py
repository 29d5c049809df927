"""The attach ladder: where a program can be attached, in order of preference, and why the first places failed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ebpftop.core.records import NOT_ASKED_FOR, NOT_NEEDED, Attempt
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Kind, Link, Module
from ebpftop.kernel.perf_event import KPROBE_TYPE
from ebpftop.kernel.tracefs import refusal

FREE = "nothing between its events"
# Any program there puts every call of every process on the slow path. docs/limits.md has the cost on one machine.
TAXES = "time at every system call of every process"

# What an attach option may not see. docs/limits.md has more about each.
DENIED = "calls that seccomp denies"
SKIPPED = "calls of 32-bit and x32 programs"
NOT_STARTED = "programs that fail to start"
MANY_AT_ONCE = "some failures, while more programs start at once than a kretprobe has room for"
INTERPRETER = "the interpreter of a script"


@dataclass(frozen=True)
class KernelFeatures:
    """What is known of a kernel before anything is compiled: where tracefs is, and why it refuses fentry (or None)."""

    tracefs: Path | None
    no_fentry: str | None


@dataclass(frozen=True)
class Attach:
    """One program at one place. For fentry and fexit, *function* is the kernel function that *target* is.

    If it has a *slot*, a program that several probes share makes a tail call to it there (bpf/dispatch.h).

    If *without* is set, the option works without this program too; *without* says what is not seen then. A program that
    *forgets* tasks is attached before those that remember them. Otherwise a call that ends in between would stay
    in the map, and be mistaken for a call of a later task at the same address.
    """

    kind: Kind
    target: str
    function: str
    without: str = ""
    forgets: bool = False
    slot: int | None = None


@dataclass(frozen=True)
class AttachOption:
    """An option: what is attached together, what that costs the machine while idle, and what it cannot see."""

    cost: str
    attaches: tuple[Attach, ...]
    blind: tuple[str, ...] = ()

    @property
    def via(self) -> str:
        """The name of the attach option: kind and place of its first program."""
        return f"{self.attaches[0].kind}:{self.attaches[0].target}"

    def attempt(self, reason: str | None, unseen: tuple[str, ...] = ()) -> Attempt:
        """Return the outcome: in use (None), or not for some *reason*; *unseen* is what it cannot see besides."""
        return Attempt(via=self.via, cost=self.cost, reason=reason, blind=self.blind + unseen)


@dataclass(frozen=True)
class AttachResult:
    """The outcome: the option in use (None: no option worked), every option with its reason, and the links made."""

    used: AttachOption | None
    attempts: tuple[Attempt, ...]
    links: tuple[Link, ...]

    @property
    def via(self) -> str | None:
        """The name of the attach option in use."""
        return self.used.via if self.used else None


def matches(option: AttachOption, requested: str) -> bool:
    """Return whether `--attach` *requested* ("kprobe", or "kprobe:__x64_sys_execve" in full) means this option."""
    return requested in (option.via, option.attaches[0].kind)


def names(options: tuple[AttachOption, ...]) -> tuple[str, ...]:
    """Return the names of *options*, in full."""
    return tuple(option.via for option in options)


def attach_first(
    module: Module, options: tuple[AttachOption, ...], features: KernelFeatures, requested: str | None = None
) -> AttachResult:
    """Attach the first of *options* that works; if *requested* is given, try only that one."""
    attempts: list[Attempt] = []
    used: AttachOption | None = None
    links: list[Link] = []
    for option in options:
        reason: str | None
        unseen: tuple[str, ...] = ()
        if requested is not None and not matches(option, requested):
            reason = f"{NOT_ASKED_FOR}{requested}"
        elif used is not None:
            reason = f"{NOT_NEEDED}{used.via} works"
        else:
            links, reason, unseen = _try(module, option, features)
            if reason is None:
                used = option
        attempts.append(option.attempt(reason, unseen))
    return AttachResult(used, tuple(attempts), tuple(links))


def first_likely(
    options: tuple[AttachOption, ...], features: KernelFeatures, requested: str | None = None
) -> AttachOption | None:
    """Return the option that `attach_first` will use, as far as can be seen without trying."""
    return next(
        (
            option
            for option in options
            if (requested is None or matches(option, requested)) and absent(option, features) is None
        ),
        None,
    )


def absent(option: AttachOption, features: KernelFeatures) -> str | None:
    """Return what the kernel lacks for *option*, if that can be seen without trying; None if it lacks nothing."""
    reasons = (_absent(attach, features) for attach in option.attaches if not attach.without)
    return next((reason for reason in reasons if reason is not None), None)


def _try(
    module: Module, option: AttachOption, features: KernelFeatures
) -> tuple[list[Link], str | None, tuple[str, ...]]:
    """Return the links made, why there are none (or None), and what is not seen because an optional attach failed."""
    links: list[Link] = []
    missing = {attach: reason for attach in option.attaches if (reason := _absent(attach, features)) is not None}
    if all(attach.without for attach in missing):
        for attach in sorted(option.attaches, key=lambda attach: not attach.forgets):
            if attach in missing:
                continue
            try:
                links.append(module.attach(attach.kind, attach.target, attach.function, attach.slot))
            except LoadError as error:
                missing[attach] = str(error)
                if not attach.without:
                    break
    for attach, reason in missing.items():
        if not attach.without:
            for link in links:
                module.release(link)
            return [], reason if attach is option.attaches[0] else f"{attach.kind}:{attach.target}: {reason}", ()
    return links, None, tuple(dict.fromkeys(attach.without for attach in option.attaches if attach in missing))


def _absent(attach: Attach, features: KernelFeatures) -> str | None:
    """Return what the kernel lacks, if that can be seen without trying."""
    if attach.kind in ("kprobe", "kretprobe") and not KPROBE_TYPE.exists():
        return "this kernel has no kprobes (CONFIG_KPROBES)"
    if attach.kind in ("fentry", "fexit") and features.no_fentry is not None:
        return features.no_fentry
    if attach.kind == "tracepoint":
        if features.tracefs is None:
            return refusal()[0]
        if not os.access(features.tracefs / "events" / attach.target.replace(":", "/"), os.F_OK, effective_ids=True):
            return "this kernel has no such tracepoint"
    return None
