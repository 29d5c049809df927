"""What an argument of a system call may point to: how much is read of it, how it reads as words.

The kernel side reads as bpf/syscalls_values.h says; `ebpftop.syscalls.memory` says which call has what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ebpftop.syscalls.clone_words import clone_args
from ebpftop.syscalls.memory_files import file_system, lock, lock_found, stat, statx
from ebpftop.syscalls.memory_interfaces import (
    file_flags,
    hardware_address,
    integer,
    interface,
    interface_by_index,
    interface_flags,
    interface_index,
    interface_name,
    owner,
    socket_place,
)
from ebpftop.syscalls.memory_lists import (
    descriptor_set,
    descriptors,
    entries,
    pointers,
    poll_descriptors,
    strings,
)
from ebpftop.syscalls.memory_messages import iovecs, message, name_length
from ebpftop.syscalls.memory_structs import (
    alternate_stack,
    capabilities,
    capability_header,
    cpus,
    epoll_event,
    epoll_events,
    ids,
    masked,
    restored_mask,
    signal_action,
    signal_set,
    system,
    timer_ns,
    timer_us,
    usage,
    wait_status,
)
from ebpftop.syscalls.memory_termios import termios
from ebpftop.syscalls.memory_words import (
    byte_string,
    hexadecimal_bytes,
    number,
    offset,
    option,
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


class Shape(IntEnum):
    """How much there is: enum value_size of bpf/syscalls_values.h."""

    NONE = 0
    FIXED = 1
    BY_ARG = 2
    BY_RESULT = 3
    BY_MEMORY = 4
    IOVECS = 5
    MSGHDR = 6
    IOVEC = 7
    BY_BITS = 8
    ENTRIES = 9
    STRINGS = 10
    POINTERS = 11
    ON_STACK = 12


class Lists(IntEnum):
    """How descriptors stand in memory: enum value_lists of bpf/syscalls_values.h."""

    NONE = 0
    INTS = 1
    POLLS = 2
    BITS = 3
    CONTROL = 4


SHOWN = 32
"""Bytes of a buffer that are shown, as strace does."""

Piece: TypeAlias = tuple[bytes, int]
"""What was read, and how many bytes there are."""
Pieces: TypeAlias = Mapping[int, Piece]
"""Of one argument by part: 0 is what it points to, 1 and so on what that points to, in order."""
Fds: TypeAlias = Mapping[int, str]
"""What descriptors in lists are."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument points to: *unit* bytes a piece of it, at most *most* are read.

    *words* makes words of the pieces. A kind that is *narrow* has the same layout for 32-bit programs; others are read
    of 64-bit programs alone. *filled*: the call writes it. *shape*: a `value_size` that is not the signature's.
    *lists*: how descriptors stand in it (`value_lists`); *named* makes words of them and what each is. *beside*: the
    words follow the address.
    """

    unit: int
    most: int
    words: Callable[[Pieces], str]
    narrow: bool = False
    filled: bool = False
    shape: Shape | None = None
    lists: Lists = Lists.NONE
    named: Callable[[Pieces, Fds], str] | None = None
    beside: bool = False


_INTERFACE_FIELDS: Mapping[str, Callable[[Pieces], str]] = {
    **dict.fromkeys(("addr", "dstaddr", "broadaddr", "netmask"), socket_place),
    **dict.fromkeys(("metric", "mtu", "ifindex", "qlen"), integer),
    "flags": interface_flags,
    "hwaddr": hardware_address,
}
"""Fields of struct ifreq that follow its name."""

KINDS: Mapping[str, Kind] = {
    "bytes": Kind(1, SHOWN + 1, byte_string, narrow=True),
    "filled_bytes": Kind(1, SHOWN + 1, byte_string, narrow=True, filled=True),
    "sockaddr": Kind(1, 128, socket_address, narrow=True),
    "filled_sockaddr": Kind(1, 128, socket_address, narrow=True, filled=True),
    "int": Kind(4, 4, number, narrow=True),
    "filled_int": Kind(4, 4, number, narrow=True, filled=True),
    "option": Kind(1, SHOWN + 1, option, narrow=True),
    "filled_option": Kind(1, SHOWN + 1, option, narrow=True, filled=True),
    "owner": Kind(8, 8, owner, narrow=True),
    "filled_owner": Kind(8, 8, owner, narrow=True, filled=True),
    "file_flags": Kind(4, 4, file_flags, narrow=True),
    "filled_file_flags": Kind(4, 4, file_flags, narrow=True, filled=True),
    "interface_name": Kind(40, 40, interface_name, narrow=True),
    "interface_index": Kind(40, 40, interface_index, narrow=True),
    "filled_interface_by_index": Kind(40, 40, interface_by_index, narrow=True, filled=True),
    **{
        f"{filled}interface_{name}": Kind(40, 40, interface(f"ifr_{name}", words), narrow=True, filled=bool(filled))
        for filled in ("", "filled_")
        for name, words in _INTERFACE_FIELDS.items()
    },
    "two_fds": Kind(8, 8, descriptors, narrow=True, filled=True, lists=Lists.INTS, named=descriptors),
    "iovec": Kind(16, SHOWN + 1, iovecs, shape=Shape.IOVECS),
    "filled_iovec": Kind(16, SHOWN + 1, iovecs, filled=True, shape=Shape.IOVECS),
    "msghdr": Kind(56, SHOWN + 1, message, shape=Shape.MSGHDR, lists=Lists.CONTROL, named=message),
    "filled_msghdr": Kind(56, SHOWN + 1, message, filled=True, shape=Shape.MSGHDR, lists=Lists.CONTROL, named=message),
    "pollfds": Kind(8, 256, poll_descriptors, narrow=True, lists=Lists.POLLS, named=poll_descriptors),
    "set": Kind(8, 128, descriptor_set, narrow=True, lists=Lists.BITS, named=descriptor_set),
    "filled_set": Kind(8, 128, descriptor_set, narrow=True, filled=True),
    "strings": Kind(1, 1, strings, narrow=True, shape=Shape.STRINGS),
    "pointers": Kind(1, 1, pointers, narrow=True, shape=Shape.POINTERS, beside=True),
    "entries": Kind(1, 1, entries, filled=True, shape=Shape.ENTRIES, beside=True),
    "entries64": Kind(1, 1, entries, narrow=True, filled=True, shape=Shape.ENTRIES, beside=True),
    "restored": Kind(37, 8, restored_mask, shape=Shape.ON_STACK),  # uc_sigmask of the ucontext of x86-64
    "masked": Kind(16, 8, masked, shape=Shape.IOVEC),
    "timespec": Kind(16, 16, timespec),
    "filled_timespec": Kind(16, 16, timespec, filled=True),
    "timeval": Kind(16, 16, timeval),
    "filled_timeval": Kind(16, 16, timeval, filled=True),
    "rlimit": Kind(16, 16, rlimit),
    "filled_rlimit": Kind(16, 16, rlimit, filled=True),
    "filled_string": Kind(1, 256, string, narrow=True, filled=True),
    "filled_random": Kind(1, SHOWN + 1, hexadecimal_bytes, narrow=True, filled=True),
    "two_times": Kind(32, 32, two_times),
    "window": Kind(8, 8, window_size, narrow=True),
    "filled_window": Kind(8, 8, window_size, narrow=True, filled=True),
    "termios": Kind(36, 36, termios, narrow=True),
    "filled_termios": Kind(36, 36, termios, narrow=True, filled=True),
    "offset": Kind(8, 8, offset, narrow=True),
    "filled_offset": Kind(8, 8, offset, narrow=True, filled=True),
    "statfs": Kind(120, 120, file_system, filled=True),
    "lock": Kind(32, 32, lock),
    "filled_lock": Kind(32, 32, lock_found, filled=True),
    "clone_args": Kind(1, 88, clone_args, narrow=True),
    "sigstack": Kind(24, 24, alternate_stack),
    "filled_sigstack": Kind(24, 24, alternate_stack, filled=True),
    "cap_header": Kind(8, 8, capability_header, narrow=True),
    "cap_sets": Kind(24, 24, capabilities, narrow=True),
    "filled_cap_sets": Kind(24, 24, capabilities, narrow=True, filled=True),
    "name_length": Kind(16, 16, name_length),
    "text": Kind(80, 80, string, narrow=True),
    "times": Kind(32, 32, process_times, filled=True),
    "name": Kind(16, 16, string, narrow=True),
    "filled_name": Kind(16, 16, string, narrow=True, filled=True),
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
