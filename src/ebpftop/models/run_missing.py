"""The files that a command did not find, as few lines: what it is likely to need first, searches folded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from os.path import commonpath, dirname

from ebpftop.core.format import counted
from ebpftop.models.run_summary import NotFound

FOLD_FROM = 3
"""Files of one folder that are one line; fewer stand alone."""

_EMPTY = '""'

_DEPTH = 3
"""Folders of a path that decide what is folded: all below /usr/lib/locale is one search."""


def missing_lines(found: Sequence[NotFound], cwd: str) -> list[tuple[int, str]]:
    """Return how often each was not found, and what: programs, then files of *cwd*, then others; most often first."""
    execs = [one for one in found if one.by == "exec"]
    here: list[NotFound] = []
    elsewhere: list[NotFound] = []
    for one in found:
        if one.by != "exec":
            (here if _is_in(one.path, cwd) else elsewhere).append(one)
    lines = []
    for group in (_programs(execs), _files(here), _files(elsewhere)):
        lines += sorted(group, key=lambda line: -line[0])
    return lines


def _is_in(path: str, cwd: str) -> bool:
    return not path.startswith("/") or (cwd not in ("", "/") and path.startswith(f"{cwd}/"))


def _programs(found: Iterable[NotFound]) -> Iterable[tuple[int, str]]:
    """Yield a line for each program: one that a search in PATH did not find was tried in several folders."""
    tried: defaultdict[tuple[str, str], list[NotFound]] = defaultdict(list)
    for one in found:
        tried[one.path.rpartition("/")[2], one.comm].append(one)
    for (name, comm), places in tried.items():
        if len(places) == 1:
            yield places[0].count, f"{places[0].path}  exec by {comm}"
        else:
            yield max(place.count for place in places), f"{name}  exec by {comm}, tried in {len(places):,} folders"


def _files(found: Iterable[NotFound]) -> Iterable[tuple[int, str]]:
    folders: defaultdict[str, list[NotFound]] = defaultdict(list)
    for one in found:
        folders[_searched(one.path)].append(one)
    for folder, files in folders.items():
        paths = {one.path for one in files}
        if not folder or len(paths) < FOLD_FROM:
            yield from ((one.count, f"{one.path or _EMPTY}  open by {one.comm}") for one in files)
            continue
        common = commonpath([dirname(path) for path in paths]).rstrip("/")
        who = Counter[str]()
        for one in files:
            who[one.comm] += one.count
        (most, _), *others = who.most_common()
        by = f"{most} and {counted(len(others), 'other')}" if others else most
        yield who.total(), f"{common}/… ×{len(paths):,} files  open by {by}"


def _searched(path: str) -> str:
    """Return the folder whose files are one line; empty if the path has none."""
    folders = dirname(path).split("/")
    return "/".join(folders[: _DEPTH + 1])
