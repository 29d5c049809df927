"""A program in a pseudo terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path


def opened(command: Sequence[str], columns: int, lines: int) -> tuple[int, int]:
    """Start *command* in a terminal of its own; return its pid and the descriptor of the terminal's other end."""
    pid, fd = pty.fork()
    if pid == 0:
        # Set before the program reads it; otherwise it lays out its screen twice.
        set_size(1, columns, lines)
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execvp(command[0], list(command))
    return pid, fd


def set_size(fd: int, columns: int, lines: int) -> None:
    """Give the terminal behind *fd* a size; the kernel sends SIGWINCH to what runs in it."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


class Screen:
    """A command in a terminal whose output is read as it comes, with the time of its last byte."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], *, keep_bytes: int = 1 << 16) -> None:
        """Start *command* in a terminal of *size* (columns, lines); at least the last *keep_bytes* painted are kept."""
        self.pid, self._fd = opened(command, *size)
        self.painted_s = 0.0
        self.status: int | None = None
        """Its exit status after its end; minus the signal's number if a signal ended it."""
        self._keep_bytes = keep_bytes
        self._painted = bytearray()
        self._dropped = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                painted = os.read(self._fd, 1 << 16)
            except OSError:  # EIO: no process has the other end any more
                return
            self.painted_s = time.perf_counter()
            self._painted += painted
            if len(self._painted) > 2 * self._keep_bytes:
                self._dropped += len(self._painted) - self._keep_bytes
                del self._painted[: -self._keep_bytes]

    @property
    def mark(self) -> int:
        """How many bytes were painted so far."""
        return self._dropped + len(self._painted)

    def painted(self, since: int = 0) -> bytes:
        """Return what was painted since `mark` was *since*, as far as it is kept."""
        return bytes(self._painted[max(0, since - self._dropped) :])

    def wait_for(self, text: bytes, *, since: int = 0, timeout_s: float = 60.0) -> bool:
        """Wait until *text* has been painted after *since*; False if it ended, or *timeout_s* passed, before."""
        until_s = time.perf_counter() + timeout_s
        at = since
        while True:
            is_over = time.perf_counter() > until_s or not self._reader.is_alive()
            mark = self.mark
            if text in self.painted(at):
                return True
            if is_over:
                return False
            at = max(since, mark - len(text))  # what was looked through is not looked through again
            time.sleep(0.01)

    def press(self, keys: bytes, timeout_s: float = 10.0) -> bool:
        """Send *keys*; False if the terminal's queue stays full for *timeout_s*, or the program has ended."""
        until_s = time.perf_counter() + timeout_s
        while keys:
            if not select.select([], [self._fd], [], max(0.0, until_s - time.perf_counter()))[1]:
                return False
            try:
                keys = keys[os.write(self._fd, keys[:256]) :]
            except OSError:
                return False
        return True

    def answered_s(self, key: bytes, still_s: float = 0.05, timeout_s: float = 20.0) -> float:
        """Send *key*; return the seconds until the last byte that followed it, before a pause of *still_s*."""
        began_s = time.perf_counter()
        self.press(key)
        while self.painted_s < began_s or time.perf_counter() - self.painted_s < still_s:
            if time.perf_counter() - began_s > timeout_s:
                raise SystemExit(f"the key {key!r} was not answered in {timeout_s:.0f} s")
            time.sleep(0.001)
        return self.painted_s - began_s

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        set_size(self._fd, columns, lines)

    @property
    def modes(self) -> list[object]:
        """The terminal's settings as termios(3) has them, of both ends."""
        return termios.tcgetattr(self._fd)

    def memory(self) -> tuple[float, float]:
        """Return the resident and the private memory in MiB; zeros if it has ended."""
        try:
            text = Path("/proc", str(self.pid), "smaps_rollup").read_text()
        except OSError:
            return 0.0, 0.0
        kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
        return kib["Rss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024

    def cpu_s(self) -> float:
        """Return the CPU seconds of all threads so far."""
        fields = Path("/proc", str(self.pid), "stat").read_text(errors="replace").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ended(self, timeout_s: float = 0.0) -> bool:
        """Wait at most *timeout_s* for the end; return whether it has ended. `status` is known then."""
        until_s = time.perf_counter() + timeout_s
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self._reader.join(5)
            elif time.perf_counter() >= until_s:
                return False
            else:
                time.sleep(0.01)
        return True

    def close(self) -> None:
        """Quit it as a user does, or by force if that fails; close the terminal."""
        if not self.ended():
            self.press(b"q")
            self.ended(10)
        self.kill()

    def kill(self) -> None:
        """End it by force if it runs; close the terminal."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.ended(10)
        os.close(self._fd)
