"""The filter of the screen, level by level."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ebpftop.filters.spec import COMM_BYTES, Filter, comm_bytes, is_cgroup_path

_ESCAPES = re.compile(r"\\(?:x([0-7][0-9a-f])|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})").finditer
SEPARATOR = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
"""Between the levels of a breadcrumb."""


@dataclass(frozen=True)
class FilterLevel:
    """One level: its label in the breadcrumb, and what it sets of the filter."""

    label: str
    filter: Filter


class FilterStack:
    """Levels on top of each other: each replaces the kinds that it sets, excludes further, and keeps the others."""

    def __init__(self, initial: Filter | None = None) -> None:
        """Begin with the filter of the command line, a level like any other."""
        self.bare = Filter(hide_self=initial.hide_self if initial else True)
        self.levels: list[FilterLevel] = [FilterLevel(str(initial), initial)] if initial else []

    @property
    def filter(self) -> Filter:
        """All levels together."""
        whole = self.bare
        for step in self.levels:
            whole = whole.combined(step.filter)
        return whole

    @property
    def breadcrumb(self) -> str:
        """The breadcrumb; empty if everything is shown."""
        return SEPARATOR.join(step.label for step in self.levels)

    def push(self, step: FilterLevel) -> None:
        """Add a level; the same level twice counts once."""
        if not self.levels or self.levels[-1] != step:
            self.levels.append(step)

    def pop(self) -> FilterLevel | None:
        """Remove the newest level and return it; None if there is none."""
        return self.levels.pop() if self.levels else None


def user_level(uid: int, name: str | None) -> FilterLevel:
    """Return the level that matches a user."""
    return FilterLevel(name or f"uid {uid}", Filter(uids=(uid,)))


def process_level(pid: int, comm: str) -> FilterLevel:
    """Return the level that matches a process and its descendants."""
    return FilterLevel(f"{comm} {pid}", Filter(pids=(pid,)))


def container_level(container: str) -> FilterLevel:
    """Return the level that matches a container."""
    return FilterLevel(f"container {container}", Filter(containers=(container,)))


def comm_level(comm: str) -> FilterLevel | None:
    """Return the level that matches the programs of a name; None if a filter cannot name it exactly."""
    if "\\" in comm or comm.endswith("*") or not 0 < len(comm_bytes(comm)) <= COMM_BYTES:
        return None
    return FilterLevel(comm, Filter(comms=(comm,)))


def group_level(name: str, path: str) -> FilterLevel | None:
    """Return the level that matches a cgroup, called *name*, and those below it.

    None if all are below it, or if *path*, as records have it, is not its name: systemd's own escapes, as in
    ``a\\x2db.service``, are of characters that print, and stay as they are.
    """
    is_exact = not any(code[1] is None or not chr(int(code[1], 16)).isprintable() for code in _ESCAPES(path))
    return FilterLevel(name, Filter(cgroups=(path,))) if path.strip("/") and is_cgroup_path(path) and is_exact else None


def label_of(wanted: Filter) -> str:
    """Return the label of a level that sets *wanted*: ``uid 0 not comm sh``."""
    return " ".join(f"{kind.replace('-', ' ')} {value}" for kind, values in wanted.kinds() for value in values)
