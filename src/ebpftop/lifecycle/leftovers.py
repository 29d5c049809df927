"""What a process leaves in tracefs when it dies: its trace instance. Everything else dies with it.

Programs, maps and links live as long as their descriptors. The instance has a name, so it stays until it is removed.
The name contains its owner. Everything goes through a descriptor of tracefs, which may be mounted for one thread only
(kernel/mount_namespace.py).
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self

FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""The inode number of the first pid namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h."""

_INSTANCE_PREFIX = "ebpftop-"
_OWNER = re.compile(r"(\d+)(?:n(\d+))?", re.ASCII)
# Somebody has a file of it open.
_BUSY = {errno.EBUSY, errno.EAGAIN}


class Owner(NamedTuple):
    """A process, by pid and pid namespace: all pid namespaces share one tracefs."""

    pid: int
    pid_namespace: int
    """Its inode number (namespaces(7)): no two existing namespaces have the same."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return this process. Without /proc, assume the first pid namespace."""
        try:
            namespace = os.stat("/proc/self/ns/pid").st_ino
        except OSError:
            namespace = FIRST_PID_NAMESPACE
        return cls(os.getpid(), namespace)

    @classmethod
    def named(cls, name: str) -> Self | None:
        """Return the owner with this `name`; None if it is not such a name."""
        found = _OWNER.fullmatch(name)
        return None if found is None else cls(int(found[1]), int(found[2] or FIRST_PID_NAMESPACE))

    @property
    def name(self) -> str:
        """The pid. Outside the first pid namespace, the namespace follows: "12n4026532200"."""
        return f"{self.pid}" if self.pid_namespace == FIRST_PID_NAMESPACE else f"{self.pid}n{self.pid_namespace}"

    @property
    def instance(self) -> str:
        """The name of its trace instance."""
        return f"{_INSTANCE_PREFIX}{self.name}"


def owners(tracefs_fd: int) -> set[Owner]:
    """Return the processes that instances are named after."""
    instances: list[str] = []
    with suppress(OSError):
        instances_fd = os.open("instances", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tracefs_fd)
        try:
            instances = os.listdir(instances_fd)
        finally:
            os.close(instances_fd)
    names = (name.removeprefix(_INSTANCE_PREFIX) for name in instances if name.startswith(_INSTANCE_PREFIX))
    return {owner for name in names if (owner := Owner.named(name)) is not None}


def remove(tracefs_fd: int, owner: Owner) -> bool:
    """Remove what *owner* left; return False if it is in use, so another try may help."""
    try:
        os.rmdir(f"instances/{owner.instance}", dir_fd=tracefs_fd)
    except OSError as error:
        return error.errno not in _BUSY
    return True
