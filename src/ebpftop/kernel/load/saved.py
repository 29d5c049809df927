"""Whether a file was saved: by its inode, size and time, since editors write a new file and rename it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_SETTLED_S = 0.03
_EMPTY_S = 1.0
"""An empty file is one that is being written, for so long."""
_AGAIN_S = 0.01
_GONE_S = 0.5
"""Editors that write a new file may remove the old one first."""


class _State(NamedTuple):
    """Of a file. Who may write it decides whether it is loaded: so that counts too."""

    inode: int
    size: int
    mtime_ns: int
    mode: int
    owner: int


def _state(path: Path) -> _State | None:
    """Return what *path* is like; None while it is away: being renamed, or gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _State(found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid)


class Watch:
    """Watches a file and those that it includes, those that do not exist among them."""

    def __init__(self, path: Path) -> None:
        """One thread asks whether they have changed; what is read is said by one that reads, maybe another."""
        self._path = path
        self._states: dict[Path, _State | None] = {}
        self._seen: dict[Path, _State | None] = {}
        self._begun_ns = 0
        self._away_since: float | None = None
        self._empty_since: tuple[_State, float] | None = None
        self._saved = 0.0

    def begin(self) -> float:
        """The file is about to be read; return when it was saved, or was before it was away: its mtime, in seconds.

        The next `include` says which other files belong to it.
        """
        self._begun_ns = time.time_ns()
        self._states = {path: _state(path) for path in self._states.keys() | {self._path}}
        self._away_since = None
        with suppress(OSError):
            # Of a link, which is refused, its own: whose else it leads to is no business of the screen.
            self._saved = os.lstat(self._path).st_mtime_ns / 1e9
        return self._saved

    def include(self, paths: Iterable[Path]) -> None:
        """It includes *paths*, or would if they existed, and nothing else."""
        kept, states = {self._path, *paths}, self._states
        self._states = {path: states[path] if path in states else self._new(path) for path in kept}

    def _new(self, path: Path) -> _State | None:
        """Return the state of a file that was read already. If it was saved meanwhile, it has to be read again."""
        found = _state(path)
        return None if found is not None and found.mtime_ns > self._begun_ns else found

    def has_changed(self) -> bool:
        """Return whether one was saved since `begin`, or is gone. While an editor still writes it, it was not."""
        states = self._states
        before, self._seen = self._seen, {path: _state(path) for path in states}
        changed = [path for path, state in self._seen.items() if state is not None and state != states[path]]
        if changed:
            return all(self._is_settled(path, before.get(path)) for path in changed)
        return self._is_gone(any(state is None and states[path] is not None for path, state in self._seen.items()))

    def _is_gone(self, is_away: bool) -> bool:
        """Return whether one that was there has been away for longer than any editor takes."""
        if not is_away:
            self._away_since = None
            return False
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        return now - self._away_since >= _GONE_S

    def _is_settled(self, path: Path, before: _State | None) -> bool:
        state = self._seen[path]
        if state is None or self._is_being_written(path, state):
            return False
        return state == before or not 0 <= time.time() - state.mtime_ns / 1e9 < _SETTLED_S

    def _is_being_written(self, path: Path, state: _State) -> bool:
        """Return whether it is empty since a moment: editors empty a file before they write it."""
        if path != self._path or state.size:
            return False
        now = time.monotonic()
        if self._empty_since is None or self._empty_since[0] != state:
            self._empty_since = state, now
        return now - self._empty_since[1] < _EMPTY_S

    def wait_until_written(self, check: Callable[[], None]) -> None:
        """Wait while the file is empty since a moment, as while an editor writes it. *check* may raise."""
        while (state := _state(self._path)) is not None and not state.size:
            if not 0 <= time.time() - state.mtime_ns / 1e9 < _EMPTY_S:
                return
            check()
            time.sleep(_AGAIN_S)

    def is_written_anew(self) -> bool:
        """Return whether the file is not any more as it was at `begin`."""
        return _state(self._path) != self._states[self._path]
