"""The three descriptors that a process is given, and the only way in which ebpftop writes text to a terminal.

Whoever starts ebpftop may have closed any of the three, or point one at a full disk. And what is written may hold
anything: the name of a file, an argument, what a compiler printed. So text leaves through `report` and `write_stdout`,
which let no control character through. (Records are escaped when they are made; Textual draws the screen.)
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sys
from contextlib import suppress

from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError

_WRITE_ELSEWHERE = "give it a file or a pipe, or use `ebpftop record FILE`"
_REMEDIES = {
    errno.ENOSPC: "make room, or write elsewhere",
    errno.EDQUOT: "make room, or write elsewhere",
    errno.EFBIG: "raise the limit on a file's size (ulimit -f), or write elsewhere",
    errno.EIO: "write elsewhere: the device or the terminal is gone",
    errno.EAGAIN: "give it a descriptor that blocks: this one has O_NONBLOCK",
}


def open_closed() -> None:
    """Put something in place of each of the descriptors 0, 1, 2 that is closed, and give Python its files back.

    Otherwise the next file opened would get that number, and a line for stderr would land in it. What is put there
    cannot be written: writing stays an error, as it was.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # It gets the lowest free number, and so this one. Where there is no /dev, there is at least this file.
            os.open(os.devnull if os.path.exists(os.devnull) else __file__, os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # type: ignore[misc]  # Textual reads the original
    if sys.stdout is None:
        sys.stdout = sys.__stdout__ = writer(1)  # type: ignore[misc]  # as above
    if sys.stderr is None:
        sys.stderr = sys.__stderr__ = writer(2)  # type: ignore[misc]  # as above


def writer(fd: int) -> io.TextIOWrapper:
    """Return a file that writes to *fd* at once, in UTF-8 whatever the locale: the screen cannot be drawn without."""
    raw = os.fdopen(fd, "wb", buffering=0, closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def require_stdout() -> None:
    """Raise SourceError where nothing can be written to stdout."""
    if not _is_writable(1):
        raise SourceError("stdout is closed, or not open for writing", _WRITE_ELSEWHERE)


def require_terminal(instead: str, *, keys: bool = True) -> None:
    """Raise SourceError where no screen can be shown; *instead* is the remedy. *keys*: where stdin is read for keys."""
    if not (_is_screen(1) and (os.isatty(0) or not keys)):
        raise SourceError("the screen needs a terminal", instead)


def draw_on_terminal(stdout_fd: int = 1, stderr_fd: int = 2) -> None:
    """Let Textual draw where the terminal is: it takes stderr, and `2>file` must not take the screen away."""
    fd = stderr_fd if _is_screen(stderr_fd) else stdout_fd
    sys.__stderr__ = writer(fd)  # type: ignore[misc]  # Textual writes to the original


def _is_screen(fd: int) -> bool:
    return os.isatty(fd) and _is_writable(fd)


def _is_writable(fd: int) -> bool:
    try:
        return (fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE) != os.O_RDONLY
    except OSError:
        return False


def report(text: str) -> None:
    """Write one line to stderr. Where stderr is closed or full there is nobody to report that to."""
    _write_stderr(f"ebpftop: {printable(text)}\n")


def report_lines(text: str) -> None:
    """Write what another program printed, line by line, to stderr."""
    _write_stderr("".join(f"{printable(line)}\n" for line in text.expandtabs().split("\n") if line))


def _write_stderr(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def write_stdout(text: str) -> None:
    """Write *text*, whose parts went through `printable`, to stdout; raises SourceError. A reader may go away."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise write_error(error) from error


def write_error(error: OSError) -> SourceError:
    """Return what to report where stdout did not take what was written."""
    if error.errno == errno.EBADF:
        return SourceError("stdout is closed, or not open for writing", _WRITE_ELSEWHERE)
    return SourceError(f"stdout: {error.strerror}", _REMEDIES.get(error.errno or 0, "write elsewhere"))
