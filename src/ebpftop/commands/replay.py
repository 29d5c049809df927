"""`ebpftop replay FILE|-`: the screen, on a recording or a remote stream. Needs neither root nor bcc."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ebpftop.core import memory_budget
from ebpftop.core.source import Source, SourceError, UsageError
from ebpftop.lifecycle import limits, stdio
from ebpftop.lifecycle.invoker import invoker
from ebpftop.lifecycle.process import process
from ebpftop.recording.parse import ReadErrors
from ebpftop.recording.reader import Parts, is_stream, open_files, require_no_device, wait_for_first
from ebpftop.settings import values
from ebpftop.settings.store import Settings
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource

if TYPE_CHECKING:
    from ebpftop.models.watch import Watch

INSTEAD = "a recording is JSON Lines, also without a screen: zstdcat FILE"
_INSTEAD_OF_A_PIPE = "a stream is JSON Lines, also without a screen; compressed ones: | zstdcat"


def run(args: argparse.Namespace) -> int:
    """Show a recording until the user quits, then report what could not be read."""
    speed = speed_of(args)
    need_terminal(args.memory, _INSTEAD_OF_A_PIPE if args.file == "-" else INSTEAD, keys=args.file != "-")
    fd = _take_stdin() if args.file == "-" else open_files(args.file)
    # A file on stdin is still a file: the screen can seek in it.
    return show(fd, "stdin" if args.file == "-" else args.file, speed, args.when, args.settings, host=args.host)


def speed_of(args: argparse.Namespace) -> float:
    """Return how fast to play; 0.0 is without waiting. Raises UsageError."""
    try:
        return values.speed(args.speed)
    except ValueError as error:
        raise UsageError(f"{args.command}: --speed: {error}") from None


def show(
    fd: int | Parts,
    name: str,
    speed: float,
    watches: list[Watch],
    settings: Settings | None = None,
    *,
    workbench: bool = False,
    host: str | None = None,
) -> int:
    """Show the recording or stream *fd*, called *name*, at *speed*, with *watches*; return the exit status.

    *fd* is now owned here. *workbench*: begin with the file that was recorded. *host*: whose records are shown if there
    are those of several.
    """
    if sys.platform == "linux":
        # Its author is unknown, so it is not read with root's rights.
        from ebpftop.kernel.capabilities import give_up_root

        if settings is not None and os.geteuid() == 0 and invoker() is None:
            settings.unsaved = "a recording is shown without root's rights: nothing is saved"
        give_up_root(Path(__file__))
        limits.require_threads(limits.REPLAY_SCREEN)
    if is_stream(fd):
        return _show_pipe(fd, watches, settings, host)
    process.take_keys()
    source = ReplaySource(name, speed, fd, host)
    return _show(source, source.damage, watches, settings, workbench=workbench or source.is_of_a_file)


def need_terminal(memory_mib: int, instead: str = INSTEAD, *, keys: bool = True) -> None:
    """Bound what the screen keeps. Raise SourceError if there is no terminal for it, or too few resources.

    *instead*: what to do without a terminal. *keys*: keys come from stdin.
    """
    memory_budget.set_total(memory_mib)
    limits.require(limits.REPLAY_SCREEN, memory_mib)
    stdio.require_terminal(instead, keys=keys)


def _show_pipe(fd: int, watches: list[Watch], settings: Settings | None, host: str | None) -> int:
    # A terminal that shows nothing looks like a hang.
    wait_for_first(fd, lambda: stdio.report("waiting for the first record; Ctrl-C ends it"))
    pipe = PipeSource(fd, host)  # before the first record, ssh or sudo may ask for a password on the terminal
    process.take_keys()
    return _show(HistorySource(pipe), pipe.damage, watches, settings)


def _take_stdin() -> int:
    """Return a descriptor of the stream on stdin, and make the terminal stdin: the screen reads its keys there."""
    if os.isatty(0):
        raise SourceError("stdin is a terminal, not a stream", "ssh HOST sudo ebpftop stream | ebpftop replay -")
    stream = os.dup(0)
    if os.fstat(0).st_rdev != os.stat(os.devnull).st_rdev:  # /dev/null is reported below, like any empty stream
        require_no_device(stream, "stdin")
    try:
        stdio.read_keys_from_terminal()
    except SourceError:
        os.close(stream)
        raise
    return stream


def _show(
    source: Source,
    damage: ReadErrors,
    watches: list[Watch],
    settings: Settings | None = None,
    *,
    workbench: bool = False,
) -> int:
    process.terminal.ask_background()
    # Only now: a recording that cannot be read should not wait for the import of the screen.
    from ebpftop.ui.app import run as run_app
    from ebpftop.ui.screens.watching import WatchOptions

    stdio.draw_on_terminal()
    try:
        status = run_app(
            source,
            notes=damage.notes,
            unread=damage.report,
            watch_options=WatchOptions(watches),
            settings=settings,
            workbench=workbench,
        )
    finally:
        source.close()
    for line in damage.report():
        stdio.report(line)
    return status
