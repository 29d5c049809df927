"""The memory behind the arguments of system calls: what the kernel side reads of it, and how it reads as words.

    name[,name..] ARG=KIND[@SIZE][?ARG:VALUE[,VALUE..]] ..

ARG counts from 0. KIND is a row of `KINDS`. SIZE says how much there is: ``2`` as many units as argument 2 says,
``ret`` as many as the call returned, ``*2`` as many bytes as argument 2 points to; without it, one unit. The kernel
side reads when the call has returned: `filled` kinds only of a call that did not fail. What depends on the value of
another argument (ioctl's on its request) has that behind the question mark.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from ebpftop.syscalls import constants
from ebpftop.syscalls.decode import descriptor_args
from ebpftop.syscalls.memory_structs import (
    cpus,
    epoll_event,
    epoll_events,
    ids,
    signal_action,
    signal_set,
    stat,
    statx,
    system,
    timer_ns,
    timer_us,
    usage,
    wait_status,
)
from ebpftop.syscalls.memory_words import (
    byte_string,
    descriptors,
    hexadecimal_bytes,
    iovecs,
    message,
    number,
    option,
    poll_descriptors,
    polled,
    process_times,
    rlimit,
    socket_address,
    string,
    system_name,
    timespec,
    timeval,
    two_times,
    window_size,
)

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

VALUES_MAX = 4
"""Arguments of one call whose memory is read: VALUES of bpf/syscalls_values.h."""

_NONE, _FIXED, _BY_ARG, _BY_RESULT, _BY_MEMORY, _IOVECS, _MSGHDR = range(7)  # enum value_size
_FILLED, _OF_32_BIT = 1, 2  # enum value_flag
_PLAN = struct.Struct("=BBBBHH")
_HEAD = struct.Struct("=BBHIQ")
_FDS = struct.Struct("=BBB5x")
FDS_MAX = 2
"""Arguments of one call that are descriptors and whose files are named; a third one has a number only."""
_IS_DIR = 128  # FILE_IS_DIR
RETURNS_FD = frozenset(
    (
        *("open", "openat", "openat2", "creat", "open_by_handle_at", "socket"),
        *("accept", "accept4", "dup", "dup2", "dup3", "epoll_create"),
        *("epoll_create1", "eventfd", "eventfd2", "signalfd", "signalfd4", "timerfd_create"),
        *("inotify_init", "inotify_init1", "fanotify_init", "memfd_create", "memfd_secret", "pidfd_open"),
        *("pidfd_getfd", "userfaultfd", "perf_event_open", "fsopen", "fsmount", "fspick"),
        *("open_tree", "io_uring_setup", "mq_open"),
    )
)
"""Calls that return a file descriptor."""
_32_BIT: frozenset[Abi] = frozenset(("i386", "arm", "x32"))
_POLLS = ("poll", "ppoll")
F_GETFD, F_GETFL = 1, 3  # include/uapi/asm-generic/fcntl.h
_FLAGS_OF = {F_GETFD: "fdflags", F_GETFL: "open"}
SHOWN = 32
"""Bytes of a buffer that are shown, as strace does."""

Piece: TypeAlias = tuple[bytes, int]
"""What was read, and how many bytes there are."""
Pieces: TypeAlias = Mapping[int, Piece]
"""Of one argument by part: 0 is what it points to, 1 and so on what that points to, in order."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument points to: *unit* bytes a piece of it, at most *most* are read.

    *words* makes words of the pieces. A kind that is *narrow* has the same layout for 32-bit programs; others are read
    of 64-bit programs alone. *filled*: the call writes it. *shape*: a `value_size` that is not the signature's.
    """

    unit: int
    most: int
    words: Callable[[Pieces], str]
    narrow: bool = False
    filled: bool = False
    shape: int | None = None


KINDS: Mapping[str, Kind] = {
    "bytes": Kind(1, SHOWN + 1, byte_string, narrow=True),
    "filled_bytes": Kind(1, SHOWN + 1, byte_string, narrow=True, filled=True),
    "sockaddr": Kind(1, 128, socket_address, narrow=True),
    "filled_sockaddr": Kind(1, 128, socket_address, narrow=True, filled=True),
    "int": Kind(4, 4, number, narrow=True),
    "filled_int": Kind(4, 4, number, narrow=True, filled=True),
    "option": Kind(1, SHOWN + 1, option, narrow=True),
    "filled_option": Kind(1, SHOWN + 1, option, narrow=True, filled=True),
    "two_fds": Kind(8, 8, descriptors, narrow=True, filled=True),
    "iovec": Kind(16, SHOWN + 1, iovecs, shape=_IOVECS),
    "filled_iovec": Kind(16, SHOWN + 1, iovecs, filled=True, shape=_IOVECS),
    "msghdr": Kind(56, SHOWN + 1, message, shape=_MSGHDR),
    "filled_msghdr": Kind(56, SHOWN + 1, message, filled=True, shape=_MSGHDR),
    "pollfds": Kind(8, 256, poll_descriptors, narrow=True),
    "polled": Kind(8, 256, polled, narrow=True, filled=True),
    "timespec": Kind(16, 16, timespec),
    "filled_timespec": Kind(16, 16, timespec, filled=True),
    "timeval": Kind(16, 16, timeval),
    "filled_timeval": Kind(16, 16, timeval, filled=True),
    "rlimit": Kind(16, 16, rlimit),
    "filled_rlimit": Kind(16, 16, rlimit, filled=True),
    "filled_string": Kind(1, 256, string, narrow=True, filled=True),
    "filled_random": Kind(1, SHOWN + 1, hexadecimal_bytes, narrow=True, filled=True),
    "two_times": Kind(32, 32, two_times),
    "window": Kind(8, 8, window_size, narrow=True, filled=True),
    "times": Kind(32, 32, process_times, filled=True),
    "name": Kind(16, 16, string, narrow=True),
    "stat": Kind(144, 144, stat, filled=True),
    "statx": Kind(64, 64, statx, narrow=True, filled=True),
    "sigset": Kind(8, 8, signal_set, narrow=True),
    "filled_sigset": Kind(8, 8, signal_set, narrow=True, filled=True),
    "sigaction": Kind(32, 32, signal_action),
    "filled_sigaction": Kind(32, 32, signal_action, filled=True),
    "status": Kind(4, 4, wait_status, narrow=True, filled=True),
    "rusage": Kind(32, 32, usage, filled=True),
    "itimerval": Kind(32, 32, timer_us),
    "filled_itimerval": Kind(32, 32, timer_us, filled=True),
    "itimerspec": Kind(32, 32, timer_ns),
    "filled_itimerspec": Kind(32, 32, timer_ns, filled=True),
    "epoll_event": Kind(12, 12, epoll_event, narrow=True),
    "epoll_events": Kind(12, 384, epoll_events, narrow=True, filled=True),
    "cpus": Kind(1, 128, cpus, narrow=True),
    "filled_cpus": Kind(1, 128, cpus, narrow=True, filled=True),
    "sysinfo": Kind(112, 112, system, filled=True),
    "utsname": Kind(130, 130, system_name, narrow=True, filled=True),
    "id": Kind(4, 4, ids, narrow=True, filled=True),
    "ids": Kind(4, 128, ids, narrow=True),
    "filled_ids": Kind(4, 128, ids, narrow=True, filled=True),
}

TEXT = """
read,pread64,readlink 1=filled_bytes@ret
readlinkat 2=filled_bytes@ret
getcwd 0=filled_string@ret
getrandom 0=filled_random@ret
write,pwrite64 1=bytes@2
readv,preadv,preadv2 1=filled_iovec@2
writev,pwritev,pwritev2,vmsplice 1=iovec@2
connect,bind 1=sockaddr@2
accept,accept4,getsockname,getpeername 1=filled_sockaddr@*2 2=filled_int
sendto 1=bytes@2 4=sockaddr@5
recvfrom 1=filled_bytes@ret 4=filled_sockaddr@*5 5=filled_int
sendmsg 1=msghdr
recvmsg 1=filled_msghdr
pipe,pipe2 0=two_fds
socketpair 3=two_fds
poll,ppoll 0=pollfds@1
nanosleep 0=timespec
clock_nanosleep 2=timespec
clock_gettime,clock_getres 1=filled_timespec
clock_settime 1=timespec
setrlimit 1=rlimit
getrlimit 1=filled_rlimit
prlimit64 2=rlimit 3=filled_rlimit
stat,lstat,fstat 1=stat
newfstatat 2=stat
statx 4=statx
rt_sigaction 1=sigaction 2=filled_sigaction
rt_sigprocmask 1=sigset 2=filled_sigset
rt_sigpending 0=filled_sigset
rt_sigsuspend,rt_sigtimedwait 0=sigset
rt_sigtimedwait 2=timespec
signalfd,signalfd4 1=sigset
ppoll 3=sigset
wait4 1=status 3=rusage
getrusage 1=rusage
setitimer 1=itimerval 2=filled_itimerval
getitimer 1=filled_itimerval
timerfd_settime 2=itimerspec 3=filled_itimerspec
timer_settime 2=itimerspec 3=filled_itimerspec
timerfd_gettime,timer_gettime 1=filled_itimerspec
epoll_ctl 3=epoll_event
epoll_wait,epoll_pwait,epoll_pwait2 1=epoll_events@ret
epoll_pwait2 3=timespec
sched_setaffinity 2=cpus@1
sched_getaffinity 2=filled_cpus@ret
sysinfo 0=sysinfo
uname 0=utsname
getresuid,getresgid 0=id 1=id 2=id
getgroups 1=filled_ids@ret
setgroups 1=ids@0
futex 3=timespec?1:0,128,256,384,9,137,265,393
utimensat 2=two_times
ioctl 2=filled_int?1:0x541b,0x540f,0x5424
ioctl 2=int?1:0x5421,0x5410
ioctl 2=window?1:0x5413
times 0=times
sched_setscheduler 2=int
sched_setparam 1=int
sched_getparam 1=filled_int
prctl 1=name?0:15
setsockopt 3=option@4
getsockopt 3=filled_option@*4 4=filled_int
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the memory of argument *arg* is read."""

    arg: int
    kind: Kind
    size: int
    of: int
    if_arg: int = 0
    if_values: tuple[int, ...] = ()
    """It is only memory if argument `if_arg` is one of these; always if there are none."""

    def packed(self, abi: Abi) -> bytes:
        """Return `struct value_plan` of bpf/syscalls_values.h."""
        flags = (_FILLED if self.kind.filled else 0) | (_OF_32_BIT if abi in _32_BIT else 0)
        return _PLAN.pack(self.arg, self.size, self.of, flags, self.kind.unit, self.kind.most)


@cache
def _table() -> Mapping[str, tuple[Plan, ...]]:
    table: dict[str, tuple[Plan, ...]] = {}
    for line in filter(None, TEXT.splitlines()):
        names, *arguments = line.split()
        plans = tuple(_plan(argument) for argument in arguments)
        for name in names.split(","):
            table[name] = (*table.get(name, ()), *plans)
    return table


def _plan(text: str) -> Plan:
    text, _, condition = text.partition("?")
    if_arg, _, values = condition.partition(":")
    arg, _, rest = text.partition("=")
    name, _, size = rest.partition("@")
    kind = KINDS[name]
    how, of = _FIXED, 0
    if size == "ret":
        how = _BY_RESULT
    elif size.startswith("*"):
        how, of = _BY_MEMORY, int(size[1:])
    elif size:
        how, of = _BY_ARG, int(size)
    if_values = tuple(int(value, 0) for value in values.split(",") if value)
    return Plan(int(arg), kind, how if kind.shape is None else kind.shape, of, int(if_arg or 0), if_values)


def plans(abi: Abi, name: str) -> tuple[Plan, ...]:
    """Return what is read of the memory of call *name*: at most VALUES_MAX arguments."""
    return tuple(plan for plan in _table().get(name, ()) if plan.kind.narrow or abi not in _32_BIT)[:VALUES_MAX]


def packed_plans(abi: Abi, name: str) -> bytes:
    """Return `struct value_plans` of bpf/syscalls_values.h."""
    packed = b"".join(plan.packed(abi) for plan in plans(abi, name)).ljust(_PLAN.size * VALUES_MAX, b"\0")
    fds = [arg + 1 | (_IS_DIR if is_dir else 0) for arg, is_dir in descriptor_args(abi, name)[:FDS_MAX]]
    return packed + _FDS.pack(*fds, *[0] * (FDS_MAX - len(fds)), name in RETURNS_FD)


def pieces_by_argument(raw: bytes) -> Mapping[int, Pieces]:
    """Return the pieces that the kernel side appended to an event; what does not fit its own lengths is left out."""
    found: dict[int, dict[int, Piece]] = {}
    at = 0
    while at + _HEAD.size <= len(raw):
        arg, part, length, _, whole = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        found.setdefault(arg, {})[part] = raw[at : at + length], whole
        at += -(-length // 8) * 8
    return found


def words(abi: Abi, name: str, args: Sequence[int], memory: Mapping[int, Pieces]) -> Mapping[int, str]:
    """Return the words of arguments whose memory could be read, by argument; *args* are the six registers at entry."""
    found = {}
    for plan in plans(abi, name):
        pieces = memory.get(plan.arg)
        if pieces and _is_read(pieces) and args[plan.if_arg] in (plan.if_values or args):
            found[plan.arg] = plan.kind.words(pieces)
    return found


def result(abi: Abi, name: str, args: Sequence[int], ret: int, memory: Mapping[int, Pieces]) -> str | None:
    """Return in words what the call returned beside its number; None if that is all."""
    if ret < 0:
        return None
    if name in _POLLS and 0 in memory:
        return f"{ret} ({polled(memory[0])})" if ret else "0 (Timeout)"
    if name in ("fcntl", "fcntl64") and args[1] & 0xFFFFFFFF in _FLAGS_OF:
        flags = constants.ABI_WORDS.get((abi, _FLAGS_OF[args[1]])) or constants.WORDS[_FLAGS_OF[args[1]]]
        return f"{ret:#x} (flags {flags(ret)})" if ret or args[1] == F_GETFL else None
    return None


def _is_read(pieces: Pieces) -> bool:
    data, whole = pieces.get(0, (b"", 0))
    return bool(data) or not whole
