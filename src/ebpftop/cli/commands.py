"""The commands, and which options each has."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ebpftop import __version__
from ebpftop.cli.fleet_options import add_fleet
from ebpftop.cli.options import (
    add_screen,
    add_settings,
    add_watching,
    add_when,
    add_when_actions,
    add_when_exit,
    watching_defaults,
)
from ebpftop.cli.parser import Parser, add_old_name
from ebpftop.cli.stream_options import add_record, add_stream
from ebpftop.lifecycle import stdio
from ebpftop.probes.registry import registry
from ebpftop.serving.address import DEFAULT as LISTEN
from ebpftop.settings import values

_EPILOG = """\
keys: 1, 2, .. turn probes off and on, Tab moves between panes, / filters, Space pauses, ? shows all keys, q quits.
exit status: 0 fine (or ended by SIGTERM, SIGHUP, SIGQUIT), 1 failed, 2 wrong usage, 3 no privilege, 130 on Ctrl-C;
with --when-exit N, N if a record matched; run: that of the command, as a shell has it.
"""

FORMATS = ("perfetto", "folded", "csv", "jsonl")
"""What `convert` writes."""


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


def _add_history(command: argparse.ArgumentParser) -> None:
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


def _live(command: argparse.ArgumentParser) -> None:
    add_screen(command)
    _add_history(command)
    add_watching(command)
    add_when_actions(add_when(command, "ring the bell, show a notice, and mark the timeline"))


def _load(command: argparse.ArgumentParser) -> None:
    command.add_argument("load", metavar="FILE.c", help="a C file with BPF programs, as BCC compiles them")
    load_options(command)


def load_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a screen about a C file."""
    add_screen(command)
    _add_history(command)
    add_watching(command, "none beside what FILE.c prints", loads=True)
    add_when_actions(add_when(command, "ring the bell, show a notice, and mark the timeline"))


def _lesson(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "lesson",
        type=values.lesson,
        nargs="?",
        metavar="NUMBER",
        help="1 hello, 2 counter, 3 buffer, 4 tail call; without it: a list",
    )
    command.add_argument("--replay", action="store_true", help="play a recording of it: no root, any machine")
    command.add_argument(
        "--reset", action="store_true", help="begin again; your edited copy is kept under another name"
    )
    command.add_argument(
        "--folder", metavar="DIR", help="where your copies are; if not given, ~/.local/share/ebpftop/lessons"
    )
    command.add_argument("--speed", default="1", metavar="N", help="of --replay: 10 ten times as fast, max at once")
    load_options(command)


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "cmd", nargs=argparse.REMAINDER, metavar="CMD", help="the command and its arguments; write -- before it"
    )
    command.add_argument(
        "--summary",
        action="store_true",
        help="no screen: CMD keeps the terminal, a summary goes to stderr; on unless stdin and stdout are terminals",
    )
    command.add_argument(
        "--json",
        dest="json_file",
        metavar="FILE",
        help="no screen: the summary as one JSON object into FILE; - is stdout, which CMD has too",
    )
    command.add_argument(
        "--seccomp",
        metavar="FILE",
        help="no screen: a seccomp profile for containers into FILE, which allows the calls that CMD and all that it "
        "started made; - is stdout",
    )
    add_screen(command)
    _add_history(command)
    add_watching(command, "those of live, without a screen execs,syscalls,opens", pid=False)
    when = add_when(command, "show a notice, and mark the timeline; without a screen: say so on stderr")
    add_when_actions(when)
    add_when_exit(when)


def _add_host(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--host",
        type=values.host,
        metavar="NAME",
        help="of records of several hosts (`stream --host-field`) only those of this one",
    )


def _replay(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a recording, or - for a stream on stdin")
    _add_host(command)
    _demo(command)


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--speed", default="1", metavar="N", help="1 as it was, 10 ten times as fast, max without waiting"
    )
    add_screen(command)
    add_when(command, "show a notice, and mark the timeline")


def _diff(command: argparse.ArgumentParser) -> None:
    span = "a recording, a part of it as FILE@FROM..TO, or - for a stream on stdin"
    command.add_argument("before", metavar="A", help=f"before: {span}")
    command.add_argument(
        "after",
        metavar="B",
        help="after: another one, or another part: FROM and TO as 14:02, 2026-11-28T14:02, +90s, -1m",
    )
    command.add_argument("--json", action="store_true", help="as one JSON object")
    _add_host(command)


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as one JSON object")
    command.add_argument(
        "-v", "--verbose", action="store_true", help="also print the output of the compiler and the verifier"
    )
    command.add_argument("--buffer", choices=("ring", "perf", "auto"), default="auto", help=argparse.SUPPRESS)
    attach = command.add_argument(
        "--attach", type=values.attach_option, action="append", default=[], metavar="PROBE=EVENT", help="try only there"
    )
    add_old_name(command, "--via", attach)
    # It watches everything as the others do if nothing is said.
    command.set_defaults(**watching_defaults() | {"probes": registry().names, "interval": 1.0})


def _serve(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--listen",
        type=values.listen_address,
        metavar="ADDR:PORT",
        help=f"serve /metrics and /healthz there; {LISTEN} if no other output is named",
    )
    command.add_argument(
        "--textfile",
        metavar="FILE.prom",
        help="write the metrics into this file, for node_exporter's textfile collector",
    )
    command.add_argument(
        "--histograms",
        choices=("none", "coarse", "full"),
        default="coarse",
        help="durations of system calls: 8 buckets for each (default), all 44, or none",
    )
    command.add_argument(
        "--by",
        choices=("unit", "container"),
        help="also what the processes of each do; the first 100 have names, the rest is other",
    )
    otlp = command.add_argument_group("send them to an OpenTelemetry collector (docs/otlp.md)")
    otlp.add_argument(
        "--otlp",
        nargs="?",
        const="",
        metavar="URL",
        help="by OTLP/HTTP as JSON, to URL/v1/metrics and URL/v1/logs; without URL where OTEL_EXPORTER_OTLP_ENDPOINT "
        "says, else http://localhost:4318",
    )
    otlp.add_argument(
        "--events",
        choices=("none", "failures", "all"),
        help="also programs that start and end, as logs: those that fail (default), all, or none",
    )
    otlp.add_argument(
        "--args",
        dest="otlp_args",
        choices=("none", "first", "all"),
        help="the arguments of programs in them, which may be secrets: none (default), the program and its first one, "
        "or all",
    )
    otlp.add_argument(
        "--otlp-queue",
        type=values.queue_size,
        metavar="SIZE",
        help="what waits of them at most while the receiver is away, as 500kB, 64MB; default 16MB",
    )
    add_watching(command, "execs,users,syscalls", events=False)


def _convert(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", metavar="FILE", help="a recording, FILE@FROM..TO for a part of it (as @14:02..14:05), - for stdin"
    )
    command.add_argument("--to", choices=FORMATS, required=True, help="what it becomes (docs/convert.md)")
    command.add_argument(
        "-o", dest="output", type=values.new_file, metavar="OUT", help="write this new file; stdout without it"
    )
    command.add_argument("--force", action="store_true", help="overwrite OUT")
    _add_host(command)
    perfetto = command.add_argument_group("--to perfetto: for ui.perfetto.dev")
    perfetto.add_argument(
        "--slower", type=values.span_ns, metavar="TIME", help="calls that took so long, as 500us, 2s; default 10ms"
    )
    stacks = command.add_argument_group("--to folded: stacks for a flame graph")
    stacks.add_argument(
        "--of", choices=("programs", "calls"), help="the tree of programs (default), or traced calls with their stacks"
    )
    stacks.add_argument(
        "--value", choices=("wall", "cpu", "count"), help="the width: time (default), time on a CPU, or how many"
    )
    rows = command.add_argument_group("--to csv, --to jsonl")
    rows.add_argument(
        "--kind",
        type=values.names,
        default=(),
        metavar="KIND",
        help="csv: the one table, as exec, users, syscalls.processes, map.NAME; default exec+exit, "
        "programs with their ends. jsonl: kinds of records, as exec,exit; default all",
    )
    rows.add_argument("--whole", action="store_true", help="all rows of each reading, also those that did not change")
    rows.add_argument(
        "--exact", action="store_true", help="csv: no apostrophe in front of texts that a spreadsheet would run"
    )


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "live": ("the screen (what `ebpftop` alone does)", _live),
    "run": ("start a command, and show or sum up what it and all that it starts do", _run),
    "load": ("a BPF program of your own: load a C file, show what it sees, and load it again when it is saved", _load),
    "lesson": ("the first lesson in eBPF: four programs, each with its source, bytecode, maps and output", _lesson),
    "stream": ("records as JSON Lines on stdout, without a screen", add_stream),
    "record": ("the same records into a file", add_record),
    "serve": ("metrics for Prometheus and the like, without a screen", _serve),
    "replay": ("the screen, on a recording or on a pipe", _replay),
    "demo": ("the screen on a recording that ships with ebpftop: no root, any machine", _demo),
    "diff": ("what changed between two recordings, or two parts of one", _diff),
    "convert": ("a recording for other programs: Perfetto, flame graphs, CSV, JSON Lines", _convert),
    "fleet": ("many hosts on one screen, by ssh or by a pipe of clush: a row a host, what is wrong first", add_fleet),
    "check": ("what this kernel offers, and how each probe would attach", _check),
}
"""Each command: what it is, and what adds its options."""


def parser(command: str | None = None, *, prints_config: bool = False) -> Parser:
    """Return the parser of the whole command line; with *command*, of one that begins with this word: in half the time.

    The other commands are known then, but not their options.
    """
    top = Parser(
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
    for name, (text, add_options) in COMMANDS.items():
        chosen = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if command in (None, name):
            add_options(chosen)
            add_settings(chosen)
            if prints_config:  # then nothing is recorded or shown
                _make_all_optional(chosen)
    return top


def _whole_parser() -> Parser:
    return parser()


def _make_all_optional(parser: argparse.ArgumentParser) -> None:
    for action in parser._get_positional_actions():
        action.nargs = "?"
    for action in parser._actions:
        action.required = False
