"""What a system call is about, by its name: the families with a handler of their own, and coarse categories for colour.

Names, never numbers: 222 is timer_create on x86_64 and mmap on arm64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from ebpftop.syscalls import abi as _abi

if TYPE_CHECKING:
    from ebpftop.records import Abi

Family: TypeAlias = Literal["exec", "timer_create", "timer_delete", "timer_other"]
Category: TypeAlias = Literal["file", "network", "memory", "process", "signal", "time", "ipc", "other"]

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
"""Calls whose business is to wait: they do not crowd out the ones that hang."""


_FAMILY_OF: Mapping[str, Family] = {name: family for family, names in FAMILIES.items() for name in names}


def family(name: str) -> Family | None:
    """Return the family of a call, None for the most of them."""
    return _FAMILY_OF.get(name)


@cache
def family_numbers(abi: Abi) -> Mapping[Family, frozenset[int]]:
    """Return the numbers of each family on *abi*; what the ABI lacks is left out."""
    table = _abi.numbers(abi)
    return {family: frozenset(table[name] for name in names if name in table) for family, names in FAMILIES.items()}


# First match wins, so the narrow patterns stand above the wide ones; each must match the whole name.
_CATEGORIES: tuple[tuple[Category, str], ...] = (
    (
        "time",
        r"timer_.*|timerfd_.*|clock_.*|[sg]etitimer|alarm|nanosleep|time|stime|times|[sg]ettimeofday|adjtimex",
    ),
    (
        "signal",
        r"(rt_)?(tg)?sig(?!nalfd).*|(s[gs])etmask|kill|tkill|tgkill|pause|pidfd_send_signal|restart_syscall",
    ),
    (
        "ipc",
        r"futex.*|[sg]et_robust_list|eventfd2?|signalfd4?|pipe2?|mq_.*|(msg|sem|shm)(get|ctl|op|rcv|snd|at|dt).*|semtimedop.*"
        r"|ipc|membarrier|userfaultfd|memfd_secret",
    ),
    (
        "memory",
        r"mmap2?|old_mmap|munmap|mremap|mprotect|pkey_.*|madvise|process_madvise|process_mrelease|mlock.*|munlock.*"
        r"|mincore|msync|brk|mbind|migrate_pages|move_pages|[sg]et_mempolicy.*|remap_file_pages|mseal|map_shadow_stack"
        r"|process_vm_.*|memfd_create|cacheflush|cachestat",
    ),
    (
        "network",
        r"socket|socketpair|socketcall|bind|listen|accept4?|connect|shutdown|getsockname|getpeername|[sg]etsockopt"
        r"|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg.*|set(host|domain)name|gethostname",
    ),
    (
        "process",
        r"v?fork|clone3?|execve.*|exit|exit_group|wait4|waitid|waitpid|[sg]et[a-z]*[ug]ids?(32)?|[sg]etpgid|getpgrp"
        r"|[sg]etsid|gettid|getpp?id|[sg]etgroups(32)?|capget|capset|prctl|arch_prctl|ptrace|sched_.*|[sg]etpriority"
        r"|nice|[sug]*[sg]etrlimit|prlimit64|ugetrlimit|getrusage|personality|set_tid_address|[sg]et_thread_area"
        r"|[sg]et_tls|unshare|setns|pidfd_open|pidfd_getfd|kcmp|seccomp|landlock_.*|rseq.*|getcpu|ioprio_.*"
        r"|modify_ldt|acct|iopl|ioperm|lsm_.*",
    ),
    (
        "file",
        r"read|write|readv|writev|p(read|write).*|open.*|creat|close.*|_?llseek|lseek|[fl]?(old)?l?stat.*|oldf?l?stat"
        r"|newfstatat|fstat.*|statx|statfs.*|fstatfs.*|statmount|listmount|access|faccessat.*|f?ch(mod|own|dir).*"
        r"|lchown.*|chroot|mkdir.*|rmdir|mknod.*|unlink.*|rename.*|link.*|symlink.*|readlink.*|f?truncate.*|fallocate"
        r"|fcntl.*|flock|f?data?sync|fsync|sync.*|dup[23]?|getdents.*|readdir|getcwd|umask|utime.*|futimesat"
        r"|.*xattr.*|ioctl|poll|ppoll.*|select|_newselect|pselect6.*|epoll_.*|io_.*|splice|vmsplice|tee|sendfile.*"
        r"|copy_file_range|readahead|.*fadvise64.*|sync_file_range.*|arm_.*|inotify_.*|fanotify_.*|mount.*|umount.*"
        r"|pivot_root|move_mount|fsopen|fsconfig|fsmount|fspick|name_to_handle_at|quotactl.*|file_[sg]etattr|swap(on|off)"
        r"|ustat|sysfs|lookup_dcookie|nfsservctl",
    ),
)


@cache
def _pattern() -> re.Pattern[str]:
    # Made at first use: compiling it costs milliseconds that a start without a screen has no use for.
    return re.compile("|".join(f"(?P<{category}>{pattern})" for category, pattern in _CATEGORIES))


@cache
def category(name: str) -> Category:
    """Return what *name* is about; "other" for what fits nowhere (bpf, reboot, getrandom, unknown numbers)."""
    match = _pattern().fullmatch(name)
    if match is None:
        return "other"
    return next(known for known, _ in _CATEGORIES if match[known] is not None)
