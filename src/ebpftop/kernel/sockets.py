"""Where a socket leads, by its inode: /proc/PID/net has the tables of the process's own network namespace.

They take no lock of a socket, which a program could hold for long. A table of thousands of sockets is read seldom.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

_TABLES = ("tcp", "tcp6", "udp", "udp6", "unix")
_TABLE_BYTES = 4 << 20
_NAMESPACES_MAX = 16
_SHARE = 200  # a table that took so long is read again after so many times that
_LISTENS = 10  # TCP_LISTEN, include/net/tcp_states.h
_PREFIX = b"socket:["


class SocketTables:
    """The sockets of the network namespaces that were asked about. Not thread-safe."""

    def __init__(self) -> None:
        self._found: OrderedDict[int, dict[int, str]] = OrderedDict()
        self._again_s: dict[int, float] = {}

    def peer(self, task: str, link: bytes) -> str | None:
        """Return where the socket *link* leads: ``tcp 10.0.0.7:5432``; None if it is no socket, or not known.

        *task* is the directory in /proc of a thread that has it.
        """
        if not link.startswith(_PREFIX):
            return None
        inode = int(link[len(_PREFIX) : -1])
        with suppress(OSError, ValueError, struct.error):
            namespace = os.stat(f"{task}/ns/net").st_ino
            known = self._found.get(namespace, {})
            begun_s = monotonic()
            # What has no other end yet may have got one.
            if " on " in known.get(inode, " on ") and begun_s >= self._again_s.get(namespace, 0.0):
                known = self._found[namespace] = dict(_sockets(task))
                self._found.move_to_end(namespace)
                self._again_s[namespace] = monotonic() + _SHARE * (monotonic() - begun_s)
                if len(self._found) > _NAMESPACES_MAX:
                    self._again_s.pop(self._found.popitem(last=False)[0], None)
            return known.get(inode)
        return None


def _sockets(task: str) -> Iterator[tuple[int, str]]:
    for table in _TABLES:
        with suppress(FileNotFoundError), open(f"{task}/net/{table}", "rb") as file:
            for line in file.read(_TABLE_BYTES).splitlines()[1:]:
                words = line.split()
                with suppress(ValueError, IndexError):
                    if table == "unix":
                        if len(words) > 7:
                            yield int(words[6]), f"unix {words[7].decode(errors='backslashreplace')}"
                    else:
                        yield int(words[9]), _ends(table.rstrip("6"), *words[1:4])


def _ends(protocol: str, here: bytes, there: bytes, state: bytes) -> str:
    peer, port = _place(there)
    if port:
        return f"{protocol} {peer}:{port}"
    own, own_port = _place(here)
    return f"{protocol} {'listening ' if protocol == 'tcp' and int(state, 16) == _LISTENS else ''}on {own}:{own_port}"


def _place(text: bytes) -> tuple[str, int]:
    """Return an address and a port of a table: words as they lie in memory, in hexadecimal."""
    address, _, port = text.partition(b":")
    raw = b"".join(struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8))
    if len(raw) == 16 and raw.startswith(bytes(10) + b"\xff\xff"):
        raw = raw[12:]
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, raw), int(port, 16)
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]", int(port, 16)
