"""The unix sockets of a network namespace, with their other ends: sock_diag(7), as `ss -xp` asks.

The kernel's module unix_diag answers, which it loads by itself; without it there is no answer. It waits for no lock
that a program could hold for long.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

LISTENS = 10  # TCP_LISTEN, which unix sockets use, too

_NETLINK_SOCK_DIAG = 4  # include/uapi/linux/netlink.h
_SOCK_DIAG_BY_FAMILY = 20  # include/uapi/linux/sock_diag.h
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_SHOW_NAME, _SHOW_PEER, _SHOW_WAITING = 1, 4, 8  # include/uapi/linux/unix_diag.h
_NAME, _PEER, _WAITING = 0, 2, 3
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_SOCKET = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_WORD = struct.Struct("=I")
_ANSWER_BYTES = 1 << 16
_SOCKETS_MAX = 1 << 16
_PATIENCE_S = 0.5
_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class UnixSocket(NamedTuple):
    """A unix socket: type and state as in the kernel, its name as in /proc/net/unix, its other end; 0: none.

    `waiting`: the sockets that connected to it, and that nobody has accepted yet.
    """

    inode: int
    type: int
    state: int
    name: bytes
    other: int
    waiting: tuple[int, ...]


def unix_sockets(task: str) -> Iterator[UnixSocket]:
    """Yield those of the network namespace of a thread, whose directory in /proc is *task*. Raises OSError."""
    with _asking(task) as diag:
        diag.settimeout(_PATIENCE_S)
        shows = _SHOW_NAME | _SHOW_PEER | _SHOW_WAITING
        request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, shows, 0, 0)
        flags = _NLM_F_REQUEST | _NLM_F_DUMP
        diag.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + request)
        count = 0
        while count < _SOCKETS_MAX:
            answer = diag.recv(_ANSWER_BYTES)
            at = 0
            while at + _HEADER.size <= len(answer):
                size, kind, *_ = _HEADER.unpack_from(answer, at)
                if kind == _NLMSG_DONE or size < _HEADER.size:
                    return
                if kind == _NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", answer, at + _HEADER.size)
                    raise OSError(-error, os.strerror(-error))
                if size >= _HEADER.size + _SOCKET.size:
                    yield _socket(answer[at + _HEADER.size : at + size])
                count += 1
                at += (size + 3) & ~3


def _asking(task: str) -> socket.socket:
    """Return a socket that asks in the network namespace of *task*; this thread is in its own again."""
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(f"{task}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            elsewhere = not os.path.sameopenfile(ours, theirs)
            if elsewhere:
                _enter(theirs)
            try:
                return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
            finally:
                if elsewhere:
                    _enter(ours)
        finally:
            os.close(theirs)
    finally:
        os.close(ours)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _socket(message: bytes) -> UnixSocket:
    _, kind, state, _, inode, _, _ = _SOCKET.unpack_from(message)
    name, other, waiting = b"", 0, ()
    at = _SOCKET.size
    while at + _ATTRIBUTE.size <= len(message):
        size, attribute = _ATTRIBUTE.unpack_from(message, at)
        if size < _ATTRIBUTE.size:
            break
        value = message[at + _ATTRIBUTE.size : at + size]
        if attribute == _NAME:
            name = value.rstrip(b"\0") if value[:1] != b"\0" else value.replace(b"\0", b"@")
        elif attribute == _PEER:
            (other,) = _WORD.unpack(value)
        elif attribute == _WAITING:
            waiting = tuple(word for (word,) in _WORD.iter_unpack(value))
        at += (size + 3) & ~3
    return UnixSocket(inode, kind, state, name, other, waiting)
