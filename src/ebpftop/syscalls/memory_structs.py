"""Structures of signals, processes and waiting in words, spelled as strace does. Layouts: include/uapi, 64-bit."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ebpftop.syscalls import constants
from ebpftop.syscalls.errno_names import raw_signal_name

_Pieces = Mapping[int, tuple[bytes, int]]


def numbers(form: str, pieces: _Pieces, at: int = 0) -> tuple[int, ...]:
    """Return the fields of a structure; zeros for what was not read."""
    layout = struct.Struct(form)
    return layout.unpack(pieces[0][0][at:].ljust(layout.size, b"\0")[: layout.size])


def bits(value: int, names: Mapping[int, str]) -> str:
    """Return flags in words."""
    known = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return "|".join([*known, *([hex(rest)] if rest else [])]) or "0"


def signal_set(pieces: _Pieces) -> str:
    """Show a set of signals by their short names; one that has most of them as what it lacks, behind ``~``."""
    return _signals(*numbers("=Q", pieces))


def masked(pieces: _Pieces) -> str:
    """Show the set of signals of pselect6, and its size."""
    place, size = numbers("=QQ", pieces)
    mask = signal_set({0: pieces[1]}) if pieces.get(1, (b"", 0))[0] else hex(place) if place else "NULL"
    return f"{{sigmask={mask}, sigsetsize={size}}}"


def restored_mask(pieces: _Pieces) -> str:
    """Show the signals that are blocked after a handler."""
    return f"{{mask={signal_set(pieces)}}}"


def _signals(mask: int) -> str:
    members = [number for number in range(1, 65) if mask >> (number - 1) & 1]
    if len(members) * 3 >= 64 * 2:
        missing = [number for number in range(1, 65) if number not in members]
        return f"~[{' '.join(map(_short, missing))}]"
    return f"[{' '.join(map(_short, members))}]"


def _short(number: int) -> str:
    return raw_signal_name(number).removeprefix("SIG")


_SA_FLAGS = {
    **{0x04000000: "SA_RESTORER", 0x08000000: "SA_ONSTACK", 0x10000000: "SA_RESTART", 0x40000000: "SA_NODEFER"},
    **{0x80000000: "SA_RESETHAND", 1: "SA_NOCLDSTOP", 2: "SA_NOCLDWAIT", 4: "SA_SIGINFO", 0x800: "SA_EXPOSE_TAGBITS"},
}
_SA_ORDER = (0x04000000, 0x08000000, 0x10000000, 0x40000000, 0x80000000, 1, 2, 4, 0x800)


def signal_action(pieces: _Pieces) -> str:
    """Show the kernel's struct sigaction."""
    handler, flags, restorer, mask = numbers("=QQQQ", pieces)
    named = {0: "SIG_DFL", 1: "SIG_IGN"}.get(handler, hex(handler))
    words = bits(flags & 2**32 - 1, {bit: _SA_FLAGS[bit] for bit in _SA_ORDER})
    end = f", sa_restorer={restorer:#x}" if flags & 0x04000000 else ""
    return f"{{sa_handler={named}, sa_mask={_signals(mask)}, sa_flags={words}{end}}}"


def wait_status(pieces: _Pieces) -> str:
    """Show how a child ended, by the macros of wait(2)."""
    (status,) = numbers("=I", pieces)
    signal = status & 0x7F
    if status == 0xFFFF:
        return "[{WIFCONTINUED(s)}]"
    if status & 0xFF == 0x7F:
        return f"[{{WIFSTOPPED(s) && WSTOPSIG(s) == {raw_signal_name(status >> 8 & 0xFF)}}}]"
    if signal:
        dumped = " && WCOREDUMP(s)" if status & 0x80 else ""
        return f"[{{WIFSIGNALED(s) && WTERMSIG(s) == {raw_signal_name(signal)}{dumped}}}]"
    return f"[{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}]"


def usage(pieces: _Pieces) -> str:
    """Show the times of struct rusage."""
    user_s, user_us, system_s, system_us = numbers("=qqqq", pieces)
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
    again_s, again, first_s, first = numbers("=qqqq", pieces)
    return f"{{it_interval={{tv_sec={again_s}, tv_{unit}={again}}}, it_value={{tv_sec={first_s}, tv_{unit}={first}}}}}"


_EPOLL = {
    **{1: "EPOLLIN", 2: "EPOLLPRI", 4: "EPOLLOUT", 0x40: "EPOLLRDNORM", 0x80: "EPOLLRDBAND", 0x100: "EPOLLWRNORM"},
    **{0x200: "EPOLLWRBAND", 0x400: "EPOLLMSG", 8: "EPOLLERR", 0x10: "EPOLLHUP", 0x2000: "EPOLLRDHUP"},
    **{1 << 28: "EPOLLEXCLUSIVE", 1 << 29: "EPOLLWAKEUP", 1 << 30: "EPOLLONESHOT", 1 << 31: "EPOLLET"},
}


def _epoll(events: int, data: int) -> str:
    return f"{{events={bits(events, _EPOLL)}, data={{u32={data & 2**32 - 1}, u64={data}}}}}"


def epoll_event(pieces: _Pieces) -> str:
    """Show struct epoll_event of x86, which is packed."""
    return _epoll(*numbers("=IQ", pieces))


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
    uptime, *rest = numbers("=q3Q6QHH4xQQI", pieces)
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


def alternate_stack(pieces: _Pieces) -> str:
    """Show stack_t."""
    place, flags, size = numbers("=Qi4xQ", pieces)
    words = bits(flags & 2**32 - 1, {1: "SS_ONSTACK", 2: "SS_DISABLE", 1 << 31: "SS_AUTODISARM"})
    return f"{{ss_sp={hex(place) if place else 'NULL'}, ss_flags={words}, ss_size={size}}}"


_CAPABILITIES = {0x19980330: 1, 0x20071026: 2, 0x20080522: 3}


def capability_header(pieces: _Pieces) -> str:
    """Show struct __user_cap_header_struct."""
    version, pid = numbers("=Ii", pieces)
    named = f"_LINUX_CAPABILITY_VERSION_{_CAPABILITIES[version]}" if version in _CAPABILITIES else hex(version)
    return f"{{version={named}, pid={pid}}}"


def capabilities(pieces: _Pieces) -> str:
    """Show the sets of struct __user_cap_data_struct, of versions 2 and 3."""
    low, high = numbers("=3I", pieces), numbers("=3I", pieces, 12)
    sets = (
        f"{name}={_capabilities(first | second << 32)}"
        for name, first, second in zip(("effective", "permitted", "inheritable"), low, high, strict=True)
    )
    return f"{{{', '.join(sets)}}}"


def _capabilities(mask: int) -> str:
    names = constants.WORDS["cap"].choices
    known = [f"1<<{name}" for bit, name in names.items() if mask >> bit & 1]
    rest = mask & ~sum(1 << bit for bit in names)
    return "|".join([*known, *([hex(rest)] if rest else [])]) or "0"
