"""What is slow about a file, in threads of its own: to compile and verify it, and to put its code into words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from ebpftop.core.escape import printable
from ebpftop.core.load_records import Code, Diagnostic
from ebpftop.core.source import SourceError
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.load.build import Build
from ebpftop.kernel.load.deadline import Ended
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading, ProgramState
from ebpftop.lifecycle.priority import stand_back
from ebpftop.lifecycle.process import hold_back_signals
from ebpftop.probes.load_problems import diagnostics

Why: TypeAlias = Literal["save", "count", "open"]
"""Why a file is loaded: it was saved (or it is the first time), its lines are to be counted, or it is another file."""

_READ_S = 0.05
"""To read a small file takes a millisecond or two."""


class LoadWork:
    """One attempt to load a file. Its owner calls `advance` when `wait` says so, and `end` if it is not wanted."""

    def __init__(self, file: LoadedFile, why: Why = "save", *, counting: bool | None = None) -> None:
        self.file = file
        self.why: Why = why
        self.attempt = file.begin(counting=counting)
        self.loading: Loading | None = None
        """What it came to; None until then, and if it was abandoned."""
        self.problems: tuple[Diagnostic, ...] | None = None
        """What is wrong with what was not loaded; None if that was not sought yet."""
        self.is_over = False
        self._holds_nothing = False
        """Whether the thread has nothing of the kernel's any more, and need not be waited for if it is abandoned."""
        self._result: Build | Loading | None = None
        self._error: Exception | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread
        self._begin()

    def _begin(self) -> None:
        self._ready.clear()
        self._thread = threading.Thread(target=self._build, name="load", daemon=True)
        self._thread.start()

    def _build(self) -> None:
        hold_back_signals()
        stand_back()
        try:
            self._result = result = self.file.build(self.attempt)
            if isinstance(result, Loading) and not result.ok:  # to find out in a long log takes seconds
                self._holds_nothing = True
                self.problems = tuple(diagnostics(result, self.file.path.name))
        except Ended:
            self._result = None
        except (OSError, LoadError) as error:
            self._result = self._failed(error)
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            self._error = error
        self._ready.set()

    def _failed(self, error: Exception) -> Loading:
        return Loading(False, self.file.generation, "limit", str(error))

    def wait(self, timeout_s: float) -> bool:
        """Wait until `advance` has something to do; return whether it has. Any thread may."""
        return self._ready.wait(timeout_s)

    def wait_until_read(self) -> None:
        """Wait until the file was read, for a moment."""
        self.attempt.was_read.wait(_READ_S)

    def abandon(self) -> None:
        """Let it come to an end soon. Any thread may."""
        self.attempt.deadline.abandon()
        if self._holds_nothing:
            self._ready.set()

    def advance(self) -> bool:
        """Attach what was built, if it was; return whether it is over. Raises what the work raised."""
        if not self.is_over and self._holds_nothing and self.attempt.deadline.is_abandoned:
            self._close()
        if self.is_over or not self._ready.is_set():
            return self.is_over
        self._thread.join()
        result, self._result = self._result, None
        if self._error is not None:
            self._close()
            raise self._error
        if result is None or self.attempt.deadline.is_abandoned:
            if isinstance(result, Build):
                self.file.discard(result)
            self._close()
            return True
        try:
            self.loading = self.file.finish(self.attempt, result)
        except OSError as error:
            self.loading = self.file.finish(self.attempt, self._failed(error))
        if self.loading is None:
            self._begin()
            return False
        self._close()
        return True

    def _close(self) -> None:
        self.attempt.deadline.close()
        self.is_over = True

    def require(self) -> None:
        """Raise SourceError if it is over, and has failed."""
        if self.loading is not None and not self.loading.ok:
            name = f"{self.file.path.name}: " if self.why == "open" else ""
            raise SourceError(printable(name + self.loading.error), printable(self.loading.remedy))

    def end(self) -> None:
        """Abandon it, and wait until that is done: some hundredths of a second. Safe to call when it is over."""
        self.abandon()
        while not self.advance():
            self._ready.wait(_READ_S)


class CodeWork:
    """Reads the code of programs that were loaded, which takes LLVM a moment for each."""

    def __init__(self, loading: Loading, read: Callable[[Loading], Iterator[Code]]) -> None:
        """*read* is called in a thread, with the programs of *loading*, whose descriptors are duplicated for that."""
        self._loading = replace(loading, programs=tuple(map(_duplicated, loading.programs)))
        self._read = read
        self._codes: list[Code] = []
        self._is_ended = False
        self._thread = threading.Thread(target=self._run, name="code", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        hold_back_signals()
        stand_back()
        try:
            for code in self._read(self._loading):
                if self._is_ended:
                    break
                self._codes.append(code)
        finally:
            for state in self._loading.programs:
                for fd in (state.fd, state.plain_fd):
                    if fd is not None:
                        os.close(fd)

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        """Wait until it is over."""
        self._thread.join(timeout_s)

    def pop_codes(self) -> list[Code]:
        """Return what was read since the last call."""
        codes = []
        while self._codes:
            codes.append(self._codes.pop(0))
        return codes

    def end(self) -> None:
        """Let it come to an end soon: what it would read is not wanted any more."""
        self._is_ended = True


def _duplicated(state: ProgramState) -> ProgramState:
    """Return a program with descriptors of its own."""
    fd, plain_fd = (None if one is None else os.dup(one) for one in (state.fd, state.plain_fd))
    return replace(state, fd=fd, plain_fd=plain_fd)
