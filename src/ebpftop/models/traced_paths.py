"""The paths of the traced calls of one system call: how often each was asked for, and how often that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ebpftop.core.syscall_records import Abi, Syscall
from ebpftop.filters.kinds import Number
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.ring import View
from ebpftop.syscalls.decode import path_args

NEWEST = 1000
"""Traced calls that are counted."""


@dataclass(frozen=True)
class PathCalls:
    """A path, how many of the traced calls have it, and how many of these failed."""

    path: str
    calls: int
    failed: int


@dataclass(frozen=True)
class TracedPaths:
    """What is known of the paths of one system call from `calls` traced calls; of others nothing is known."""

    calls: int = 0
    paths: tuple[PathCalls, ...] = ()
    of_error: Mapping[str, str] = field(default_factory=dict)
    """The path for which each error was returned most often."""


PATHS: Language[PathCalls] = Language(
    (
        text_field("path", lambda p: p.path, "", "file"),
        Field("calls", Number(), lambda p, _: p.calls, "", ("count",)),
        Field("failed", Number(hint=">0"), lambda p, _: p.failed, "how often it failed"),
    ),
    lambda p: p.path,
)


def has_paths(abi: Abi, name: str) -> bool:
    """Return whether a call is traced with paths."""
    return bool(path_args(abi, name))


def path_of(call: Syscall) -> str | None:
    """Return the first path among the arguments; None if there is none that the kernel could read."""
    # Buffers are quoted too; in a call that has a path they come behind it.
    quoted = next((arg for arg in call.args if arg.startswith('"')), None)
    if quoted is None or not has_paths(call.abi, call.name):
        return None
    path, _, cut = quoted[1:].rpartition('"')
    return path + ("…" if cut else "")


def traced_paths(view: View[Syscall]) -> TracedPaths:
    """Count the paths of the newest calls in *view*."""
    calls: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    of_error: dict[str, Counter[str]] = {}
    first = max(view.first, view.end - NEWEST)
    for position in range(first, view.end):
        call = view[position]
        path = path_of(call)
        if path is None:
            continue
        calls[path] += 1
        if call.error is not None:
            failed[path] += 1
            of_error.setdefault(call.error, Counter())[path] += 1
    return TracedPaths(
        view.end - first,
        tuple(PathCalls(path, n, failed[path]) for path, n in calls.most_common()),
        {error: paths.most_common(1)[0][0] for error, paths in of_error.items()},
    )
