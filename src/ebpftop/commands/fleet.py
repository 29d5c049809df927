"""`ebpftop fleet`: many hosts on one screen, by ssh or by a pipe. It needs neither root nor bcc here."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from ebpftop.core import memory_budget
from ebpftop.core.source import Source, SourceError, UsageError
from ebpftop.fleet.connection import Remote
from ebpftop.fleet.reading import FleetReading, by_pipe, by_ssh
from ebpftop.fleet.rows import HOSTS_MAX, STALE_S
from ebpftop.kernel.capabilities import give_up_root
from ebpftop.lifecycle import limits, stdio
from ebpftop.lifecycle.invoker import invoker
from ebpftop.lifecycle.process import process
from ebpftop.settings import values
from ebpftop.settings.store import Settings
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource

_PIPE = "-"
_STALE_READINGS = 3
_EXAMPLE = "clush -w HOSTS sudo ebpftop stream --host-field"
_INSTEAD = "without a screen: ssh HOST sudo ebpftop stream --host-field"


def run(args: argparse.Namespace) -> int:
    """Show the hosts until the user quits."""
    if args.prometheus is not None:
        return _show_prometheus(args)
    hosts = hosts_of(args)
    piped = hosts == [_PIPE]
    if not piped and shutil.which(args.ssh_command[0]) is None:
        raise SourceError(
            f"{args.ssh_command[0]}: no such command", "install openssh-client, or name it: --ssh-command"
        )
    memory_budget.set_total(args.memory)
    limits.require(limits.REPLAY_SCREEN, args.memory)
    stdio.require_terminal(_INSTEAD, keys=not piped)
    stale_s = max(STALE_S, _STALE_READINGS * _interval_s(args.stream))
    if invoker() is not None:
        give_up_root(Path(__file__))  # ssh has the keys of who called sudo
    # Before there is a thread, and before what only the screen needs is imported.
    reading = by_pipe(_take_stdin(), stale_s) if piped else by_ssh(hosts, remote_of(args), stale_s)
    try:
        _become_nobody(args.settings)
        return _show(reading, args)
    finally:
        reading.close()


def _become_nobody(settings: Settings | None) -> None:
    """Give up root's rights: what is shown comes from other machines. Only the reader, and ssh, may need its keys."""
    if settings is not None and os.geteuid() == 0 and invoker() is None:
        settings.unsaved = "a fleet is shown without root's rights: nothing is saved"
    give_up_root(Path(__file__))
    limits.require_threads(limits.REPLAY_SCREEN)


def _show(reading: FleetReading, args: argparse.Namespace) -> int:
    process.take_keys()
    process.terminal.ask_background()
    from ebpftop.ui.fleet_app import run as run_app

    stdio.draw_on_terminal()
    return run_app(reading, _source_of, args.settings)


def _show_prometheus(args: argparse.Namespace) -> int:
    if args.hosts or args.hosts_file is not None:
        raise UsageError("fleet: --prometheus has the hosts itself", "leave the names out, or --prometheus")
    memory_budget.set_total(args.memory)
    limits.require(limits.REPLAY_SCREEN, args.memory)
    _become_nobody(args.settings)
    stdio.require_terminal("without a screen: curl URL/api/v1/query, with the metrics of docs/serve.md")
    process.take_keys()
    process.terminal.ask_background()
    from ebpftop.ui.fleet_app import run_prometheus

    stdio.draw_on_terminal()
    return run_prometheus(args.prometheus, args.settings)


def _source_of(name: str, fd: int) -> Source:
    return HistorySource(PipeSource(fd, called=name))


def remote_of(args: argparse.Namespace) -> Remote:
    """Return how hosts are reached."""
    return Remote(tuple(args.ssh_command), args.remote, tuple(args.stream))


def hosts_of(args: argparse.Namespace) -> list[str]:
    """Return the hosts, each once; - alone for stdin. Raises UsageError and SourceError."""
    hosts: list[str] = [*args.hosts]
    if args.hosts_file is not None:
        hosts += _of_file(args.hosts_file)
    hosts = list(dict.fromkeys(hosts))
    if not hosts:
        raise UsageError("fleet: no host is named", "ebpftop fleet web1 web2, --hosts-file FILE, or - for a pipe")
    if _PIPE in hosts and len(hosts) > 1:
        raise UsageError("fleet: - is stdin, and comes alone", "name hosts, or read a pipe")
    if len(hosts) > HOSTS_MAX:
        raise UsageError(
            f"fleet: {len(hosts)} hosts are more than {HOSTS_MAX}",
            "`ebpftop serve` on each, and Prometheus: docs/serve.md",
        )
    return hosts


def _of_file(name: str) -> list[str]:
    try:
        with open(0 if name == _PIPE else name, encoding="utf-8-sig", closefd=name != _PIPE) as file:
            lines = file.read(1 << 20).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SourceError(f"--hosts-file: {name}: {reason}", "a file with a host a line") from None
    hosts: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            hosts.append(values.fleet_host(text))
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--hosts-file: {name}: line {number}: {error}") from None
        if hosts[-1] == _PIPE:
            raise UsageError(f"--hosts-file: {name}: line {number}: - is not a host")
    return hosts


def _interval_s(options: Sequence[str]) -> float:
    """Return the interval that is among the options of `stream`; 1 s if none is."""
    for at, option in enumerate(options):
        name, _, value = option.partition("=")
        if name == "--interval":
            value = value or (options[at + 1] if at + 1 < len(options) else "")
            try:
                return values.interval(value)
            except argparse.ArgumentTypeError as error:
                raise UsageError(f"fleet: --stream: --interval: {error}") from None
    return 1.0


def _take_stdin() -> int:
    """Return a descriptor of the pipe on stdin, and make the terminal stdin: the screen reads its keys there."""
    if os.isatty(0):
        raise SourceError("stdin is a terminal, not a pipe", f"{_EXAMPLE} | ebpftop fleet -")
    fd = os.dup(0)
    if not (stat.S_ISFIFO(os.fstat(fd).st_mode) or stat.S_ISSOCK(os.fstat(fd).st_mode)):
        os.close(fd)
        raise SourceError("stdin is not a pipe", "ebpftop replay --host NAME FILE shows a recording of several hosts")
    try:
        stdio.read_keys_from_terminal()
    except SourceError:
        os.close(fd)
        raise
    return fd
