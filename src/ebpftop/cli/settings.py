"""The settings of the files hold for the options that are not given."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ebpftop.core.source import UsageError
from ebpftop.lifecycle import stdio
from ebpftop.settings.rows import FAILURES, SETTINGS, WHEN, Setting
from ebpftop.settings.store import Settings, given_on, load


def read_settings(args: argparse.Namespace, command: argparse.ArgumentParser, words: Sequence[str]) -> Settings:
    """Read the settings, and let them hold for the options that are not among *words*.

    Raises UsageError if something is wrong with a file that was named.
    """
    settings = load(args.config)
    if args.config is not None:
        _require_file(settings, args.config)
    options = {action.dest: action for action in command._actions}
    for setting in SETTINGS:
        action = options.get(setting.dest)
        if action is None:
            continue
        names = [name for one in command._actions if one.dest == setting.dest for name in one.option_strings]
        if given_on(words, names):
            value = getattr(args, setting.dest)
            # --failures: watched, shown as the file says.
            if setting is WHEN:
                value = [watch.label for watch in value]
            if setting is not FAILURES or value is not setting.argument(settings[FAILURES]):
                settings.given[setting.path] = _as_setting(setting, value)
        elif setting.dest == "probes" and getattr(args, "load", None) is not None:
            pass  # a screen about a file is about that alone
        elif settings.has(setting.path):
            setattr(args, setting.dest, setting.argument(settings[setting]))
    return settings


def _as_setting(setting: Setting[Any], value: Any) -> object:
    """Return what *setting* is if its option has this value."""
    if isinstance(value, tuple):
        return ",".join(value)
    return setting.kind.read(value) if isinstance(value, bool) else value


def _require_file(settings: Settings, name: str) -> None:
    """End with 2 if the file that --config names is not there, or if something in it is wrong."""
    file = settings.user
    if file is not None and file.refused:
        raise UsageError(f"--config: {name}: {file.refused}")
    if file is not None and not file.is_there and not file.problems:
        raise UsageError(f"--config: there is no file {name}", "`ebpftop --print-config` prints one to begin with")
    for problem in settings.problems:
        stdio.report(str(problem))
    if settings.problems:
        raise SystemExit(2)


def print_config(settings: Settings, command: str) -> int:
    from ebpftop.settings.printing import printed

    stdio.require_stdout()
    for problem in settings.problems:
        stdio.report(str(problem))
    stdio.write_stdout(printed(settings, command))
    return 0
