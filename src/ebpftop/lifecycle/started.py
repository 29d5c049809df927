"""A command that ebpftop starts: it waits before its first instruction, gets our signals, and leaves its exit status.

It is forked first, so nothing of ebpftop's own start is in it: not its mount namespace, its limits, or its signals. It
keeps stdin, stdout and stderr; or, if ebpftop has a screen there, it gets a terminal of its own for what it prints.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import resource
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from ebpftop.core.cpu_time import CpuTime
from ebpftop.core.source import SourceError
from ebpftop.lifecycle.guard import END_SIGNALS
from ebpftop.lifecycle.process import hold_back_signals, process

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses of a command that did not start, as shells have them."""

_BEFORE = struct.Struct("=dd")
"""What the copy of ebpftop sends: its own user and system time, in seconds."""
_ERRNO = struct.Struct("=i")
"""What it sends then, if it could not become the command."""

OWN_TERMINAL = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat"}
"""What the environment says of a terminal of its own: it prints lines and nothing else, and nobody can turn pages."""

_TIOCGPTPEER = 0x5441  # ioctl_tty(2)
_CPU_OF_PROCESS = 2  # CPUCLOCK_SCHED of include/linux/posix-timers.h; clock_getcpuclockid(3)
BY_KERNEL = 0x80
"""SI_KERNEL of asm-generic/siginfo.h: the terminal sent it, to the whole group."""
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


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _terminal() -> tuple[int, int]:
    """Return a new terminal: where what is printed there is read, and where it is printed; that cannot be read."""
    reading_fd, fd = os.openpty()
    try:
        printing_fd = fcntl.ioctl(reading_fd, _TIOCGPTPEER, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # what refuses it (gVisor)
        return reading_fd, fd
    os.close(fd)
    return reading_fd, printing_fd


def _move_to(terminal_fd: int, environment: dict[str, str]) -> dict[str, str]:
    """Leave the terminal that ebpftop has for *terminal_fd*; return the environment that says so."""
    os.setsid()
    null_fd = os.open(os.devnull, os.O_RDONLY)
    for fd, place in ((null_fd, 0), (terminal_fd, 1), (terminal_fd, 2)):
        os.dup2(fd, place)
    os.close(null_fd)
    of_the_other = ("COLUMNS", "LINES")
    return {name: value for name, value in environment.items() if name not in of_the_other} | OWN_TERMINAL


def _with_continue(number: int) -> tuple[int, ...]:
    """Return *number*, and what makes a process that is stopped take note of it: without that it would never end."""
    return (number, signal.SIGCONT) if number in END_SIGNALS else (number,)


class StartedCommand:
    """A command that begins with `go`. If ebpftop ends before, it never begins."""

    def __init__(self, argv: Sequence[str], size: tuple[int, int] | None = None) -> None:
        """Fork it; raises NotStarted, and OSError. Call it early: it gets what this process has now.

        With *size*, columns and rows, stdout and stderr are a terminal of its own. It is in a session of its own then,
        has no controlling terminal, and nothing on stdin: whatever asks there fails instead of waiting for ever.
        """
        file = find(argv[0])
        self.output_fd: int | None = None
        """Where what it prints is read, if it has a terminal of its own; EIO: nobody has that any more."""
        terminal_fd = None
        if size is not None:
            self.output_fd, terminal_fd = _terminal()
            self._set_size(*size)
        self.argv = tuple(argv)
        self.cwd = _current_directory()
        self._go_r, self._go_w = os.pipe2(os.O_CLOEXEC)
        self._said_r, said_w = os.pipe2(os.O_CLOEXEC)
        # Until it has its own handlers, a signal to it would be told to our guard.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (*END_SIGNALS, *_OTHERS))
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self._be_the_command(file, said_w, blocked, terminal_fd)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(self._go_r)
        os.close(said_w)
        if terminal_fd is not None:
            os.close(terminal_fd)
        self.end_fd = os.pidfd_open(self.pid)
        """Readable once it has ended (pidfd_open(2))."""
        self._ending = threading.Lock()
        self.own_cpu = CpuTime()
        """What it used before `go`, while it was a copy of ebpftop."""
        self.usage: resource.struct_rusage | None = None
        """What it used, `own_cpu` included, with those of its descendants that it waited for; None until it ended."""
        self.code: int | None = None
        """As waitstatus_to_exitcode: minus a signal; None until it has ended."""

    def _be_the_command(self, file: str, said_w: int, blocked: set[int], terminal_fd: int | None) -> NoReturn:
        try:
            gc.disable()
            os.close(self._go_w)
            environment = dict(os.environ)
            if terminal_fd is not None:
                environment = _move_to(terminal_fd, environment)
            signal.set_wakeup_fd(-1)
            for number in (*END_SIGNALS, *_OTHERS):
                ignored = number in process.ignored_at_start
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
            if process.files_at_start is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, process.files_at_start)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            used = resource.getrusage(resource.RUSAGE_SELF)
            os.write(said_w, _BEFORE.pack(used.ru_utime, used.ru_stime))
            if not os.read(self._go_r, 1):
                os._exit(NOT_FOUND)
            try:
                os.execve(file, self.argv, environment)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                # A script without `#!`, as for execvp(3) and the shells.
                os.execve("/bin/sh", ("sh", file, *self.argv[1:]), environment)
        except OSError as error:
            os.write(said_w, _ERRNO.pack(error.errno or errno.EINVAL))
        finally:
            os._exit(NOT_FOUND)

    @property
    def rss_bytes(self) -> int:
        """The most memory that it has had (proc_pid_status(5), VmHWM): before `go`, that of a copy of ebpftop."""
        with open(f"/proc/{self.pid}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:")), 0)

    def go(self) -> None:
        """Let it begin; raises NotStarted if it cannot."""
        before = os.read(self._said_r, _BEFORE.size)
        if len(before) == _BEFORE.size:  # it was not killed while it waited
            user_s, system_s = _BEFORE.unpack(before)
            # To send that, and to begin to wait, took system time too.
            with suppress(OSError):
                system_s = max(system_s, time.clock_gettime(~self.pid << 3 | _CPU_OF_PROCESS) - user_s)
            self.own_cpu = CpuTime(user_s, system_s)
        with suppress(BrokenPipeError):  # it was killed while it waited
            os.write(self._go_w, b"g")
        os.close(self._go_w)
        raw = os.read(self._said_r, _ERRNO.size)
        os.close(self._said_r)
        if raw:
            self.wait(None)
            raise NotStarted(self.argv[0], _ERRNO.unpack(raw)[0])

    def wait(self, timeout_s: float | None) -> bool:
        """Wait at most *timeout_s* for its end; return whether it has ended."""
        if self.code is None and select.select([self.end_fd], [], [], timeout_s)[0]:
            with self._ending:
                _, status, self.usage = os.wait4(self.pid, 0)
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.code is None:
            with suppress(ProcessLookupError):
                for each in _with_continue(number):
                    signal.pidfd_send_signal(self.end_fd, each)

    def send_to_group(self, number: int) -> None:
        """Send a signal to it and what it started, as a terminal does; only if it has a terminal of its own."""
        with self._ending, suppress(ProcessLookupError):
            if self.code is None and self.output_fd is not None:
                for each in _with_continue(number):
                    os.killpg(self.pid, each)

    def set_size(self, columns: int, rows: int) -> None:
        """Its terminal has another size from now on."""
        self._set_size(columns, rows)
        self.send(signal.SIGWINCH)  # the kernel tells only those whose controlling terminal it is

    def _set_size(self, columns: int, rows: int) -> None:
        assert self.output_fd is not None
        fcntl.ioctl(self.output_fd, termios.TIOCSWINSZ, struct.pack("=HHHH", rows, columns, 0, 0))

    def leave_running(self) -> None:
        """Ebpftop ends before it: somebody else reads what it prints then, or it would fail at the next line."""
        if self.output_fd is None:
            return
        with suppress(OSError):  # without cat(1) it has to get along without a reader
            subprocess.Popen(
                ("cat",),
                stdin=self.output_fd,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

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
            if came.si_code != BY_KERNEL:
                self.send(came.si_signo)
