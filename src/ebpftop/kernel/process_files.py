"""What it takes to name the functions of another process: its mappings, the files behind them, its perf map.

It takes CAP_SYS_PTRACE, and CAP_SYS_ADMIN for the files, so kernel/root_helper.py does it. All of it is for reading.
"""

from __future__ import annotations

import errno
import os
import stat

MAPS_MAX = 4 << 20
"""Bytes of /proc/PID/maps."""


def mappings(pid: int) -> bytes:
    """Return the beginning of /proc/PID/maps; empty if the process has ended. Raises OSError."""
    content = bytearray()
    try:
        fd = os.open(f"/proc/{pid:d}/maps", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        while len(content) < MAPS_MAX and (piece := os.read(fd, 1 << 16)):
            content += piece
    except ProcessLookupError:
        return b""
    finally:
        os.close(fd)
    return bytes(content)


def mapped_file(pid: int, begin: int, end: int) -> int:
    """Return a descriptor of the file that a process has mapped there, wherever that lies; raises OSError."""
    return open_regular(f"/proc/{pid:d}/map_files/{begin:x}-{end:x}")


def perf_map(pid: int) -> int:
    """Return a descriptor of the perf map of a process, from its own /tmp; raises OSError.

    Refused if it belongs to another user than the process: anybody can write into /tmp.
    """
    inside = pid
    with open(f"/proc/{pid:d}/status", "rb") as status:
        for line in status:
            if line.startswith(b"NSpid:"):
                inside = int(line.split()[-1])
    fd = open_regular(f"/proc/{pid:d}/root/tmp/perf-{inside:d}.map", follow=False)
    if os.fstat(fd).st_uid != os.stat(f"/proc/{pid:d}").st_uid:
        os.close(fd)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    return fd


def kernel_symbols() -> int:
    """Return a descriptor of /proc/kallsyms: it shows what whoever opens it may see. Raises OSError."""
    return os.open("/proc/kallsyms", os.O_RDONLY | os.O_CLOEXEC)


def open_regular(path: str, *, follow: bool = True) -> int:
    """Open a regular file, and nothing else: to open a device or a pipe may do something. Raises OSError."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return os.open(f"/proc/self/fd/{place:d}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)
