"""What `ebpftop run` shows, and which of its options have an effect there."""

from __future__ import annotations

import argparse
import os

from ebpftop.core.source import SourceError, UsageError
from ebpftop.kernel.threads import in_first_pid_namespace
from ebpftop.lifecycle import stdio
from ebpftop.settings.rows import HISTORY, INTERVAL, KEEP, MEMORY, PRINTK, SETTINGS, TRACE

PROBES = ("execs", "syscalls", "opens")
"""What a summary is made of. One command opens few files, so `opens` is among them."""


def shows_screen(args: argparse.Namespace) -> bool:
    """Return whether the screen is shown: on a terminal, unless something else is asked for."""
    asks_other = args.summary or args.json_file is not None or args.seccomp is not None
    return not asks_other and all(os.isatty(fd) for fd in (0, 1)) and stdio.draws_screens()


def require_host_pids() -> None:
    """Raise SourceError if pids do not mean the same processes to us and to the kernel's programs."""
    if not in_first_pid_namespace():
        raise SourceError(
            "run follows its command by pid, and pids mean other processes in a pid namespace",
            "run ebpftop in the host's (--pid=host)",
        )


def require_effect(args: argparse.Namespace, *, on_screen: bool) -> None:
    """Raise UsageError if an option was given that changes nothing of what is shown."""
    if on_screen:
        if args.when_exit is not None:
            raise UsageError("--when-exit: the screen stays when a record matched", "add --summary or --json FILE")
        return
    if args.seccomp is not None:
        if args.probes is not None and "syscalls" not in args.probes:
            raise UsageError("--seccomp: a profile is made of what the probe syscalls counts", "add it to --probes")
        if args.seccomp == args.json_file:
            raise UsageError("--seccomp and --json name the same file", "give each another one")
    given = args.settings.given if args.settings is not None else {}
    for setting in SETTINGS:
        if setting.path in given and (setting.group == "screen" or setting in (KEEP, HISTORY, MEMORY)):
            raise _without_effect(setting.name, "it is for the screen, which is not shown")
    if args.when:  # it looks at all records
        return
    if INTERVAL.path in given:
        raise _without_effect("interval", "a summary has the counters as they are at the end")
    if args.json_file is None:
        for name, is_given in (("env", args.env), ("trace", TRACE.path in given)):
            if is_given:
                raise UsageError(f"--{name}: the text does not have it", "--json FILE has")
    unused = [name for name in args.probes or () if name not in PROBES]
    if unused:
        raise _without_effect(f"probes {','.join(args.probes)}", f"a summary has nothing of {', '.join(unused)}")
    if PRINTK.path in given and args.printk:
        raise _without_effect("printk", "a summary has no trace log")


def _without_effect(option: str, why: str) -> UsageError:
    return UsageError(f"run: --{option} has no effect: {why}", "leave it out, or watch for something with --when")
