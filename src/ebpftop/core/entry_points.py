"""Entry points of other distribution packages, without what importlib.metadata costs if there are none: 10 ms."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

_PREFIX = b"[ebpftop."
"""How the section of each of our groups begins in entry_points.txt."""


def entry_points(group: str) -> Sequence[EntryPoint]:
    """Return the entry points of *group*, one of "ebpftop."."""
    if not _may_be_any(tuple(sys.path)):
        return ()
    from importlib import metadata

    return tuple(metadata.entry_points(group=group))


@cache
def _may_be_any(path: tuple[str, ...]) -> bool:
    """Return whether a package on *path* has entry points of ours, or what only importlib.metadata understands."""
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    return any(map(_may_have_any, dict.fromkeys(path)))


def _may_have_any(folder: str) -> bool:
    try:
        names = os.listdir(folder or ".")
    except NotADirectoryError:  # an archive
        return True
    except OSError:  # nothing is imported from there
        return False
    for name in names:
        low = name.lower()
        if low.endswith(".egg"):
            return True
        if low.endswith((".dist-info", ".egg-info")) and _has_any(os.path.join(folder, name)):
            return True
    return False


def _has_any(package: str) -> bool:
    try:
        with open(os.path.join(package, "entry_points.txt"), "rb") as file:
            return _PREFIX in file.read()
    except FileNotFoundError:
        return False
    except OSError:  # an egg-info that is a file has none; of what cannot be read, importlib.metadata reports it
        return os.path.isdir(package)
