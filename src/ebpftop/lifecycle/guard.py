"""The guard: a child that outlives ebpftop by a moment, and does what ebpftop itself can no longer do.

The C code that receives a signal notifies it (signal.set_wakeup_fd), so it knows of a signal even if no Python code
runs. It is needed when ebpftop was killed, aborted by a library, or is stopped. It holds the terminal, stderr and
tracefs, nothing else. It keeps no capability but CAP_KILL, and accepts no command that contains a name. It gives the
session of ebpftop its nice value back. Behind sudo it can become the user behind sudo, to write the log of a crash.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import time
from contextlib import suppress
from typing import NoReturn

from ebpftop.lifecycle import crash, helpers, leftovers
from ebpftop.lifecycle.invoker import INVOKER_VARIABLES
from ebpftop.lifecycle.session import open_group, set_nice
from ebpftop.lifecycle.terminal import UNTOUCHED, Terminal, above_standard

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Messages of ebpftop, one byte each. Smaller values are the numbers of signals that it received.
ENDING, STOPPING, CONTINUED, TRACEFS, SESSION_RESTORED, LEAVING, CRASHED = 128, 129, 130, 131, 132, 133, 134
SESSION_NICE = 180
"""Plus the nice value that the session had, -20 to 19, before it was changed."""

_END_S, _END_MAX_S = 2.0, 3600.0


def _end_s() -> float:
    """Return how long ebpftop may take to end: two seconds, or more if `EBPFTOP_END_S` says so (slow machines)."""
    try:
        seconds = float(os.environ.get("EBPFTOP_END_S", ""))
    except ValueError:
        return _END_S
    return min(seconds, _END_MAX_S) if seconds > _END_S else _END_S  # false for NaN


END_S = _end_s()
"""From the first request that ebpftop end until it is gone."""

KILL_AFTER_S = 0.8 * END_S
"""From the first request that ebpftop end until the guard kills it; the rest is for cleaning up."""

KILL_LEAVING_AFTER_S = 0.95 * END_S
"""The same if ebpftop is cleaning up itself: on an overloaded machine a kill would only lose its exit status."""

CRASH_S = 10.0
"""How much longer it may take after a crash, which an overloaded machine must have the time to report."""

_CHECK_EVERY_S = 0.1
_CLEAN_UP_S = 5.0
_FDS_MAX = 1 << 20

_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 1 << 5, 1 << 6, 1 << 7  # include/uapi/linux/capability.h
_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, whose sets are two words each
_PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 15, 38  # include/uapi/linux/prctl.h


def start(terminal: Terminal, fatal_fd: int) -> socket.socket:
    """Fork the guard; return the socket to write to. Raises OSError. Call it before there are threads.

    *fatal_fd* is a file for the report of a crash that no Python code sees.
    """
    pair = socket.socketpair()
    ours, its = (socket.socket(fileno=above_standard(end.detach())) for end in pair)
    parent_pid = os.getpid()
    try:
        pid = helpers.fork(ours, its)
    except OSError:
        ours.close()
        its.close()
        raise
    if pid == 0:
        _be_the_guard(parent_pid, its, terminal, fatal_fd)
    ours.setblocking(False)
    # Its end stays open here too: if the guard was killed, a signal must not cause an error.
    its.detach()
    return ours


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor from 3 on that is not *kept*."""
    first = 3
    for fd in sorted(fd for fd in kept if fd >= first):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _FDS_MAX)


def _be_the_guard(parent_pid: int, channel: socket.socket, terminal: Terminal, fatal_fd: int) -> NoReturn:
    try:
        session = os.getsid(0)
        group_fd = open_group(session)
        group_fd = None if group_fd is None else above_standard(group_fd)
        os.setsid()
        for number in (*END_SIGNALS, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(number, signal.SIG_IGN)
        null_fd = helpers.open_null()
        for fd in (0, 1):
            os.dup2(null_fd, fd)
        close_all_but({channel.fileno(), fatal_fd} | {fd for fd in (terminal.fd, group_fd) if fd is not None})
        _give_up_privileges()
        _Guard(parent_pid, (session, group_fd), channel, terminal).watch()
        # ebpftop restores the terminal itself, unless it was killed or crashed.
        surprised = terminal.state != UNTOUCHED
        terminal.restore(unless_changed=True)
        line = crash.fatal_line(fatal_fd, surprised=surprised)
        if line and select.select([], [2], [], 0)[1]:
            os.write(2, line.encode())
    finally:
        os._exit(0)


def _give_up_privileges() -> None:
    """Keep the capability to kill a parent that has become another user. (The guard stays user 0, who owns tracefs.)

    Behind sudo, also keep those to become the user behind it. Who can write the files of user 0 gains nothing by them.
    """
    needed = _CAP_KILL
    if any(variable in os.environ for variable in INVOKER_VARIABLES):
        needed |= _CAP_SETGID | _CAP_SETUID
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NAME, b"ebpftop-guard", 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    for i in range(6):
        sets[i] &= needed if i < 3 else 0
    libc.capset(header, sets)


class _Guard:
    """Watches one parent until it is gone, then removes what it left in the kernel."""

    def __init__(
        self, parent_pid: int, session: tuple[int, int | None], channel: socket.socket, terminal: Terminal
    ) -> None:
        self.parent_pid = parent_pid
        self.owner = leftovers.Owner.of_this_process()._replace(pid=parent_pid)
        self.session = session
        self.session_nice: int | None = None
        self.channel = channel
        self.terminal = terminal
        self.asked_at: float | None = None
        self.more_s = 0.0
        self.leaving = False
        self.stopping = False
        self.was_pending = False
        """A signal that ends it was pending while it was stopped: once it is taken, it may be stopped again before it
        could do anything about it."""
        self.tracefs_fd: int | None = None

    def watch(self) -> None:
        while self._receive():
            if self._is_late():
                self.terminal.restore()
                self._send(signal.SIGKILL)
            elif self._is_to_end() and self._is_stopped():  # a process that is stopped cannot end
                self._send(signal.SIGCONT)
        until_s = time.monotonic() + _CLEAN_UP_S
        while time.monotonic() < until_s:
            if self.tracefs_fd is not None and leftovers.remove(self.tracefs_fd, self.owner):
                self.tracefs_fd = None
            if self.session_nice is not None and set_nice(*self.session, self.session_nice):
                self.session_nice = None
            if self.tracefs_fd is None and self.session_nice is None:
                return
            time.sleep(0.02)

    def _receive(self) -> bool:
        """Read the messages of the parent, waiting if there is nothing else to do; return False if it is gone."""
        timeout_s = None if self.asked_at is None and not self.stopping else _CHECK_EVERY_S
        if not select.select([self.channel], [], [], timeout_s)[0]:
            return os.getppid() == self.parent_pid
        data, fds, _, _ = socket.recv_fds(self.channel, 256, 1)
        for code in data:
            if code == TRACEFS and fds:
                self.tracefs_fd = fds[0]
            elif SESSION_NICE - 20 <= code < SESSION_NICE + 20:
                self.session_nice = code - SESSION_NICE
            elif code == SESSION_RESTORED:
                self.session_nice = None
            elif code in (STOPPING, CONTINUED):
                self.stopping = code == STOPPING
                self.was_pending = False
            elif code == LEAVING:
                self.leaving = True
            elif code == CRASHED:
                self.more_s = CRASH_S
            elif (code == ENDING and self.asked_at is None) or (code in END_SIGNALS and self._first_signal()):
                self.asked_at = time.monotonic()
        return bool(data)

    def _is_late(self) -> bool:
        if self.asked_at is None:
            return False
        may_take_s = (KILL_LEAVING_AFTER_S if self.leaving else KILL_AFTER_S) + self.more_s
        return time.monotonic() >= self.asked_at + may_take_s

    def _first_signal(self) -> bool:
        """Whether nobody has asked for the end until now: a crash did not."""
        was_asked = self.asked_at is not None and not self.more_s
        self.more_s = 0.0
        return not was_asked

    def _send(self, number: int) -> None:
        # While it is our parent, no other process can have its pid.
        if os.getppid() == self.parent_pid:
            with suppress(OSError):
                os.kill(self.parent_pid, number)

    def _status(self) -> dict[bytes, bytes]:
        try:
            with open(f"/proc/{self.parent_pid}/status", "rb") as status:
                return dict(line.split(b":", 1) for line in status if b":" in line)
        except OSError:
            return {}

    def _is_stopped(self) -> bool:
        return self._status().get(b"State", b"").lstrip().startswith(b"T")

    def _is_to_end(self) -> bool:
        if self.asked_at is not None or not self.stopping:
            return self.asked_at is not None
        # A signal to a stopped process stays pending until the process is continued.
        status = self._status()
        pending = int(status.get(b"ShdPnd", b"0"), 16) | int(status.get(b"SigPnd", b"0"), 16)
        self.was_pending |= any(pending >> (number - 1) & 1 for number in END_SIGNALS)
        return self.was_pending
