"""Whether a file was saved: by its inode, size and time, since editors write a new file and rename it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_SETTLED_S = 0.03


class _State(NamedTuple):
    inode: int
    size: int
    mtime_ns: int


def _state(path: Path) -> _State | None:
    """Return what *path* is like; None while it is away: being renamed, or gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _State(found.st_ino, found.st_size, found.st_mtime_ns)


class Watch:
    """Watches a file and those that it includes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._states: dict[Path, _State | None] = {}
        self._seen: dict[Path, _State | None] = {}
        self.saved = 0.0
        """When the file was saved that was read last: its mtime, in seconds."""

    def begin(self) -> None:
        """The file is about to be read. The next `include` says which other files belong to it."""
        self._states = {path: _state(path) for path in self._states.keys() | {self._path}}
        found = self._states[self._path]
        self.saved = found.mtime_ns / 1e9 if found else 0.0

    def include(self, paths: Iterable[Path]) -> None:
        """It includes *paths*, and nothing else."""
        kept = {self._path, *paths}
        self._states = {path: self._states[path] if path in self._states else _state(path) for path in kept}

    def has_changed(self) -> bool:
        """Return whether one of them was saved since `begin`. While an editor still writes it, it was not."""
        before, self._seen = self._seen, {path: _state(path) for path in self._states}
        changed = [path for path, state in self._seen.items() if state is not None and state != self._states[path]]
        return bool(changed) and all(self._is_settled(path, before.get(path)) for path in changed)

    def _is_settled(self, path: Path, before: _State | None) -> bool:
        state = self._seen[path]
        return state is not None and (state == before or not 0 <= time.time() - state.mtime_ns / 1e9 < _SETTLED_S)
