"""What to report if a limit of the machine is reached while ebpftop runs: its name, and how to raise it."""

from __future__ import annotations

import errno

from ebpftop.core.source import SourceError

_MORE_FILES = "raise the limit (ulimit -n, or LimitNOFILE= of the service)"
_MORE_THREADS = "raise the limit (ulimit -u, pids.max of the cgroup, TasksMax= of the service) or end other processes"
_MORE_MEMORY = "raise the limit (ulimit -v, ulimit -d, memory.max of the cgroup), or end other processes"
_REMEDIES = {
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: "the whole machine has too many open files: raise fs.file-max, or end other processes",
    errno.ENOMEM: _MORE_MEMORY,
    errno.ENOSPC: "make room there, or set TMPDIR or EBPFTOP_CACHE",
    errno.EDQUOT: "make room there, or set TMPDIR or EBPFTOP_CACHE",
    errno.EROFS: "name a folder that can be written: TMPDIR, EBPFTOP_CACHE",
}


def explain(error: BaseException) -> SourceError | None:
    """Return what to report for *error*; None if the user cannot fix it."""
    if isinstance(error, MemoryError):
        return SourceError("there is no memory left", _MORE_MEMORY)
    if isinstance(error, RuntimeError) and "start new thread" in str(error):  # the only sign that CPython gives
        return SourceError("no further thread can be started", _MORE_THREADS)
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        place = f"{error.filename}: " if error.filename else ""
        return SourceError(f"{place}{error.strerror}", _REMEDIES[error.errno])
    return None
