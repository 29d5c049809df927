"""What ebpftop and the process that compiles send each other: small messages, with what is long in a descriptor."""

from __future__ import annotations

import os
import struct

NUMBER = struct.Struct("=Q")
"""A message: the number of the request; what is asked or answered lies in the memory of the first descriptor."""
NUDGE = b"."
"""It means nothing: a process that is stopped goes on. To the server's parent: fork a server, for this descriptor."""
ABANDON = b"x"
"""Before the number of a request: it need not be done."""
PID = struct.Struct("=i")
"""The answer of the server's parent."""


def write_memory(data: bytes) -> int:
    """Return a descriptor of memory that holds *data*, however long that is, and has no name."""
    fd = os.memfd_create("ebpftop-load", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def read_memory(fd: int) -> bytes:
    """Return what `write_memory` wrote."""
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return file.read()
