"""The screen's end of the process that reads the hosts."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.source import SourceError
from ebpftop.fleet.connection import Remote
from ebpftop.fleet.host import Host
from ebpftop.fleet.inputs import PIPE_BYTES, PipeInput, SshInput, recent_bytes
from ebpftop.fleet.reader import Reader
from ebpftop.fleet.rows import STALE_S, News
from ebpftop.lifecycle import helpers
from ebpftop.lifecycle.guard import END_SIGNALS, close_all_but
from ebpftop.lifecycle.priority import stand_back

_MESSAGE_MAX = 1 << 20
_PR_SET_NAME = 15  # include/uapi/linux/prctl.h
_COLLECT_EVERY = 50_000
_NICE = 5
"""How much the screen comes before the reader where both want a processor: what waits in the pipes is not lost."""
_REASON_MAX = 500

_decode = msgspec.msgpack.Decoder(News).decode
_libc = ctypes.CDLL(None)


class FleetReading:
    """A process that reads hosts. Make it early: it is a fork. One thread calls it."""

    def __init__(self, make: Callable[[socket.socket], Reader], keep: Sequence[int] = ()) -> None:
        """*make* makes the reader, in the process; *keep* are descriptors that it needs, which are closed here."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = helpers.fork(self._channel, theirs)
        except OSError as error:
            raise SourceError(f"no process to read the hosts: {error.strerror}", "raise ulimit -u") from error
        if pid == 0:
            _be_the_reader(make, theirs, keep)
        self._pid = pid
        self.has_ended = False
        """Whether the process has ended, which it does only if this one does."""
        theirs.close()
        for fd in keep:
            os.close(fd)
        self._channel.setblocking(False)

    def news(self) -> list[News]:
        """Return what is new; waits for nothing."""
        found: list[News] = []
        while not self.has_ended:
            try:
                message = self._channel.recv(_MESSAGE_MAX)
            except BlockingIOError:
                break
            except OSError:
                message = b""
            if not message:
                self.has_ended = True
                break
            found.append(_decode(message))
        return found

    def open(self, name: str) -> int:
        """Return a descriptor of a pipe with what is kept of host *name*, then with what comes; the caller owns it."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        with suppress(OSError):  # the limit of this user is reached: it is as large as it is
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            self._ask(f"open {name}", write_fd)
        finally:
            os.close(write_fd)
        return read_fd

    def close_host(self) -> None:
        """The panes of the host are closed."""
        self._ask("close")

    def retry(self, name: str) -> None:
        """Connect to host *name* now."""
        self._ask(f"retry {name}")

    def _ask(self, request: str, *fds: int) -> None:
        with suppress(OSError):  # its end is seen by `news`
            socket.send_fds(self._channel, [request.encode("utf-8", "surrogateescape")], fds)

    def close(self) -> None:
        """End the process, with all that it started."""
        if self._channel.fileno() < 0:
            return
        self._channel.close()
        helpers.reap(self._pid)


def by_ssh(hosts: Sequence[str], remote: Remote, stale_s: float = STALE_S) -> FleetReading:
    """Return the reading of *hosts*, each by an ssh of its own. Raises SourceError."""

    def make(channel: socket.socket) -> Reader:
        now_s, size = time.monotonic(), recent_bytes(len(hosts))
        made = (Host(name, now_s, stale_s=stale_s, recent_bytes=size) for name in hosts)
        return Reader(channel, [SshInput(host, name, remote, now_s) for host, name in zip(made, hosts, strict=True)])

    return FleetReading(make)


def by_pipe(fd: int, stale_s: float = STALE_S) -> FleetReading:
    """Return the reading of the pipe *fd*, which is then owned by it. Raises SourceError."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return FleetReading(lambda channel: Reader(channel, pipe=PipeInput(fd, stale_s)), (fd,))


def _be_the_reader(make: Callable[[socket.socket], Reader], channel: socket.socket, keep: Sequence[int]) -> NoReturn:
    """Read until the parent has ended. It keeps no file of the parent open but those in *keep*."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)  # it is the parent's
        # A signal to all of ebpftop ends the parent, and then we end too. Not ignored: ssh would ignore them as well.
        for number in (*END_SIGNALS, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, _nothing)
        null_fd = helpers.open_null()
        for standard in (0, 1, 2):
            os.dup2(null_fd, standard)
        close_all_but({channel.fileno(), *keep})
        _libc.prctl(_PR_SET_NAME, b"ebpftop-fleet", 0, 0, 0)
        stand_back()
        os.nice(_NICE)
        gc.freeze()
        gc.set_threshold(_COLLECT_EVERY, 10, 10)
        gc.enable()
        make(channel).run()
        status = 0
    except Exception as error:  # noqa: BLE001  # nobody else could say so: the screen is another process
        channel.setblocking(True)
        reason = escape(f"{type(error).__name__}: {error}")[:_REASON_MAX]
        with suppress(OSError):
            channel.send(msgspec.msgpack.encode(News(failed=reason)))
    finally:
        os._exit(status)


def _nothing(*_: object) -> None:
    """A signal that is not for this process."""
