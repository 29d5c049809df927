"""`ebpftop check`: what this kernel offers, and which option each probe uses. Loads, attaches, detaches."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ebpftop import __version__
from ebpftop.commands.kernel_options import NO_PRIVILEGE, check_machine, open_kernel, options_of, refused, root_work
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.core import format
from ebpftop.core.escape import printable
from ebpftop.core.records import Probe, State
from ebpftop.kernel import build_cache
from ebpftop.kernel.btf import VMLINUX
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.offsets import own_headers
from ebpftop.kernel.unseen import unseen
from ebpftop.lifecycle import stdio
from ebpftop.lifecycle.limits import WITHOUT_SCREEN
from ebpftop.lifecycle.process import process
from ebpftop.probes.registry import Disabled, registry

_STYLES: Mapping[State, str] = {"on": "green", "off": "dim", "failed": "red"}


class Report(TypedDict):
    """The object that `--json` prints."""

    version: str
    kernel: str
    btf: bool
    headers: str | None
    tracefs: str | None
    buffer: str
    probes: list[Probe]
    disabled: list[Disabled]
    unseen: list[str]


def examine(args: argparse.Namespace, verifier: list[str] | None = None) -> Report:
    """Attach every probe and detach it again; raises SourceError. *verifier* gets what that said of each program."""
    source = open_kernel(replace(options_of(args), measures=True), root_work())
    try:
        states = [
            record
            for name in source.probes
            if (batch := source.poll(name, 0)) is not None
            for record in batch.records
            if isinstance(record, Probe)
        ]
        if verifier is not None:
            for name in source.probes:
                if (file := source.own_file(name)) is not None:
                    for one in file.programs:
                        verifier += [f"{file.file}: {one.name}: {line}" for line in one.verifier]
        headers = own_headers()
        return Report(
            version=__version__,
            kernel=os.uname().release,
            btf=VMLINUX.exists(),
            headers=str(headers) if headers else None,
            tracefs=source.tracefs,
            buffer=source.buffer,
            probes=states,
            disabled=list(registry().disabled),
            unseen=unseen(kernel_version(), uring=_counts_uring(states)),
        )
    finally:
        source.close()


def _counts_uring(states: list[Probe]) -> bool:
    return any(
        attempt.via.startswith("io_uring: ") and attempt.reason is None
        for state in states
        for attempt in state.attempts
    )


def markup(text: str) -> str:
    """Return *text*, from any source, as safe Rich markup."""
    return escape(printable(text))


def _print(report: Report, console: Console) -> None:
    types = "BTF" if report["btf"] else markup(report["headers"] or "nothing")
    console.print(f"ebpftop {report['version']} on Linux {markup(report['kernel'])}", highlight=False)
    console.print(
        f"types from {types}; events through a {report['buffer']} buffer; "
        f"tracefs at {markup(report['tracefs'] or 'nowhere')}",
        highlight=False,
    )
    console.print(f"cache of compiled programs: {markup(build_cache.where())}", highlight=False)
    for probe in report["probes"]:
        good = probe.state == "on"
        console.print()
        console.print(
            f"[bold]{probe.probe}[/]  "
            + (
                f"[green]works[/] via {markup(probe.via or '')}"
                if good
                else f"[red]fails[/]: {markup(probe.reason or '')}"
            )
            + (f"\n  [yellow]{markup(probe.remedy)}[/]" if probe.remedy else ""),
            highlight=False,
        )
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for attempt in probe.attempts:
            mark = f"[{_STYLES[attempt.state]}]{format.MARKS[attempt.state]}[/]"
            table.add_row(f"  {mark} {markup(attempt.via)}", markup(attempt.explanation))
            if attempt.reason is None and attempt.blind:
                table.add_row("", f"[yellow]cannot see {markup('; '.join(attempt.blind))}[/]")
        console.print(table)
    for disabled in report["disabled"]:
        console.print(f"\n[red]{markup(str(disabled))}[/]", highlight=False)
    console.print("\n[bold]no probe sees[/]", highlight=False)
    for one in report["unseen"]:
        console.print(f"  [dim]·[/] {markup(one)}", highlight=False)


def run(args: argparse.Namespace) -> int:
    """Print the report; return 1 if a probe cannot attach that is attached unless others are named."""
    stdio.require_stdout()
    check_machine(WITHOUT_SCREEN)
    if refused():
        return NO_PRIVILEGE
    outputs = redirect_stdio()
    process.status_if_ended = 1  # 0 would mean that the probes work
    verifier: list[str] = []
    report = examine(args, verifier if args.verbose else None)
    if args.json:
        stdio.write_stdout(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    else:
        screen = sys.stdout.isatty()
        text = io.StringIO()
        # A pipe has no width: its reader needs whole lines.
        _print(report, Console(file=text, force_terminal=screen, width=None if screen else 200))
        stdio.write_stdout(stdio.shown(text.getvalue()))
    if args.verbose:
        stdio.report_lines(outputs.log_path.read_bytes().decode("utf-8", "backslashreplace"))
        stdio.report_lines("\n".join(verifier))
    return 0 if all(probe.state == "on" for probe in report["probes"] if probe.probe in registry().on) else 1
