"""A file with the metrics for node_exporter's textfile collector: always whole, replaced by a rename in its folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from ebpftop.core.source import SourceError, UsageError

SUFFIX = ".prom"
"""What node_exporter reads; the unfinished file has another one."""


class TextFile:
    """Writes *path*, which others may read. What goes wrong is reported once, and tried again each time."""

    def __init__(self, path: str, report: Callable[[str], None]) -> None:
        """Check that the file can be written now; raises UsageError for another suffix, SourceError."""
        if not path.endswith(SUFFIX) or os.path.basename(path) == SUFFIX:
            raise UsageError(f"--textfile {path}: node_exporter reads only files whose names end with {SUFFIX}")
        self._path = path
        folder, name = os.path.split(os.path.abspath(path))
        self._part = os.path.join(folder, f".{name}.{os.getpid()}.part")
        self._report = report
        self._failing = ""
        self.check()

    def check(self) -> None:
        """Raise SourceError if the file cannot be written with the rights that we have now."""
        try:
            os.close(self._create())
            os.unlink(self._part)
            if os.path.isdir(self._path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except OSError as error:
            raise SourceError(
                f"cannot write {self._path}: {error.strerror}",
                f"it is written with the rights of user {os.geteuid()} alone: name a folder where that user may write",
            ) from error

    def _create(self) -> int:
        with suppress(FileNotFoundError):  # of a process that had our pid
            os.unlink(self._part)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._part, flags, 0o644)
        with suppress(OSError):
            os.fchmod(fd, 0o644)  # whatever the umask is: node_exporter is another user
        return fd

    def write(self, text: bytes) -> None:
        """Replace the file by *text*; if that fails, the old one stays."""
        try:
            fd = self._create()
            try:
                with open(fd, "wb") as part:
                    part.write(text)
                os.rename(self._part, self._path)
            except OSError:
                with suppress(OSError):
                    os.unlink(self._part)
                raise
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != self._failing:
                self._report(f"{self._path} was not written: {reason}; it is tried again")
            self._failing = reason
            return
        if self._failing:
            self._report(f"{self._path} is written again")
        self._failing = ""

    def remove(self) -> None:
        """Remove the file: an engine would take what stands still for what goes on."""
        for path in (self._part, self._path):
            with suppress(OSError):
                os.unlink(path)
