"""The command line: arguments, and the errors that print before any screen opens."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from ebpftop import __version__
from ebpftop.core.escape import printable
from ebpftop.core.memory_budget import DEFAULT_MIB
from ebpftop.core.records import ProbeName
from ebpftop.core.source import SourceError, UsageError
from ebpftop.filters.spec import COMM_BYTES, UID_MAX, comm_bytes, is_cgroup_path
from ebpftop.lifecycle import stdio
from ebpftop.probes.registry import registry

_SCREENS = ("live", "replay", "demo")
"""The commands that open a screen: it begins the collection of garbage when it has drawn its first picture."""

_EPILOG = """\
keys: 1, 2, .. turn probes off and on, Tab moves between panes, / filters, Space pauses, ? shows all keys, q quits.
exit status: 0 fine (or ended by SIGTERM, SIGHUP, SIGQUIT), 1 failed, 2 wrong usage, 3 no privilege, 130 on Ctrl-C.
"""


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return value


def _interval(text: str) -> float:
    value = _seconds(text)
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.05 and 3600 seconds")
    return value


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.5 <= value <= 1440:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.5 and 1440 minutes")
    return value


_MIB_MAX = 65536


def _mebibytes(text: str, least: int = 4) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= _MIB_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {_MIB_MAX} MiB")
    return int(text)


def _memory(text: str) -> int:
    return _mebibytes(text, 32)


def _probes(text: str) -> tuple[ProbeName, ...]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    known = registry().names
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        why = "".join(f" ({one})" for one in registry().disabled if one.name in unknown)
        what = f"{', '.join(map(repr, unknown))} is not a probe" if unknown else "no probe is named"
        raise argparse.ArgumentTypeError(f"{what}; choose from {','.join(known)}{why}")
    return tuple(name for name in known if name in chosen)


def _number(what: str, most: int) -> type[int]:
    class Number(int):
        def __new__(cls, text: str) -> Number:
            if not text.isascii() or not text.isdigit() or int(text) > most:
                raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
            return super().__new__(cls, text)

    return Number


def _uid(text: str) -> int:
    """Parse a uid or the name of a user."""
    if text.isascii() and text.isdigit() and int(text) <= UID_MAX:
        return int(text)
    from ebpftop.probes.user_names import uid_of

    uid = uid_of(text)
    if uid is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a uid nor a user of this machine")
    return uid


def _comm(text: str) -> str:
    name = text.removesuffix("*")
    if not text:
        raise argparse.ArgumentTypeError("a command name cannot be empty")
    if "*" in name:
        raise argparse.ArgumentTypeError(f"{text!r}: a * may only stand at the end")
    raw = comm_bytes(text)
    if len(raw) > COMM_BYTES:
        # If the cut splits a character, the rest of it cannot be typed; a prefix can.
        prefix = raw[:COMM_BYTES].decode("utf-8", "ignore")
        name = prefix if len(prefix.encode()) == COMM_BYTES else f"{prefix}*"
        raise argparse.ArgumentTypeError(f"{text!r}: the kernel keeps {COMM_BYTES} bytes of a command name; use {name}")
    return text


def _cgroup(text: str) -> str:
    if not is_cgroup_path(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the path of a cgroup: / is the root, and .. leads nowhere")
    return text


def _new_file(text: str) -> str:
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a file; `ebpftop stream` writes to stdout")
    return text


def _container(text: str) -> str:
    if not text or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a container id or name")
    return text


def _attach(text: str) -> tuple[str, str]:
    ladder, equals, option = text.partition("=")
    if not equals or not option:
        raise argparse.ArgumentTypeError(f"{text!r} is not PROBE=EVENT, as in execs=tracepoint (see `ebpftop check`)")
    ladders = registry().ladders
    if ladder not in ladders:
        raise argparse.ArgumentTypeError(
            f"there is no probe {ladder!r}, nor a part of one; choose from {', '.join(ladders)}"
        )
    return ladder, option


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


def _add_watching(parser: argparse.ArgumentParser) -> None:
    """Add the options that live, stream and record share."""
    parser.add_argument(
        "--probes",
        type=_probes,
        metavar="LIST",
        help=f"of {','.join(registry().names)}; if not given: {','.join(registry().on)}",
    )
    parser.add_argument(
        "--interval",
        type=_interval,
        metavar="S",
        help="seconds between readings of the counters; 1 (without it, who makes which call is read every 5)",
    )
    chosen = parser.add_argument_group("filters, decided in the kernel; each may be repeated")
    chosen.add_argument("--uid", type=_uid, action="append", default=[], metavar="U", help="this user, number or name")
    chosen.add_argument(
        "--pid",
        type=_number("process id", 1 << 22),
        action="append",
        default=[],
        metavar="P",
        help="this process and its descendants",
    )
    chosen.add_argument(
        "--comm", type=_comm, action="append", default=[], metavar="NAME", help="this command name; NAME* for a prefix"
    )
    chosen.add_argument(
        "--cgroup", type=_cgroup, action="append", default=[], metavar="PATH", help="this cgroup and those below it"
    )
    chosen.add_argument(
        "--container",
        type=_container,
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
        type=_attach,
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
        type=_memory,
        default=DEFAULT_MIB,
        metavar="MIB",
        help=f"memory for all that the screen keeps, logs and history, in MiB; at least 32, default {DEFAULT_MIB}",
    )


class _Parser(argparse.ArgumentParser):
    """A parser that writes its messages in the same way as the rest of ebpftop."""

    def error(self, message: str) -> NoReturn:
        stdio.report_lines(self.format_usage())
        stdio.report_lines(f"{self.prog}: error: {printable(message)}")
        raise SystemExit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        # Help and version. Errors go through `error` above.
        stdio.require_stdout()
        stdio.write_stdout(message)


def _live(command: argparse.ArgumentParser) -> None:
    _add_memory(command)
    memory = command.add_argument_group("history: how far back you can go (Space, then the arrow keys)")
    memory.add_argument(
        "--keep",
        type=_minutes,
        default=15.0,
        metavar="MINUTES",
        help="at most so many minutes; 0.5 to 1440, default 15",
    )
    memory.add_argument(
        "--history",
        type=_mebibytes,
        metavar="MIB",
        help="and at most so many MiB, also more than --memory; at least 4; if not given, 28%% of --memory",
    )
    _add_watching(command)


def _stream(command: argparse.ArgumentParser) -> None:
    command.add_argument("--duration", type=_seconds, metavar="S", help="stop by itself, S seconds after the start")
    _add_watching(command)


def _record(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=_new_file, metavar="FILE", help="FILE.zst is compressed")
    command.add_argument("--force", action="store_true", help="overwrite FILE")
    _stream(command)


def _replay(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a recording, or - for a stream on stdin")
    command.add_argument(
        "--speed", default="1", metavar="N", help="1 as it was, 10 ten times as fast, max without waiting"
    )
    _add_memory(command)


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as one JSON object")
    command.add_argument(
        "-v", "--verbose", action="store_true", help="also print the output of the compiler and the verifier"
    )
    command.add_argument("--buffer", choices=("ring", "perf", "auto"), default="auto", help=argparse.SUPPRESS)
    attach = command.add_argument(
        "--attach", type=_attach, action="append", default=[], metavar="PROBE=EVENT", help="try only there"
    )
    _add_old_name(command, "--via", attach)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "live": ("the screen (what `ebpftop` alone does)", _live),
    "stream": ("records as JSON Lines on stdout, without a screen", _stream),
    "record": ("the same records into a file", _record),
    "replay": ("the screen, on a recording or on a pipe", _replay),
    "demo": ("the screen on a recording that ships with ebpftop: no root, any machine", _add_memory),
    "check": ("what this kernel offers, and how each probe would attach", _check),
}
"""Each command: what it is, and what adds its options."""


def parser(command: str | None = None) -> argparse.ArgumentParser:
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
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (text, add_options) in _COMMANDS.items():
        chosen = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if command in (None, name):
            add_options(chosen)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    stdio.open_closed()
    words = list(sys.argv[1:] if argv is None else argv)
    # `ebpftop` and `ebpftop --uid 0` mean live; --help and --version are ebpftop's own.
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "live")
    try:
        args = parser(words[0]).parse_args(words)
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
