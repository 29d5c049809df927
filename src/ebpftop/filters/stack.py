"""What the screen is narrowed to, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from ebpftop.filters.spec import Filter

SEPARATOR = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
"""Between the steps of a breadcrumb."""


@dataclass(frozen=True)
class Step:
    """One narrowing: what it is called in the breadcrumb, and what it sets of the filter."""

    label: str
    filter: Filter


class Scope:
    """Steps on top of each other: each takes the kinds that it sets for itself and leaves the others."""

    def __init__(self, given: Filter | None = None) -> None:
        """Begin with what the command line gave, which is a step like any other."""
        self.bare = Filter(hide_self=given.hide_self if given else True)
        self.steps: list[Step] = [Step(str(given), given)] if given else []

    @property
    def filter(self) -> Filter:
        """All steps together."""
        whole = self.bare
        for step in self.steps:
            whole = whole.narrowed(step.filter)
        return whole

    @property
    def trail(self) -> str:
        """The breadcrumb; empty where everything is shown."""
        return SEPARATOR.join(step.label for step in self.steps)

    def push(self, step: Step) -> None:
        """Narrow further; the same step twice is one."""
        if not self.steps or self.steps[-1] != step:
            self.steps.append(step)

    def pop(self) -> Step | None:
        """Lift the newest step; None where there is none."""
        return self.steps.pop() if self.steps else None


def user_step(uid: int, name: str | None) -> Step:
    """Narrow to a user."""
    return Step(name or f"uid {uid}", Filter(uids=(uid,)))


def process_step(pid: int, comm: str) -> Step:
    """Narrow to a process and its descendants."""
    return Step(f"{comm} {pid}", Filter(pids=(pid,)))


def container_step(container: str) -> Step:
    """Narrow to a container."""
    return Step(f"container {container}", Filter(containers=(container,)))


def label_of(wanted: Filter) -> str:
    """Return what a step that sets *wanted* is called."""
    return " ".join(f"{kind} {value}" for kind, values in wanted.kinds() for value in values)
