"""The life of the process: what ends it, how long that may take, and what is always undone.

A signal or `Process.ask_to_end` may ask it to end at any moment, from the first line of the command on. Then there are
three steps; each one is used if the one before it did not end the process:

1. It ends in order: the screen closes, the recording gets its last record, every probe is detached. If nothing runs
   yet that can end in order (arguments, imports, the compiler), `leave` is called at once.
2. After ORDERLY_S a thread that does nothing else calls `leave`. It closes every descriptor, which removes all programs
   and links from the kernel, removes what has a name, restores the terminal, and ends with the right status.
3. After guard.KILL_AFTER_S the guard, a child, kills it and cleans up: no Python code ran in all that time. If `leave`
   is running, the guard waits for guard.KILL_LEAVING_AFTER_S.

Step 3, without the kill, also happens if the process is killed or crashes in C code. After a crash in Python nobody
asked for the end: it may take guard.CRASH_S more, or the report would be lost on an overloaded machine.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from ebpftop.lifecycle import crash, guard, leftovers
from ebpftop.lifecycle.terminal import KEYS, Terminal, above_standard

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

INTERRUPTED = 130
"""The exit status after Ctrl-C and SIGINT. After other signals that ask a program to end it is 0: it obeyed."""

ORDERLY_S = 0.55 * guard.END_S
"""How long it may take to end in order."""

_FILES_SOUGHT = 4096  # more than ebpftop needs: ebpftop.lifecycle.limits
# Independent of `ulimit -s`: the compiler needs this much, nothing needs more.
_STACK_BYTES = 8 << 20


def hold_back_signals() -> None:
    """Leave signals that ask to end to other threads: this thread, and those that it starts, get none."""
    signal.pthread_sigmask(signal.SIG_BLOCK, guard.END_SIGNALS)


class Process:
    """This process. There is one, `process`. In tests of single parts it is not armed, and its methods do nothing."""

    def __init__(self) -> None:
        self.terminal = Terminal()
        self.asked: int | None = None
        """The exit status that was requested first; None as long as there was no request."""
        self.status_if_ended = 0
        """The exit status after SIGTERM, SIGHUP and SIGQUIT."""
        self.leaving = False
        self.files_at_start: tuple[int, int] | None = None
        """The limit on open files that we were started with."""
        self.ignored_at_start: frozenset[signal.Signals] = frozenset()
        """Signals that were ignored then."""
        self._armed = False
        self._stopped = False
        self._end: Callable[[], None] | None = None
        self._interrupt: Callable[[], bool] | None = None
        self._stop: Callable[[], None] | None = None
        self._redraw: Callable[[], None] | None = None
        self._undo: list[Callable[[], str | None]] = []
        self._work_queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._guard: socket.socket | None = None
        self._tracefs_fd: int | None = None
        self._crash = crash.Crash()
        self._owner = leftovers.Owner(0, 0)  # the names of what we create in tracefs contain it

    # ---- the whole life ----

    def run(self, command: Callable[[], int]) -> NoReturn:
        """Run *command* and end with the status that it returns; a crash is reported in one line."""
        try:
            status = command()
        except SystemExit as error:  # argparse
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException as error:  # noqa: BLE001  # nothing else will handle it
            self._wait_if_leaving()
            self.end_by(lambda: None)
            self.crashed(error)
            self.terminal.restore()
            with suppress(OSError, ValueError):
                self._crash.tell(sys.stderr.write)
            status = 1
        self.end(status)

    def arm(self) -> None:
        """From now on this process ends as the module describes. Call it first: there must be no other thread."""
        threading.stack_size(_STACK_BYTES)
        soft, hard = self.files_at_start = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < _FILES_SOUGHT:
            wanted = _FILES_SOUGHT if hard == resource.RLIM_INFINITY else min(hard, _FILES_SOUGHT)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        self.terminal.open()
        fatal_fd = above_standard(os.memfd_create("ebpftop-fatal", os.MFD_CLOEXEC))
        # At the end of the log, or each thread's lines would overwrite those of the one before.
        with suppress(OSError, RuntimeError):
            faulthandler.enable(fatal_fd)
        with suppress(OSError):  # no more processes allowed: steps 1 and 2 are left
            self._guard = guard.start(self.terminal, fatal_fd)
            signal.set_wakeup_fd(self._guard.fileno(), warn_on_full_buffer=False)
        self._armed = True
        job_signals = (*guard.END_SIGNALS, signal.SIGTSTP)
        self.ignored_at_start = frozenset(n for n in job_signals if signal.getsignal(n) == signal.SIG_IGN)
        threading.Thread(target=self._leave_when_late, name="end-anyway", daemon=True).start()
        for number in guard.END_SIGNALS:
            # After nohup(1), the process must outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_end_signal)
        self.handle_job_control()

    def end(self, status: int) -> NoReturn:
        """End now, in order: everything is closed. The interpreter is not finalized: that could wait for threads."""
        if not self._armed:
            raise SystemExit(status)
        self._wait_if_leaving()
        self.end_by(lambda: None)
        self.ask_to_end(status)
        self.terminal.typed_ahead()
        self.terminal.restore()
        if undone := self._undo_all():
            from ebpftop.lifecycle.stdio import report

            for said in undone:
                report(said)
        for file in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                file.flush()
        self._close_all()
        os._exit(status or self.asked or 0)

    # ---- being asked to end ----

    def ask_to_end(self, status: int) -> None:
        """Ask it to end, within two seconds, with *status*. Any thread may call it; the first call counts."""
        if not self._armed or self.asked is not None:
            return
        self.asked = status
        self._notify_guard(guard.ENDING)
        self._work_queue.put(None)
        if self._end is None:
            self.leave(status)
        self._end()

    def crashed(self, error: BaseException) -> None:
        """End with status 1, and report *error* in one line, by `run` or by `leave`."""
        self._crash.note(error)
        if self.asked is None:
            self._notify_guard(guard.CRASHED)
        self.ask_to_end(1)

    def take_keys(self) -> None:
        """Let the key q end it while there is no screen yet."""
        if self._armed:
            self.terminal.take_keys(lambda: self.ask_to_end(0))

    def end_by(self, end: Callable[[], None]) -> None:
        """Call *end* when the process is asked to end, instead of `leave`: what runs now can end in order.

        *end* is called once, in a signal handler or in another thread.
        """
        self._end = end

    def interrupt_by(self, interrupt: Callable[[], bool] | None) -> None:
        """Call *interrupt* at a Ctrl-C: it returns whether this process goes on. None: it ends, as ever."""
        self._interrupt = interrupt

    def interrupt(self) -> None:
        """Ctrl-C was typed, which the terminal does not turn into a signal while there is a screen."""
        if self._interrupt is None or not self._interrupt():
            self.ask_to_end(INTERRUPTED)

    @contextmanager
    def undone_at_last(self, undo: Callable[[], str | None]) -> Iterator[None]:
        """Call *undo* if the process ends within the block. *undo* must not wait for anything.

        What it returns is said, by `leave` only on a terminal that takes it at once.
        """
        self._undo.append(undo)
        try:
            yield
        finally:
            self._undo.remove(undo)

    def set_tracefs(self, tracefs: Path) -> None:
        """Set the place of tracefs, before anything with a name is created there."""
        if not self._armed or self._tracefs_fd is not None:
            return
        self._owner = leftovers.Owner.of_this_process()  # not in `leave`: /proc may be gone by then
        self._tracefs_fd = above_standard(os.open(tracefs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        self._give_guard(guard.TRACEFS, self._tracefs_fd)

    def session_had(self, nice: int) -> None:
        """If this process is killed, the guard sets the nice value of the session back to *nice*."""
        self._notify_guard(guard.SESSION_NICE + nice)

    def session_is_restored(self) -> None:
        """Report to the guard that the session has its own nice value again."""
        self._notify_guard(guard.SESSION_RESTORED)

    def leave(self, status: int) -> NoReturn:
        """End at once, from any thread: nothing stays in the kernel, the terminal is restored."""
        self._wait_if_leaving()
        self.leaving = True
        self._notify_guard(guard.LEAVING)
        with self._crash.telling:
            undone = self._undo_all()
            self._close_all()
            if self._tracefs_fd is not None:
                leftovers.remove(self._tracefs_fd, self._owner)
            self.terminal.restore()
            for said in undone:
                self.terminal.write_line(f"ebpftop: {said}")
            self._crash.tell(lambda line: self.terminal.write_line(line.rstrip("\n")))
        os._exit(status)

    def _undo_all(self) -> list[str]:
        """Undo what is not complete, and return what is to be said of it."""
        said: list[str] = []
        for undo in reversed([*self._undo]):
            with suppress(Exception):
                said += filter(None, [undo()])
        return said

    def _close_all(self) -> None:
        """Close every descriptor that keeps something in the kernel.

        The kernel closes them only when the last thread has ended. A thread that waits for a file system that never
        answers may not end, even if it is killed (FUSE).
        """
        threading.excepthook = lambda _: None  # other threads will fail: their descriptors are closed
        left_open = (self.terminal.fd, self._tracefs_fd, None if self._guard is None else self._guard.fileno())
        guard.close_all_but({fd for fd in left_open if fd is not None})

    def _wait_if_leaving(self) -> None:
        """If another thread runs `leave`, wait for the end: an error here only means that descriptors were closed."""
        while self.leaving:
            time.sleep(guard.KILL_AFTER_S)

    # ---- signals ----

    def _on_end_signal(self, number: int, _frame: FrameType | None) -> None:
        self.ask_to_end(INTERRUPTED if number == signal.SIGINT else self.status_if_ended)

    def _leave_when_late(self) -> None:
        while (work := self._work_queue.get()) is not None:
            work()
        time.sleep(ORDERLY_S)
        self.leave(self.asked or 0)

    def call_beside(self, work: Callable[[], None]) -> None:
        """Call *work* in the thread that waits for the end, and wait for it: each thread has its own privileges.

        An OSError of *work* is not reported: the caller calls *work* in its own thread too, and sees it there.
        """
        if not self._armed or self.asked is not None:
            return
        done = threading.Event()

        def work_and_notify() -> None:
            with suppress(OSError):
                work()
            done.set()

        self._work_queue.put(work_and_notify)
        done.wait(ORDERLY_S)

    def _give_guard(self, code: int, fd: int) -> None:
        if self._guard is not None:
            with suppress(OSError):
                socket.send_fds(self._guard, [bytes([code])], [fd])

    def _notify_guard(self, code: int) -> None:
        if self._guard is not None:
            with suppress(OSError):
                self._guard.send(bytes([code]))

    # ---- being stopped (Ctrl-Z) and continued ----

    def handle_job_control(self) -> None:
        """Handle SIGTSTP and SIGCONT (call it again after Textual's driver has set its own handlers)."""
        if self._armed:
            signal.signal(signal.SIGTSTP, self._on_stop_signal)
            signal.signal(signal.SIGCONT, self._on_continue_signal)

    def stop_by(self, stop: Callable[[], None] | None, redraw: Callable[[], None] | None) -> None:
        """Call *stop* on SIGTSTP (it must call `stop`), and *redraw* on SIGCONT. Both run in a signal handler."""
        self._stop, self._redraw = stop, redraw

    def stop(self) -> None:
        """Stop until a shell continues us in the foreground. In an orphaned group no shell could: return at once.

        Only the main thread may call it, with the terminal restored. While the process is stopped, the guard watches
        for signals that ask it to end.
        """
        self._notify_guard(guard.STOPPING)
        self._stopped = True
        number = signal.SIGTSTP
        while self.asked is None:
            began_s = time.monotonic()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            if self.terminal.is_ours():
                break
            # Continued in the background: it would draw over the current foreground job.
            number = signal.SIGTTOU
            if time.monotonic() - began_s < 0.01:
                time.sleep(0.1)
        self._stopped = False
        self.handle_job_control()
        self._notify_guard(guard.CONTINUED)

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked is not None:
            return
        if self._stop is not None:
            self._stop()
            return
        reading_keys = self.terminal.state == KEYS
        self.terminal.restore()
        self.stop()
        if reading_keys:
            self.take_keys()

    def _on_continue_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._redraw is not None and not self._stopped and self.asked is None:
            self._redraw()


process = Process()
