"""Where the lines of hosts come from: an ssh for each host, or one pipe for all. Nothing here waits."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

from ebpftop.core.escape import escape
from ebpftop.fleet.connection import Connection, Remote
from ebpftop.fleet.host import Host
from ebpftop.fleet.kept import RECENT_BYTES
from ebpftop.fleet.labels import labelled
from ebpftop.fleet.rows import HOSTS_MAX, STALE_S
from ebpftop.fleet.trouble import Trouble, is_trouble, trouble_of
from ebpftop.recording.lines import LineJoiner, StreamReader
from ebpftop.recording.parse import ReadErrors

READ_BYTES = 64 << 10
PIPE_BYTES = 1 << 20
SLICE_S = 0.004
"""How long the lines of one input are taken at a time: then it is the turn of the others."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
FIRST_RECORD_S = 120.0
"""Seconds in which the first record of a connection is to come: ebpftop may compile on a machine that is busy."""
_ALL_RECENT_BYTES = 48 << 20
"""Bytes that are kept of all hosts together for their panes."""


def recent_bytes(hosts: int) -> int:
    """Return how many bytes of events are kept of each of so many hosts."""
    return min(RECENT_BYTES, _ALL_RECENT_BYTES // max(1, hosts))


class SshInput:
    """The stream of one host: connected, and connected anew when it has ended."""

    def __init__(self, host: Host, name: str, remote: Remote, now_s: float) -> None:
        """*name* is what ssh calls it."""
        self.host = host
        self._name = name
        self._remote = remote
        self._connection: Connection | None = None
        self._lines = StreamReader(ReadErrors())
        self._work: Iterator[bytes] = iter(())
        self._is_working = False
        self._tries = 0
        self._due_s: float | None = now_s
        self._connected_s = now_s
        self._why_ended: Trouble | None = None
        """Why the connection was ended here, if it was."""

    def due_since(self, now_s: float) -> float | None:
        """Return since when a connection is to be made; None: it is not."""
        is_due = self._connection is None and self._due_s is not None and now_s >= self._due_s
        return self._due_s if is_due else None

    def retry(self, now_s: float) -> None:
        """Connect now, not later."""
        self._tries = 0
        if self._connection is None:
            self._due_s = now_s
        elif self.host.state != "up":
            host = self.host
            self._end(Trouble(host.state, host.said, host.remedy))

    def connect(self, now_s: float) -> None:
        """Start ssh."""
        self._due_s, self._connected_s, self._why_ended = None, now_s, None
        self._tries += 1
        self.host.connecting()
        self._lines = StreamReader(ReadErrors())
        self._work, self._is_working = iter(()), False
        try:
            self._connection = Connection(self._remote.argv(self._name))
        except OSError as error:
            trouble = Trouble("failed", f"{escape(self._remote.ssh[0])}: {error.strerror}", "is ssh installed here?")
            self._ended(trouble, now_s)

    def step(self, now_s: float) -> bool:
        """Take what came, for a moment; return whether there is more already."""
        if self._connection is None:
            return False
        if not self._is_working:
            data = self._connection.read(READ_BYTES)
            if data is None:
                return False
            if not data:
                for lines in self._lines.feed(b""):
                    self.host.take(lines, now_s)
                self._close(now_s)
                return False
            self._work, self._is_working = self._lines.feed(data), True
        until_s = time.monotonic() + SLICE_S
        for lines in self._work:
            self.host.take(lines, now_s)
            if time.monotonic() > until_s:
                return True
        self._is_working = False
        return True

    def tick(self, now_s: float) -> None:
        """Time passes."""
        host = self.host
        if self._connection is not None:
            self._connection.read_said()
            if host.state == "up":
                self._tries = 0
        host.tick(now_s)
        if self._connection is None or self._why_ended is not None:
            return
        if host.last_s is None or host.last_s < self._connected_s:
            if now_s - self._connected_s > FIRST_RECORD_S:
                why = f"no record within {FIRST_RECORD_S:g} s: ssh, sudo or ebpftop there hangs"
                self._end(Trouble("gone", why, f"ssh {self._name} ebpftop check says more"))
        elif host.state == "gone":
            self._end(Trouble("gone", host.said, host.remedy))

    def _end(self, why: Trouble) -> None:
        """End the connection; that it has ended is seen at once."""
        assert self._connection is not None
        self._why_ended = why
        self._connection.kill()

    def _close(self, now_s: float) -> None:
        assert self._connection is not None
        deadline_s = time.monotonic() + 0.05
        while (status := self._connection.status()) is None and time.monotonic() < deadline_s:
            time.sleep(0.002)  # it has closed its output, so it ends
        said = self._connection.close()
        why = self._why_ended
        if why is None:
            why = trouble_of(self._name, status if status is not None else said, self._connection.said)
        self._ended(why, now_s)

    def _ended(self, trouble: Trouble, now_s: float) -> None:
        self._connection = None
        self._due_s = now_s + self._delay_s()
        self.host.ended(trouble, now_s, self._due_s)

    def _delay_s(self) -> float:
        # Not all at once, when the network is back.
        return min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** max(0, self._tries - 1)) * random.uniform(0.8, 1.2)

    def close(self) -> None:
        """End ssh."""
        if self._connection is not None:
            self._connection.kill()
            self._connection.close()
            self._connection = None


class PipeInput:
    """Lines of all hosts in one pipe; a host is known when its first line comes."""

    def __init__(self, fd: int, stale_s: float = STALE_S) -> None:
        self.hosts: dict[str, Host] = {}
        self.stray = 0
        """Lines that are of no host."""
        self.ended = False
        self._fd = fd
        self._stale_s = stale_s
        self._joiner = LineJoiner()
        os.set_blocking(fd, False)

    def step(self, now_s: float) -> bool:
        """Take what came; return whether there may be more already."""
        if self.ended:
            return False
        try:
            data = os.read(self._fd, PIPE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.ended = True
            self._take(self._joiner.rest(), now_s)
            for host in self.hosts.values():
                if host.state in ("up", "stale", "connecting"):
                    host.ended(
                        Trouble("gone", "the pipe has ended", "start the command in front of it again"), now_s, None
                    )
            return False
        self._take(self._joiner.add(data), now_s)
        return len(data) >= READ_BYTES

    def _take(self, lines: bytes, now_s: float) -> None:
        for found in labelled(lines) if lines else ():
            if found is None:
                self.stray += 1
                continue
            host = self.hosts.get(found.host)
            if host is None:
                if len(self.hosts) >= HOSTS_MAX or not (found.lines or found.status or _tells(found.text)):
                    self.stray += 1
                    continue
                recent = recent_bytes(HOSTS_MAX // 4)
                host = self.hosts[found.host] = Host(found.host, now_s, stale_s=self._stale_s, recent_bytes=recent)
            if found.lines:
                host.take(found.lines, now_s)
            elif found.status is not None:
                if host.state in ("up", "stale", "connecting"):
                    host.ended(trouble_of(found.host, found.status, b""), now_s, None)
            elif _tells(found.text):
                host.ended(trouble_of(found.host, None, found.text), now_s, None)
            else:
                host.broken += 1

    def tick(self, now_s: float) -> None:
        """Time passes."""
        if not self.ended:
            for host in self.hosts.values():
                host.tick(now_s)

    def close(self) -> None:
        """Read nothing more."""
        os.close(self._fd)


def _tells(text: bytes) -> bool:
    return bool(text) and is_trouble(text[:1000].decode("utf-8", "backslashreplace"))
