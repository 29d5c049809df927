"""Gives a session its nice value back, where the kernel groups threads by session: autogroup, sched(7).

A value from 0 up takes no privilege, but a file that may be written: /proc/PID/autogroup belongs to who runs PID.
Without CAP_SYS_ADMIN the kernel takes one value every tenth of a second, from all together (kernel/sched/autogroup.c).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress


def open_group(session: int) -> int | None:
    """Open what holds the nice value of a session's group, through its leader; None where that is not to be had."""
    try:
        return os.open(f"/proc/{session}/autogroup", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return None


def set_nice(session: int, group_fd: int | None, nice: int) -> bool:
    """Set the nice value of a session's group; False if another try may help.

    *group_fd* is from `open_group`; if the leader has ended, another process of the session will do.
    """
    for fd in (*(() if group_fd is None else (group_fd,)), *_members(session)):
        try:
            os.write(fd, str(nice).encode())
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            continue
        finally:
            if fd != group_fd:
                os.close(fd)
        break
    return True


def _members(session: int) -> Iterator[int]:
    """Open the group through each process of *session*; through none of 0, which is outside of this pid namespace."""
    for entry in os.listdir("/proc") if session else ():
        with suppress(OSError, ValueError):
            if os.getsid(int(entry)) == session:
                fd = open_group(int(entry))
                if fd is not None:
                    yield fd
