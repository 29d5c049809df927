"""What a filter can match: users, processes with their descendants, command names, cgroups, containers."""

from __future__ import annotations

from dataclasses import dataclass

UID_MAX = 0xFFFFFFFE
"""The largest user id. (uid_t)-1 is not a user."""

COMM_BYTES = 15
"""The kernel keeps this many bytes of a command name (TASK_COMM_LEN, without its NUL)."""


def comm_bytes(name: str) -> bytes:
    """Return a command name as the kernel has it; *name* may have a ``*`` at its end."""
    return name.removesuffix("*").encode("utf-8", "surrogateescape")


def is_cgroup_path(path: str) -> bool:
    """Return whether *path* can name a cgroup. "", "." and ".." cannot: they would mean the root, so all processes.

    In a cgroup namespace /proc shows cgroups outside of it with ``..``. They are not the cgroups of that name below its
    root.
    """
    return bool(path) and not {".", ".."} & set(path.split("/"))


@dataclass(frozen=True)
class Values:
    """Values of each kind. `pids` are processes with all that they started.

    `comms` are command names as the kernel keeps them (15 bytes), with a ``*`` at the end for a prefix. `cgroups` are
    paths in the unified hierarchy, or in that of v1's pids controller; descendants match too. `containers` are ids, or
    prefixes of ids.
    """

    uids: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.uids or self.pids or self.comms or self.cgroups or self.containers)

    def kinds(self) -> tuple[tuple[str, tuple[int | str, ...]], ...]:
        """Return each kind's name with its values."""
        return (
            ("uid", self.uids),
            ("pid", self.pids),
            ("comm", self.comms),
            ("cgroup", self.cgroups),
            ("container", self.containers),
        )

    def with_all_of(self, other: Values) -> Values:
        """Return the values of both."""
        return Values(
            uids=tuple(dict.fromkeys(self.uids + other.uids)),
            pids=tuple(dict.fromkeys(self.pids + other.pids)),
            comms=tuple(dict.fromkeys(self.comms + other.comms)),
            cgroups=tuple(dict.fromkeys(self.cgroups + other.cgroups)),
            containers=tuple(dict.fromkeys(self.containers + other.containers)),
        )


NONE = Values()

NOT = "not-"
"""In front of a kind whose values are excluded."""


@dataclass(frozen=True)
class Filter(Values):
    """Every kind that is not empty must match; within a kind, any value does. Matched in the kernel.

    Whatever matches one value of `excluded` does not match. `hide_self` leaves ebpftop itself out.
    """

    excluded: Values = NONE
    hide_self: bool = True

    def __bool__(self) -> bool:
        """Return whether anything but `hide_self` is set."""
        return super().__bool__() or bool(self.excluded)

    def __str__(self) -> str:
        """Return the filter as command line options."""
        return " ".join(self.options)

    def kinds(self) -> tuple[tuple[str, tuple[int | str, ...]], ...]:
        """Return the name of each kind with its values: of options, and of what they exclude (`NOT` in front)."""
        return (*super().kinds(), *((f"{NOT}{name}", values) for name, values in self.excluded.kinds()))

    @property
    def options(self) -> tuple[str, ...]:
        """The filter as arguments of a command."""
        found: list[str] = []
        for name, values in self.kinds():
            for text in map(str, values):
                found += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
        return tuple(found)

    def combined(self, step: Filter) -> Filter:
        """Return this filter, with each kind that *step* sets replaced by the one of *step*; what both exclude is."""
        return Filter(
            uids=step.uids or self.uids,
            pids=step.pids or self.pids,
            comms=step.comms or self.comms,
            cgroups=step.cgroups or self.cgroups,
            containers=step.containers or self.containers,
            excluded=self.excluded.with_all_of(step.excluded),
            hide_self=self.hide_self,
        )


EVERYTHING = Filter()
"""Leaves out ebpftop itself, and nothing else."""
