"""The screen as a user has it: the real program in a terminal, keys pressed, on the running kernel."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kernel.support import needs_root
from tests.kernel.test_probes import assert_gone, programs_of

pytestmark = needs_root

_SEQUENCES = re.compile(rb"\x1b(?:\[[0-9;?>=<$]*[a-zA-Z]|[()][A-Z0-9]|[=>78])")


class Terminal:
    """A command of ebpftop in a terminal of 120 by 35."""

    def __init__(self, *arguments: str, command: str = "live") -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(sys.executable, [sys.executable, "-m", "ebpftop", command, *arguments])
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 35, 120, 0, 0))
        self._said = b""
        self.status: int | None = None

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def wait_for(self, text: bytes, timeout_s: float = 60.0) -> None:
        """Wait until *text* is drawn; what was drawn before the last call does not count."""
        until_s = time.monotonic() + timeout_s
        while text not in self._said:
            assert time.monotonic() < until_s, self._said[-2000:]
            self._read(0.1)
        self._said = self._said.partition(text)[2]

    def hang_up(self) -> None:
        """Close the terminal's window, or lose the connection to it."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDWR)

    def _read(self, timeout_s: float) -> None:
        if select.select([self._fd], [], [], timeout_s)[0]:
            with suppress(OSError):  # EIO: the program has ended
                self._said += _SEQUENCES.sub(b"", os.read(self._fd, 1 << 16))

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the end, reading on; return the exit status."""
        until_s = time.monotonic() + timeout_s
        while self.status is None:
            assert time.monotonic() < until_s
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal("--pid", str(os.getpid()))
    # The screen opens before the probes are attached.
    opened.wait_for("1● 2● 3● 4●".encode())
    yield opened
    opened.close()


def test_a_program_run_elsewhere_appears_and_q_leaves_nothing_in_the_kernel(terminal: Terminal) -> None:
    subprocess.run(["/bin/true", "seen-by-the-screen"], check=True)
    terminal.wait_for(b"seen-by-the-screen", 5)
    programs = programs_of(terminal.pid)
    assert programs
    terminal.press(b"q")
    assert terminal.wait() == 0
    assert_gone(programs)


def test_a_digit_takes_a_probe_out_of_the_kernel_and_brings_it_back(terminal: Terminal) -> None:
    before = programs_of(terminal.pid)
    terminal.press(b"1")
    terminal.wait_for(b"Detached: it costs nothing", 20)
    left = programs_of(terminal.pid)
    assert left < before
    assert_gone(before - left)
    subprocess.run(["/bin/true", "nobody-looks"], check=True)
    terminal.press(b"1")
    until_s = time.monotonic() + 20
    while not programs_of(terminal.pid) > left:
        assert time.monotonic() < until_s
        terminal._read(0.1)
    time.sleep(0.5)
    subprocess.run(["/bin/true", "looking-again"], check=True)
    terminal.wait_for(b"looking-again", 10)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0)])
def test_a_signal_ends_the_screen_and_leaves_nothing(terminal: Terminal, number: int, status: int) -> None:
    programs = programs_of(terminal.pid)
    time.sleep(0.5)
    os.kill(terminal.pid, number)
    assert terminal.wait() == status
    assert_gone(programs)


def test_a_terminal_that_is_closed_ends_the_screen_and_leaves_nothing(terminal: Terminal) -> None:
    programs = programs_of(terminal.pid)
    assert programs
    terminal.hang_up()
    # The kernel sends one too. On each Textual writes some more, so that its queue is full before the loop comes to it.
    for _ in range(200):
        with suppress(ProcessLookupError):
            os.kill(terminal.pid, signal.SIGCONT)
        time.sleep(0.001)
    assert terminal.wait() == 0
    assert_gone(programs)


def test_ctrl_c_is_status_130(terminal: Terminal) -> None:
    terminal.press(b"\x03")
    assert terminal.wait() == 130
