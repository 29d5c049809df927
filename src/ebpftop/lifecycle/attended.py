"""A command beside the screen of ebpftop: what a signal, Ctrl-C and `q` do to the two."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ebpftop.core.escape import printable
from ebpftop.lifecycle.guard import END_SIGNALS
from ebpftop.lifecycle.process import process
from ebpftop.lifecycle.started import BY_KERNEL, StartedCommand


class AttendedCommand:
    """A command that has a terminal of its own. Signals that ask ebpftop to end are its.

    Once such a signal has come, or the user has asked it to end, ebpftop ends when the command does, with its status;
    else the screen stays. Once it has ended, whatever ends ebpftop ends it with that status.
    """

    def __init__(self, command: StartedCommand) -> None:
        self.started = command
        self.name = printable(os.path.basename(command.argv[0]))
        self.leaves_at_end = False
        """Ebpftop ends when the command does."""
        self.asked_to_end = False
        """The user has asked it to end: it may refuse."""
        self._is_interrupted = False
        self.notify: Callable[[str], None] = lambda _: None
        """Shows a notice. Any thread may call it."""

    @property
    def pid(self) -> int:
        return self.started.pid

    @property
    def is_running(self) -> bool:
        return self.started.code is None

    @property
    def status(self) -> int:
        """The exit status that ebpftop leaves with: the command's; 0 while that runs."""
        return 0 if self.is_running else self.started.status

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Pass signals on to it; Ctrl-C is its, too. Nobody is left to read what it prints at the end."""
        with self.started.gets_signals():
            threading.Thread(target=self._pass_signals, name="signals", daemon=True).start()
            process.interrupt_by(self._interrupt)
            try:
                yield
            finally:
                process.interrupt_by(None)
                if self.is_running:
                    self.started.leave_running()

    def has_ended(self) -> None:
        """The command has ended. Any thread may call it."""
        process.status_if_ended = self.status
        if self.leaves_at_end:
            process.ask_to_end(self.status)

    def end(self, *, kill: bool = False) -> None:
        """Ask it and what it started to end, or kill them; leave when it has ended."""
        self.leaves_at_end = self.asked_to_end = True
        number = signal.SIGKILL if kill else signal.SIGTERM
        self.started.send_to_group(number)
        if self.is_running:
            self.notify(f"{number.name} sent to {self.name}; ebpftop leaves when that has ended")
        else:
            process.ask_to_end(self.status)

    def _interrupt(self) -> bool:
        """Ctrl-C: the command gets it. Return whether ebpftop goes on."""
        if not self.is_running:
            process.ask_to_end(self.status)
            return True
        if self._is_interrupted:
            return False
        self._is_interrupted = True
        self.started.send_to_group(signal.SIGINT)
        self.notify(f"SIGINT sent to {self.name}. Ctrl-C once more leaves, whether it has ended or not")
        return True

    def _pass_signals(self) -> None:
        while True:
            came = signal.sigwaitinfo(END_SIGNALS)
            self.leaves_at_end = True
            if not self.is_running:
                process.ask_to_end(self.status)
            elif came.si_code == BY_KERNEL:  # the terminal of the screen hung up: that would reach them all
                self.started.send_to_group(came.si_signo)
            else:
                self.started.send(came.si_signo)
