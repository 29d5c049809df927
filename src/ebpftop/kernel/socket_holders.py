"""Which processes have a socket, by its inode: /proc/PID/fd of all processes, read once for all sockets asked about.

Thousands of processes take longer than one may wait, so a round is read in parts, and seldom.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from time import monotonic, thread_time
from typing import NamedTuple

PREFIX = b"socket:["

_PART_S = 0.01  # CPU time of one part of a round
_SHARE = 400  # a round that took so long is followed by another after so many times that
_DESCRIPTORS_MAX = 4096  # of one process
_SOCKETS_MAX = 1 << 16
_ASKED_MAX = 1024
_HOLDERS_MAX = 16  # of one socket


class _Place(NamedTuple):
    pid: int
    fd: bytes


class SocketHolders:
    """Who has the sockets that were asked about. Not thread-safe."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._found: dict[int, list[_Place]] = {}
        self._next: dict[int, list[_Place]] = {}
        self._left: list[int] | None = None
        """Processes that this round has yet to read; None between rounds."""
        self._begun = 0
        self._complete = 0
        self._asked: OrderedDict[int, int] = OrderedDict()
        """Sockets that were not found, and how many rounds had begun when they were first asked about."""
        self._spent_s = 0.0
        self._again_s = 0.0
        self._part_ends_s = 0.0

    def begin_part(self) -> None:
        """Allow the next questions together so much time as one part takes."""
        self._part_ends_s = thread_time() + _PART_S

    def of(self, inode: int) -> Sequence[int] | None:
        """Return the pids of those who have a socket, the lowest first; None: not known yet."""
        holders = self._still(inode)
        if holders:
            return holders
        begun = self._asked.setdefault(inode, self._begun)
        if len(self._asked) > _ASKED_MAX:
            self._asked.popitem(last=False)
        while self._complete <= begun:
            if not self._go_on():
                return None
        return self._still(inode)

    def _still(self, inode: int) -> list[int]:
        link = b"%s%d]" % (PREFIX, inode)
        holders = []
        for place in self._found.get(inode, ()):
            with suppress(OSError):
                if os.readlink(os.fsencode(f"{self._proc}/{place.pid:d}/fd/") + place.fd) == link:
                    holders.append(place.pid)
        return sorted(set(holders))

    def _go_on(self) -> bool:
        """Read one more process; return False if that has to wait."""
        begun_s = thread_time()
        if begun_s >= self._part_ends_s:
            return False
        if self._left is None:
            if monotonic() < self._again_s:
                return False
            self._begun += 1
            self._next, self._spent_s = {}, 0.0
            self._left = [int(name) for name in os.listdir(self._proc) if name.isdecimal()]
        if self._left:
            with suppress(OSError):
                self._read(self._left.pop())
        self._spent_s += thread_time() - begun_s
        if not self._left:
            self._left = None
            self._complete, self._found = self._begun, self._next
            self._again_s = monotonic() + _SHARE * self._spent_s
        return True

    def _read(self, pid: int) -> None:
        directory = os.open(f"{self._proc}/{pid:d}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(directory) as entries:
                for entry in islice(entries, _DESCRIPTORS_MAX):
                    with suppress(OSError, ValueError):
                        link = os.fsencode(os.readlink(entry.name, dir_fd=directory))
                        if link.startswith(PREFIX) and len(self._next) < _SOCKETS_MAX:
                            places = self._next.setdefault(int(link[len(PREFIX) : -1]), [])
                            if len(places) < _HOLDERS_MAX:
                                places.append(_Place(pid, os.fsencode(entry.name)))
        finally:
            os.close(directory)
