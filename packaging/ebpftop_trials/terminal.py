"""The screen of a program in a fresh system: whether it comes, and goes when it is asked to."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping
from fcntl import ioctl

from ebpftop_trials.system import System, TrialError

LIMIT_S = 120.0


def show(system: System, *command: str, words: bytes = b"Exec log", env: Mapping[str, str] | None = None) -> None:
    """Run *command* on a terminal until it shows *words*, then press q; raise TrialError if it does not end well."""
    argv = system.argv(command, env)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    try:
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 35, 120, 0, 0))
        seen = _read_until(terminal, words)
        os.write(terminal, b"q")
        rest = _read_until(terminal, None)
    except TrialError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise TrialError(f"`{' '.join(command)}`: {error}") from error
    finally:
        os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        raise TrialError(f"`{' '.join(command)}` ended with {status}:\n{(seen + rest)[-2000:]!r}")


def _read_until(terminal: int, words: bytes | None) -> bytes:
    """Return what the terminal got until *words* came, or until its end."""
    seen = b""
    end = time.monotonic() + LIMIT_S
    while (left := end - time.monotonic()) > 0:
        if words is not None and words in seen:
            return seen
        if not select.select([terminal], [], [], left)[0]:
            break
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # EIO: nobody has the other side any more
            chunk = b""
        if not chunk:
            if words is None:
                return seen
            raise TrialError(f"it ended before it showed {words!r}: {seen[-2000:]!r}")
        seen += chunk
    raise TrialError(
        f"after {LIMIT_S:.0f} s it had not {'ended' if words is None else f'shown {words!r}'}: {seen[-2000:]!r}"
    )
