"""Where a conversion is written: stdout, or a new file that is removed again if it does not become whole.

The rights to create a file are given up before a recording is read. Under sudo we then are the user behind it, who may
remove it. If root logged in itself, we are nobody: so a child that was forked before removes it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from typing import NoReturn

from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError
from ebpftop.lifecycle import helpers, stdio
from ebpftop.lifecycle.guard import END_SIGNALS, close_all_but
from ebpftop.lifecycle.process import process
from ebpftop.recording import zstd_frames
from ebpftop.recording.new_file import FULL, create_file, error_text

_KEEP = b"k"
_FRAME_BYTES = 512 << 10


class Output:
    """Takes bytes in order. BrokenPipeError: nobody reads them any more."""

    def __init__(self, path: str | None, *, replace: bool = False, packed: bool = False) -> None:
        """Write to *path*, a new file; None is stdout. *packed*: lines, as a recording's zstd frames."""
        self._path = path
        self._packed = packed
        self._lines = bytearray()
        self._remover: socket.socket | None = None
        self._remover_pid = 0
        if path is None:
            stdio.require_stdout()
            self._fd = 1
        else:
            self._fd = create_file(path, replace)
            self._folder_fd = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if os.geteuid() == 0:
                self._start_remover(os.path.basename(path))
        self.size = 0

    @contextlib.contextmanager
    def whole_or_nothing(self) -> Iterator[None]:
        """Write it in this block: if that fails, or the process ends meanwhile, no part of a file stays."""
        if self._path is None:
            yield
            return
        with process.undone_at_last(self._discard):
            try:
                yield
                self._put_frame()
                os.fsync(self._fd)
            except BaseException:
                self._discard()
                self._reap_remover()
                raise
            self._keep()

    def write(self, data: bytes) -> None:
        """Write *data*; SourceError if that is not possible."""
        if not self._packed:
            self._put(data)
            return
        self._lines += data
        if len(self._lines) >= _FRAME_BYTES:
            self._put_frame()

    def _put_frame(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, bytearray()
            self._put(zstd_frames.pack(lines, lines.count(b"\n")))

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        self.size += len(view)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BrokenPipeError:
                raise
            except BlockingIOError:  # a program that shares this pipe set O_NONBLOCK, as ssh does
                select.select((), (self._fd,), ())
            except OSError as error:
                if self._path is None:
                    raise stdio.write_error(error) from error
                remedy = "make room, or write elsewhere" if error.errno in FULL else ""
                raise SourceError(f"{self._path}: {error_text(error)}", remedy) from error

    def _keep(self) -> None:
        if self._remover is not None:
            self._remover.send(_KEEP)
            self._remover.close()
            self._reap_remover()
        os.close(self._fd)
        os.close(self._folder_fd)

    def _discard(self) -> str:
        """Remove the file, without waiting for it."""
        assert self._path is not None
        if self._remover is None:
            _remove(self._folder_fd, os.path.basename(self._path), self._fd)
        else:
            self._remover.close()
        return f"{printable(self._path)} was not written: the end came before it was whole"

    def _reap_remover(self) -> None:
        if self._remover is not None:
            helpers.reap(self._remover_pid)

    def _start_remover(self, name: str) -> None:
        self._remover, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._remover_pid = helpers.fork(self._remover, theirs)
        if self._remover_pid == 0:
            _be_the_remover(theirs, self._folder_fd, name, self._fd)
        theirs.close()


def _be_the_remover(channel: socket.socket, folder_fd: int, name: str, fd: int) -> NoReturn:
    """Remove the file unless ebpftop says that it is whole; then end."""
    try:
        signal.set_wakeup_fd(-1)  # it is the parent's
        for number in (*END_SIGNALS, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_IGN)
        null_fd = helpers.open_null()
        for standard in (0, 1, 2):
            os.dup2(null_fd, standard)
        close_all_but({channel.fileno(), folder_fd, fd})
        if helpers.receive(channel, 1) != _KEEP:
            _remove(folder_fd, name, fd)
    finally:
        os._exit(0)


def _remove(folder_fd: int, name: str, fd: int) -> None:
    """Remove *name* if it still is the file *fd*."""
    with contextlib.suppress(OSError):
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if os.path.samestat(found, os.fstat(fd)):
            os.unlink(name, dir_fd=folder_fd)
