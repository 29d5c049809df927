"""Runs a command; the errors that print before any screen opens."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module

from ebpftop.cli.commands import COMMANDS, parser
from ebpftop.cli.settings import print_config, read_settings
from ebpftop.core.source import SourceError, UsageError
from ebpftop.lifecycle import stdio

_SCREENS = ("live", "load", "lesson", "replay", "demo", "fleet")
"""The commands that open a screen: it begins the collection of garbage when it has drawn its first picture."""

_OF_ITSELF = ("-h", "--help", "--version", "--print-completion")
"""Options that are not those of `live`, though no command stands before them."""


def _of_the_command(words: list[str]) -> tuple[list[str], list[str]]:
    """Return our own words and those of the command that `run` starts: what is behind `--` is not for us."""
    if words[:1] != ["run"] or "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at:]


def _command_first(words: list[str]) -> list[str]:
    """Return *words* with the command in front of the options that every command has: `--config FILE stream`."""
    at = 0
    while at < len(words) and words[at].partition("=")[0] in ("--config", "--print-config"):
        at += 2 if words[at] == "--config" else 1
    return [words[at], *words[:at], *words[at + 1 :]] if at < len(words) and words[at] in COMMANDS else words


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    stdio.open_closed()
    words = list(sys.argv[1:] if argv is None else argv)
    words = _command_first(words)
    words, behind = _of_the_command(words)
    # `ebpftop` and `ebpftop --uid 0` mean live.
    if not words or (words[0].startswith("-") and words[0].partition("=")[0] not in _OF_ITSELF):
        words.insert(0, "live")
    try:
        top = parser(words[0], prints_config="--print-config" in words)
        args = top.parse(words)
        if behind:
            args.cmd = [*args.cmd, *behind] if args.cmd else behind[1:]
        args.settings = read_settings(args, top.commands[args.command], words)
        if args.print_config:
            return print_config(args.settings, args.command)
        if args.command not in _SCREENS:  # those show it on the screen
            for problem in args.settings.problems:
                stdio.report(str(problem))
        command = import_module(f"ebpftop.commands.{args.command}")
        if args.command not in _SCREENS:
            gc.freeze()
            gc.enable()
        return int(command.run(args))
    except SourceError as error:
        stdio.report(str(error))
        return 2 if isinstance(error, UsageError) else 1
    except Exception as error:
        from ebpftop.lifecycle.limit_errors import explain

        limit = explain(error)
        if limit is None:  # a bug in ebpftop: ebpftop.lifecycle.process reports it as a crash
            raise
        stdio.report(str(limit))
        return 1
