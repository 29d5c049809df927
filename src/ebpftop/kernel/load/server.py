"""The process that compiles what users write: forked while ebpftop was root, and had one thread.

It imports bcc and reads the kernel's types while ebpftop starts; from then on it is warm, and forks a child for each
compilation (child.py, limits.py). It runs no code of a user and no clang itself, so it outlives every file. Descriptors
of maps come back over the socket. All else is done in ebpftop with the rights that it keeps (loaded_file.py).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from contextlib import suppress

import msgspec

from ebpftop.kernel.load.built import Built, CodeRequest, CompileRequest, Received, ShownCode
from ebpftop.kernel.load.child import MAPS_MAX
from ebpftop.kernel.load.server_process import NUDGE, NUMBER, be_the_server, read_memory, write_memory
from ebpftop.lifecycle import helpers

_NUDGE_MS = 500
_END_MS = 1000

GONE = "the process that compiles has ended"
GONE_REMEDY = "start ebpftop again: what is attached goes on until then"


class LoadServer:
    """The server. Any thread may ask it; it compiles one file after the other."""

    def __init__(self) -> None:
        """Fork it. Call it before there are threads. Raises OSError."""
        self._lock = threading.Lock()
        self._number = 0
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.helper_pid: int | None = helpers.fork(self._socket, theirs)
        if self.helper_pid == 0:
            be_the_server(theirs)
        theirs.close()

    def compile(self, request: CompileRequest) -> Received:
        """Return what the compiler makes of *request*. Whatever goes wrong is in the answer."""
        with self._lock:
            self._number += 1
            try:
                return self._ask(request, self._number)
            except (OSError, ValueError, msgspec.DecodeError):
                return Received(Built(error=GONE, remedy=GONE_REMEDY, stage="limit"), {})

    def code(self, program_fd: int, request: CodeRequest) -> ShownCode:
        """Return the code of a loaded program in words. Whatever goes wrong is in the answer."""
        with self._lock:
            self._number += 1
            try:
                answer, fds = self._exchange(msgspec.msgpack.encode(request), [program_fd], self._number)
            except OSError:
                return ShownCode(error=GONE)
        for fd in fds:
            os.close(fd)
        return msgspec.msgpack.decode(answer, type=ShownCode)

    def _ask(self, request: CompileRequest, number: int) -> Received:
        reply, fds = self._exchange(msgspec.msgpack.encode(request), [], number)
        answer = msgspec.msgpack.decode(reply, type=Built)
        return Received(answer, dict(zip((one.name for one in answer.maps), fds, strict=True)))

    def _exchange(self, request: bytes, fds: list[int], number: int) -> tuple[bytes, list[int]]:
        """Send a request with descriptors; return the answer, and those that came with it. Raises OSError."""
        fd = write_memory(request)
        try:
            socket.send_fds(self._socket, [NUMBER.pack(number)], [fd, *fds])
        finally:
            os.close(fd)
        answers = select.poll()
        answers.register(self._socket, select.POLLIN)
        while True:
            while not answers.poll(_NUDGE_MS):
                # A message continues the server if it was stopped (`helpers.fork`).
                self._socket.send(NUDGE)
            reply, got, _, _ = socket.recv_fds(self._socket, NUMBER.size, 1 + MAPS_MAX)
            if not reply:
                raise BrokenPipeError
            if NUMBER.unpack(reply)[0] != number or not got:  # of a child that was ended while it answered
                for fd in got:
                    os.close(fd)
                continue
            answer = read_memory(got[0])
            os.close(got[0])
            return answer, got[1:]

    def close(self) -> None:
        """End it, and what it compiles. Safe to call twice."""
        if self.helper_pid is None:
            return
        # The end of the connection ends it, and it removes what it made. Another thread may wait for an answer.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            pidfd = os.pidfd_open(self.helper_pid)
            ended = select.poll()
            ended.register(pidfd, select.POLLIN)
            if not ended.poll(_END_MS):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        with self._lock:
            self._socket.close()
            helpers.reap(self.helper_pid)
            self.helper_pid = None


# The server that `start` started, if it did.
_started: list[LoadServer] = []


def start() -> None:
    """Start the server. Call it before there are threads, and while root, if we are. Raises OSError."""
    if not _started:
        _started.append(LoadServer())


def running() -> LoadServer | None:
    """Return the server that was started."""
    return _started[0] if _started else None


def close() -> None:
    """End the server. Safe to call twice, and without one."""
    while _started:
        _started.pop().close()
