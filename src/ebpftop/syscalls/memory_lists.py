"""Lists behind arguments, spelled as strace does: arguments of a program, descriptors, entries of a directory."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ebpftop.syscalls.memory_words import quoted

_Pieces = Mapping[int, tuple[bytes, int]]
Fds = Mapping[int, str]
NO_FDS: Fds = MappingProxyType({})
_END = struct.Struct("=II")  # struct array_end
_GOES_ON, _UNREADABLE = 1, 2  # enum array_flag
_INT = struct.Struct("=i")


def _end(pieces: _Pieces) -> tuple[int, int]:
    count, flags = _END.unpack(pieces[0][0].ljust(_END.size, b"\0")[: _END.size])
    return count, flags


def strings(pieces: _Pieces) -> str:
    """Show an array of strings, as the arguments of a program: 32 of them, of each 32 bytes.

    A string that could not be read is its address. Nothing is shown of an array that could not be read at all.
    """
    count, flags = _end(pieces)
    if flags & _UNREADABLE and not count:
        return ""
    shown = []
    for part in range(1, count + 1):
        data, whole = pieces.get(part, (b"", -1))
        if whole < 0:
            flags |= _GOES_ON
            break
        shown.append(quoted(data, whole) if len(data) == whole else hex(whole))
    return f"[{', '.join([*shown, *(['...'] if flags else [])])}]"


def pointers(pieces: _Pieces) -> str:
    """Show how many strings an array has, as the environment of a program."""
    return _counted(pieces, "var", "vars")


def entries(pieces: _Pieces) -> str:
    """Show how many entries of a directory were read."""
    return _counted(pieces, "entry", "entries")


def _counted(pieces: _Pieces, one: str, many: str) -> str:
    count, flags = _end(pieces)
    if flags & _UNREADABLE and not count:
        return ""
    more = "more than " if flags & _GOES_ON else ""
    unterminated = ", unterminated" if flags & _UNREADABLE else ""
    return f"/* {more}{count} {one if count == 1 else many}{unterminated} */"


def descriptor(fd: int, fds: Fds) -> str:
    """Show one descriptor, with what it is if that is known."""
    return f"{fd}{fds.get(fd, '')}"


def descriptors(pieces: _Pieces, fds: Fds = NO_FDS) -> str:
    """Show the two descriptors of a pipe or of a pair of sockets."""
    return f"[{', '.join(descriptor(fd, fds) for fd in ints(pieces[0][0]))}]"


def ints(raw: bytes) -> Iterator[int]:
    """Return the whole numbers of a list of them."""
    return (fd for (fd,) in _INT.iter_unpack(raw[: len(raw) // 4 * 4]))


def members(pieces: _Pieces) -> list[int]:
    """Return the descriptors of an fd_set."""
    mask = int.from_bytes(pieces[0][0], "little")
    return [fd for fd in range(mask.bit_length()) if mask >> fd & 1]


def descriptor_set(pieces: _Pieces, fds: Fds = NO_FDS) -> str:
    """Show an fd_set."""
    more = [" ..."] if pieces[0][1] > len(pieces[0][0]) else []
    return f"[{' '.join([*(descriptor(fd, fds) for fd in members(pieces)), *more])}]"


_POLL = {
    **{1: "POLLIN", 2: "POLLPRI", 4: "POLLOUT", 0x40: "POLLRDNORM", 0x80: "POLLRDBAND", 0x100: "POLLWRNORM"},
    **{0x200: "POLLWRBAND", 8: "POLLERR", 0x10: "POLLHUP", 0x20: "POLLNVAL", 0x400: "POLLMSG", 0x2000: "POLLRDHUP"},
}


def _events(bits: int) -> str:
    known = [name for bit, name in _POLL.items() if bits & bit]
    rest = bits & ~sum(_POLL)
    return "|".join([*known, *([hex(rest)] if rest else [])]) or "0"


def _polls(pieces: _Pieces) -> list[tuple[int, int, int]]:
    raw = pieces[0][0]
    return [struct.unpack_from("=ihh", raw, at) for at in range(0, len(raw) - len(raw) % 8, 8)]


def poll_descriptors(pieces: _Pieces, fds: Fds = NO_FDS) -> str:
    """Show what poll waits for."""
    polls = _polls(pieces)
    shown = [
        f"{{fd={descriptor(fd, fds)}, events={_events(events)}}}" if fd >= 0 else f"{{fd={fd}}}"
        for fd, events, _ in polls
    ]
    more = ", ..." if pieces[0][1] > len(pieces[0][0]) else ""
    return f"[{', '.join(shown)}{more}]"


def polled(pieces: _Pieces) -> str:
    """Show what poll found."""
    return "[" + ", ".join(f"{{fd={fd}, revents={_events(found)}}}" for fd, _, found in _polls(pieces) if found) + "]"
