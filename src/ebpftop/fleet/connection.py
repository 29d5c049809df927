"""The stream of one host by ssh: what is run there, and the process that brings it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

SSH_OPTIONS = (
    # Nobody is there to type a password, and the screen is no place to ask for one.
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=10"),
    # A host that was unplugged is noticed after 15 seconds.
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=3"),
    "-T",
)
STREAM_OPTIONS = ("--compress", "--no-processes", "--host-field", "--env", "none")
"""What keeps the stream small: see docs/records.md."""

_AS_ROOT = """sh -c 's=; [ "$(id -u)" = 0 ] || s="sudo -n"; exec $s ebpftop stream "$@"' ebpftop"""
_SAID_BYTES = 8 << 10


@dataclass(frozen=True)
class Remote:
    """How hosts are reached: the ssh command, what runs ebpftop there (None: by sudo unless root), stream's options."""

    ssh: tuple[str, ...] = ("ssh",)
    command: str | None = None
    stream: tuple[str, ...] = ()

    def argv(self, host: str) -> list[str]:
        """Return the command line that brings the stream of *host*."""
        options = shlex.join((*STREAM_OPTIONS, *self.stream))
        start = _AS_ROOT if self.command is None else f"{self.command} stream"
        return [*self.ssh, *SSH_OPTIONS, "--", host, f"{start} {options}"]


class Connection:
    """A running ssh. Nothing here waits; descriptors are not blocking."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Start it. Raises OSError."""
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # With what it starts (ProxyCommand) it is ended together; and it has no terminal to ask on.
            start_new_session=True,
            # Messages are searched for words.
            env={**os.environ, "LC_ALL": "C"},
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.out_fd = self._process.stdout.fileno()
        self.err_fd = self._process.stderr.fileno()
        for fd in (self.out_fd, self.err_fd):
            os.set_blocking(fd, False)
        self.said = b""

    def read(self, size: int) -> bytes | None:
        """Return what came, nothing at the end, None if nothing came yet."""
        return _read(self.out_fd, size)

    def read_said(self) -> None:
        """Keep the end of what it says."""
        data = _read(self.err_fd, _SAID_BYTES)
        if data:
            self.said = (self.said + data)[-_SAID_BYTES:]

    def status(self) -> int | None:
        """Return its exit status, minus a signal; None as long as it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it, with all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> int | None:
        """End it if it runs, and close its pipes; return its exit status."""
        self.read_said()
        status = self._process.poll()
        if status is None:
            self.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        for file in (self._process.stdout, self._process.stderr):
            assert file is not None
            file.close()
        return status


def _read(fd: int, size: int) -> bytes | None:
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None
    except OSError:
        return b""
