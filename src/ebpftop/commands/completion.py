"""`ebpftop --print-completion SHELL`: completion of the command line, made of the parser by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ebpftop.core.source import SourceError
from ebpftop.settings.rows import BY_NAME

SHELLS = ("bash", "zsh", "fish")

_FILES = ("file", "load", "before", "after", "config", "when_run", "json_file", "output")
_FOLDERS = ("when_save",)


def completion(
    shell: str, parser: argparse.ArgumentParser, add_live_options: Callable[[argparse.ArgumentParser], None]
) -> str:
    """Return the script for *shell*; raises SourceError if shtab is not installed.

    *add_live_options* adds those that may stand without a command.
    """
    try:
        import shtab
    except ImportError:
        raise SourceError(
            "shtab is not installed, which makes the completion of the parser",
            "install it where ebpftop is (pip install 'ebpftop[completion]', or: pip install shtab)",
        ) from None
    add_live_options(parser)
    for one in (parser, *_commands(parser)):
        for action in one._actions:
            _describe(action, shtab)
    script: str = shtab.complete(parser, shell=shell)
    return script


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [one for action in parser._actions if isinstance(action.choices, dict) for one in action.choices.values()]


def _describe(action: Any, shtab: Any) -> None:
    """Say what the value of an option is, if it is a file, or one of a few."""
    if action.dest in _FILES:
        action.complete = shtab.FILE
    elif action.dest in _FOLDERS:
        action.complete = shtab.DIRECTORY
    elif action.choices is None and action.nargs is None and action.option_strings:
        row = BY_NAME.get(action.dest.replace("_", "-"))
        if row is not None and row.kind.choices:
            action.choices = row.kind.choices
