"""The record of users: how many programs each starts."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ebpftop.core.records import Count, TableReading

OTHER_UID = 0xFFFFFFFF
"""All users that are not listed one by one, counted together. No user has (uid_t)-1."""


class UserRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Counters of one uid: execve attempts, and how many of them failed; `last` is the program started last.

    Uid 4294967295, named "other", stands for all users that the kernel's map had no room for. `userns` is the inode
    number of the user namespace in which the user was seen last, 0 for the first one. `ns_uid` is the uid in there.
    """

    uid: int
    user: str | None
    execs: Count
    failed: Count
    last: str = ""
    ns_uid: int | None = None
    userns: int = 0


class Users(TableReading, frozen=True, kw_only=True, tag="users"):
    """Counters of every uid seen."""

    rows: tuple[UserRow, ...]
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("uid",)}
