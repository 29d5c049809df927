"""The options that several commands share: what is watched and how, what is watched for, the screen, the settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from ebpftop.cli.parser import Parser, add_old_name
from ebpftop.core.memory_budget import DEFAULT_MIB
from ebpftop.filters.spec import NOT
from ebpftop.probes.registry import registry
from ebpftop.settings import values
from ebpftop.settings.kinds import FLAG, Kind
from ebpftop.settings.rows import SETTINGS
from ebpftop.syscalls.trace_limit import DEFAULT_TRACE_LIMIT

MAP_MIB = 256
"""What the maps of a C file may take, in MiB, if nothing else is said."""


def watching_defaults() -> dict[str, Any]:
    """Return what the options of `add_watching` are if none is given."""
    parser = argparse.ArgumentParser()
    add_watching(parser)
    return vars(parser.parse_args([]))


def add_load(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands without a screen that run a C file."""
    parser.add_argument(
        "--load",
        metavar="FILE.c",
        help="load this BPF program of your own, and yield what its maps and buffers have; again when it is saved",
    )


def add_watching(
    parser: argparse.ArgumentParser, probes: str = "", *, pid: bool = True, loads: bool = False, events: bool = True
) -> None:
    """Add the options that live, stream, record, run and serve share; *probes* is what stands for none given.

    *loads*: a C file may be loaded, and where its functions hang may be said. If no *events* are reported, what is
    about these alone is left out, and has its defaults.
    """
    parser.add_argument(
        "--probes",
        type=values.probes_and_load if loads else values.probes,
        metavar="LIST",
        help=f"of {','.join(registry().names)}; if not given: {probes or ','.join(registry().on)}",
    )
    parser.add_argument(
        "--interval",
        type=values.interval,
        metavar="S",
        help="seconds between readings of the counters; "
        + ("1 (without it, who makes which call is read every 5)" if events else "5"),
    )
    chosen = parser.add_argument_group("filters, decided in the kernel; each may be repeated")
    kinds: tuple[tuple[str, Callable[[str], object], str, str], ...] = (
        ("uid", values.uid, "U", "this user, number or name"),
        ("pid", values.number("a process id", 1 << 22), "P", "this process and its descendants"),
        ("comm", values.comm, "NAME", "this command name; NAME* for a prefix"),
        ("cgroup", values.cgroup, "PATH", "this cgroup and those below it"),
        ("container", values.container, "ID", "this container: how its id begins"),
    )
    for prefix, but in (("", ""), (NOT, "all but ")):
        for name, kind, metavar, about in kinds:
            if name != "pid" or prefix or pid:
                chosen.add_argument(
                    f"--{prefix}{name}", type=kind, action="append", default=[], metavar=metavar, help=but + about
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
        type=values.attach_option_of_a_file if loads else values.attach_option,
        action="append",
        default=[],
        metavar="NAME=EVENT" if loads else "PROBE=EVENT",
        help="attach a probe there and nowhere else, as in users=tracepoint; `check` lists what there is"
        + ("; or a function of FILE.c, as in hello=syscall:execve" if loads else ""),
    )
    if loads:
        kernel.add_argument(
            "--map-memory",
            type=lambda text: values.mebibytes(text, 1),
            default=MAP_MIB,
            metavar="MIB",
            help=f"memory of the kernel that all maps of FILE.c together may take, in MiB; {MAP_MIB}",
        )
    if events:
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
    if events:
        kernel.add_argument(
            "--env",
            type=values.env,
            default=(),
            metavar="NAMES",
            help="values in the environment of programs that start: HOME,LC_* or all (they may be secrets); names "
            "alone. none: not even names",
        )
    kernel.add_argument("--ignore", metavar="CALLS", help="system calls neither counted nor timed: read,futex")
    if events:
        _add_tracing(kernel)
    kernel.add_argument(
        "--btf",
        action="store_true",
        help="ebpftop's own programs keep their types and the lines of their source, for bpftool and the sheet of a "
        "probe; the first start takes longer",
    )
    if events:
        printk = kernel.add_argument(
            "--printk",
            action="store_true",
            help="let the syscalls probe's exec and timer handlers print into the trace log (bpf_trace_printk)",
        )
        add_old_name(kernel, "--say", printk)
    else:
        defaults = watching_defaults()
        parser.set_defaults(**{name: defaults[name] for name in _EVENTS})
    add_old_name(kernel, "--via", attach)


_EVENTS = ("failures", "env", "trace", "trace_limit", "stacks", "printk")
"""Options that are about events."""


def _add_tracing(kernel: argparse._ArgumentGroup) -> None:
    kernel.add_argument(
        "--trace",
        metavar="CALLS",
        help="report each of these system calls, with its arguments: openat:failed, %%net:>10ms, 'open*', all:pid=812",
    )
    kernel.add_argument(
        "--trace-limit",
        type=values.per_second,
        default=DEFAULT_TRACE_LIMIT,
        metavar="N",
        help=f"traced calls that each CPU reports a second, {DEFAULT_TRACE_LIMIT} if not given; more are lost (rate)",
    )
    kernel.add_argument(
        "--stacks",
        action="store_true",
        help="traced calls have the stack of the program, and of the kernel where they slept, with names of functions",
    )


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
            assert isinstance(parser, Parser)
            parser.refuse(f"argument {self.option_strings[0]}: {error.reason}", error.place)
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), watch])


def add_when(command: argparse.ArgumentParser, does: str) -> argparse._ArgumentGroup:
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


def add_when_actions(group: argparse._ArgumentGroup) -> None:
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


def add_when_exit(group: argparse._ArgumentGroup) -> None:
    """Add what only the commands without a screen can do: end."""
    group.add_argument(
        "--when-exit",
        type=values.number("an exit status from 0 to 255", 255),
        nargs="?",
        const=4,
        metavar="N",
        help="then end, with exit status N, default 4",
    )


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands that open a screen."""
    parser.add_argument(
        "--memory",
        type=values.memory,
        default=DEFAULT_MIB,
        metavar="MIB",
        help=f"memory for all that the screen keeps, logs and history, in MiB; at least 32, default {DEFAULT_MIB}",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
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


def add_screen(parser: argparse.ArgumentParser) -> None:
    """Add the options of the commands that open a screen: a setting of its own group is one of them."""
    add_memory(parser)
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
