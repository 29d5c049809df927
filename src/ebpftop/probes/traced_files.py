"""The file descriptors of a traced call: what bpf/syscalls_walks.h sends of them, spelled as `strace -yy` does."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from ebpftop.probes.exec_places import path_of

_PLACES = 4
_FILES = 3
_OF_PROCESS = 3
_PLACE = struct.Struct("=HHI")
_SOCKET = struct.Struct("=HHHH2sHI16s16s")  # struct socket_ends
SIZE = _PLACES * (_PLACE.size + _SOCKET.size) + 8
"""Bytes of struct files."""
RESULT = -1
"""The place of what the call returned."""
_OF_RESULT = 255
_DELETED, _NAMELESS, _IS_SOCKET, _CHAR, _BLOCK = 4, 16, 64, 1024, 2048  # enum place_flag
_SPECIAL = 32 | 64 | 128  # pipes, sockets and anonymous inodes have names of their own
_MINOR_BITS = 20  # include/linux/kdev_t.h

_NAMES = {
    (socket.AF_INET, 1, 6): "TCP",
    (socket.AF_INET, 2, 17): "UDP",
    (socket.AF_INET, 1, 262): "MPTCP",
    (socket.AF_INET6, 1, 6): "TCPv6",
    (socket.AF_INET6, 2, 17): "UDPv6",
    (socket.AF_INET6, 1, 262): "MPTCPv6",
}
_UNIX = {1: "STREAM", 2: "DGRAM", 5: "SEQPACKET"}
_FAMILIES = {socket.AF_NETLINK: "NETLINK", socket.AF_PACKET: "PACKET", 40: "VSOCK"}


def files_of(raw: bytes, names: bytes) -> Mapping[int, str]:
    """Return what each descriptor is, by argument or RESULT, in angle brackets.

    *raw* is struct files, *names* those of all of them, one after another.
    """
    found: dict[int, str] = {}
    ends_at, of_at = _PLACES * _PLACE.size, SIZE - 8
    begin = 0
    for place in range(_FILES):
        length, flags, number = _PLACE.unpack_from(raw, place * _PLACE.size)
        text = path_of(names[begin : begin + length], flags & ~_DELETED, number)
        begin += length
        of = raw[of_at + place]
        if text is not None and of:
            ends = raw[ends_at + place * _SOCKET.size :][: _SOCKET.size]
            found[RESULT if of == _OF_RESULT else of - 1] = _in_brackets(text, flags, number, ends)
    return found


def file_of(raw: bytes) -> str:
    """Return what one descriptor of a list is: struct place, struct socket_ends, names; empty if that is not known."""
    if len(raw) < _PLACE.size + _SOCKET.size:
        return ""
    length, flags, number = _PLACE.unpack_from(raw)
    names_at = _PLACE.size + _SOCKET.size
    text = path_of(raw[names_at : names_at + length], flags & ~_DELETED, number)
    return "" if text is None else _in_brackets(text, flags, number, raw[_PLACE.size : names_at])


def _in_brackets(text: str, flags: int, number: int, ends: bytes) -> str:
    if flags & _IS_SOCKET:
        text = _socket(ends, number) or text
    if flags & (_CHAR | _BLOCK):
        kind = "char" if flags & _CHAR else "block"
        text += f"<{kind} {number >> _MINOR_BITS}:{number & (1 << _MINOR_BITS) - 1}>"
    if flags & _NAMELESS and not flags & _SPECIAL:  # fs/d_path.c, simple_dname
        return f"</{text}>(deleted)" if text.strip("/") else ""
    return f"<{text}>{'(deleted)' if flags & _DELETED else ''}"


def exe_of(raw: bytes, names: bytes) -> str | None:
    """Return the file that the process runs, if it was asked for; *raw* and *names* as above."""
    begin = sum(_PLACE.unpack_from(raw, place * _PLACE.size)[0] for place in range(_FILES))
    length, flags, number = _PLACE.unpack_from(raw, _OF_PROCESS * _PLACE.size)
    return path_of(names[begin : begin + length], flags, number)


def _socket(raw: bytes, inode: int) -> str | None:
    family, kind, protocol, port, peer_port, _, _, address, peer = _SOCKET.unpack(raw)
    if family in (socket.AF_INET, socket.AF_INET6):
        name = _NAMES.get((family, kind, protocol), "INET" if family == socket.AF_INET else "INET6")
        to_port = int.from_bytes(peer_port, "big")
        if not (port or to_port):
            return f"{name}:[{inode}]"
        here = _place(family, address, port)
        return f"{name}:[{here}->{_place(family, peer, to_port)}]" if to_port else f"{name}:[{here}]"
    if family == socket.AF_UNIX:
        return f"UNIX-{_UNIX.get(kind, kind)}:[{inode}]"
    return f"{_FAMILIES[family]}:[{inode}]" if family in _FAMILIES else None


def _place(family: int, address: bytes, port: int) -> str:
    if family == socket.AF_INET:
        return f"{socket.inet_ntoa(address[:4])}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, address)}]:{port}"
