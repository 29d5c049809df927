"""The process that compiles what users write: it was forked while ebpftop was root, and had one thread.

It imports bcc and reads the kernel's types while ebpftop starts; from then on it is warm, and forks a child for each
compilation (child.py, limits.py). It runs no code of a user and no clang itself, so it outlives every file. Descriptors
of maps come back over the socket. All else is done in ebpftop with the rights that it keeps (loaded_file.py).

Somebody may kill it all the same. So its parent is another process, which does nothing but fork it, and does so again.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
import time
from contextlib import suppress

import msgspec

from ebpftop.kernel.load import deadline as deadlines
from ebpftop.kernel.load.built import Built, CodeRequest, CompileRequest, Received, ShownCode
from ebpftop.kernel.load.child import MAPS_MAX
from ebpftop.kernel.load.deadline import Deadline
from ebpftop.kernel.load.server_messages import ABANDON, NUDGE, NUMBER, PID, read_memory, write_memory
from ebpftop.kernel.load.server_parent import be_the_parent
from ebpftop.lifecycle import helpers

_POLL_MS = 50
_NUDGE_S = 0.5
_END_MS = 1000
_FORK_MS = 5000
_ASKED_TWICE = 2
_ENDS_MAX, _ENDS_S = 3, 60.0
"""If it ends so often in so many seconds, it is not forked again."""

GONE = "the process that compiles has ended"
GONE_REMEDY = "start ebpftop again: what is attached goes on until then"
ENDS = "the process that compiles ends again and again"
ENDS_REMEDY = "something on this machine ends it: the out-of-memory killer, perhaps, which dmesg shows; wait a minute"


class LoadServer:
    """The server. Any thread may ask it; it compiles one file after the other."""

    def __init__(self) -> None:
        """Fork it. Call it before there are threads. Raises OSError."""
        deadlines.prepare()
        self._lock = threading.Lock()
        self._number = 0
        self._ends_s: list[float] = []
        self._is_closed = False
        self._parent, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.parent_pid = helpers.fork(self._parent, theirs)
        """Of the process that forks the server."""
        if self.parent_pid == 0:
            be_the_parent(theirs)
        theirs.close()
        self._socket: socket.socket | None = None
        self._pidfd: int | None = None
        self.pid: int | None = None
        """Of the server that runs now, or ran last."""
        self._first_pid: int | None = None
        try:
            self._start()
        except OSError:
            self.close()
            raise
        if self.pid is not None:
            helpers.pids.append(self.pid)
        self._first_pid = self.pid

    def compile(self, request: CompileRequest, deadline: Deadline | None = None) -> Received:
        """Return what the compiler makes of *request*. Whatever goes wrong is in the answer.

        It has a time limit of its own; that of *deadline* does not count, but if it is abandoned, nothing is made.
        """
        with self._lock:
            try:
                reply, fds = self._ask(msgspec.msgpack.encode(request), [], deadline)
                answer = msgspec.msgpack.decode(reply, type=Built)
                return Received(answer, dict(zip((one.name for one in answer.maps), fds, strict=True)))
            except (OSError, ValueError, msgspec.DecodeError) as error:
                why, remedy = (ENDS, ENDS_REMEDY) if isinstance(error, _EndsAgain) else (GONE, GONE_REMEDY)
                return Received(Built(error=why, remedy=remedy, stage="limit"), {})

    def code(self, program_fd: int, request: CodeRequest) -> ShownCode:
        """Return the code of a loaded program in words. Whatever goes wrong is in the answer."""
        with self._lock:
            try:
                answer, fds = self._ask(msgspec.msgpack.encode(request), [program_fd], None)
            except OSError as error:
                return ShownCode(error=ENDS if isinstance(error, _EndsAgain) else GONE)
        for fd in fds:
            os.close(fd)
        return msgspec.msgpack.decode(answer, type=ShownCode)

    def _ask(self, request: bytes, fds: list[int], deadline: Deadline | None) -> tuple[bytes, list[int]]:
        """Return the answer, and the descriptors that came with it. If the server is gone, ask another. Raises OSError.

        It may have ended because of what it was asked: so it is not asked more than twice.
        """
        for time_asked in range(_ASKED_TWICE):
            self._number += 1
            if self._socket is None:
                self._start()
            assert self._socket is not None
            try:
                return self._exchange(self._socket, request, fds, self._number, deadline)
            except OSError:
                self._let_go()
                if self._is_closed or time_asked + 1 == _ASKED_TWICE:
                    raise
        raise BrokenPipeError

    def _start(self) -> None:
        """Have a server forked. Raises OSError."""
        now_s = time.monotonic()
        self._ends_s = [then_s for then_s in self._ends_s if now_s - then_s < _ENDS_S]
        if len(self._ends_s) >= _ENDS_MAX:
            raise _EndsAgain
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(self._parent, [NUDGE], [theirs.fileno()])
            answers = select.poll()
            answers.register(self._parent, select.POLLIN)
            if not answers.poll(_FORK_MS):
                raise TimeoutError
            self.pid = PID.unpack(self._parent.recv(PID.size))[0]
            self._pidfd = os.pidfd_open(self.pid)
        except (OSError, struct.error) as error:
            ours.close()
            raise BrokenPipeError from error
        finally:
            theirs.close()
        self._socket = ours

    def _let_go(self) -> None:
        """The server is gone, or does not answer as it should."""
        self._ends_s.append(time.monotonic())
        if self._pidfd is not None:
            with suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(
        self, channel: socket.socket, request: bytes, fds: list[int], number: int, deadline: Deadline | None
    ) -> tuple[bytes, list[int]]:
        """Send a request with descriptors; return the answer, and those that came with it. Raises OSError."""
        fd = write_memory(request)
        try:
            socket.send_fds(channel, [NUMBER.pack(number)], [fd, *fds])
        finally:
            os.close(fd)
        answers = select.poll()
        answers.register(channel, select.POLLIN)
        nudged_s, is_abandoned = time.monotonic(), False
        while True:
            while not answers.poll(_POLL_MS):
                if deadline is not None and deadline.is_abandoned and not is_abandoned:
                    is_abandoned = True
                    channel.send(ABANDON + NUMBER.pack(number))
                if time.monotonic() - nudged_s >= _NUDGE_S:
                    # A message continues the server if it was stopped (`helpers.fork`).
                    nudged_s = time.monotonic()
                    channel.send(NUDGE)
            reply, got, _, _ = socket.recv_fds(channel, NUMBER.size, 1 + MAPS_MAX)
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
        if self._is_closed:
            return
        self._is_closed = True
        # The end of the connection ends it, and it removes what it made. Another thread may wait for an answer.
        for channel in (self._socket, self._parent):
            if channel is not None:
                with suppress(OSError):
                    channel.shutdown(socket.SHUT_RDWR)
        _end(self.parent_pid)
        with self._lock:
            self._let_go()
            self._parent.close()
            helpers.reap(self.parent_pid)
            if self._first_pid is not None:
                helpers.pids.remove(self._first_pid)


class _EndsAgain(OSError):
    """The server ends each time."""


def _end(pid: int) -> None:
    """Wait until a child has ended; not for long, then end it."""
    with suppress(OSError):
        pidfd = os.pidfd_open(pid)
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        if not ended.poll(_END_MS):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


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
