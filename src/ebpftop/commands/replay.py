"""`ebpftop replay FILE|-`: the screen, on a recording or on what another machine sends. Needs neither root nor bcc."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ebpftop.commands.starting import no_collection
from ebpftop.core.source import Source, SourceError
from ebpftop.lifecycle import limits, stdio
from ebpftop.lifecycle.process import process
from ebpftop.recording.parse import ReadErrors
from ebpftop.recording.reader import is_stream, open_file, require_no_device, wait_for_first
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource

_FASTEST = 100_000.0
_USAGE = 2


def run(args: argparse.Namespace) -> int:
    """Show a recording until the user leaves, then say what of it could not be read."""
    try:
        speed = speed_of(args.speed)
    except ValueError as error:
        stdio.report(f"replay: --speed: {error}")
        return _USAGE
    need_terminal(keys=args.file != "-")
    fd = _take_stdin() if args.file == "-" else open_file(args.file)
    # A file on stdin is a file all the same, and can be moved in.
    return show(fd, "stdin" if args.file == "-" else args.file, speed)


def show(fd: int, name: str, speed: float) -> int:
    """Show the recording or stream *fd*, called *name*, at *speed*; return the exit status. Takes *fd* over."""
    if sys.platform == "linux":
        # Who made it is unknown, so none of it is read with root's rights.
        from ebpftop.kernel.capabilities import give_up_root

        give_up_root(Path(__file__))
        limits.require_threads(limits.REPLAY_SCREEN)
    if is_stream(fd):
        return _show_pipe(fd)
    process.take_keys()
    source = ReplaySource(name, speed, fd)
    return _show(source, source.damage)


def speed_of(text: str) -> float:
    """Return the speed that *text* names, 0 for "max"; ValueError where it names none."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed <= _FASTEST:
        raise ValueError(f"{text!r} is neither max nor a number from 0 to {_FASTEST:.0f}")
    return speed


def need_terminal(*, keys: bool = True) -> None:
    """Raise SourceError where there is no terminal, or no room, to show anything; *keys*: where stdin is for keys."""
    limits.require(limits.REPLAY_SCREEN)
    stdio.require_terminal("a recording is JSON Lines, also without a screen: zstdcat FILE", keys=keys)


def _show_pipe(fd: int) -> int:
    # A terminal that shows nothing looks as if it hung.
    wait_for_first(fd, lambda: stdio.report("waiting for the first record; Ctrl-C ends it"))
    pipe = PipeSource(fd)  # until its first record, the terminal is for who asks for a password: ssh, sudo
    process.take_keys()
    return _show(HistorySource(pipe), pipe.damage)


def _take_stdin() -> int:
    """Return a descriptor of the stream on stdin, and make the terminal stdin: the screen reads its keys there."""
    if os.isatty(0):
        raise SourceError("stdin is a terminal, not a stream", "ssh HOST sudo ebpftop stream | ebpftop replay -")
    stream = os.dup(0)
    if os.fstat(0).st_rdev != os.stat(os.devnull).st_rdev:  # nothing at all: said below, as of any empty stream
        require_no_device(stream, "stdin")
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        os.close(stream)
        raise SourceError(f"no terminal to read keys from: {error.strerror}") from error
    os.dup2(terminal, 0)
    os.close(terminal)
    return stream


def _show(source: Source, damage: ReadErrors) -> int:
    with no_collection():
        # Only now: a recording that cannot be read need not wait for the screen to be imported.
        from ebpftop.ui.app import run as run_app

    stdio.draw_on_terminal()
    try:
        status = run_app(source, notes=damage.notes, unread=damage.report)
    finally:
        source.close()
    for line in damage.report():
        stdio.report(line)
    return status
