"""What the user wants to see: users, processes with their descendants, command names, cgroups, containers."""

from __future__ import annotations

from dataclasses import dataclass

UID_MAX = 0xFFFFFFFE
"""The largest user id: (uid_t)-1 stands for nobody."""

COMM_BYTES = 15
"""So much of a command name is kept by the kernel (TASK_COMM_LEN, without its NUL)."""


def comm_bytes(name: str) -> bytes:
    """Return a command name as the kernel has it; *name* may have a ``*`` at its end."""
    return name.removesuffix("*").encode("utf-8", "surrogateescape")


def is_cgroup_path(path: str) -> bool:
    """Tell whether *path* can name a cgroup: not "", ".", "..", which would come to mean the root, that is everybody.

    In a cgroup namespace /proc shows cgroups outside of it with ``..``; they are not those of that name below its root.
    """
    return bool(path) and not {".", ".."} & set(path.split("/"))


@dataclass(frozen=True)
class Filter:
    """Every kind that is not empty must match; within a kind, any value does. Decided in the kernel.

    `comms` are command names as the kernel keeps them (15 bytes), a ``*`` at the end for a prefix. `cgroups` are paths
    in the unified hierarchy, or in that of v1's pids controller, and descendants match too; `containers` are ids, or
    how they begin. `hide_self` leaves ebpftop itself out.
    """

    uids: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    hide_self: bool = True

    def __bool__(self) -> bool:
        """Tell whether anything but `hide_self` is asked for."""
        return bool(self.uids or self.pids or self.comms or self.cgroups or self.containers)

    def __str__(self) -> str:
        """Return the filter as its options."""
        return " ".join(f"--{name} {value}" for name, values in self.kinds() for value in values)

    def kinds(self) -> tuple[tuple[str, tuple[int | str, ...]], ...]:
        """Return each kind's name with its values."""
        return (
            ("uid", self.uids),
            ("pid", self.pids),
            ("comm", self.comms),
            ("cgroup", self.cgroups),
            ("container", self.containers),
        )

    def combined(self, step: Filter) -> Filter:
        """Return this filter with the kinds that *step* sets taken from there."""
        return Filter(
            uids=step.uids or self.uids,
            pids=step.pids or self.pids,
            comms=step.comms or self.comms,
            cgroups=step.cgroups or self.cgroups,
            containers=step.containers or self.containers,
            hide_self=self.hide_self,
        )


EVERYTHING = Filter()
"""Nothing is left out but ebpftop itself."""
