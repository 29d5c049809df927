"""The real program on the real kernel: start `ebpftop stream`, do something, read what it said."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from ebpftop.core.record_lines import encode
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.unseen import PREEMPTIBLE_SINCE
from ebpftop.recording.parse import read_line
from ebpftop.recording.readings import ReadingDecoder

from .forked_start import ASKED_FOR, WORK_CPU, Started

Line = dict[str, Any]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="BPF programs need root: sudo script/test")

CHECKED = "EBPFTOP_TEST_CHECKED"
"""Names a file with what `check --json` said on this kernel (`tests.vm.results.Checked`): it takes long in a guest."""

EMULATED = ASKED_FOR in os.environ
"""Whether this is a guest of tests/vm, where everything takes twenty to forty times as long: fewer rounds will do."""

_FROM_DISK = [sys.executable, "-m", "ebpftop"]

# Much longer than it ever takes, but under emulation beside others.
_UP_S = 240.0


def whole_lines(lines: Iterable[str]) -> Iterator[Line]:
    """Yield the lines of a stream as objects, with every reading whole."""
    readings = ReadingDecoder()
    for line in lines:
        record = readings.whole(read_line(line.strip().encode()))
        if record is not None:
            yield json.loads(encode(record))


class Stream:
    """`ebpftop stream` as a child process; usable as a context manager that is entered once all probes are up."""

    forked = True
    """Whether it may start by fork(2) from a process that has imported it: half of a start is imports."""

    def __init__(self, *arguments: str, probes: str = "execs,users,syscalls,trace") -> None:
        self.command = [*_FROM_DISK, "stream", "--probes", probes, *arguments]
        self.probes = probes.split(",")
        self.lines: list[Line] = []
        self.stderr = ""
        self.status: int | None = None

    def __enter__(self) -> Stream:
        self._child: subprocess.Popen[str] | Started
        if self.forked and self.command[:3] == _FROM_DISK:
            self._child = Started(*self.command[3:])
        else:
            self._child = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(lambda lines: {line["probe"] for line in of("probe", lines)} >= set(self.probes), _UP_S)
        # A file that does not load is what some tests are about.
        states = [line for line in of("probe", self.lines) if line["probe"] != "load"]
        failed = [line for line in states if line["state"] == "failed"]
        assert not failed, failed
        return self

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in whole_lines(self._child.stdout):
            self.lines.append(line)

    def wait_for(self, holds: Callable[[Sequence[Line]], object], timeout_s: float = 20.0) -> None:
        """Wait until *holds* is true of the lines so far; fails the test after *timeout_s*."""
        until_s = time.monotonic() + timeout_s
        while not holds(list(self.lines)):
            if self._child.poll() is not None:
                self._finish()
                if holds(self.lines):
                    return
                pytest.fail(f"ebpftop ended with {self.status}: {self.stderr}")
            if time.monotonic() > until_s:
                self.stop()
                pytest.fail(f"not seen within {timeout_s} s; the last of {len(self.lines)} lines: {self.lines[-3:]}")
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    @property
    def pid(self) -> int:
        """The process id of ebpftop."""
        return self._child.pid

    def stop(self) -> list[Line]:
        """End it with SIGINT and return all that it said: what happened before is in it."""
        if self.status is None:
            self._child.send_signal(signal.SIGINT)
            self._finish()
        return self.lines

    def _finish(self) -> None:
        try:
            self.status = self._child.wait(30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self.status = self._child.wait()
        self._reader.join(10)
        assert self._child.stderr is not None
        self.stderr = self._child.stderr.read()
        self._child.stderr.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def of(kind: str, lines: Sequence[Line], **fields: object) -> list[Line]:
    """Return the lines of one kind whose fields have these values."""
    return [
        line
        for line in lines
        if line["kind"] == kind and all(line.get(name) == value for name, value in fields.items())
    ]


def last(kind: str, lines: Sequence[Line]) -> Line:
    """Return the last line of one kind."""
    return of(kind, lines)[-1]


def at_some_moment(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Is something true at least once? Programs of others come and go in these maps; what was left behind stays."""
    until_s = time.monotonic() + within_s
    while not (found := true()) and time.monotonic() < until_s:
        time.sleep(0.001)
    return found


def compile_c(directory: Path, name: str, source: str, *flags: str) -> Path:
    """Return the path of a small program, compiled: once for all runs, for under emulation the compiler is slow."""
    digest = hashlib.sha256("\0".join((source, *flags)).encode()).hexdigest()
    kept = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ebpftop/programs" / digest
    program = directory / name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        file, new = directory / f"{name}.c", kept.with_suffix(f".{os.getpid()}")
        file.write_text(source)
        subprocess.run(["gcc", "-O1", "-o", new, file, *flags], check=True)
        new.rename(kept)
    shutil.copy(kept, program)
    return program


def whole(run: Callable[[], list[Line]], is_whole: Callable[[list[Line]], bool] | None = None) -> list[Line]:
    """Return what *run* yields once nothing is lost, or what is lost does not matter to *is_whole*.

    From Linux 7.3 on, programs at these places may be preempted: a call is lost if its CPU was taken from another task
    in our program. For *is_whole* the command that *run* starts by `alone` has a CPU of its own.
    """
    until_s = time.monotonic() + 180  # beside another guest that is most of the time
    with _apart() if is_whole else nullcontext():
        while True:
            lines = run()
            lost = {line["where"] for line in of("lost", lines) if line["count"]}
            if not lost or (is_whole and is_whole(lines)):
                return lines
            assert lost == {"recursion"}
            assert kernel_version() >= PREEMPTIBLE_SINCE
            assert time.monotonic() < until_s, f"something was lost each time: {lines}"


def alone(*command: str | Path) -> list[str | Path]:
    """Return *command* so that it has a CPU of its own within `whole`."""
    return ["taskset", "--cpu-list", os.environ[WORK_CPU], *command] if WORK_CPU in os.environ else [*command]


@contextmanager
def _apart() -> Iterator[None]:
    """Leave a CPU to what `alone` starts."""
    cpus = os.sched_getaffinity(0)
    if not EMULATED or kernel_version() < PREEMPTIBLE_SINCE or len(cpus) < 2:
        yield
        return
    os.environ[WORK_CPU] = str(work := max(cpus))
    os.sched_setaffinity(0, cpus - {work})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)
        del os.environ[WORK_CPU]
