"""The report of a crash: one line on stderr, and a file with all details."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from ebpftop import __version__
from ebpftop.core.escape import escape

_LOG_BYTES_MAX = 1 << 20


def report(error: BaseException) -> str:
    """Write the traceback of *error* to a new file; return the line that reports the error and the file."""
    import traceback  # only here: it would slow down every start

    what = traceback.format_exception_only(error)[-1].strip()
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(where[-1].filename)}:{where[-1].lineno})" if where else ""
    return _line(f"{what}{place}", "".join(traceback.format_exception(error)))


class Crash:
    """The crash that ends this process, told once: by the thread that crashed, or by the one that ends in its place."""

    def __init__(self) -> None:
        self.telling = threading.RLock()
        """Held while it is told: what the report needs must stay open."""
        self._error: BaseException | None = None

    def note(self, error: BaseException) -> None:
        """Remember *error*; the first one is what happened, the others follow from it."""
        if self._error is None:
            self._error = error

    def tell(self, write: Callable[[str], object]) -> None:
        """Give *write* the line of `report`, if there was a crash that nobody has told."""
        with self.telling:
            error, self._error = self._error, None
            if error is not None:
                write(report(error))


def fatal_line(fatal_fd: int, *, surprised: bool) -> str:
    """Return the line for a process that died without a report, "" if there is nothing to report.

    *fatal_fd* is the file that faulthandler wrote to. *surprised*: the process did not restore its terminal.
    """
    text = os.pread(fatal_fd, _LOG_BYTES_MAX, 0).decode("utf-8", "replace")
    if text:
        return _line(text.splitlines()[0], text)
    return "ebpftop: it was killed; the terminal is restored and the probes are detached\n" if surprised else ""


def _line(what: str, details: str) -> str:
    try:
        place = f"log: {_write(what, details)}"
    except OSError as error:
        place = f"no log could be written: {error.strerror}"
    return f"ebpftop: crashed: {escape(what)}; {escape(place)}\n"


def _write(what: str, details: str) -> str:
    """Write a file that only its owner can read, in a directory where anybody can write; return its path.

    The user behind sudo owns it, because that user will read and remove it.
    """
    import tempfile

    from ebpftop.lifecycle.invoker import as_invoker

    redirected = _redirected()
    with as_invoker():
        tempfile.tempdir = None  # searched again: root may write to other directories
        fd, path = tempfile.mkstemp(prefix="ebpftop-crash-", suffix=".log")
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(
            f"ebpftop {__version__}, Linux {os.uname().release}, Python {sys.version.split()[0]}, "
            f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}\n{sys.argv!r}\n\n{what}\n\n{details}\n{redirected}"
        )
    return path


def _redirected() -> str:
    """Return what BCC, clang and libbpf printed (commands/redirect.py)."""
    try:
        if not os.readlink("/proc/self/fd/1").startswith("/memfd:ebpftop-log"):
            return ""
        with open("/proc/self/fd/1", "rb") as log:
            return f"\nWhat BCC, clang and libbpf printed:\n{log.read(_LOG_BYTES_MAX).decode('utf-8', 'replace')}\n"
    except OSError:
        return ""
