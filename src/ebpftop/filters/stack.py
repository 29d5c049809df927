"""What the screen is narrowed to, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from ebpftop.filters.spec import Filter

SEPARATOR = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
"""Between the steps of a breadcrumb."""


@dataclass(frozen=True)
class FilterLevel:
    """One narrowing: what it is called in the breadcrumb, and what it sets of the filter."""

    label: str
    filter: Filter


class FilterStack:
    """Steps on top of each other: each takes the kinds that it sets for itself and leaves the others."""

    def __init__(self, given: Filter | None = None) -> None:
        """Begin with what the command line gave, which is a step like any other."""
        self.bare = Filter(hide_self=given.hide_self if given else True)
        self.levels: list[FilterLevel] = [FilterLevel(str(given), given)] if given else []

    @property
    def filter(self) -> Filter:
        """All steps together."""
        whole = self.bare
        for step in self.levels:
            whole = whole.combined(step.filter)
        return whole

    @property
    def breadcrumb(self) -> str:
        """The breadcrumb; empty where everything is shown."""
        return SEPARATOR.join(step.label for step in self.levels)

    def push(self, step: FilterLevel) -> None:
        """Narrow further; the same step twice is one."""
        if not self.levels or self.levels[-1] != step:
            self.levels.append(step)

    def pop(self) -> FilterLevel | None:
        """Lift the newest step; None where there is none."""
        return self.levels.pop() if self.levels else None


def user_level(uid: int, name: str | None) -> FilterLevel:
    """Narrow to a user."""
    return FilterLevel(name or f"uid {uid}", Filter(uids=(uid,)))


def process_level(pid: int, comm: str) -> FilterLevel:
    """Narrow to a process and its descendants."""
    return FilterLevel(f"{comm} {pid}", Filter(pids=(pid,)))


def container_level(container: str) -> FilterLevel:
    """Narrow to a container."""
    return FilterLevel(f"container {container}", Filter(containers=(container,)))


def label_of(wanted: Filter) -> str:
    """Return what a step that sets *wanted* is called."""
    return " ".join(f"{kind} {value}" for kind, values in wanted.kinds() for value in values)
