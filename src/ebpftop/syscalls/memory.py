"""The memory behind the arguments of system calls: what the kernel side reads of it, and how it reads as words.

    name[,name..] ARG=KIND[@SIZE][?ARG:VALUE[,VALUE..]] ..

ARG counts from 0. KIND is a row of `KINDS`. SIZE says how much there is: ``2`` as many units as argument 2 says,
``2bits`` a bit for each, ``ret`` as many units as the call returned, ``*2`` as many bytes as argument 2 points to;
without it, one unit. The kernel side reads when the call has returned: `filled` kinds only of a call that did not fail.
With ``<`` in place of ``=`` it reads when the call enters, since the call changes it. What depends on the value of
another argument (ioctl's on its request) has that behind the question mark.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from ebpftop.syscalls import constants
from ebpftop.syscalls.clone_words import cloned
from ebpftop.syscalls.decode import descriptor_args
from ebpftop.syscalls.memory_kinds import KINDS, Fds, Kind, Piece, Pieces, Shape
from ebpftop.syscalls.memory_lists import (
    descriptor_set,
    members,
    polled,
)
from ebpftop.syscalls.memory_messages import BEFORE, message
from ebpftop.syscalls.memory_words import (
    number,
    offset,
    socket_error,
    timespec,
    timeval,
)

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

VALUES_MAX = 10
"""Arguments of one call whose memory is read: VALUES of bpf/syscalls_values.h."""

_FILLED, _OF_32_BIT, _BEFORE = 1, 2, 4  # enum value_flag
_PLAN = struct.Struct("=BBBBBBH")
_HEAD = struct.Struct("=BBHIQ")
_PIECE_BEFORE = 8
LISTED = 255
"""The place among the arguments of what descriptors in lists are: see bpf/syscalls_listed.h."""
_FDS = struct.Struct("=BBBBB3x")
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
        *("open_tree", "io_uring_setup", "mq_open", "fcntl", "fcntl64"),
    )
)
"""Calls that return a file descriptor; fcntl does if it duplicates one."""
_DUPLICATES = (0, 1030)  # F_DUPFD, F_DUPFD_CLOEXEC
_CHANGES_FDS = frozenset(("close", "connect", "bind", "dup2", "dup3", "execveat"))
"""Calls whose descriptors are other files, or have other ends, when they return."""
_32_BIT: frozenset[Abi] = frozenset(("i386", "arm", "x32"))
_POLLS = ("poll", "ppoll")
_SELECTS = ("select", "pselect6")
F_GETFD, F_GETFL = 1, 3  # include/uapi/asm-generic/fcntl.h
_ERRNO_MAX = 4095
_SO_ERROR = 1, 4  # SOL_SOCKET, SO_ERROR of include/uapi/asm-generic/socket.h
_FLAGS_OF = {F_GETFD: "fdflags", F_GETFL: "open"}

TEXT = """
read,pread64,readlink 1=filled_bytes@ret
readlinkat 2=filled_bytes@ret
getcwd 0=filled_string@ret
getrandom 0=filled_random@ret
write,pwrite64 1=bytes@2
readv,preadv,preadv2 1=filled_iovec@2
writev,pwritev,pwritev2,vmsplice 1=iovec@2
connect,bind 1=sockaddr@2
accept,accept4,getsockname,getpeername 1=filled_sockaddr@*2 2<int 2=filled_int
sendto 1=bytes@2 4=sockaddr@5
recvfrom 1=filled_bytes@ret 4=filled_sockaddr@*5 5<int 5=filled_int
sendmsg 1=msghdr
recvmsg 1<name_length 1=filled_msghdr
pipe,pipe2 0=two_fds
socketpair 3=two_fds
poll,ppoll 0=pollfds@1
ppoll 2<timespec 2=timespec
select 1<set@0bits 2<set@0bits 3<set@0bits 4<timeval
select 1=filled_set@0bits 2=filled_set@0bits 3=filled_set@0bits 4=filled_timeval
pselect6 1<set@0bits 2<set@0bits 3<set@0bits 4<timespec 5=masked
pselect6 1=filled_set@0bits 2=filled_set@0bits 3=filled_set@0bits 4=filled_timespec
execve 1<strings 2<pointers
execveat 2<strings 3<pointers
getdents 1=entries@ret
getdents64 1=entries64@ret
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
rt_sigreturn 0<restored
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
epoll_ctl 3=epoll_event?1:1,3
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
ioctl 2=filled_int?1:0x541b,0x540f,0x5411,0x5424,0x5429,0x80045430,0x8903,0x8904,0x8905,0x894b
ioctl 2=filled_int?1:0x125e,0x1268,0x127a,0x80081270,0x1278,0x1279,0x127b,0x127c
ioctl 2=int?1:0x5421,0x5410,0x5452,0x40045431,0x8901,0x8902,0x125d,0x40081271
ioctl 2=filled_offset?1:0x80081272,0x1260,0x1263
ioctl 2=filled_file_flags?1:0x80086601
ioctl 2=file_flags?1:0x40086602
ioctl 2=filled_interface_flags?1:0x8913
ioctl 2=interface_flags?1:0x8914
ioctl 2=filled_interface_addr?1:0x8915
ioctl 2=interface_addr?1:0x8916
ioctl 2=filled_interface_dstaddr?1:0x8917
ioctl 2=interface_dstaddr?1:0x8918
ioctl 2=filled_interface_broadaddr?1:0x8919
ioctl 2=interface_broadaddr?1:0x891a
ioctl 2=filled_interface_netmask?1:0x891b
ioctl 2=interface_netmask?1:0x891c
ioctl 2=filled_interface_metric?1:0x891d
ioctl 2=interface_metric?1:0x891e
ioctl 2=filled_interface_mtu?1:0x8921
ioctl 2=interface_mtu?1:0x8922
ioctl 2=filled_interface_hwaddr?1:0x8927
ioctl 2=interface_hwaddr?1:0x8924
ioctl 2=filled_interface_ifindex?1:0x8933
ioctl 2=filled_interface_qlen?1:0x8942
ioctl 2=interface_qlen?1:0x8943
ioctl 2=interface_name?1:0x8913,0x8915,0x8917,0x8919,0x891b,0x891d,0x8921,0x8927,0x8933,0x8942
ioctl 2=filled_interface_by_index?1:0x8910
ioctl 2=interface_index?1:0x8910
ioctl 2=filled_window?1:0x5413
ioctl 2=window?1:0x5414
ioctl 2=filled_termios?1:0x5401
ioctl 2=termios?1:0x5402,0x5403,0x5404
times 0=times
sched_setscheduler 2=int
sched_setparam 1=int
sched_getparam 1=filled_int
prctl 1=name?0:15
prctl 1=filled_name?0:16
prctl 4=text?0:0x53564d41
statfs,fstatfs 1=statfs
statfs64,fstatfs64 2=statfs
fcntl 2=filled_lock?1:5,36
fcntl 2=lock?1:6,7,37,38
fcntl 2=filled_owner?1:16
fcntl 2=owner?1:15
clone3 0=clone_args@1
sigaltstack 0=sigstack 1=filled_sigstack
capget 0=cap_header 1=filled_cap_sets
capset 0=cap_header 1=cap_sets
gettimeofday 0=filled_timeval
settimeofday 0=timeval
getcpu 0=filled_int 1=filled_int
sendfile 2<offset 2=filled_offset
copy_file_range,splice 1<offset 3<offset
setsockopt 3=option@4
getsockopt 3=filled_option@*4 4<int 4=filled_int
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the memory of argument *arg* is read."""

    arg: int
    kind: Kind
    size: Shape
    of: int
    before: bool = False
    if_arg: int = 0
    if_values: tuple[int, ...] = ()
    """It is only memory if argument `if_arg` is one of these; always if there are none."""

    @property
    def place(self) -> int:
        """The argument, as pieces of it have it."""
        return self.arg | (_PIECE_BEFORE if self.before else 0)

    def packed(self, abi: Abi) -> bytes:
        """Return `struct value_plan` of bpf/syscalls_values.h."""
        flags = (_FILLED if self.kind.filled else 0) | (_OF_32_BIT if abi in _32_BIT else 0)
        flags |= _BEFORE if self.before else 0
        return _PLAN.pack(self.arg, self.size, self.of, flags, self.kind.lists, self.kind.unit, self.kind.most)


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
    before = "<" in text
    arg, _, rest = text.partition("<" if before else "=")
    name, _, size = rest.partition("@")
    kind = KINDS[name]
    how, of = Shape.FIXED, 0
    if size == "ret":
        how = Shape.BY_RESULT
    elif size.startswith("*"):
        how, of = Shape.BY_MEMORY, int(size[1:])
    elif size.endswith("bits"):
        how, of = Shape.BY_BITS, int(size.removesuffix("bits"))
    elif size:
        how, of = Shape.BY_ARG, int(size)
    if_values = tuple(int(value, 0) for value in values.split(",") if value)
    return Plan(int(arg), kind, how if kind.shape is None else kind.shape, of, before, int(if_arg or 0), if_values)


def plans(abi: Abi, name: str) -> tuple[Plan, ...]:
    """Return what is read of the memory of call *name*."""
    found = (plan for plan in _table().get(name, ()) if plan.kind.narrow or abi not in _32_BIT)
    return tuple(plan for plan in found if plan.kind.shape != Shape.ON_STACK or abi == "x86_64")


def packed_plans(abi: Abi, name: str) -> bytes:
    """Return `struct value_plans` of bpf/syscalls_values.h."""
    read = _read_once(plans(abi, name))
    packed = b"".join(plan.packed(abi) for plan in read).ljust(_PLAN.size * VALUES_MAX, b"\0")
    fds = [arg + 1 | (_IS_DIR if is_dir else 0) for arg, is_dir in descriptor_args(abi, name)[:FDS_MAX]]
    lists = any(plan.kind.lists for plan in plans(abi, name))
    return packed + _FDS.pack(*fds, *[0] * (FDS_MAX - len(fds)), name in RETURNS_FD, name in _CHANGES_FDS, lists)


def _read_once(plans_of: Sequence[Plan]) -> Sequence[Plan]:
    """Return the plans with those put together that read an argument in one of several ways, as ioctl's."""
    largest: dict[int, Plan] = {}
    for plan in plans_of:
        if plan.if_values:
            kind = largest[plan.arg].kind if plan.arg in largest else plan.kind
            most, filled = max(kind.most, plan.kind.most), kind.filled and plan.kind.filled
            largest[plan.arg] = replace(plan, kind=replace(plan.kind, most=most, filled=filled))
    return (*(plan for plan in plans_of if not plan.if_values), *largest.values())


def is_looked_at_before(abi: Abi, name: str) -> bool:
    """Return whether the call changes what is reported of it, so that it is looked at when it enters."""
    return name in _CHANGES_FDS or any(plan.before for plan in plans(abi, name))


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


def words(
    abi: Abi,
    name: str,
    args: Sequence[int],
    memory: Mapping[int, Pieces],
    fds: Fds = MappingProxyType({}),
    ret: int | None = None,
) -> Mapping[int, str]:
    """Return the words of arguments whose memory could be read, by argument.

    *args* are the six registers at entry, *ret* what the call returned, *fds* what descriptors in lists are. What was
    there before the call comes first; a number that the call changed follows.
    """
    failed = ret is not None and -_ERRNO_MAX <= ret < 0
    found: dict[int, str] = {}
    for plan in plans(abi, name):
        pieces = memory.get(plan.place)
        if not pieces or not _is_read(pieces) or args[plan.if_arg] not in (plan.if_values or args):
            continue
        if plan.kind.filled and failed:
            continue
        if plan.kind.shape == Shape.MSGHDR and plan.place | _PIECE_BEFORE in memory:
            pieces = {**pieces, BEFORE: memory[plan.place | _PIECE_BEFORE][0]}
        text = plan.kind.words(pieces) if plan.kind.named is None else plan.kind.named(pieces, fds)
        if not text:
            continue
        if plan.kind.beside:
            text = f"{args[plan.arg]:#x} {text}".rstrip()
        if plan.arg not in found:
            found[plan.arg] = text
        elif plan.kind.words is number and text != found[plan.arg]:
            found[plan.arg] = f"{found[plan.arg][:-1]} => {text[1:]}"
        elif plan.kind.words is offset:
            found[plan.arg] += f" => {text}"
        elif plan.kind.words is message:
            found[plan.arg] = text
    if name == "getsockopt" and tuple(args[1:3]) == _SO_ERROR and 3 in found:
        found[3] = socket_error(memory[3])
    if name == "clone3" and 0 in found:
        found[0] += cloned(memory[0], ret)
    return found


def returns_descriptor(name: str, args: Sequence[int]) -> bool:
    """Return whether what the call returns is a file descriptor."""
    return name in RETURNS_FD and (not name.startswith("fcntl") or args[1] & 0xFFFFFFFF in _DUPLICATES)


def result(abi: Abi, name: str, args: Sequence[int], ret: int, memory: Mapping[int, Pieces]) -> str | None:
    """Return in words what the call returned beside its number; None if that is all."""
    if ret < 0:
        return None
    if name in _POLLS and 0 in memory:
        left = [f"left {timespec(memory[2])}"] if name == "ppoll" and args[2] and 2 in memory else []
        return f"{ret} ({', '.join([polled(memory[0]), *left])})" if ret else "0 (Timeout)"
    if name in _SELECTS:
        return _selected(name, args, ret, memory)
    if name in ("fcntl", "fcntl64") and args[1] & 0xFFFFFFFF in _FLAGS_OF:
        flags = constants.ABI_WORDS.get((abi, _FLAGS_OF[args[1]])) or constants.WORDS[_FLAGS_OF[args[1]]]
        return f"{ret:#x} (flags {flags(ret)})" if ret or args[1] == F_GETFL else None
    return None


def _selected(name: str, args: Sequence[int], ret: int, memory: Mapping[int, Pieces]) -> str | None:
    if not ret:
        return "0 (Timeout)"
    parts = [
        f"{word} {descriptor_set(memory[arg])}"
        for arg, word in ((1, "in"), (2, "out"), (3, "except"))
        if args[arg] and arg in memory and members(memory[arg])
    ]
    if args[4] and 4 in memory:
        parts.append(f"left {timeval(memory[4]) if name == 'select' else timespec(memory[4])}")
    return f"{ret} ({', '.join(parts)})" if parts else None


def _is_read(pieces: Pieces) -> bool:
    data, whole = pieces.get(0, (b"", 0))
    return bool(data) or not whole
