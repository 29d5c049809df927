"""Which attempt to load a file is going on: one at a time, and a newer save ends that of an older one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Literal

from ebpftop.core.load_records import Code, Loaded
from ebpftop.kernel.load.attempt import Attempt
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading
from ebpftop.probes.load_report import in_progress
from ebpftop.probes.load_work import CodeWork, LoadWork

_VERIFIES_S = 0.2
"""What is verified for longer is reported."""


class Attempts:
    """The work that is done for a file. `is_loading`, `wait` and `abandon` are for any thread."""

    def __init__(self) -> None:
        self.counts_lines = False
        """Whether the lines of what is loaded from now on are counted."""
        self._work: LoadWork | None = None
        self._code_work: CodeWork | None = None
        self._is_due = False
        self._reported: tuple[Attempt, str, bool] | None = None

    @property
    def is_loading(self) -> bool:
        """Whether a file is being loaded, or its code read."""
        return self._work is not None or self._is_due or self._code_work is not None

    def wait(self, timeout_s: float) -> None:
        """Wait until `advance` has something to do."""
        work, code_work = self._work, self._code_work
        if work is not None:
            work.wait(timeout_s)
        elif code_work is not None:
            code_work.wait(timeout_s)

    def abandon(self) -> None:
        """Let all come to an end soon; `end` is to follow."""
        work, code_work = self._work, self._code_work
        if work is not None:
            work.abandon()
        if code_work is not None:
            code_work.end()

    def begin(self, file: LoadedFile) -> None:
        """Begin to load a file for the first time."""
        self.counts_lines = False
        self._work = LoadWork(file)

    def begin_if_saved(self, file: LoadedFile) -> None:
        """Begin to load a file again if it was saved, unless another one is about to be loaded instead."""
        if (self._work is None or self._work.why != "open") and file.saved():
            if self._work is not None:
                self._work.abandon()
            self._is_due = True

    def begin_to_count(self, file: LoadedFile, on: bool) -> LoadWork:
        """Begin to load it such that its lines are counted, or not any more."""
        is_loading = self._work is not None or self._is_due
        self.end()
        self.counts_lines = on
        self._work = LoadWork(file, "save" if is_loading else "count", counting=on)
        return self._work

    def begin_instead(self, file: LoadedFile) -> LoadWork:
        """Begin to load another file. What was being loaded is loaded later, if this one fails."""
        is_loading = self._work is not None or self._is_due
        self.end()
        self._is_due = is_loading
        self._work = LoadWork(file, "open")
        return self._work

    def advance(self) -> LoadWork | None:
        """Attach what was built; return the attempt that came to its end with that. Raises what it raised."""
        work = self._work
        if work is None or not work.advance():
            return None
        self._work = None
        return work

    def begin_due(self, file: LoadedFile) -> None:
        """Begin what is due, if nothing else is being done."""
        if self._is_due and self._work is None:
            self._is_due = False
            self._work = LoadWork(file, counting=self.counts_lines)
            self._work.wait_until_read()

    def progress(self, now: float, file: LoadedFile, before: Loaded | None) -> Loaded | None:
        """Return a record of what is being done; None if there was one of that. *before*: the last record."""
        work = self._work
        if work is None or work.why != "save" or work.attempt.deadline.is_abandoned:
            return None
        attempt = work.attempt
        verifies = attempt.step == "verifying" and time.monotonic() - attempt.step_since_s >= _VERIFIES_S
        state: Literal["compiling", "verifying"] = "verifying" if verifies else "compiling"
        reported = attempt, state, attempt.source is not None
        if reported == self._reported:
            return None
        self._reported = reported
        return in_progress(now, state, file.path, before, attempt, file.good.source if file.good is not None else "")

    def read_code(self, loading: Loading, read: Callable[[Loading], Iterator[Code]]) -> None:
        """Begin to *read* the code of what was just loaded."""
        if self._code_work is not None:
            self._code_work.end()
        self._code_work = CodeWork(loading, read)

    def pop_codes(self) -> list[Code]:
        """Return what was read of it since the last call."""
        work = self._code_work
        if work is None:
            return []
        is_over, codes = work.is_over, work.pop_codes()
        if is_over:
            self._code_work = None
        return codes

    def end(self) -> None:
        """Abandon what is not done, and wait until it has ended."""
        self._is_due = False
        if self._code_work is not None:
            self._code_work.end()
            self._code_work = None
        if self._work is not None:
            work, self._work = self._work, None
            work.end()
            if work.why == "open":
                work.file.close()
