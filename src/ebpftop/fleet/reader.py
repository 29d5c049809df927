"""The process that reads all hosts: it parses, so that a key on the screen waits for no parser."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from ebpftop.fleet.host import Host
from ebpftop.fleet.inputs import PipeInput, SshInput
from ebpftop.fleet.merged import MergedLog
from ebpftop.fleet.rows import HostRow, News
from ebpftop.fleet.watcher import Watcher

PACE_S = 0.04
"""Seconds between two looks at all inputs if none has more: what comes meanwhile waits in the pipes."""
TICK_S = 0.25
CONNECTED_A_TICK = 10
"""Hosts to which ssh is started at a time: each handshake costs this machine some milliseconds of a CPU."""
_HOSTS_A_MESSAGE = 64
_LOG_A_MESSAGE = 64
REQUEST_MAX = 4096

_encode = msgspec.msgpack.Encoder().encode


class _Input(Protocol):
    """Where lines come from."""

    def step(self, now_s: float) -> bool:
        """Take what came, for a moment; return whether there is more already."""

    def tick(self, now_s: float) -> None:
        """Time passes."""

    def close(self) -> None:
        """End it."""


class Reader:
    """Reads the hosts of *ssh*, or of *pipe*, and tells the other end of *channel* what is new, until that is closed.

    A message is a `News`, in MessagePack. A request is ``open NAME`` with the descriptor of a pipe, ``close``, or
    ``retry NAME``.
    """

    def __init__(self, channel: socket.socket, ssh: Sequence[SshInput] = (), pipe: PipeInput | None = None) -> None:
        self._channel = channel
        self._ssh = tuple(ssh)
        self._pipe = pipe
        self._inputs: tuple[_Input, ...] = (*self._ssh, *(() if pipe is None else (pipe,)))
        self._log = MergedLog()
        self._watcher: Watcher | None = None
        self._outgoing: list[bytes] = []
        self._told: dict[str, HostRow] = {}
        self._told_stray = 0
        self._told_ended = False
        self._next_tick_s = 0.0
        self._first = 0
        channel.setblocking(False)

    @property
    def hosts(self) -> list[Host]:
        """All that are known."""
        return [one.host for one in self._ssh] + ([] if self._pipe is None else [*self._pipe.hosts.values()])

    def run(self) -> None:
        """Read until the other end has gone."""
        try:
            while self._requests():
                is_busy = self.round()
                wait_s = 0.0 if is_busy else min(PACE_S, max(0.0, self._next_tick_s - time.monotonic()))
                select.select([self._channel], [], [], wait_s)
        finally:
            self.close()

    def close(self) -> None:
        """End all that was started."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        for one in self._inputs:
            one.close()

    def round(self) -> bool:
        """Look at all inputs once; return whether any has more already."""
        now_s = time.monotonic()
        # Another one is first each time.
        self._first = (self._first + 1) % max(1, len(self._inputs))
        is_busy = False
        for one in (*self._inputs[self._first :], *self._inputs[: self._first]):
            is_busy |= one.step(now_s)
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + TICK_S
            self._tick(now_s)
        if self._watcher is not None and not self._watcher.write():
            self._watcher.close()
            self._watcher = None
        self._send()
        return is_busy

    def _tick(self, now_s: float) -> None:
        # Who waits longest is first: else those at the end of the list wait for all that are tried again and again.
        due = [(since_s, ssh) for ssh in self._ssh if (since_s := ssh.due_since(now_s)) is not None]
        for _, ssh in sorted(due, key=lambda one: one[0])[:CONNECTED_A_TICK]:
            ssh.connect(now_s)
        for one in self._inputs:
            one.tick(now_s)
        if not self._outgoing:
            self._outgoing = [_encode(news) for news in self._news()]

    def _news(self) -> list[News]:
        hosts = self.hosts
        rows = [row for row in (host.row for host in hosts) if row != self._told.get(row.name)]
        self._told.update((row.name, row) for row in rows)
        log, ends = self._log.rows(hosts), self._log.ends(hosts)
        stray = 0 if self._pipe is None else self._pipe.stray
        has_ended = self._pipe is not None and self._pipe.ended
        if not (rows or log or ends or (stray, has_ended) != (self._told_stray, self._told_ended)):
            return []
        self._told_stray, self._told_ended = stray, has_ended
        news = [News(hosts=tuple(rows[at : at + _HOSTS_A_MESSAGE])) for at in range(0, len(rows), _HOSTS_A_MESSAGE)] + [
            News(log=tuple(log[at : at + _LOG_A_MESSAGE])) for at in range(0, len(log), _LOG_A_MESSAGE)
        ]
        news += [News(ends=tuple(ends[at : at + 1000])) for at in range(0, len(ends), 1000)]
        last = News(left_out=self._log.left_out, stray=stray, input_ended=has_ended)
        return [*(msgspec.structs.replace(one, left_out=last.left_out, stray=stray) for one in news), last]

    def _send(self) -> None:
        """Send as much as is taken; what the screen does not take waits, and nothing is added to it."""
        while self._outgoing:
            try:
                self._channel.send(self._outgoing[0])
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()
                return
            self._outgoing.pop(0)

    def _requests(self) -> bool:
        """Do what is asked for; return False if the other end is closed."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._channel, REQUEST_MAX, 1)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._answer(data.decode("utf-8", "surrogateescape"), fds)

    def _answer(self, request: str, fds: list[int]) -> None:
        word, _, name = request.partition(" ")
        host = next((one for one in self.hosts if one.name == name), None)
        if word in ("open", "close") and self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        if word == "open" and host is not None and fds:
            self._watcher = Watcher(host, fds.pop())
        elif word == "retry":
            for ssh in self._ssh:
                if ssh.host is host:
                    ssh.retry(time.monotonic())
        for fd in fds:
            os.close(fd)
