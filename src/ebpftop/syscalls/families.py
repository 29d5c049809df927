"""What a system call is about, by its name: the families with a handler of their own, and coarse categories for colour.

Names, never numbers: 222 is timer_create on x86_64 and mmap on arm64.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from ebpftop.syscalls import abi as _abi

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

Family: TypeAlias = Literal["exec", "timer_create", "timer_delete", "timer_other"]

FAMILIES: Mapping[Family, tuple[str, ...]] = {
    "exec": ("execve", "execveat"),
    "timer_create": ("timer_create", "timerfd_create"),
    "timer_delete": ("timer_delete",),
    "timer_other": (
        "timer_settime",
        "timer_settime64",
        "timer_gettime",
        "timer_gettime64",
        "timer_getoverrun",
        "timerfd_settime",
        "timerfd_settime64",
        "timerfd_gettime",
        "timerfd_gettime64",
        "setitimer",
        "getitimer",
        "alarm",
    ),
}
"""Names by family. The 64 variants are those of 32-bit ABIs, for the years after 2038."""

WAITS = frozenset(
    (
        *("poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64"),
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "futex_time64", "futex_wait", "futex_waitv"),
        *("nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "wait4", "waitid", "waitpid", "pause"),
        *("rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_sigsuspend", "sigsuspend", "accept", "accept4"),
        *("io_getevents", "io_uring_enter", "restart_syscall"),
    )
)
"""Calls whose purpose is to wait: they must not displace calls that hang."""

MAY_WAIT = WAITS | frozenset(
    (
        *("read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "connect", "flock", "vfork"),
        *("semop", "semtimedop", "semtimedop_time64", "msgrcv", "msgsnd"),
        *("mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64"),
        *("io_pgetevents", "io_pgetevents_time64"),
    )
)
"""Calls that wait for others as often as they work, also those that read: their time says nothing about their cost."""


_FAMILY_OF: Mapping[str, Family] = {name: family for family, names in FAMILIES.items() for name in names}


def family(name: str) -> Family | None:
    """Return the family of a call, None for most calls."""
    return _FAMILY_OF.get(name)


@cache
def family_numbers(abi: Abi) -> Mapping[Family, frozenset[int]]:
    """Return the numbers of each family on *abi*; what the ABI lacks is left out."""
    table = _abi.numbers(abi)
    return {family: frozenset(table[name] for name in names if name in table) for family, names in FAMILIES.items()}
