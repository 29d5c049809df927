"""What sendmsg, readv and the like point to, spelled as strace does. Layouts: include/linux/socket.h, 64-bit."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ebpftop.syscalls import constants
from ebpftop.syscalls.memory_lists import NO_FDS, Fds, descriptor, ints
from ebpftop.syscalls.memory_words import address, quoted

_Pieces = Mapping[int, tuple[bytes, int]]
_IOVEC = struct.Struct("=QQ")
_CONTROL = struct.Struct("=Qii")  # struct cmsghdr
BEFORE = -1
"""The part of a message's pieces that was read when the call entered."""
_SOL_SOCKET, _SCM_RIGHTS, _SCM_CREDENTIALS = 1, 1, 2


def iovecs(pieces: _Pieces) -> str:
    """Show the vectors, with the beginning of what each names as far as it was read."""
    return _iovecs(pieces, 0)


def _iovecs(pieces: _Pieces, first: int) -> str:
    raw, whole = pieces.get(first, (b"", 0))
    shown = []
    for index, at in enumerate(range(0, len(raw) - len(raw) % 16, 16)):
        base, size = _IOVEC.unpack_from(raw, at)
        data, read = pieces.get(first + 1 + index, (b"", -1))
        text = quoted(data, read) if data or not read else f"{base:#x}"
        shown.append(f"{{iov_base={text}, iov_len={size}}}")
    more = ", ..." if whole > len(raw) else ""
    return f"[{', '.join(shown)}{more}]"


def message(pieces: _Pieces, fds: Fds = NO_FDS) -> str:
    """Show struct msghdr: parts 1 its address, 2 its control data, 3 its vectors, 4 and so on what they name.

    Part `BEFORE` is how it began when the call entered.
    """
    raw, _ = pieces[0]
    if len(raw) < 56:
        return "{...}"
    name, name_len, vectors, count, control, control_len, flags = struct.unpack_from("=QI4xQQQQi", raw)
    before = _name_len(pieces[BEFORE][0]) if BEFORE in pieces else name_len
    named = address(*pieces[1]) if name and pieces.get(1, (b"", 0))[0] else hex(name) if name else "NULL"
    shown = [
        f"msg_name={named}",
        f"msg_namelen={name_len if before == name_len else f'{before} => {name_len}'}",
        f"msg_iov={_iovecs(pieces, 3) if vectors else 'NULL'}",
        f"msg_iovlen={count}",
        *((_control_data(pieces, control, fds),) if control and control_len else ()),
        f"msg_controllen={control_len}",
        f"msg_flags={constants.WORDS['msg'](flags)}",
    ]
    return f"{{{', '.join(shown)}}}"


def _name_len(raw: bytes) -> int:
    return int.from_bytes(raw[8:12], "little")


def name_length(pieces: _Pieces) -> str:
    """Show what counts of struct msghdr before a message is received."""
    return f"{{msg_namelen={_name_len(pieces[0][0])}}}"


def _control_data(pieces: _Pieces, place: int, fds: Fds) -> str:
    raw, whole = pieces.get(2, (b"", 0))
    return f"msg_control={_control(raw, whole, fds) if raw else hex(place)}"


def _control(raw: bytes, whole: int, fds: Fds) -> str:
    """Show control messages: descriptors, and who sent."""
    shown = []
    at = 0
    while at + _CONTROL.size <= len(raw):
        size, level, kind = _CONTROL.unpack_from(raw, at)
        if size < _CONTROL.size:
            break
        data = raw[at + _CONTROL.size : at + size]
        cut = at + size > len(raw)
        shown.append(f"{{cmsg_len={size}, {_control_message(level, kind, data, fds, cut)}}}")
        at += -(-size // 8) * 8
    more = [*shown, *(["..."] if at < whole and whole > len(raw) else [])]
    return f"[{', '.join(more)}]"


def _control_message(level: int, kind: int, data: bytes, fds: Fds, cut: bool) -> str:
    if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
        text = ", ".join([*(descriptor(fd, fds) for fd in ints(data)), *(["..."] if cut else [])])
        return f"cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[{text}]"
    if level == _SOL_SOCKET and kind == _SCM_CREDENTIALS and len(data) >= 12:
        pid, uid, gid = struct.unpack_from("=iII", data)
        return f"cmsg_level=SOL_SOCKET, cmsg_type=SCM_CREDENTIALS, cmsg_data={{pid={pid}, uid={uid}, gid={gid}}}"
    named = "SOL_SOCKET" if level == _SOL_SOCKET else f"{level:#x}"
    return f"cmsg_level={named}, cmsg_type={kind:#x}"
