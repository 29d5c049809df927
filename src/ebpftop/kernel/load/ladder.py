"""For each program of a file the kinds of places where it can hang, best first, and what failed on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ebpftop.core.records import NOT_NEEDED, Attempt
from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.load.adapt import NotAdaptable
from ebpftop.kernel.load.attach import Link, Place, absent, attach, forget_types, places
from ebpftop.kernel.load.events import Event
from ebpftop.kernel.load.loading import ProgramState
from ebpftop.kernel.load.source import ProgramSource, Source

# Of a program that hangs nowhere by itself: what its first parameter points to says what it is.
_CONTEXTS = {
    "bpf_raw_tracepoint_args": "raw_tracepoint",
    "bpf_perf_event_data": "perf",
}
_BY_PROBE = {"fentry": "kprobe", "fexit": "kretprobe"}


@dataclass
class _Program:
    """One program's way up its ladder."""

    events: tuple[Event, ...]
    default: str | None
    """The kind to load it as if it is attached nowhere; None: as those that are."""
    options: dict[str, list[Place]] = field(default_factory=dict)
    """The places of its events, by their kind; best first."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a kind is out of question."""

    @property
    def kind(self) -> str | None:
        """The first kind that is not; None if none is left, or there was none."""
        return next((kind for kind in self.options if kind not in self.failed), None)


class Ladder:
    """The ladders of all programs of a file. What failed once is not tried again while the events stay the same."""

    def __init__(self) -> None:
        self._programs: dict[str, _Program] = {}

    def begin(self, source: Source, features: KernelFeatures) -> None:
        """The file is about to be compiled."""
        before, self._programs = self._programs, {}
        for program in source.programs:
            known = before.get(program.function)
            if known is not None and known.events == program.events:
                known.default = _default(program)
                self._programs[program.function] = known
                continue
            new = _Program(program.events, _default(program))
            for event in program.events:
                for place in places(event):
                    same = new.options.setdefault(place.kind, [])
                    # All system calls have one raw tracepoint.
                    if place not in same:
                        same.append(place)
            for kind, found in new.options.items():
                reasons = [absent(place, features) for place in found]
                if None not in reasons:
                    new.failed[kind] = str(reasons[0])
            self._programs[program.function] = new
        forget_types()

    def kind(self, function: str) -> str:
        """Return the kind of program that *function* is to be loaded as."""
        program = self._programs.get(function)
        if program is not None and (kind := program.kind or program.default) is not None:
            return kind
        return next((kind for one in self._programs.values() if (kind := one.kind) is not None), "kprobe")

    def events(self, function: str) -> tuple[str, ...]:
        """Return the events of *function*."""
        program = self._programs.get(function)
        return tuple(event.text for event in program.events) if program else ()

    def places(self, function: str) -> tuple[Place, ...]:
        """Return where *function* is to be attached."""
        program = self._programs.get(function)
        return tuple(program.options[program.kind]) if program and program.kind else ()

    def adapt(self, source: Source, adapt: Callable[[Source, Mapping[str, str]], str]) -> str:
        """Return the source for the kinds that come next. *adapt* raises NotAdaptable for one that cannot be."""
        while True:
            choice = {function: kind for function, one in self._programs.items() if (kind := one.kind) is not None}
            try:
                return adapt(source, choice)
            except NotAdaptable as error:
                # A program in a slot is of the kind of those that call it.
                at_fault = error.function if error.function in choice else next(iter(choice))
                self.fail(at_fault, str(error))

    def fail(self, function: str, reason: str) -> bool:
        """The kind that *function* has now does not work; return whether there is another."""
        program = self._programs[function]
        if program.kind is None:
            return False
        program.failed[program.kind] = reason
        return program.kind is not None

    def climb(self, refused: Mapping[str, str]) -> bool:
        """Go on to the next kind for each program that was *refused* for a reason; False if one has no other.

        Then all stay as they are: what the compiler or the verifier says about them is the answer.
        """
        programs = [self._programs[function] for function in refused]
        if any(sum(kind not in one.failed for kind in one.options) < 2 for one in programs):
            return False
        for function, reason in refused.items():
            self.fail(function, reason)
        return True

    def attach(
        self, function: str, fd: int, copies: Mapping[Place, int], links: list[Link]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Attach a loaded program to its places, and add the links; return where it is attached, and what failed.

        *copies* are programs that were loaded for one of the places.
        """
        attached, reasons = [], []
        for place in self.places(function):
            try:
                links.append(attach(copies.get(place, fd), place))
            except LoadError as error:
                reasons.append(f"{place.via}: {error}")
            else:
                attached.append(place.via)
        return tuple(attached), tuple(reasons)

    def attempts(self, function: str) -> tuple[Attempt, ...]:
        """Return all places of *function*, with why each is not in use."""
        program = self._programs.get(function)
        if program is None:
            return ()
        used = program.options[program.kind][0].via if program.kind else ""
        return tuple(
            place.attempt(program.failed.get(kind, None if kind == program.kind else f"{NOT_NEEDED}{used} works"))
            for kind, found in program.options.items()
            for place in found
        )

    def reason(self, function: str) -> str | None:
        """Return why *function* cannot be attached at all; None if it can, or is not to be."""
        program = self._programs.get(function)
        if program is None or program.kind is not None or not program.events:
            return None
        return "; ".join(dict.fromkeys(program.failed.values()))


def nowhere(program: ProgramState) -> tuple[str, str] | None:
    """Return why no place takes *program* at all, and what to do; None if one might.

    What the kernel then says of its code is nothing that its author could mend.
    """
    reasons = {one.via: one.reason for one in program.attempts}
    if not reasons or any(reason is None or reason.startswith(NOT_NEEDED) for reason in reasons.values()):
        return None
    error = f"{program.name} can be attached nowhere: {'; '.join(f'{via}: {why}' for via, why in reasons.items())}"
    kind, _, function = next(iter(reasons)).partition(":")
    if (other := _BY_PROBE.get(kind)) is None:
        return error, ""
    return error, (
        f"it needs a kernel that accepts {kind} (Linux 5.5, on arm64 6.0); one with kprobes runs {other}__{function}"
        "(struct pt_regs *ctx, ..), and for a system call syscall:NAME finds what there is"
    )


def _default(program: ProgramSource) -> str | None:
    if program.style not in ("plain", "kprobe", "syscall"):
        return program.style
    words = set(re.findall(r"\w+", program.written.arguments[0])) if program.written.arguments else set()
    return next((kind for context, kind in _CONTEXTS.items() if context in words), None)
