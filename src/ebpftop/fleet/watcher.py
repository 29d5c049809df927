"""The lines of one host on their way to its panes: a pipe that is never waited for."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any

import msgspec

from ebpftop.fleet.host import Host
from ebpftop.probes.registry import registry

BUFFER_BYTES = 8 << 20
"""Bytes that wait while the panes do not take them: events beyond are dropped, and counted as lost where `fleet`."""
_EVENTS = (b"exec", b"exit", b"syscall", b"trace", b"open", b"event", b"output")


class Watcher:
    """Writes the lines of *host* into *fd*, which it owns: first what it kept, then what comes."""

    def __init__(self, host: Host, fd: int) -> None:
        self.fd = fd
        self.host = host
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._lost: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()
        os.set_blocking(fd, False)
        for lines in host.kept.lines():
            self._put(lines)
        host.watcher = self.take

    @property
    def is_waiting(self) -> bool:
        """Whether there is more to write."""
        return bool(self._waiting)

    def take(self, lines: bytes) -> None:
        """Write *lines* soon; if there is no room, only what is no event."""
        if self._bytes + len(lines) > BUFFER_BYTES:
            self._drop_events(lines)
        else:
            self._put(lines if lines.endswith(b"\n") else lines + b"\n")

    def _drop_events(self, lines: bytes) -> None:
        """Keep readings and states, of which one that is missing makes many rows wrong for a minute."""
        kept: list[bytes] = []
        for line in lines.split(b"\n"):
            kind = line[9 : line.find(b'"', 9)] if line.startswith(b'{"kind":"') else b""
            if kind in _EVENTS:
                self._lost[_probe_of(kind.decode("ascii"))] += 1
                self.host.dropped += 1
            elif line:
                kept.append(line)
        if self._bytes > 2 * BUFFER_BYTES:
            return  # even these are too much: who sends this is no ebpftop
        if kept:
            self._put(b"\n".join([*kept, b""]))

    def _put(self, lines: bytes) -> None:
        self._waiting.append(lines)
        self._bytes += len(lines)

    def write(self) -> bool:
        """Write what the pipe takes; return False if the panes are gone."""
        while self._waiting:
            piece = self._waiting[0]
            try:
                written = os.write(self.fd, piece)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._bytes -= written
            if written < len(piece):
                self._waiting[0] = piece[written:]
                return True
            self._waiting.popleft()
        self._report()
        return True

    def _report(self) -> None:
        """There is room again: say what was lost."""
        for probe, count in self._lost.items():
            if count != self._reported[probe]:
                self._reported[probe] = count
                lost: dict[str, Any] = {"kind": "lost", "time": time.time(), "probe": probe, "where": "fleet"}
                self._put(msgspec.json.encode(lost | {"count": count}) + b"\n")

    def close(self) -> None:
        """Write nothing more."""
        self.host.watcher = None
        with suppress(OSError):
            os.close(self.fd)


def _probe_of(kind: str) -> str:
    record = registry().kinds.get(kind)
    types: dict[Any, str] = dict(registry().types)
    return types.get(record, "execs")
