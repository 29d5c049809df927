"""A program in a pseudo terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Sequence


def opened(command: Sequence[str], columns: int, lines: int) -> tuple[int, int]:
    """Start *command* in a terminal of its own; return its pid and the descriptor of the terminal's other end."""
    pid, fd = pty.fork()
    if pid == 0:
        # Known before the program asks, or it lays out its screen twice.
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execvp(command[0], command)
    return pid, fd
