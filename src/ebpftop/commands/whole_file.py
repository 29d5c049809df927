"""A file of the user behind sudo that gets its name when all that it is about has been written; or stdout, as ``-``."""

from __future__ import annotations

import os
from types import TracebackType

from ebpftop.core.escape import printable
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.recording.new_file import UnfinishedFile

STDOUT = "-"


class WholeFile:
    """Created at once, so that it is known early if it cannot be; an older one of that name stays until the end.

    As a context, it is removed again if it was not written.
    """

    def __init__(self, path: str) -> None:
        """Create it; raises SourceError."""
        self.told = "stdout" if path == STDOUT else printable(path)
        """What to call it."""
        self._file: UnfinishedFile | None = None
        if path != STDOUT:
            with as_invoker():
                self._file = UnfinishedFile(path, replace=True)

    def write(self, data: bytes, stdout_fd: int) -> None:
        """Write all of it, and give it its name; raises SourceError. *stdout_fd* is what stdout was at the start."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(stdout_fd if self._file is None else self._file.fd, view) :]
        except BrokenPipeError:
            pass
        except OSError as error:
            raise stdio.write_error(error) from error
        if (file := self._file) is not None:
            self._file = None  # publishing it closes it, also if that fails
            with as_invoker():
                file.publish()

    def __enter__(self) -> WholeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.remove()
