"""A C file of a test, loaded for real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpftop.kernel import tracefs
from ebpftop.kernel.load import server
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.server import LoadServer
from tests.kernel.support import needs_root

__all__ = ("File", "LoadServer", "execute", "needs_root", "needs_tracefs")

needs_tracefs = pytest.mark.skipif(
    os.geteuid() == 0 and tracefs.mount_privately() is None, reason="tracefs cannot be mounted"
)


def execute(cpu: int | None = None) -> int:
    """Let a program be executed, if need be on one CPU; return its pid."""
    command = ["true"] if cpu is None else ["taskset", "-c", str(cpu), "true"]
    with subprocess.Popen(command) as child:
        return child.pid


class File:
    """A C file and what is loaded of it."""

    def __init__(self, folder: Path, running: LoadServer, name: str = "hello.c") -> None:
        self.path = folder / name
        self.file = LoadedFile(self.path, load_server=running)

    def write(self, text: str) -> None:
        """Save it as editors do: a new file in the place of the old one."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.rename(self.path)

    def load(self, text: str) -> Loading:
        """Save and load it."""
        self.write(text)
        return self.file.load()


LoadFile = Callable[[str], File]


def start_server() -> LoadServer:
    """Start one, as `server.start` does."""
    return server.LoadServer()
