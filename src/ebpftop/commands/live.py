"""`ebpftop`: the screen, on the live kernel."""

from __future__ import annotations

import argparse
import threading
from contextlib import suppress
from importlib import import_module

from ebpftop.commands.kernel_options import NO_PRIVILEGE, check_machine, open_kernel, options_of, refused, root_work
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.commands.when import runner_of
from ebpftop.core import memory_budget
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.limits import LIVE_SCREEN
from ebpftop.lifecycle.priority import screen_first
from ebpftop.lifecycle.process import process
from ebpftop.sources.history import HistorySource

OPENED_AFTER_S = 0.15
"""What is needed of the kernel before the screen opens takes less, unless it has to be compiled."""


def run(args: argparse.Namespace) -> int:
    """Show the screen until q."""
    # Before there are threads, and before the needed privilege is given up.
    with screen_first():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    memory_budget.set_total(args.memory)
    check_machine(LIVE_SCREEN, more_mib=args.memory + (args.history or 0))
    if refused():
        return NO_PRIVILEGE
    stdio.require_terminal("for a pipe or a file use `ebpftop stream`")
    runner = runner_of(args, prints=False)
    outputs = redirect_stdio()
    process.take_keys()
    stdio.draw_on_terminal(outputs.stdout_fd, outputs.stderr_fd)
    root = root_work(loads=getattr(args, "load", None) is not None)  # while there is one thread
    # The probes are attached while Textual is imported, which takes Python's lock for longer: so that comes behind.
    # But beside what waits for the compiler. This thread keeps the privileges that we give up, until it ends, which is
    # before anything is shown or read.
    importing = threading.Timer(OPENED_AFTER_S, import_app)
    importing.start()
    try:
        # What no probe can do without is there before the screen opens, so errors print like those of any command.
        source = open_kernel(options_of(args, toggles=True), root, LIVE_SCREEN, attach=False)
    finally:
        importing.cancel()
    try:
        source.attach_soon()
        process.terminal.ask_background()  # the answer is there once the screen has been imported
        importing.join()
        from ebpftop.ui.app import run as show
        from ebpftop.ui.screens.watching import WatchOptions

        remembering = HistorySource(source, keep_s=args.keep * 60, max_bytes=args.history and args.history << 20)
        return show(
            remembering,
            interval=source.options.interval_s,
            log_path=outputs.log_path,
            initial_filter=source.filter,
            notes=source.notes,
            watch_options=WatchOptions(args.when, runner, args.when_save),
            settings=args.settings,
        )
    finally:
        source.close()


def import_app() -> None:
    """Import the screen, beside what waits for the compiler."""
    with suppress(Exception):  # it is raised again where the app is needed, and reported there
        import_module("ebpftop.ui.app")
