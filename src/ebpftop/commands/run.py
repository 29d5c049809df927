"""`ebpftop run -- CMD`: start a command with the instrument attached, and sum up what it and its descendants did."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from ebpftop import __version__
from ebpftop.commands.kernel_options import (
    NO_PRIVILEGE,
    check_machine,
    open_kernel,
    options_of,
    refused,
    report_failed,
    root_work,
)
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.commands.run_options import PROBES, require_effect, require_host_pids, shows_screen
from ebpftop.commands.when import When, runner_of
from ebpftop.commands.whole_file import WholeFile
from ebpftop.core import format
from ebpftop.core.cpu_time import CpuTime
from ebpftop.core.escape import printable
from ebpftop.core.records import Header, Record
from ebpftop.core.source import UsageError
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.limits import WITHOUT_SCREEN
from ebpftop.lifecycle.process import process
from ebpftop.lifecycle.started import NotStarted, StartedCommand
from ebpftop.models.run_summary import Command, Summary
from ebpftop.models.run_text import command_text, lines
from ebpftop.models.run_totals import RunTotals
from ebpftop.models.seccomp import AllSeen, profile
from ebpftop.sources.reading_pace import pause_s

if TYPE_CHECKING:
    from ebpftop.sources.live import KernelSource

_MORE_BYTES = 2 << 20
"""What the copy of ebpftop that becomes the command may still take, after it was measured."""

_KILLED_AFTER_S = 5.0
"""So long the command may take to end when `--when-exit` asks it to."""


def run(args: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    if not args.cmd:
        raise UsageError("run: there is no command", "write it behind --, as in `ebpftop run -- make -j4`")
    on_screen = shows_screen(args)
    require_effect(args, on_screen=on_screen)
    if on_screen:
        from ebpftop.commands.run_screen import run_on_screen

        return run_on_screen(args)
    check_machine(WITHOUT_SCREEN)
    if refused():
        return NO_PRIVILEGE
    require_host_pids()
    if args.probes is None:
        args.probes = PROBES
    process.status_if_ended = 128 + signal.SIGTERM  # before it begins: 0 would say that it did its work
    try:
        return _run(args)
    except NotStarted as error:
        stdio.report(str(error))
        return error.status


def _run(args: argparse.Namespace) -> int:
    runner = runner_of(args)
    # Before our own namespaces, helpers and redirections: it gets what we were given.
    command = StartedCommand(args.cmd)
    with ExitStack() as files:
        summary_file, profile_file = (
            files.enter_context(WholeFile(path)) if path is not None else None
            for path in (args.json_file, args.seccomp)
        )
        outputs = redirect_stdio()
        when = When(args, runner) if args.when else None
        calls = AllSeen()
        summary, header = _watched(args, command, when, calls)
        if args.summary or summary_file is profile_file is None:
            for line in lines(summary):
                stdio.report_lines(line)
        if summary_file is not None:
            text = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
            summary_file.write(text, outputs.stdout_fd)
        if profile_file is not None:
            begin = summary.command.started
            _write_profile(profile_file, calls, command_text(summary.command.argv), begin, header, outputs.stdout_fd)
    return when.status if when is not None and when.status is not None else command.status


def _write_profile(file: WholeFile, calls: AllSeen, command: str, begin: float, header: Header, stdout_fd: int) -> None:
    """Write the profile of *calls*, which *command* and what it started made, and say what it has."""
    seen = calls.seen(f"{command} and all that it started", begin)
    if seen is None or calls.failed is not None:
        stdio.report(f"no seccomp profile: the system calls were not counted: {calls.failed or 'nothing was read'}")
        return
    file.write(profile(seen, header, __version__), stdout_fd)
    said = f"; may be missing: {'; '.join(seen.doubts)}" if seen.doubts else ""
    stdio.report(f"seccomp profile of {format.counted(len(seen.named), 'system call')}: {file.told}{said}")


def _watched(
    args: argparse.Namespace, command: StartedCommand, when: When | None, calls: AllSeen
) -> tuple[Summary, Header]:
    """Attach the probes, run *command* to its end, and return the summary."""
    args.pid = [command.pid]
    source = open_kernel(options_of(args), root_work())
    try:
        report_failed(source)
        process.end_by(lambda: None)  # from here on, the end is that of the command
        return _watch(source, command, when, calls), source.header
    finally:
        source.close()


def _watch(source: KernelSource, command: StartedCommand, when: When | None, calls: AllSeen) -> Summary:
    """Let *command* begin, wait for its end, and return what the records say."""
    own_rss_bytes = command.rss_bytes + _MORE_BYTES
    found = RunTotals(command.pid, own_rss_bytes)
    ending = _Ending(command)

    def take(records: Sequence[Record]) -> None:
        found.feed(records)
        calls.feed(records)
        if when is not None:
            when.feed(records)
            when.pulse()

    if when is not None:
        when.begin(source.header)
    with command.gets_signals():
        started, begin_s = time.time(), time.monotonic()
        command.go()
        found.tree.own_cpu = command.own_cpu
        wait_s = 0.0
        while not command.wait(wait_s):
            command.pass_signals()
            count = 0
            for probe in source.probes:
                batch = source.poll(probe, 0)
                if batch is not None:
                    take(batch.records)
                    count += len(batch.records)
            if when is not None and when.status is not None:
                ending.ask()
            wait_s = pause_s(count)
        wall_s, ended = time.monotonic() - begin_s, time.time()
    for batch in source.finish():
        take(batch.records)
    if when is not None:
        when.finish()
    assert command.code is not None
    assert command.usage is not None
    if found.ended is not None:  # without the time in which we read records
        wall_s, ended = max(0.0, found.ended - started), found.ended
    rss_bytes = command.usage.ru_maxrss << 10
    used = CpuTime(command.usage.ru_utime, command.usage.ru_stime).since(command.own_cpu)
    return found.summary(
        Command(
            argv=tuple(printable(word) for word in command.argv),
            cwd=printable(command.cwd),
            pid=command.pid,
            started=started,
            status=command.status,
            signal=signal.Signals(-command.code).name if command.code < 0 else None,
            wall_s=wall_s,
            user_s=used.user_s,
            system_s=used.system_s,
            max_rss_bytes=rss_bytes if rss_bytes > own_rss_bytes else None,
        ),
        ended,
    )


class _Ending:
    """Ends a command: it is asked to, and killed if it does not."""

    def __init__(self, command: StartedCommand) -> None:
        self._command = command
        self._asked_s: float | None = None

    def ask(self) -> None:
        """Ask it to end; kill it if it was asked some time ago. Call it again and again."""
        now_s = time.monotonic()
        if self._asked_s is None:
            self._asked_s = now_s
            self._command.send(signal.SIGTERM)
        elif now_s - self._asked_s > _KILLED_AFTER_S:
            self._command.send(signal.SIGKILL)
