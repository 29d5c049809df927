"""The three standard descriptors, and the only way in which ebpftop writes text to a terminal.

The parent may have closed any of the three, or redirected one to a full disk. And the text may contain anything: a file
name, an argument, the output of a compiler. So all text goes through `report` and `write_stdout`, which let no control
character through. (Records are escaped when they are created; Textual draws the screen.)
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sys
from contextlib import suppress

from ebpftop.core.escape import printable
from ebpftop.core.glyphs import Glyphs, environment_at_start, glyphs_of, in_ascii
from ebpftop.core.source import SourceError

_WRITE_ELSEWHERE = "give it a file or a pipe"
_RECORD = f"{_WRITE_ELSEWHERE}, or use `ebpftop record FILE`"
_WITHOUT_PLACES = frozenset(("", "dumb", "unknown", "emacs"))
"""TERM of what only prints: no text can be placed there."""
_REMEDIES = {
    errno.ENOSPC: "make room, or write elsewhere",
    errno.EDQUOT: "make room, or write elsewhere",
    errno.EFBIG: "raise the limit on a file's size (ulimit -f), or write elsewhere",
    errno.EIO: "write elsewhere: the device or the terminal no longer exists",
    errno.EAGAIN: "give it a descriptor that blocks: this one has O_NONBLOCK",
}


def open_closed() -> None:
    """Open a file for each of the descriptors 0, 1, 2 that is closed, and create Python's file objects again.

    Otherwise the next opened file would get that number, and a line for stderr would be written into it. The
    replacement is read-only: writing stays an error.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # It gets the lowest free number, which is this one. Without a /dev, open this source file.
            os.open(os.devnull if os.path.exists(os.devnull) else __file__, os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # type: ignore[misc]  # Textual reads the original
    if sys.stdout is None:
        sys.stdout = sys.__stdout__ = writer(1)  # type: ignore[misc]  # as above
    if sys.stderr is None:
        sys.stderr = sys.__stderr__ = writer(2)  # type: ignore[misc]  # as above


def writer(fd: int) -> io.TextIOWrapper:
    """Return an unbuffered file for *fd*. It is UTF-8 in every locale: the screen cannot be drawn without."""
    raw = os.fdopen(fd, "wb", buffering=0, closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def require_stdout(*, for_records: bool = False) -> None:
    """Raise SourceError if stdout cannot be written. *for_records*: `record` would write the same to a file."""
    if not _is_writable(1):
        raise SourceError("stdout is closed, or not open for writing", _RECORD if for_records else _WRITE_ELSEWHERE)


def require_terminal(instead: str, *, keys: bool = True) -> None:
    """Raise SourceError if no screen can be shown; *instead* is the remedy. *keys*: stdin is read for keys."""
    if not (_is_screen(1) and (os.isatty(0) or not keys)):
        raise SourceError("the screen needs a terminal", instead)
    term = os.environ.get("TERM", "")
    if not draws_screens():
        what = f"TERM={term}" if term else "TERM is not set"
        raise SourceError(f"{what}: no screen can be drawn", f"set TERM to what the terminal is; {instead}")


def draws_screens() -> bool:
    """Return whether the terminal can draw a screen, by its TERM."""
    return os.environ.get("TERM", "") not in _WITHOUT_PLACES


def draw_on_terminal(stdout_fd: int = 1, stderr_fd: int = 2) -> None:
    """Let Textual draw on the terminal. It uses stderr, but the screen must also work with `2>file`."""
    fd = stderr_fd if _is_screen(stderr_fd) else stdout_fd
    sys.__stderr__ = writer(fd)  # type: ignore[misc]  # Textual writes to the original


def _is_screen(fd: int) -> bool:
    return os.isatty(fd) and _is_writable(fd)


def _is_writable(fd: int) -> bool:
    try:
        return (fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE) != os.O_RDONLY
    except OSError:
        return False


def shown(text: str) -> str:
    """Return *text* in ASCII if the locale has nothing else: for people, not for programs."""
    if text.isascii():
        return text
    if glyphs_of(environment_at_start()) is not Glyphs.ASCII:
        return text
    return in_ascii(text).encode("ascii", "backslashreplace").decode()


def report(text: str) -> None:
    """Write one line to stderr. If stderr is closed or full, that cannot be reported."""
    _write_stderr(f"ebpftop: {shown(printable(text))}\n")


def report_lines(text: str) -> None:
    """Write what another program printed, line by line, to stderr."""
    _write_stderr("".join(f"{shown(printable(line))}\n" for line in text.expandtabs().split("\n") if line))


def _write_stderr(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def read_keys_from_terminal() -> None:
    """Make the terminal stdin, where the screen reads its keys; what was stdin is not. Raises SourceError."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise SourceError(f"no terminal to read keys from: {error.strerror}") from error
    os.dup2(terminal, 0)
    os.close(terminal)


def write_stdout(text: str) -> None:
    """Write *text*, whose parts went through `printable`, to stdout; raises SourceError, but not for a closed pipe."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise write_error(error) from error


def write_error(error: OSError, so_far: str = "") -> SourceError:
    """Return the error to report if writing to stdout failed; *so_far*: what came before, `` after 3 records``."""
    if error.errno == errno.EBADF:
        return SourceError("stdout is closed, or not open for writing", _WRITE_ELSEWHERE)
    return SourceError(f"stdout: {error.strerror}{so_far}", _REMEDIES.get(error.errno or 0, "write elsewhere"))
