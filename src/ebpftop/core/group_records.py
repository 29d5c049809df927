"""The records of groups of processes: what each cgroup, each program and each user does (docs/groups.md)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec

from ebpftop.core.records import Count, TableReading
from ebpftop.core.syscall_records import Histogram

OTHER_ID = 0
"""The id of the row for all cgroups that are not counted one by one. No cgroup has it."""
OTHER_COMM = "(other programs)"
"""The same for programs: a character longer than any name that the kernel keeps."""

HierarchyName: TypeAlias = Literal["v1", "v2"]
ContainerState: TypeAlias = Literal["running", "paused", "exited"]
Seen: TypeAlias = Annotated[str, msgspec.Meta(max_length=128, pattern="^[0-9a-f]*$")]  # 512 bits


class Figures(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the processes of a group did: totals since the probe was first attached, without what was while it was off.

    A call counts when it returns, for the group that its process is in then, or when its thread ends in it. `execs` are
    the execve calls among them, `failed` those of these that failed; `total_ns` and `max_ns` are about those that
    returned, waiting included. ``histogram_ns[i]`` counts calls that took 2**i <= ns < 2**(i+1); the one at 4 has
    shorter ones too, the one at 35 longer ones. `seen` is a hexadecimal number with a bit for the number of each call
    of the native ABI that was made; `seen_other`: there were calls of another ABI, or with a number from 512 on.
    """

    execs: Count = 0
    failed: Count = 0
    calls: Count = 0
    errors: Count = 0
    total_ns: Count = 0
    max_ns: Count = 0
    histogram_ns: Histogram = ()
    seen: Seen = ""
    seen_other: bool = False


class CgroupRow(Figures, frozen=True, kw_only=True, gc=False):
    """A cgroup: its own processes, not those of cgroups below it.

    `hierarchy` is the unified one (``v2``), or that of the pids controller (``v1``) if the process is in the root of
    the unified one. `id` is the inode number of its folder; 0 stands for all cgroups that have no row. `path` is null
    if it is unknown. A cgroup that was removed stays, and is `gone`. `container` is as in an exec; `container_name` is
    what its engine calls it, null if that cannot be read; `state` is that of the container, by its cgroup. `running` is
    how many processes are in the cgroup, null if that cannot be read; `last` the program that was started last in it.
    `blocked` is how many threads of these processes are blocked now, those that the filter matches; null if that cannot
    be read.
    """

    hierarchy: HierarchyName
    id: Count
    path: str | None
    unit: str | None = None
    container: str | None = None
    container_name: str | None = None
    state: ContainerState | None = None
    gone: bool = False
    running: Count | None = None
    blocked: Count | None = None
    last: str = ""


class CommRow(Figures, frozen=True, kw_only=True, gc=False):
    """All processes that have one name: `comm` is that of the first thread. "(other programs)": all without a row.

    `blocked` is as of a cgroup.
    """

    comm: str
    blocked: Count | None = None


class UidRow(Figures, frozen=True, kw_only=True, gc=False):
    """All processes of one user; uid 4294967295 stands for all users that have no row."""

    uid: int


class Cgroups(TableReading, frozen=True, kw_only=True, tag="cgroups"):
    """What each cgroup does: hence each unit and each container."""

    rows: tuple[CgroupRow, ...]
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("hierarchy", "id")}
    paths: ClassVar[tuple[str, ...]] = ("path",)


class Comms(TableReading, frozen=True, kw_only=True, tag="comms"):
    """What each program does, by the names of processes."""

    rows: tuple[CommRow, ...]
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("comm",)}


class Uids(TableReading, frozen=True, kw_only=True, tag="uids"):
    """What each user does."""

    rows: tuple[UidRow, ...]
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("uid",)}
