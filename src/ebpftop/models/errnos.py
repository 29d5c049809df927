"""The errors that system calls return, by errno: the counters of the calls, looked at from the other side."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from ebpftop.core.syscall_records import Abi
from ebpftop.models.syscalls import Call
from ebpftop.syscalls.errno_names import error_code

_INTERNAL = "interrupted: the kernel repeats it, or returns EINTR"
"""What errors mean that no program sees: a signal came (include/linux/errno.h)."""
_INTERNAL_FROM = 512


@dataclass(frozen=True, slots=True)
class Returned:
    """A call that returned an error: how often, since counting began, and each second over the last reading."""

    name: str
    abi: Abi
    count: int
    rate: float


@dataclass(slots=True)
class Errno:
    """An error: `calls` that returned it, the most frequent first."""

    name: str
    count: int = 0
    rate: float = 0.0
    share: float = 0.0
    """Of all errors, 0 to 1."""
    calls: list[Returned] = field(default_factory=list)

    @property
    def code(self) -> int | None:
        """Its number; None if it has none that is known here."""
        return error_code(self.name)

    @property
    def meaning(self) -> str:
        """What it means, as the C library says."""
        code = self.code
        if code is None:
            return ""
        return _INTERNAL if code >= _INTERNAL_FROM else os.strerror(code)

    @property
    def most(self) -> Returned:
        """The call that returned it most often."""
        return self.calls[0]


def by_errno(calls: Iterable[Call]) -> list[Errno]:
    """Return the errors of *calls* since their counting began."""
    found: dict[str, Errno] = {}
    for call in calls:
        for name, count in call.errnos().items():
            # What appears after the first reading had returned nothing before it.
            before = call.before.errnos.get(name, 0) if call.before is not None else 0
            gained = max(0, call.row.errnos.get(name, 0) - before)
            rate = gained / call.seconds if call.seconds > 0 else 0.0
            errno = found.setdefault(name, Errno(name))
            errno.count += count
            errno.rate += rate
            errno.calls.append(Returned(call.row.name, call.row.abi, count, rate))
    whole = sum(errno.count for errno in found.values())
    for errno in found.values():
        errno.share = errno.count / whole
        errno.calls.sort(key=lambda one: (-one.count, one.name))
    return list(found.values())
