"""What happens when a watch matches, apart from the screen: a command, a saved minute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ebpftop.core.record_lines import encode
from ebpftop.core.records import Record
from ebpftop.core.source import SourceError
from ebpftop.lifecycle.run_command import CommandRunner
from ebpftop.models.subset import default_name
from ebpftop.models.watch import Match
from ebpftop.probes.registry import kind_of
from ebpftop.recording.timeline import Timeline

AROUND_S = 30.0
"""A saved minute has so many seconds before the first match, and so many after it."""


@dataclass
class _Due:
    """A minute that is to be saved: around `moment` (Unix seconds), at `due_s` (monotonic)."""

    moment: float
    due_s: float


class WhenActions:
    """Runs the command, and saves the minute, of what matched. Both work in threads of their own.

    *report* gets lines about what was saved, or why not; perhaps in another thread.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        runner: CommandRunner | None = None,
        folder: str | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        self._report = report
        self._runner = runner
        self._folder = folder
        self._timeline = timeline
        self._due: _Due | None = None
        self._saving: threading.Thread | None = None
        if runner is not None:
            runner.report = report

    def matched(self, matches: Sequence[Match]) -> None:
        """Do what is to be done about *matches*; the first one counts, if there are many at once."""
        if not matches:
            return
        if self._runner is not None:
            for match in matches:
                if self._runner.is_ready:
                    self._runner.run(encode(match.record) + b"\n", variables_of(match))
                else:
                    self._runner.skipped += 1
        if self._folder is not None and self._due is None:
            self._due = _Due(matches[0].time, time.monotonic() + AROUND_S)

    def pulse(self) -> None:
        """Save what is due. Call it about once a second."""
        if self._due is not None and time.monotonic() >= self._due.due_s and self._timeline is not None:
            moment, self._due = self._due.moment, None
            self._saving = threading.Thread(target=self._save, args=(moment,), name="when-save", daemon=True)
            self._saving.start()

    def finish(self, patience_s: float) -> None:
        """Save what waits for its second half, and wait a moment for the command: ebpftop ends."""
        if self._saving is not None:
            self._saving.join()
        if self._due is not None:
            self._save(self._due.moment)
            self._due = None
        if self._runner is not None:
            self._runner.finish(patience_s)

    def _save(self, moment: float) -> None:
        assert self._timeline is not None
        assert self._folder is not None
        name = default_name("recording", self._timeline.header.host, "when", moment)
        path = os.path.join(self._folder, name)
        try:
            self._timeline.save(path, span=(moment - AROUND_S, moment + AROUND_S))
        except SourceError as error:
            self._report(str(error))
        else:
            self._report(f"saved the minute around it: {path}")


def variables_of(match: Match) -> dict[str, str]:
    """Return the variables that a command gets: EBPFTOP_WHEN, EBPFTOP_KIND, one for each plain field.

    >>> variables_of(match)["EBPFTOP_SIGNAL"]
    'SIGSEGV'
    """
    record: Record = match.record
    variables = {
        "EBPFTOP_WHEN": match.watch.label,
        "EBPFTOP_KIND": kind_of(type(record)),
        "EBPFTOP_SUMMARY": match.summary,
    }
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, bool):
            variables[f"EBPFTOP_{name.upper()}"] = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            variables[f"EBPFTOP_{name.upper()}"] = str(value)
        elif value is None:
            variables[f"EBPFTOP_{name.upper()}"] = ""
    return variables
