"""`ebpftop run -- CMD` on a terminal: the screen, filtered to the command and what it starts, with its output."""

from __future__ import annotations

import argparse
import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from ebpftop.commands.kernel_options import NO_PRIVILEGE, check_machine, open_kernel, options_of, refused, root_work
from ebpftop.commands.live import OPENED_AFTER_S, import_app
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.commands.run_options import require_host_pids
from ebpftop.commands.when import runner_of
from ebpftop.core import memory_budget
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.attended import AttendedCommand
from ebpftop.lifecycle.limits import LIVE_SCREEN
from ebpftop.lifecycle.priority import screen_first
from ebpftop.lifecycle.process import process
from ebpftop.lifecycle.started import NotStarted, StartedCommand
from ebpftop.sources.command_output import CommandOutput, RunSource
from ebpftop.sources.history import HistorySource

if TYPE_CHECKING:
    from ebpftop.lifecycle.run_command import CommandRunner


def run_on_screen(args: argparse.Namespace) -> int:
    """Show the screen until q; return the exit status of the command."""
    memory_budget.set_total(args.memory)
    check_machine(LIVE_SCREEN, more_mib=args.memory + (args.history or 0))
    if refused():
        return NO_PRIVILEGE
    require_host_pids()
    stdio.require_terminal("with --summary there is no screen")
    runner = runner_of(args, prints=False)
    try:
        # Before our own namespaces, helpers, redirections and priority: it gets what we were given.
        command = AttendedCommand(StartedCommand(args.cmd, os.get_terminal_size(1)))
        args.pid = [command.pid]
        with screen_first():
            return _run(args, command, runner)
    except NotStarted as error:
        stdio.report(str(error))
        return error.status


def _run(args: argparse.Namespace, command: AttendedCommand, runner: CommandRunner | None) -> int:
    outputs = redirect_stdio()
    process.take_keys()
    stdio.draw_on_terminal(outputs.stdout_fd, outputs.stderr_fd)
    root = root_work()  # while there is one thread
    importing = threading.Timer(OPENED_AFTER_S, import_app)
    importing.start()
    try:
        # All of it is attached before the command begins.
        source = open_kernel(options_of(args, toggles=True), root, LIVE_SCREEN)
    finally:
        importing.cancel()
    output = CommandOutput(command.started, command.has_ended)
    with closing(RunSource(source, output)) as running:
        process.terminal.ask_background()  # the answer is there once the screen has been imported
        importing.join()
        from ebpftop.ui.app import run as show
        from ebpftop.ui.screens.watching import WatchOptions

        remembering = HistorySource(running, keep_s=args.keep * 60, max_bytes=args.history and args.history << 20)
        with command.attended():
            command.started.go()
            output.start()
            status = show(
                remembering,
                interval=source.options.interval_s,
                log_path=outputs.log_path,
                initial_filter=source.filter,
                notes=source.notes,
                watch_options=WatchOptions(args.when, runner, args.when_save),
                settings=args.settings,
                command=command,
            )
            left_running = command.is_running
    if left_running:
        stdio.report(f"{command.name} (pid {command.pid}) runs on; what it prints from now on is thrown away")
    return status
