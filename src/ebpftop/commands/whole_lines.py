"""Write lines into a pipe so that the reader never gets half a line, even if this process ends while the reader sleeps.

A write of at most PIPE_BUF bytes into a pipe is done whole or not at all (pipe(7)). A longer line is written when the
pipe has room for all of it. If the pipe is too small for it, it is made larger.
"""

from __future__ import annotations

import array
import errno
import fcntl
import mmap
import os
import select
import stat
import termios
import time
from collections.abc import Iterable

_CHECK_EVERY_S = 0.01


class LineWriter:
    """Writes whole lines to a descriptor; raises OSError (EPIPE: the reader has gone)."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self.written = 0
        """Whole lines that were written."""

    def write(self, lines: Iterable[bytes]) -> None:
        """Write *lines*, each with its newline."""
        if not self._is_pipe:
            self._put(b"".join(lines))
            return
        together: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) > select.PIPE_BUF and together:
                self._put(b"".join(together))
                together, size = [], 0
            if len(line) > select.PIPE_BUF:
                self._wait_for_room(len(line))
                self._put(line)
            else:
                together.append(line)
                size += len(line)
        if together:
            self._put(b"".join(together))

    def flush(self) -> None:
        """Do nothing: no line waits here (`FrameWriter` has some that do)."""

    def _put(self, data: bytes) -> None:
        view, at = memoryview(data), 0
        while at < len(data):
            try:
                end = at + os.write(self._fd, view[at:])
            except BlockingIOError:  # a program that shares this pipe set O_NONBLOCK, as ssh does
                select.select((), (self._fd,), ())
            else:
                self.written += data.count(b"\n", at, end)
                at = end

    def _wait_for_room(self, size: int) -> None:
        """Wait until *size* bytes can be written at once. It assumes that nobody else writes to this pipe."""
        # The first and the last page of its content may be partly used.
        needed = size + 2 * mmap.PAGESIZE
        if fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ) < needed:
            try:
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, needed)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EBUSY, errno.ENOMEM):
                    raise
                return  # so large a pipe is not allowed: this line may be cut
        capacity = fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)
        state = select.poll()
        state.register(self._fd, 0)
        waiting = array.array("i", [0])
        while True:
            fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
            if capacity - waiting[0] >= needed or state.poll(0):  # POLLERR: no reader; the write will fail
                return
            time.sleep(_CHECK_EVERY_S)
