"""The only files that a compiler sees: headers that are made here, and the formats of tracepoints.

`#include "/etc/shadow"` would show its first line in an error message. So the compiler's root is a folder in memory.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ebpftop.kernel import capabilities
from ebpftop.kernel.mount_namespace import lay_over, leave_shared_mounts, mount
from ebpftop.kernel.stub_headers import KALLSYMS_PLACE, KALLSYMS_TEXT
from ebpftop.lifecycle.invoker import nobody

_PLACES = ("/run", "/dev/shm", "/mnt", "/media", "/tmp")
_TREE = "tree"
_COPIED = ("/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/online")
_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_KEPT = {capabilities.Cap.BPF, capabilities.Cap.DAC_READ_SEARCH}


class Jail:
    """A folder for the trees of headers. If we are root, it is the root folder of a compiler too, else it is not."""

    def __init__(self) -> None:
        """Make it. It ends with this process. Raises OSError."""
        self._root = _mount() if capabilities.has(capabilities.Cap.SYS_ADMIN) else None
        self._is_whole = self._root is not None
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="ebpftop-load-"))
            return
        for name in _COPIED:
            _put(self._root, name, Path(name).read_text())
        _put(self._root, str(KALLSYMS_PLACE), KALLSYMS_TEXT)
        lay_over(KALLSYMS_PLACE, self._root / KALLSYMS_PLACE.relative_to("/"))
        for place in _TRACEFS:
            inside = self._root / place.relative_to("/")
            inside.mkdir(parents=True)
            mount("tracefs", inside)

    def enter(self, fill: Callable[[Path], None]) -> Path:
        """Let *fill* write the headers, then be a user who owns nothing, in here; return where the headers are."""
        assert self._root is not None
        folder = self._root / _TREE
        folder.mkdir()
        fill(folder)
        if self._is_whole:
            os.chroot(self._root)
            os.chdir("/")
            folder = Path("/") / _TREE
        permitted = _KEPT | capabilities.to_compile()
        capabilities.keep_only(permitted, nobody() if self._is_whole else None, forked=True)
        return folder

    def empty(self) -> None:
        """Remove the headers."""
        assert self._root is not None
        shutil.rmtree(self._root / _TREE, ignore_errors=True)

    def close(self) -> None:
        """Remove it, if it is not in memory of our own."""
        if not self._is_whole and self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)


def _mount() -> Path | None:
    """Mount a file system in memory that only this process and its children see; None if refused."""
    if not leave_shared_mounts():
        return None
    for place in free_places():
        if place.is_dir() and mount("tmpfs", place):
            return place
    return None


def free_places() -> Iterator[Path]:
    """Yield where something may be laid over: what is imported later is not below it, wherever ebpftop itself is."""
    imported = [Path(entry).resolve() for entry in (*sys.path, sys.prefix, sys.base_prefix, __file__)]
    for place in map(Path, _PLACES):
        if not any(one.is_relative_to(place.resolve()) for one in imported):
            yield place


def _put(root: Path, name: str, text: str) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
