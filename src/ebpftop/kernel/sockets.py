"""Where a socket leads, by its inode: the tables of the process's own network namespace, and who has the other end.

They are those of /proc/PID/net, and what the kernel tells of unix sockets (unix_sockets.py). They take no lock of a
socket that a program could hold for long. A table of thousands of sockets is read seldom.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from ebpftop.kernel.socket_holders import PREFIX, SocketHolders
from ebpftop.kernel.unix_sockets import LISTENS, unix_sockets

_TABLES = ("tcp", "tcp6", "udp", "udp6")
_TABLE_BYTES = 4 << 20
_NAMESPACES_MAX = 16
_SHARE = 200  # a table that took so long is read again after so many times that
_IN_QUEUE = (1, 8)  # TCP_ESTABLISHED, TCP_CLOSE_WAIT: with inode 0 nobody has accepted it yet
_ACCEPTS = 0x10000  # __SO_ACCEPTCON, include/uapi/linux/net.h
_TYPES: dict[int, str] = {
    socket.SOCK_STREAM: "stream",
    socket.SOCK_DGRAM: "datagram",
    socket.SOCK_SEQPACKET: "seqpacket",
}
UNNAMED = frozenset(f"unix {kind}" for kind in _TYPES.values())
"""What unix sockets are called of which neither end has a name."""

_MAPPED = b"0000000000000000FFFF0000"  # ::ffff:0:0/96, as the tables have it
_ANY = (b"0" * 8, b"0" * 32)


class Socket(NamedTuple):
    """Where a socket leads, and the inode of the other end, if that is in the same network namespace.

    `settled`: that remains so. One that listens, or that nobody has accepted yet, may get another end.
    `searched`: the tables were read since it was made.
    """

    text: str | None
    other: int = 0
    settled: bool = True
    searched: bool = True


_LATER = Socket(None, searched=False)


class Peer(NamedTuple):
    """Where a socket leads: ``tcp 10.0.0.7:5432``, and the pids of those who have the other end, if they are here.

    `searched`: it is known who has it, or that nobody here has.
    """

    text: str | None
    pids: Sequence[int] = ()
    searched: bool = True


class SocketTables:
    """The sockets of the network namespaces that were asked about. Not thread-safe."""

    def __init__(self) -> None:
        self.holders = SocketHolders()
        self._found: OrderedDict[int, dict[int, Socket]] = OrderedDict()
        self._again_s: dict[int, float] = {}

    def peer(self, task: str, link: bytes) -> Peer:
        """Return where the socket *link* leads; nothing if it is no socket, or not known.

        *task* is the directory in /proc of a thread that has it.
        """
        if not link.startswith(PREFIX):
            return Peer(None)
        found = None
        with suppress(OSError, ValueError):
            found = self._socket(task, int(link[len(PREFIX) : -1]))
        if found is None:
            return Peer(None)
        pids = self.holders.of(found.other) if found.other else ()
        return Peer(found.text, pids or (), found.searched and pids is not None)

    def _socket(self, task: str, inode: int) -> Socket | None:
        namespace = os.stat(f"{task}/ns/net").st_ino
        known = self._found.get(namespace, {})
        found = known.get(inode)
        if found is not None and found.settled:
            return found
        begun_s = monotonic()
        if begun_s < self._again_s.get(namespace, 0.0):
            return found or _LATER
        known = self._found[namespace] = _sockets(task)
        self._found.move_to_end(namespace)
        self._again_s[namespace] = monotonic() + _SHARE * (monotonic() - begun_s)
        if len(self._found) > _NAMESPACES_MAX:
            self._again_s.pop(self._found.popitem(last=False)[0], None)
        return known.get(inode)


def is_connected(peer: str) -> bool:
    """Return whether a socket has another end: ``tcp on 10.0.0.1:80`` has none.

    >>> is_connected("tcp 10.0.0.7:5432"), is_connected("tcp listening on 0.0.0.0:80"), is_connected("udp on [::]:53")
    (True, False, False)
    """
    return not peer.partition(" ")[2].startswith(("on ", "listening "))


def _sockets(task: str) -> dict[int, Socket]:
    return {**_internet(task), **_unix(task)}


# Internet.


class _Row(NamedTuple):
    protocol: str
    here: bytes
    there: bytes
    state: int
    inode: int


def _internet(task: str) -> dict[int, Socket]:
    rows = list(_rows(task))
    ends = {(row.protocol, row.here, row.there): row for row in rows}
    listeners = {row.here: row.inode for row in rows if row.protocol == "tcp" and row.state == LISTENS}
    found = {}
    for row in rows:
        with suppress(ValueError, OSError, struct.error):
            found[row.inode] = _internet_socket(row, ends, listeners)
    return found


def _rows(task: str) -> Iterator[_Row]:
    for table in _TABLES:
        with suppress(FileNotFoundError), open(f"{task}/net/{table}", "rb") as file:
            for line in file.read(_TABLE_BYTES).splitlines()[1:]:
                words = line.split()
                with suppress(ValueError, IndexError):
                    here, there = words[1].removeprefix(_MAPPED), words[2].removeprefix(_MAPPED)
                    yield _Row(table.rstrip("6"), here, there, int(words[3], 16), int(words[9]))


def _internet_socket(row: _Row, ends: dict[tuple[str, bytes, bytes], _Row], listeners: dict[bytes, int]) -> Socket:
    peer, port = _place(row.there)
    if not port:
        own, own_port = _place(row.here)
        listens = "listening " if row.protocol == "tcp" and row.state == LISTENS else ""
        return Socket(f"{row.protocol} {listens}on {own}:{own_port}", settled=False)
    text = f"{row.protocol} {peer}:{port}"
    other = ends.get((row.protocol, row.there, row.here))
    if other is None or other.inode:
        return Socket(text, other.inode if other is not None else 0)
    if other.state not in _IN_QUEUE:
        return Socket(text)
    # Who listens could accept it: at that address, else at any.
    places = (row.there, *(address + row.there[-5:] for address in _ANY))
    return Socket(text, next((listeners[place] for place in places if place in listeners), 0), settled=False)


def _place(text: bytes) -> tuple[str, int]:
    """Return an address and a port of a table: words as they lie in memory, in hexadecimal."""
    address, _, port = text.partition(b":")
    raw = b"".join(struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8))
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, raw), int(port, 16)
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]", int(port, 16)


# Unix.


def _unix(task: str) -> dict[int, Socket]:
    try:
        rows = {row.inode: row for row in unix_sockets(task)}
    except OSError:
        return dict(_named(task))
    queued = {client: row.inode for row in rows.values() for client in row.waiting}
    found = {}
    for row in rows.values():
        other = rows.get(row.other)
        name = row.name or (other.name if other is not None else b"")
        if row.inode in queued:
            listener = queued[row.inode]
            found[row.inode] = Socket(_unix_text(rows[listener].name), listener, settled=False)
        elif row.state == LISTENS:
            found[row.inode] = Socket(f"unix listening on {_words(name)}", settled=False)
        elif row.other:
            found[row.inode] = Socket(_unix_text(name, row.type), row.other)
        elif name:
            found[row.inode] = Socket(_unix_text(name), settled=False)
    return found


def _unix_text(name: bytes, kind: int = 0) -> str:
    return f"unix {_words(name) or _TYPES.get(kind, '')}".rstrip()


def _words(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _named(task: str) -> Iterator[tuple[int, Socket]]:
    """Yield the sockets of /proc/net/unix, which has no other ends: for kernels that tell no more."""
    with suppress(FileNotFoundError), open(f"{task}/net/unix", "rb") as file:
        for line in file.read(_TABLE_BYTES).splitlines()[1:]:
            words = line.split(maxsplit=7)
            with suppress(ValueError, IndexError):
                listens = "listening on " if int(words[3], 16) & _ACCEPTS else ""
                yield int(words[6]), Socket(f"unix {listens}{_words(words[7])}", settled=not listens)
