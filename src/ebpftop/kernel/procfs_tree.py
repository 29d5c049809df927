"""Processes and what descends from them, out of /proc."""

from __future__ import annotations

import os
from pathlib import Path

from ebpftop.kernel.threads import stat_fields


def parents() -> dict[int, int]:
    """Return the parent of every process, out of /proc."""
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            found[int(entry.name)] = int(stat_fields(stat)[1][1])
    return found


def descendants(pids: tuple[int, ...]) -> set[int]:
    """Return those of *pids* that run, and the processes that descend from them now."""
    parent_of = parents()
    children: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [pid for pid in pids if pid in parent_of]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found
