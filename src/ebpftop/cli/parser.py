"""How the command line answers: its help, its errors, and options by the names that they had."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ebpftop.core.escape import printable
from ebpftop.lifecycle import stdio


class _OldName(argparse.Action):
    """An option by the name that it had: it warns, and does what the option does."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, option: argparse.Action) -> None:
        kind = option.type if callable(option.type) else None
        super().__init__(
            option_strings, dest, option.nargs, type=kind, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        self._option = option

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, name: str | None = None
    ) -> None:
        stdio.report(f"{name} is called {self._option.option_strings[0]} now; the old name goes with version 0.3")
        self._option(parser, namespace, values, name)


def add_old_name(options: argparse._ActionsContainer, old: str, option: argparse.Action) -> None:
    options.add_argument(old, action=_OldName, dest=option.dest, option=option)


class Parser(argparse.ArgumentParser):
    """A parser that writes its messages in the same way as the rest of ebpftop."""

    commands: Mapping[str, argparse.ArgumentParser] = {}
    """Those of the commands, by their names."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse; what is not known is an error of the command that it was written for, which has its own help."""
        found, unknown = self.parse_known_args(words)
        if unknown:
            command = self.commands.get(getattr(found, "command", ""), self)
            command.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    def error(self, message: str) -> NoReturn:
        of_a_value = message.startswith("argument ")  # it says what is allowed
        self.refuse(message if of_a_value else f"{message}; {self.prog} --help lists what there is")

    def refuse(self, message: str, below: Sequence[str] = ()) -> NoReturn:
        """End with 2 and *message*, which is one line whatever is in it, and the lines *below* it."""
        for line in (f"{self.prog}: error: {message}", *below):
            stdio.report_lines(printable(line))
        raise SystemExit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        # Help and version. Errors go through `error` above.
        stdio.require_stdout()
        stdio.write_stdout(stdio.shown(message))
