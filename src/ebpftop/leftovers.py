"""What a process leaves in tracefs when it dies: its trace instance, and kprobe events. Everything else dies with it.

Programs, maps and links live as long as their descriptors. These two have names, so they stay until somebody removes
them. All is done through a descriptor of tracefs: it may be mounted for one thread alone (kernel/mounts.py).
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress

INSTANCE_PREFIX = "ebpftop-"
# "p:kprobes/p_ebpftop_1234_do_sys_open_bcc_1234 do_sys_open": the name is from kernel/loader.py, the rest from BCC.
_EVENT = re.compile(rb"[pr]\d*:(kprobes/[pr]_ebpftop_(\d+)_\S+)")
# Written by an attached program's owner: it is gone as soon as its last descriptor is.
_BUSY = {errno.EBUSY, errno.EAGAIN}


def owners(tracefs_fd: int) -> set[int]:
    """Return the process ids that instances and events are named after."""
    found = {int(event[2]) for event in _events(tracefs_fd)}
    with suppress(OSError):
        instances_fd = os.open("instances", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tracefs_fd)
        try:
            names = os.listdir(instances_fd)
        finally:
            os.close(instances_fd)
        pids = (name.removeprefix(INSTANCE_PREFIX) for name in names if name.startswith(INSTANCE_PREFIX))
        found |= {int(pid) for pid in pids if pid.isascii() and pid.isdigit()}
    return found


def remove(tracefs_fd: int, pid: int) -> bool:
    """Remove what *pid* left; False if something of it is in use, so that another try may help."""
    done = True
    try:
        os.rmdir(f"instances/{INSTANCE_PREFIX}{pid}", dir_fd=tracefs_fd)
    except OSError as error:
        done = error.errno not in _BUSY
    for event in _events(tracefs_fd):
        if int(event[2]) == pid:
            done &= _remove_event(tracefs_fd, event[1])
    return done


def _events(tracefs_fd: int) -> list[re.Match[bytes]]:
    try:
        fd = os.open("kprobe_events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=tracefs_fd)
    except OSError:  # a kernel without kprobes
        return []
    try:
        text = b""
        while piece := os.read(fd, 1 << 16):
            text += piece
    except OSError:
        return []
    finally:
        os.close(fd)
    return [match for line in text.splitlines() if (match := _EVENT.match(line))]


def _remove_event(tracefs_fd: int, name: bytes) -> bool:
    try:
        # Not for appending, it would remove all events of the machine (Documentation/trace/kprobetrace.rst).
        fd = os.open("kprobe_events", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, dir_fd=tracefs_fd)
    except OSError:
        return True
    try:
        os.write(fd, b"-:%s\n" % name)
    except OSError as error:
        return error.errno not in _BUSY
    finally:
        os.close(fd)
    return True
