"""Start ebpftop by fork(2) from a process that has imported it: imports take half of a start.

`python -m tests.kernel.forked_start` is that process. Its standard input is a socket; each message asks for one start.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import IO, NoReturn

ASKED_FOR = "EBPFTOP_TEST_FORKED"
"""In the environment: where a start need not be one from the disk on."""

WORK_CPU = "EBPFTOP_TEST_WORK_CPU"
"""In the environment: the CPU that what is started leaves to what the test does."""

# All that a stream imports. Whatever is missing here is imported after the fork.
_IMPORTED = (
    *("ebpftop.__main__", "ebpftop.lifecycle.process", "ebpftop.cli.main", "ebpftop.cli.options", "ebpftop.cli.parser"),
    *("ebpftop.cli.settings", "ebpftop.commands.stream", "ebpftop.sources.live", "ebpftop.kernel.compile_helper"),
    *(f"ebpftop.probes.{name}" for name in ("execs", "groups", "opens", "programs", "states", "syscalls", "trace")),
    "ebpftop.probes.users",
)
_ASKING_BYTES = 1 << 20
_FILES = 4096


class Started:
    """A process that was started so, with what the tests use of `subprocess.Popen`."""

    def __init__(self, *arguments: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdout, stdout_w = os.pipe()
        stderr, stderr_w = os.pipe()
        asking = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()
        # In a guest one process for all: there its imports take longer than anything else.
        starter = _starter("--load" in arguments or ASKED_FOR in os.environ)
        socket.send_fds(starter, [asking], [stdout_w, stderr_w, theirs.fileno()])
        os.close(stdout_w)
        os.close(stderr_w)
        theirs.close()
        self._reports = ours
        self.stdout: IO[str] = os.fdopen(stdout, encoding="utf-8")
        self.stderr: IO[str] = os.fdopen(stderr, encoding="utf-8")
        self.returncode: int | None = None
        self.pid = int(ours.recv(64))

    def poll(self) -> int | None:
        """Return the status, negative for a signal; None while it runs."""
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the status; raises subprocess.TimeoutExpired."""
        status = self._status(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("ebpftop", timeout)
        return status

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._reports.settimeout(timeout)
            try:
                self.returncode = int(self._reports.recv(64))
            except (BlockingIOError, TimeoutError):
                return None
            self._reports.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start one that ends by itself and says little; return how it ended."""
    started = Started(*arguments)
    with started.stdout, started.stderr:
        stdout, stderr = started.stdout.read(), started.stderr.read()
    return subprocess.CompletedProcess(arguments, started.wait(60), stdout, stderr)


@cache
def _starter(_loads: bool) -> socket.socket:
    """Start the process that others are forked from, those that load a C file from one that has a compiler.

    It ends with this one.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno())
    theirs.close()
    return ours


def _serve(asked: socket.socket) -> NoReturn:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    asking, fds, _, _ = socket.recv_fds(asked, _ASKING_BYTES, 3)
                    if not asking:
                        sys.exit()
                    if "--load" in json.loads(asking)[0]:
                        _warm_up()
                    pid = os.fork()
                    if pid == 0:
                        _become(*json.loads(asking), *fds[:2])
                    for fd in fds[:2]:
                        os.close(fd)
                    reports = socket.socket(fileno=fds[2])
                    reports.send(str(pid).encode())
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, reports))
                else:
                    pid, reports = key.data
                    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    with suppress(BrokenPipeError):  # nobody asks any more
                        reports.send(str(status).encode())
                    reports.close()


@cache
def _warm_up() -> None:
    """Have what `ebpftop-load` needs, which would else read it anew at each start."""
    for name in ("ebpftop.probes.load", "ebpftop.probes.load_report"):
        importlib.import_module(name)
    from ebpftop.kernel.load.server_process import warm_up

    warm_up()


def _become(arguments: list[str], environment: dict[str, str], folder: str, stdout: int, stderr: int) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, standard in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(fd, standard)
    os.closerange(3, _FILES)
    if work := environment.pop(WORK_CPU, ""):
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {int(work)})
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["ebpftop", *arguments]
    from ebpftop.__main__ import main

    main()


if __name__ == "__main__":
    _serve(socket.socket(fileno=os.dup(0)))
