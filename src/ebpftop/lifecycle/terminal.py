"""The terminal that ebpftop was started on: how it was found, how it was changed, and how it is restored.

The state is kept in memory that is shared with the guard (lifecycle/guard.py), so the terminal can be restored even if
this process was killed. No call here waits for the terminal: it may be stopped, or gone.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import re
import select
import signal
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress

# Above the numbers that are free if stdin, stdout or stderr is closed.
FIRST_FD = 10

UNTOUCHED, KEYS, SCREEN = 0, 1, 2

# First the end of an escape sequence that was cut off; then the end of a frame, and the reset of every mode that
# our driver sets: paste, line wrap, reports of size and colours, mouse, keyboard protocol, alternate screen, cursor,
# focus, colours.
_RESET = (
    b"\x1b\\\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?2031l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)
_ASK_BACKGROUND = b"\x1b]11;?\x1b\\"
"""OSC 11 of xterm: most terminals answer it, in the same form."""
_BACKGROUND = re.compile(
    rb"\x1b\]11;rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})[^\x07\x1b]*(?:\x07|\x1b\\)"
)
_PRINTS_QUESTIONS = re.compile("(linux|vt[0-9]|ansi|cons|sun|wyse|dumb|$)")
"""TERM of terminals that do not know such a question, and may print it."""
ANSWER_S = 0.5
"""Seconds that an answer may take until nobody waits for it at the end. At any other time, nobody ever waits."""

_ATTRIBUTES_BYTES = 64  # struct termios of every architecture is smaller
_BEFORE, _MADE = 64, 128  # places in the shared page


def above_standard(fd: int) -> int:
    """Move *fd* to a number that none of the three standard descriptors can have."""
    try:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    except OSError as error:
        if error.errno == errno.EINVAL:  # the limit on open files is below FIRST_FD (fcntl(2))
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
        raise
    os.close(fd)
    return moved


def background_in(text: bytes) -> tuple[float, float, float] | None:
    """Return the background that a terminal's answer in *text* says: red, green and blue, from 0 to 1."""
    answer = _BACKGROUND.search(text)
    if answer is None:
        return None
    red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in answer.groups())
    return red, green, blue


class Terminal:
    """The terminal of the process, if it has one."""

    def __init__(self) -> None:
        self.fd: int | None = None
        """A descriptor of its own, which does not block."""
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._ahead: _KeysAhead | None = None
        self._background: tuple[float, float, float] | None = None
        self._asked_s: float | None = None
        """When the terminal was asked for its background; None: it was not, or has answered."""

    def open(self) -> None:
        """Find the terminal behind stdin, stdout or stderr."""
        for fd in (0, 1, 2):
            if os.isatty(fd):
                # By number: the name may be another terminal here. /dev/tty: the terminal may be another user's.
                for path in (f"/proc/self/fd/{fd}", "/dev/tty"):
                    with suppress(OSError):
                        opened = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
                        self.fd = above_standard(opened)
                        return

    @property
    def state(self) -> int:
        """UNTOUCHED, KEYS (keys are read, the text stays) or SCREEN (the alternate screen)."""
        return self._shared[0]

    @property
    def background(self) -> tuple[float, float, float] | None:
        """The terminal's own background, if it has answered yet: red, green and blue, from 0 to 1."""
        if self._background is None and self._ahead is not None:
            return background_in(self._ahead.typed)
        return self._background

    @background.setter
    def background(self, colour: tuple[float, float, float]) -> None:
        self._background, self._asked_s = colour, None

    def ask_background(self) -> None:
        """Ask for the terminal's background, and do not wait for the answer: it comes like a key."""
        if self.fd is None or self._ahead is None:  # nobody reads it
            return
        if self._asked_s is None and not _PRINTS_QUESTIONS.match(os.environ.get("TERM", "")):
            with suppress(OSError):
                os.write(self.fd, _ASK_BACKGROUND)
                self._asked_s = time.monotonic()

    def ask_background_again(self, write: Callable[[str], None]) -> None:
        """Ask by *write*, of the screen, a terminal that has answered before."""
        now_s = time.monotonic()
        if self._background is not None and (self._asked_s is None or now_s - self._asked_s >= ANSWER_S):
            self._asked_s = now_s
            write(_ASK_BACKGROUND.decode())

    def _await_answer(self) -> None:
        """Wait for an answer that is under way: the shell would read it as typed."""
        if self.fd is None or self._asked_s is None:
            return
        until_s, self._asked_s = self._asked_s + ANSWER_S, None
        came = self._ahead.typed if self._ahead else b""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while background_in(came) is None and (left_s := until_s - time.monotonic()) > 0:
            if not poll.poll(1e3 * left_s):
                return
            try:
                came += os.read(self.fd, 1024)
            except BlockingIOError:  # the thread that reads keys has got it
                came += self._ahead.typed if self._ahead else b""
            except OSError:
                return

    def is_ours(self) -> bool:
        """Return whether our job is in the foreground; True if the terminal does not control jobs."""
        if self.fd is None:
            return True
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True

    def take_keys(self, on_quit: Callable[[], None]) -> None:
        """Read keys from now on, before there is a screen; call *on_quit* if the first one is q.

        Ctrl-C, Ctrl-Z and Ctrl-\\ stay signals. In the background this stops the job, as reading a terminal does.
        """
        if self.fd is None or not os.isatty(0):
            return
        try:
            self._remember(KEYS)
            attributes = termios.tcgetattr(self.fd)
            attributes[3] &= ~(termios.ICANON | termios.ECHO)
            attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd, termios.TCSANOW, attributes)
            self._note_made()
        except (OSError, termios.error):
            return
        if self._ahead is None:
            self._ahead = _KeysAhead(on_quit)

    def typed_ahead(self) -> bytes:
        """Stop reading keys; return those that were typed."""
        ahead, self._ahead = self._ahead, None
        return ahead.stop() if ahead else b""

    def take_screen(self, enter: Callable[[], None]) -> None:
        """Call *enter*, which starts the screen on the terminal."""
        with suppress(OSError):
            self._remember(SCREEN)
        enter()
        with suppress(OSError):
            self._note_made()

    def take_again(self) -> None:
        """Set the terminal attributes of the screen again."""
        if self.fd is not None:
            with suppress(OSError):
                fcntl.ioctl(self.fd, termios.TCSETS, self._shared[_MADE : _MADE + _ATTRIBUTES_BYTES])

    def leave_screen(self) -> None:
        """Leave the alternate screen, and keep the settings until `restore`.

        With its own settings, a terminal whose output is not read would discard the reset sequence at the next Ctrl-C
        (NOFLSH, termios(3)).
        """
        if self.state == SCREEN and self.fd is not None:
            self._write_reset()
            self._await_answer()
            with suppress(termios.error):  # mouse reports, which the shell would read as keys
                termios.tcflush(self.fd, termios.TCIFLUSH)
            self._shared[0] = KEYS

    def restore(self, *, unless_changed: bool = False) -> None:
        """Restore the terminal. *unless_changed*: keep its settings if another program has changed them since."""
        if self.state == UNTOUCHED or self.fd is None:
            return
        # From the background, changing a terminal stops the job, unless this signal is blocked (tcsetattr(3)).
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            self.leave_screen()
            self._await_answer()
            with suppress(OSError):
                if not unless_changed or self._attributes() == self._shared[_MADE : _MADE + _ATTRIBUTES_BYTES]:
                    fcntl.ioctl(self.fd, termios.TCSETS, self._shared[_BEFORE : _BEFORE + _ATTRIBUTES_BYTES])
            self._shared[0] = UNTOUCHED
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def write_line(self, line: str) -> None:
        """Write a line, if the terminal accepts it at once."""
        if self.fd is not None:
            with suppress(OSError):
                os.write(self.fd, f"\r{line}\r\n".encode())

    def _attributes(self) -> bytes:
        assert self.fd is not None
        return bytes(fcntl.ioctl(self.fd, termios.TCGETS, bytes(_ATTRIBUTES_BYTES)))

    def _remember(self, state: int) -> None:
        if self.state == UNTOUCHED:
            self._shared[_BEFORE : _BEFORE + _ATTRIBUTES_BYTES] = self._attributes()
        self._shared[0] = state

    def _note_made(self) -> None:
        self._shared[_MADE : _MADE + _ATTRIBUTES_BYTES] = self._attributes()

    def _write_reset(self) -> None:
        assert self.fd is not None
        for _ in range(2):
            try:
                if os.write(self.fd, _RESET) == len(_RESET):
                    return
            except BlockingIOError:
                pass
            except OSError:  # the terminal is gone
                return
            # Nobody reads the terminal. What is queued belongs to the old screen: discard it to make room.
            with suppress(termios.error):
                termios.tcflush(self.fd, termios.TCOFLUSH)


class _KeysAhead:
    """Keys typed before there is a screen to read them."""

    def __init__(self, on_quit: Callable[[], None]) -> None:
        self._on_quit = on_quit
        self.typed = b""
        self._stopped_fd, self._stop_fd = os.pipe()
        self._thread = threading.Thread(target=self._read, name="keys-ahead", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        keys = select.poll()
        keys.register(0, select.POLLIN)
        keys.register(self._stopped_fd, select.POLLIN)
        quits = False
        while self._stopped_fd not in dict(keys.poll()):
            try:
                typed = os.read(0, 1024)
            except OSError:
                return
            if not typed:  # hung up: a signal follows too
                return
            self.typed += typed
            if not quits and _BACKGROUND.sub(b"", self.typed).startswith(b"q"):
                quits = True
                self._on_quit()

    def stop(self) -> bytes:
        os.close(self._stop_fd)  # a hang-up, which wakes the thread at once: the first picture waits for this
        self._thread.join()
        os.close(self._stopped_fd)
        return self.typed
