"""Keep what BCC, clang and libbpf write to file descriptors 1 and 2 off the screen and out of the stream.

They are C code and do not use sys.stderr. So the two descriptors are redirected to a log, and the code that writes to
the terminal or the pipe uses duplicates of the originals.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ebpftop.lifecycle import stdio


@dataclass(frozen=True)
class Outputs:
    """The process's own outputs after `redirect_stdio`."""

    stdout_fd: int
    stderr_fd: int
    log_path: Path


def redirect_stdio() -> Outputs:
    """Redirect fds 1 and 2 to a log in memory. Python's sys.stdout, sys.stderr and their originals use duplicates."""
    log_fd = os.memfd_create("ebpftop-log", os.MFD_CLOEXEC)
    # Appending, or the two descriptors of one open file would still be right but a truncating reader would not.
    log_path = Path(f"/proc/{os.getpid()}/fd/{log_fd}")
    sys.stdout.flush()
    sys.stderr.flush()
    stdout_fd, stderr_fd = os.dup(1), os.dup(2)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    sys.stdout = sys.__stdout__ = stdio.writer(stdout_fd)  # type: ignore[misc]  # Textual uses the originals
    sys.stderr = sys.__stderr__ = stdio.writer(stderr_fd)  # type: ignore[misc]  # as above
    return Outputs(stdout_fd, stderr_fd, log_path)
