"""Processes as a tree: parents and their children."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ebpftop.models.filter_match import UNFILTERED, ViewFilter
from ebpftop.models.processes import Processes, ProcessInfo, may_be_parent


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of the tree; `guide` is what is drawn to the left of the name."""

    process: ProcessInfo
    guide: str


def grow(processes: Processes, now: float, linger_s: float = 5.0, view_filter: ViewFilter = UNFILTERED) -> list[Branch]:
    """Return all running processes, and those that ended within *linger_s* before *now*, parents before children.

    If *view_filter* is set, only those that match it; if not, also the ancestors that were reported only to show who
    started the others. A process whose parent is not among them, or not known, is a
    root. Children are ordered by their start.
    """
    shown = dict(processes.running)
    for pid, known in reversed(processes.ended.items()):
        if known.ended is None or now - known.ended > linger_s:
            break
        shown.setdefault(pid, known)
    if view_filter:
        shown = {pid: known for pid, known in shown.items() if view_filter.matches_process(known, processes)}
    children: defaultdict[int, list[ProcessInfo]] = defaultdict(list)
    roots: list[ProcessInfo] = []
    for known in shown.values():
        parent = known.ppid
        # A process outlives its parent as a child of init (or of a subreaper, which no record shows).
        if parent not in shown and parent in processes.ended and known.ended is None:
            parent = 1
        if parent in shown and parent != known.pid:
            children[id(shown[parent])].append(known)
        else:
            roots.append(known)

    return _drawn(roots, children)


def descendants(processes: Processes, process: ProcessInfo) -> list[Branch]:
    """Return *process*, and below it all known ones that descend from it: by birth, whoever has adopted them."""
    by_parent: defaultdict[int, list[ProcessInfo]] = defaultdict(list)
    for known in (*processes.ended.values(), *processes.running.values()):
        by_parent[known.lineage.ppid].append(known)
    children: defaultdict[int, list[ProcessInfo]] = defaultdict(list)
    seen, wanted = {id(process)}, [process]
    while wanted:
        parent = wanted.pop()
        for known in by_parent.get(parent.pid, ()):
            if id(known) not in seen and _is_child(known, parent):
                seen.add(id(known))
                children[id(parent)].append(known)
                wanted.append(known)
    return _drawn([process], children)


def _is_child(known: ProcessInfo, parent: ProcessInfo) -> bool:
    born_to = known.lineage.parent
    return born_to is parent.lineage if born_to is not None else may_be_parent(parent, known.start_ns)


def _drawn(roots: list[ProcessInfo], children: Mapping[int, list[ProcessInfo]]) -> list[Branch]:
    """Return *roots*, each with its children (by `id`) below it."""
    branches: list[Branch] = []
    # A stack instead of recursion: a chain of processes may be deeper than Python's stack.
    stack = [(known, "", "") for known in sorted(roots, key=_age, reverse=True)]
    while stack:
        known, guide, below = stack.pop()
        branches.append(Branch(known, guide))
        family = sorted(children.get(id(known), ()), key=_age)
        for i in range(len(family) - 1, -1, -1):
            last = i == len(family) - 1
            stack.append((family[i], below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")))
    return branches


def _age(known: ProcessInfo) -> tuple[int, int]:
    return known.start_ns, known.pid
