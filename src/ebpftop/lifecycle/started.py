"""A command that ebpftop starts: it waits before its first instruction, gets our signals, and leaves its exit status.

It is forked first, so nothing of ebpftop's own start is in it: not its mount namespace, its limits, or its signals.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import select
import shutil
import signal
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from ebpftop.core.source import SourceError
from ebpftop.lifecycle.guard import END_SIGNALS
from ebpftop.lifecycle.process import hold_back_signals, process

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses of a command that did not start, as shells have them."""

_BY_KERNEL = 0x80  # SI_KERNEL of asm-generic/siginfo.h: the terminal sent it, to the whole group
_OTHERS = (signal.SIGTSTP, signal.SIGCONT, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python or ebpftop handles or ignores, besides those that ask it to end."""


class NotStarted(SourceError):
    """The command could not be started; `status` is what a shell returns then."""

    def __init__(self, name: str, error: int) -> None:
        super().__init__(f"{name}: {os.strerror(error)}")
        self.status = NOT_FOUND if error in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE


def find(name: str) -> str:
    """Return the file of a command, by PATH as execvp(3) does; raises NotStarted."""
    if "/" in name:
        return name  # execve knows best
    found = shutil.which(name)
    if found is None:
        there = shutil.which(name, mode=os.F_OK)
        raise NotStarted(name, errno.ENOENT if there is None else errno.EACCES)
    return found


class StartedCommand:
    """A command that begins with `go`. If ebpftop ends before, it never begins."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Fork it; raises NotStarted, and OSError. Call it early: it gets what this process has now."""
        file = find(argv[0])
        self.argv = tuple(argv)
        self._go_r, self._go_w = os.pipe2(os.O_CLOEXEC)
        self._error_r, error_w = os.pipe2(os.O_CLOEXEC)
        # Until it has its own handlers, a signal to it would be told to our guard.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (*END_SIGNALS, *_OTHERS))
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self._be_the_command(file, error_w, blocked)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(self._go_r)
        os.close(error_w)
        self._end_fd = os.pidfd_open(self.pid)
        self.usage: resource.struct_rusage | None = None
        """What it used, with those of its descendants that it waited for; None until it has ended."""
        self.code: int | None = None
        """As waitstatus_to_exitcode: minus a signal; None until it has ended."""

    def _be_the_command(self, file: str, error_w: int, blocked: set[int]) -> NoReturn:
        try:
            gc.disable()
            os.close(self._go_w)
            signal.set_wakeup_fd(-1)
            for number in (*END_SIGNALS, *_OTHERS):
                ignored = number in process.ignored_at_start
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
            if process.files_at_start is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, process.files_at_start)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            if not os.read(self._go_r, 1):
                os._exit(NOT_FOUND)
            try:
                os.execve(file, self.argv, os.environ)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                # A script without `#!`, as for execvp(3) and the shells.
                os.execve("/bin/sh", ("sh", file, *self.argv[1:]), os.environ)
        except OSError as error:
            os.write(error_w, struct.pack("=i", error.errno or errno.EINVAL))
        finally:
            os._exit(NOT_FOUND)

    @property
    def rss_bytes(self) -> int:
        """The most memory that it has had (proc_pid_status(5), VmHWM): before `go`, that of a copy of ebpftop."""
        with open(f"/proc/{self.pid}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:")), 0)

    def go(self) -> None:
        """Let it begin; raises NotStarted if it cannot."""
        with suppress(BrokenPipeError):  # it was killed while it waited
            os.write(self._go_w, b"g")
        os.close(self._go_w)
        raw = os.read(self._error_r, 4)
        os.close(self._error_r)
        if raw:
            self.wait(None)
            raise NotStarted(self.argv[0], struct.unpack("=i", raw)[0])

    def wait(self, timeout_s: float | None) -> bool:
        """Wait at most *timeout_s* for its end; return whether it has ended."""
        if self.code is None and select.select([self._end_fd], [], [], timeout_s)[0]:
            _, status, self.usage = os.wait4(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    @property
    def status(self) -> int:
        """Its exit status as a shell has it: 128 and the number of the signal that ended it."""
        assert self.code is not None
        return self.code if self.code >= 0 else 128 - self.code

    @contextmanager
    def gets_signals(self) -> Iterator[None]:
        """Hold back signals that ask us to end: `pass_signals` gives them to the command.

        No other thread may get them: those that were started before must have held them back.
        """
        process.call_beside(hold_back_signals)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
        try:
            yield
        finally:
            self.pass_signals()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def pass_signals(self) -> None:
        """Pass on what came. What the terminal sent, as by Ctrl-C, the command has got already."""
        while (came := signal.sigtimedwait(END_SIGNALS, 0)) is not None:
            if came.si_code != _BY_KERNEL and self.code is None:
                signal.pidfd_send_signal(self._end_fd, came.si_signo)
