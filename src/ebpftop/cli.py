"""The command line: arguments, and the errors that print before any screen opens."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

from ebpftop import __version__
from ebpftop.core.escape import printable
from ebpftop.core.memory_budget import DEFAULT_MIB
from ebpftop.core.source import SourceError, UsageError
from ebpftop.lifecycle import stdio
from ebpftop.probes.registry import registry
from ebpftop.settings import values
from ebpftop.settings.kinds import FLAG, Kind
from ebpftop.settings.rows import FAILURES, SETTINGS, WHEN, Setting
from ebpftop.settings.store import Settings, given_on, load

_SCREENS = ("live", "replay", "demo")
"""The commands that open a screen: it begins the collection of garbage when it has drawn its first picture."""

_OF_ITSELF = ("-h", "--help", "--version", "--print-completion")
"""Options that are not those of `live`, though no command stands before them."""

_EPILOG = """\
keys: 1, 2, .. turn probes off and on, Tab moves between panes, / filters, Space pauses, ? shows all keys, q quits.
exit status: 0 fine (or ended by SIGTERM, SIGHUP, SIGQUIT), 1 failed, 2 wrong usage, 3 no privilege, 130 on Ctrl-C;
with --when-exit N, N if a record matched; run: that of the command, as a shell has it.
"""


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


def _add_old_name(options: argparse._ActionsContainer, old: str, option: argparse.Action) -> None:
    options.add_argument(old, action=_OldName, dest=option.dest, option=option)


def _add_watching(parser: argparse.ArgumentParser, probes: str = "", *, pid: bool = True) -> None:
    """Add the options that live, stream, record and run share; *probes* is what stands for none given."""
    parser.add_argument(
        "--probes",
        type=values.probes,
        metavar="LIST",
        help=f"of {','.join(registry().names)}; if not given: {probes or ','.join(registry().on)}",
    )
    parser.add_argument(
        "--interval",
        type=values.interval,
        metavar="S",
        help="seconds between readings of the counters; 1 (without it, who makes which call is read every 5)",
    )
    chosen = parser.add_argument_group("filters, decided in the kernel; each may be repeated")
    chosen.add_argument(
        "--uid", type=values.uid, action="append", default=[], metavar="U", help="this user, number or name"
    )
    if pid:
        chosen.add_argument(
            "--pid",
            type=values.number("a process id", 1 << 22),
            action="append",
            default=[],
            metavar="P",
            help="this process and its descendants",
        )
    chosen.add_argument(
        "--comm",
        type=values.comm,
        action="append",
        default=[],
        metavar="NAME",
        help="this command name; NAME* for a prefix",
    )
    chosen.add_argument(
        "--cgroup",
        type=values.cgroup,
        action="append",
        default=[],
        metavar="PATH",
        help="this cgroup and those below it",
    )
    chosen.add_argument(
        "--container",
        type=values.container,
        action="append",
        default=[],
        metavar="ID",
        help="this container: how its id begins",
    )
    chosen.add_argument(
        "--hide-self", action=argparse.BooleanOptionalAction, default=True, help="leave ebpftop's own calls out; on"
    )
    kernel = parser.add_argument_group("how the kernel is watched")
    kernel.add_argument(
        "--buffer", choices=("ring", "perf", "auto"), default="auto", help="ring buffer (5.8) or perf buffer; auto"
    )
    attach = kernel.add_argument(
        "--attach",
        type=values.attach_option,
        action="append",
        default=[],
        metavar="PROBE=EVENT",
        help="attach a probe there and nowhere else, as in users=tracepoint; `check` lists what there is",
    )
    kernel.add_argument(
        "--failures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also show execve calls that fail; on (where it taxes every syscall, `check` says so)",
    )
    kernel.add_argument(
        "--latency",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time system calls and count their errors; on (without it they are only counted, at half the cost)",
    )
    kernel.add_argument(
        "--env",
        type=values.env,
        default=(),
        metavar="NAMES",
        help="environment of programs that start, in records and details: HOME,LC_* or all; none (it may hold secrets)",
    )
    kernel.add_argument("--ignore", metavar="CALLS", help="system calls neither counted nor timed: read,futex")
    kernel.add_argument(
        "--trace", metavar="CALLS", help="report each of these system calls, with its arguments: openat"
    )
    printk = kernel.add_argument(
        "--printk",
        action="store_true",
        help="let the syscalls probe's exec and timer handlers print into the trace log (bpf_trace_printk)",
    )
    _add_old_name(kernel, "--via", attach)
    _add_old_name(kernel, "--say", printk)


def _add_memory(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands that open a screen."""
    parser.add_argument(
        "--memory",
        type=values.memory,
        default=DEFAULT_MIB,
        metavar="MIB",
        help=f"memory for all that the screen keeps, logs and history, in MiB; at least 32, default {DEFAULT_MIB}",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command: where settings are read, and which hold."""
    settings = parser.add_argument_group("settings; options win over them")
    settings.add_argument(
        "--config",
        metavar="FILE",
        help="read and save them there, not in ~/.config/ebpftop/config.toml and /etc/ebpftop/config.toml",
    )
    settings.add_argument(
        "--print-config", action="store_true", help="print them as TOML, each with its default and its origin, and end"
    )
    parser.set_defaults(settings=None)


class _When(argparse.Action):
    """Adds a watch; an expression that is wrong is shown with a mark below the place."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: object, *_: object
    ) -> None:
        from ebpftop.filters.expression_tokens import ExpressionError
        from ebpftop.models.watch import compile_watch

        try:
            watch = compile_watch(str(value))
        except ExpressionError as error:
            assert isinstance(parser, _Parser)
            parser.refuse(f"argument {self.option_strings[0]}: {error.reason}", error.place)
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), watch])


def _add_when(command: argparse.ArgumentParser, does: str) -> argparse._ArgumentGroup:
    """Add the option that every command with records has; *does* is what happens."""
    group = command.add_argument_group("watch for what matters (docs/watch.md)")
    group.add_argument(
        "--when",
        action=_When,
        default=[],
        metavar="EXPRESSION",
        help=f"{does} when a record matches, as in 'exit.signal == \"SIGSEGV\"'; may be repeated",
    )
    return group


def _add_when_actions(group: argparse._ArgumentGroup) -> None:
    """Add what the commands that watch a kernel can do besides."""
    group.add_argument(
        "--when-run",
        metavar="CMD",
        help="then run this program: the record is on its stdin as JSON, its fields are in EBPFTOP_*",
    )
    group.add_argument(
        "--when-save", type=values.folder, metavar="DIR", help="then save the minute around it as a recording in DIR"
    )
    group.add_argument(
        "--when-every",
        type=values.seconds,
        default=10.0,
        metavar="S",
        help="run CMD at most once in so many seconds, default 10",
    )


def _add_when_exit(group: argparse._ArgumentGroup) -> None:
    """Add what only the commands without a screen can do: end."""
    group.add_argument(
        "--when-exit",
        type=values.number("an exit status from 0 to 255", 255),
        nargs="?",
        const=4,
        metavar="N",
        help="then end, with exit status N, default 4",
    )


def _add_screen(parser: argparse.ArgumentParser) -> None:
    """Add the options of the commands that open a screen: a setting of its own group is one of them."""
    _add_memory(parser)
    screen = parser.add_argument_group("the screen")
    for setting in SETTINGS:
        if setting.group != "screen":
            continue
        if setting.kind is FLAG:
            screen.add_argument(
                f"--{setting.name}",
                action=argparse.BooleanOptionalAction,
                default=setting.default,
                help=setting.about,
            )
        else:
            screen.add_argument(
                f"--{setting.name}",
                type=partial(_read_typed, setting.kind),
                default=setting.default,
                metavar=setting.name.upper(),
                help=f"{setting.about}; default {setting.default}",
            )


def _read_typed(kind: Kind[Any], text: str) -> object:
    return kind.read(kind.typed(text))


class _PrintCompletion(argparse.Action):
    """Prints the script that completes ebpftop in a shell, and ends."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, name: str | None = None
    ) -> None:
        from ebpftop.commands.completion import SHELLS, completion

        if values not in SHELLS:
            parser.error(f"argument {name}: {values!r} is not one of {', '.join(SHELLS)}")
        stdio.require_stdout()
        stdio.write_stdout(completion(values, _whole_parser(), _live))
        raise SystemExit(0)


class _Parser(argparse.ArgumentParser):
    """A parser that writes its messages in the same way as the rest of ebpftop."""

    commands: Mapping[str, argparse.ArgumentParser] = {}
    """Those of the commands, by their names."""

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


def _live(command: argparse.ArgumentParser) -> None:
    _add_screen(command)
    memory = command.add_argument_group("history: how far back you can go (Space, then the arrow keys)")
    memory.add_argument(
        "--keep",
        type=values.minutes,
        default=15.0,
        metavar="MINUTES",
        help="at most so many minutes; 0.5 to 1440, default 15",
    )
    memory.add_argument(
        "--history",
        type=values.mebibytes,
        metavar="MIB",
        help="and at most so many MiB, also more than --memory; at least 4; if not given, 28%% of --memory",
    )
    _add_watching(command)
    _add_when_actions(_add_when(command, "ring the bell, show a notice, and mark the timeline"))


def _stream(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--duration", type=values.seconds, metavar="S", help="stop by itself, S seconds after the start"
    )
    _add_watching(command)
    when = _add_when(command, "say so on stderr")
    _add_when_actions(when)
    _add_when_exit(when)


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "cmd", nargs=argparse.REMAINDER, metavar="CMD", help="the command and its arguments; write -- before it"
    )
    command.add_argument(
        "--summary", action="store_true", help="print the summary on stderr; on, unless --json is given"
    )
    command.add_argument(
        "--json",
        dest="json_file",
        metavar="FILE",
        help="write the summary as one JSON object into FILE; - is stdout, which CMD has too",
    )
    _add_watching(command, "execs,syscalls,opens", pid=False)


def _record(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=values.new_file, metavar="FILE", help="FILE.zst is compressed")
    command.add_argument("--force", action="store_true", help="overwrite FILE")
    _stream(command)


def _replay(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a recording, or - for a stream on stdin")
    _demo(command)


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--speed", default="1", metavar="N", help="1 as it was, 10 ten times as fast, max without waiting"
    )
    _add_screen(command)
    _add_when(command, "show a notice, and mark the timeline")


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as one JSON object")
    command.add_argument(
        "-v", "--verbose", action="store_true", help="also print the output of the compiler and the verifier"
    )
    command.add_argument("--buffer", choices=("ring", "perf", "auto"), default="auto", help=argparse.SUPPRESS)
    attach = command.add_argument(
        "--attach", type=values.attach_option, action="append", default=[], metavar="PROBE=EVENT", help="try only there"
    )
    _add_old_name(command, "--via", attach)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "live": ("the screen (what `ebpftop` alone does)", _live),
    "run": ("start a command, and sum up what it and all that it starts did", _run),
    "stream": ("records as JSON Lines on stdout, without a screen", _stream),
    "record": ("the same records into a file", _record),
    "replay": ("the screen, on a recording or on a pipe", _replay),
    "demo": ("the screen on a recording that ships with ebpftop: no root, any machine", _demo),
    "check": ("what this kernel offers, and how each probe would attach", _check),
}
"""Each command: what it is, and what adds its options."""


def parser(command: str | None = None, *, prints_config: bool = False) -> _Parser:
    """Return the parser of the whole command line; with *command*, of one that begins with this word: in half the time.

    The other commands are known then, but not their options.
    """
    top = _Parser(
        prog="ebpftop",
        description="Live, by eBPF: every program that starts, who starts them, and what every process asks of the "
        "kernel.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"ebpftop {__version__}")
    top.add_argument(
        "--print-completion", action=_PrintCompletion, metavar="SHELL", help="completion for bash, zsh or fish, and end"
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    top.commands = commands.choices
    for name, (text, add_options) in _COMMANDS.items():
        chosen = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if command in (None, name):
            add_options(chosen)
            _add_settings(chosen)
            if prints_config:  # then nothing is recorded or shown
                _make_positionals_optional(chosen)
    return top


def _whole_parser() -> _Parser:
    return parser()


def _make_positionals_optional(parser: argparse.ArgumentParser) -> None:
    for action in parser._get_positional_actions():
        action.nargs, action.required = "?", False


def _of_the_command(words: list[str]) -> tuple[list[str], list[str]]:
    """Return our own words and those of the command that `run` starts: what is behind `--` is not for us."""
    if words[:1] != ["run"] or "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at:]


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


def _print_config(settings: Settings, command: str) -> int:
    from ebpftop.settings.printing import printed

    stdio.require_stdout()
    for problem in settings.problems:
        stdio.report(str(problem))
    stdio.write_stdout(printed(settings, command))
    return 0


def _command_first(words: list[str]) -> list[str]:
    """Return *words* with the command in front of the options that every command has: `--config FILE stream`."""
    at = 0
    while at < len(words) and words[at].partition("=")[0] in ("--config", "--print-config"):
        at += 2 if words[at] == "--config" else 1
    return [words[at], *words[:at], *words[at + 1 :]] if at < len(words) and words[at] in _COMMANDS else words


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
        args = top.parse_args(words)
        if behind:
            args.cmd = [*args.cmd, *behind] if args.cmd else behind[1:]
        args.settings = read_settings(args, top.commands[args.command], words)
        if args.print_config:
            return _print_config(args.settings, args.command)
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
