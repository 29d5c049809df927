"""Run a command of the user beside ebpftop: without waiting for it, and without what ebpftop may do."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping

from ebpftop.core.source import UsageError
from ebpftop.lifecycle.invoker import User

_LONGEST = 4096
"""Characters of a variable: the kernel bounds all of them together."""


class CommandRunner:
    """Runs one command now and then, one at a time.

    It runs as the user that ebpftop has become (docs/security.md), without a capability of ebpftop's, in a session of
    its own: Ctrl-C does not end it. It is not run by a shell.
    """

    def __init__(self, command: str, every_s: float, *, output_fd: int | None, user: User | None = None) -> None:
        """Split *command* as a shell would; UsageError if there is no such program.

        It is not run again within *every_s* seconds. Its output goes to *output_fd*, or nowhere. *user* is the one that
        ebpftop becomes.
        """
        try:
            self.argv = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--when-run {command}: {error}") from error
        if not self.argv or shutil.which(self.argv[0]) is None:
            raise UsageError(
                f"--when-run: {self.argv[0] if self.argv else 'nothing'} is not a program that can be run",
                "for what only a shell can do: --when-run \"sh -c '..'\"",
            )
        self.skipped = 0
        """How often it should have run since it ran last, but was running still, or had just run."""
        self.report: Callable[[str], None] = lambda _: None
        """Gets a line about a command that could not be run; in another thread."""
        self._every_s = every_s
        self._output_fd = output_fd
        self._environment = _environment_of(user)
        self._running: threading.Thread | None = None
        self._ran_s = -every_s

    @property
    def is_ready(self) -> bool:
        """Whether it may run now: it does not run, and has not just run."""
        is_running = self._running is not None and self._running.is_alive()
        return not is_running and time.monotonic() - self._ran_s >= self._every_s

    def run(self, data: bytes, variables: Mapping[str, str]) -> None:
        """Run it with *data* on its stdin and *variables* in its environment."""
        self._ran_s = time.monotonic()
        skipped, self.skipped = self.skipped, 0
        safe = {name: value.replace("\0", "")[:_LONGEST] for name, value in variables.items()}
        environment = {**self._environment, **safe, "EBPFTOP_SKIPPED": str(skipped)}
        # A thread, since starting a program waits for the disk, or for a network, that it lies on.
        self._running = threading.Thread(target=self._run, args=(data, environment), name="when-run", daemon=True)
        self._running.start()

    def finish(self, patience_s: float) -> None:
        """Wait at most so long until it has begun and ended. It is not killed."""
        if self._running is not None:
            self._running.join(patience_s)

    def _run(self, data: bytes, environment: Mapping[str, str]) -> None:
        stdin_fd = os.memfd_create("ebpftop-record", os.MFD_CLOEXEC)  # no pipe: nobody need wait until it is read
        try:
            os.write(stdin_fd, data)
            os.lseek(stdin_fd, 0, os.SEEK_SET)
            output = subprocess.DEVNULL if self._output_fd is None else self._output_fd
            started = subprocess.Popen(
                self.argv, stdin=stdin_fd, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        except OSError as error:
            self.report(f"--when-run: {self.argv[0]} could not be run: {error.strerror}")
            return
        finally:
            os.close(stdin_fd)
        status = started.wait()
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"returned {status}"
            self.report(f"--when-run: {self.argv[0]} {how}")


def _environment_of(user: User | None) -> dict[str, str]:
    """Return the environment of ebpftop, with the home of *user* instead of root's."""
    environment = dict(os.environ)
    if user is not None:
        environment |= {"USER": user.name, "LOGNAME": user.name}
        home = os.path.expanduser(f"~{user.name}")
        if home.startswith("/"):
            environment["HOME"] = home
    return environment
