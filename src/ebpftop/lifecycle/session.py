"""Give a session its nice value back, if the kernel groups threads by session: autogroup, sched(7).

A value from 0 up needs no privilege, only write access to /proc/PID/autogroup, which the user of PID owns. Without
CAP_SYS_ADMIN the kernel accepts one value every tenth of a second, from all processes together
(kernel/sched/autogroup.c).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress


def open_group(session: int) -> int | None:
    """Open the file with the nice value of a session's group, through its leader; None if that fails."""
    try:
        return os.open(f"/proc/{session}/autogroup", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return None


def set_nice(session: int, group_fd: int | None, nice: int) -> bool:
    """Set the nice value of a session's group; return False if another try may help.

    *group_fd* is from `open_group`. If the leader has ended, another process of the session is used.
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
    """Open the group through each process of *session*. 0 is a session outside of this pid namespace: yield nothing."""
    for entry in os.listdir("/proc") if session else ():
        with suppress(OSError, ValueError):
            if os.getsid(int(entry)) == session:
                fd = open_group(int(entry))
                if fd is not None:
                    yield fd
