"""Structures of files, signals and processes in words, spelled as strace does. Layouts: include/uapi, 64-bit."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ebpftop.syscalls.errno_names import signal_name

_Pieces = Mapping[int, tuple[bytes, int]]

_FILE_TYPES = {
    **{0o010000: "S_IFIFO", 0o020000: "S_IFCHR", 0o040000: "S_IFDIR", 0o060000: "S_IFBLK"},
    **{0o100000: "S_IFREG", 0o120000: "S_IFLNK", 0o140000: "S_IFSOCK"},
}
_DEVICES = (0o020000, 0o060000)


def _numbers(form: str, pieces: _Pieces, at: int = 0) -> tuple[int, ...]:
    """Return the fields of a structure; zeros for what was not read."""
    layout = struct.Struct(form)
    return layout.unpack(pieces[0][0][at:].ljust(layout.size, b"\0")[: layout.size])


def mode(value: int) -> str:
    """Return the mode of a file in words."""
    kind = _FILE_TYPES.get(value & 0o170000)
    bits = f"0{value & 0o777:o}" if value & 0o777 else "000"
    special = "".join(
        f"{name}|" for bit, name in ((0o4000, "S_ISUID"), (0o2000, "S_ISGID"), (0o1000, "S_ISVTX")) if value & bit
    )
    return f"{kind}|{special}{bits}" if kind else f"0{value:o}"


def _device(major: int, minor: int) -> str:
    return f"makedev({major:#x}, {minor:#x})"


def stat(pieces: _Pieces) -> str:
    """Show struct stat of x86-64 or arm64: the type, and the size, or the device that it is."""
    if len(pieces[0][0]) >= _STAT_X86:
        value, device, size = *_numbers("=I", pieces, 24), *_numbers("=qq", pieces, 40)
    else:
        value, device, size = *_numbers("=I", pieces, 16), *_numbers("=q", pieces, 32), *_numbers("=q", pieces, 48)
    if value & 0o170000 in _DEVICES:
        major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
        return f"{{st_mode={mode(value)}, st_rdev={_device(major, minor)}, ...}}"
    return f"{{st_mode={mode(value)}, st_size={size}, ...}}"


_STAT_X86 = 144


def statx(pieces: _Pieces) -> str:
    """Show struct statx as far as strace does by default."""
    mask, _, attributes = _numbers("=IIQ", pieces)
    (value,) = _numbers("=H", pieces, 28)
    (size,) = _numbers("=Q", pieces, 40)
    return (
        f"{{stx_mask={_mask(mask)}, stx_attributes={_bits(attributes, _ATTRIBUTES)}, "
        f"stx_mode={mode(value)}, stx_size={size}, ...}}"
    )


_STATX = {
    **{0x1000: "STATX_MNT_ID", 0x2000: "STATX_DIOALIGN", 0x4000: "STATX_MNT_ID_UNIQUE", 0x8000: "STATX_SUBVOL"},
    **{0x10000: "STATX_WRITE_ATOMIC", 0x20000: "STATX_DIO_READ_ALIGN", 0x800: "STATX_BTIME"},
}
_BASIC = {
    **{1: "STATX_TYPE", 2: "STATX_MODE", 4: "STATX_NLINK", 8: "STATX_UID", 0x10: "STATX_GID", 0x20: "STATX_ATIME"},
    **{0x40: "STATX_MTIME", 0x80: "STATX_CTIME", 0x100: "STATX_INO", 0x200: "STATX_SIZE", 0x400: "STATX_BLOCKS"},
}
_ATTRIBUTES = {
    **{4: "STATX_ATTR_COMPRESSED", 0x10: "STATX_ATTR_IMMUTABLE", 0x20: "STATX_ATTR_APPEND", 0x40: "STATX_ATTR_NODUMP"},
    **{0x800: "STATX_ATTR_ENCRYPTED", 0x1000: "STATX_ATTR_AUTOMOUNT", 0x2000: "STATX_ATTR_MOUNT_ROOT"},
    **{0x100000: "STATX_ATTR_VERITY", 0x200000: "STATX_ATTR_DAX", 0x400000: "STATX_ATTR_WRITE_ATOMIC"},
}


def _mask(value: int) -> str:
    if value & 0x7FF == 0x7FF:
        rest = value & ~0x7FF
        return "STATX_BASIC_STATS" + (f"|{_bits(rest, dict(sorted(_STATX.items())))}" if rest else "")
    return _bits(value, _BASIC | _STATX)


def _bits(value: int, names: Mapping[int, str]) -> str:
    known = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return "|".join([*known, *([hex(rest)] if rest else [])]) or "0"


def signal_set(pieces: _Pieces) -> str:
    """Show a set of signals by their short names; one that has most of them as what it lacks, behind ``~``."""
    return _signals(*_numbers("=Q", pieces))


def _signals(mask: int) -> str:
    members = [number for number in range(1, 65) if mask >> (number - 1) & 1]
    if len(members) * 3 >= 64 * 2:
        missing = [number for number in range(1, 65) if number not in members]
        return f"~[{' '.join(map(_short, missing))}]"
    return f"[{' '.join(map(_short, members))}]"


def _short(number: int) -> str:
    if number >= 32:
        return "RTMIN" if number == 32 else f"RT_{number - 32}"
    return signal_name(number).removeprefix("SIG")


_SA_FLAGS = {
    **{0x04000000: "SA_RESTORER", 0x08000000: "SA_ONSTACK", 0x10000000: "SA_RESTART", 0x40000000: "SA_NODEFER"},
    **{0x80000000: "SA_RESETHAND", 1: "SA_NOCLDSTOP", 2: "SA_NOCLDWAIT", 4: "SA_SIGINFO", 0x800: "SA_EXPOSE_TAGBITS"},
}
_SA_ORDER = (0x04000000, 0x08000000, 0x10000000, 0x40000000, 0x80000000, 1, 2, 4, 0x800)


def signal_action(pieces: _Pieces) -> str:
    """Show the kernel's struct sigaction."""
    handler, flags, restorer, mask = _numbers("=QQQQ", pieces)
    named = {0: "SIG_DFL", 1: "SIG_IGN"}.get(handler, hex(handler))
    words = _bits(flags & 2**32 - 1, {bit: _SA_FLAGS[bit] for bit in _SA_ORDER})
    end = f", sa_restorer={restorer:#x}" if flags & 0x04000000 else ""
    name = "sa_sigaction" if flags & 4 and handler > 1 else "sa_handler"
    return f"{{{name}={named}, sa_mask={_signals(mask)}, sa_flags={words}{end}}}"


def wait_status(pieces: _Pieces) -> str:
    """Show how a child ended, by the macros of wait(2)."""
    (status,) = _numbers("=I", pieces)
    signal = status & 0x7F
    if status == 0xFFFF:
        return "[{WIFCONTINUED(s)}]"
    if status & 0xFF == 0x7F:
        return f"[{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(status >> 8 & 0xFF)}}}]"
    if signal:
        dumped = " && WCOREDUMP(s)" if status & 0x80 else ""
        return f"[{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(signal)}{dumped}}}]"
    return f"[{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}]"


def usage(pieces: _Pieces) -> str:
    """Show the times of struct rusage."""
    user_s, user_us, system_s, system_us = _numbers("=qqqq", pieces)
    return (
        f"{{ru_utime={{tv_sec={user_s}, tv_usec={user_us}}}, ru_stime={{tv_sec={system_s}, tv_usec={system_us}}}, ...}}"
    )


def timer_us(pieces: _Pieces) -> str:
    """Show struct itimerval."""
    return _timer(pieces, "usec")


def timer_ns(pieces: _Pieces) -> str:
    """Show struct itimerspec."""
    return _timer(pieces, "nsec")


def _timer(pieces: _Pieces, unit: str) -> str:
    again_s, again, first_s, first = _numbers("=qqqq", pieces)
    return f"{{it_interval={{tv_sec={again_s}, tv_{unit}={again}}}, it_value={{tv_sec={first_s}, tv_{unit}={first}}}}}"


_EPOLL = {
    **{1: "EPOLLIN", 2: "EPOLLPRI", 4: "EPOLLOUT", 0x40: "EPOLLRDNORM", 0x80: "EPOLLRDBAND", 0x100: "EPOLLWRNORM"},
    **{0x200: "EPOLLWRBAND", 0x400: "EPOLLMSG", 8: "EPOLLERR", 0x10: "EPOLLHUP", 0x2000: "EPOLLRDHUP"},
    **{1 << 28: "EPOLLEXCLUSIVE", 1 << 29: "EPOLLWAKEUP", 1 << 30: "EPOLLONESHOT", 1 << 31: "EPOLLET"},
}


def _epoll(events: int, data: int) -> str:
    return f"{{events={_bits(events, _EPOLL)}, data={{u32={data & 2**32 - 1}, u64={data}}}}}"


def epoll_event(pieces: _Pieces) -> str:
    """Show struct epoll_event of x86, which is packed."""
    return _epoll(*_numbers("=IQ", pieces))


def epoll_events(pieces: _Pieces) -> str:
    """Show the events that epoll_wait returned."""
    raw, whole = pieces[0]
    shown = [_epoll(*struct.unpack_from("=IQ", raw, at)) for at in range(0, len(raw) - len(raw) % 12, 12)]
    return f"[{', '.join(shown)}{', ...' if whole > len(raw) else ''}]"


def cpus(pieces: _Pieces) -> str:
    """Show a mask of CPUs as their numbers."""
    mask = int.from_bytes(pieces[0][0], "little")
    return f"[{' '.join(str(cpu) for cpu in range(mask.bit_length()) if mask >> cpu & 1)}]"


def system(pieces: _Pieces) -> str:
    """Show struct sysinfo."""
    uptime, *rest = _numbers("=q3Q6QHH4xQQI", pieces)
    loads, (total, free, shared, buffers, swap, free_swap, procs, _, high, free_high, unit) = rest[:3], rest[3:]
    return (
        f"{{uptime={uptime}, loads=[{', '.join(map(str, loads))}], totalram={total}, freeram={free}, "
        f"sharedram={shared}, bufferram={buffers}, totalswap={swap}, freeswap={free_swap}, procs={procs}, "
        f"totalhigh={high}, freehigh={free_high}, mem_unit={unit}}}"
    )


def ids(pieces: _Pieces) -> str:
    """Show one id behind a pointer, or a list of them."""
    raw, whole = pieces[0]
    values = struct.unpack(f"={len(raw) // 4}I", raw[: len(raw) // 4 * 4])
    return f"[{', '.join(map(str, values))}{', ...' if whole > len(raw) else ''}]"
