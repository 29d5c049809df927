"""`--when`: from the arguments to what looks out, and what is done about it."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ebpftop.core.format import clock_text
from ebpftop.core.records import Header, Record
from ebpftop.core.source import UsageError
from ebpftop.lifecycle.invoker import invoker
from ebpftop.lifecycle.stdio import report
from ebpftop.models.watch import Watches

if TYPE_CHECKING:
    from ebpftop.lifecycle.run_command import CommandRunner
    from ebpftop.sources.history import History
    from ebpftop.sources.when import WhenActions

LINES_A_SECOND = 3
"""Matches that stderr names; the others are counted."""

_PATIENCE_S = 0.5
"""How long the end waits for a command."""


def runner_of(args: argparse.Namespace, *, prints: bool = True) -> CommandRunner | None:
    """Return what runs the command of `--when-run`; call it while we are root, before fd 2 is redirected.

    It *prints* to stderr, or nowhere.

    Raises UsageError for a command that cannot be run, and for an action without `--when`.
    """
    for option in ("run", "save", "exit"):
        if getattr(args, f"when_{option}", None) is not None and not args.when:
            raise UsageError(f"--when-{option}: there is no --when that could match")
    if args.when_run is None:
        return None
    from ebpftop.lifecycle.run_command import CommandRunner

    output_fd = os.dup(2) if prints else None
    return CommandRunner(args.when_run, args.when_every, output_fd=output_fd, user=invoker())


class When:
    """Looks out in a stream. `status` is the exit status once it shall end."""

    def __init__(self, args: argparse.Namespace, runner: CommandRunner | None) -> None:
        self.status: int | None = None
        self._exit: int | None = args.when_exit
        self._folder: str | None = args.when_save
        self._runner = runner
        self._watches = Watches(list(args.when))
        self._history: History | None = None
        self._actions: WhenActions | None = None
        self._lines = self._unsaid = 0
        self._second = 0

    def begin(self, header: Header) -> None:
        """Begin to look out in the records behind *header*."""
        from ebpftop.sources.when import AROUND_S, WhenActions

        timeline = None
        if self._folder is not None:
            from ebpftop.recording.timeline import Timeline
            from ebpftop.sources.history import History

            self._history = History(keep_s=3 * AROUND_S)
            timeline = Timeline(header, self._history, self._history.index)
        self._actions = WhenActions(report, self._runner, self._folder, timeline)

    def feed(self, records: Sequence[Record]) -> None:
        """Look at *records*."""
        if self._history is not None:
            self._history.add(records)
        matches = self._watches.feed(records)
        for match in matches:
            if self._lines < LINES_A_SECOND:
                self._lines += 1
                report(f"{clock_text(match.time)} {match.summary}  (--when {match.watch.label})")
            else:
                self._unsaid += 1
        if self._actions is not None:
            self._actions.matched(matches)
        if matches and self._exit is not None and self.status is None:
            self.status = self._exit

    def pulse(self) -> None:
        """Do what is due."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
            self._say_rest()
        if self._actions is not None:
            self._actions.pulse()

    def finish(self) -> None:
        """Save what waits to be saved."""
        self._say_rest()
        if self._actions is not None:
            self._actions.finish(_PATIENCE_S)

    def _say_rest(self) -> None:
        if self._unsaid:
            report(f"--when: {self._unsaid:,} more matched")
            self._unsaid = 0
