"""`ebpftop check`: what this kernel offers, and which rung each probe takes. Loads, attaches, detaches."""

from __future__ import annotations

import argparse
import os
from typing import TypedDict

import msgspec
from rich.console import Console
from rich.markup import escape as markup
from rich.table import Table

from ebpftop import __version__
from ebpftop.commands.watching import NO_PRIVILEGE, options_of, refused
from ebpftop.kernel import cache
from ebpftop.kernel.btf import VMLINUX
from ebpftop.kernel.offsets import own_headers
from ebpftop.kernel.quiet import Outputs, hush
from ebpftop.lifecycle import process
from ebpftop.records import PROBE_NAMES, Probe


class Report(TypedDict):
    """The object that `--json` prints."""

    version: str
    kernel: str
    btf: bool
    headers: str | None
    tracefs: str | None
    buffer: str
    probes: list[Probe]


def examine(args: argparse.Namespace) -> Report:
    """Bring every probe up and down again; raises SourceError."""
    from ebpftop.kernel.source import KernelSource

    watching = argparse.Namespace(
        probes=PROBE_NAMES, interval=1.0, uid=[], pid=[], comm=[], cgroup=[], container=[], hide_self=True,
        buffer=args.buffer, via=args.via, failures=True, latency=True, ignore=None, trace=None, say=False,
    )  # fmt: skip
    source = KernelSource(options_of(watching))
    try:
        states = [
            record
            for name in source.probes
            if (batch := source.poll(name, 0)) is not None
            for record in batch.records
            if isinstance(record, Probe)
        ]
        headers = own_headers()
        return Report(
            version=__version__,
            kernel=os.uname().release,
            btf=VMLINUX.exists(),
            headers=str(headers) if headers else None,
            tracefs=source.tracefs,
            buffer=source.buffer,
            probes=states,
        )
    finally:
        source.close()


def _print(report: Report, console: Console) -> None:
    types = "BTF" if report["btf"] else report["headers"] or "nothing"
    console.print(f"ebpftop {report['version']} on Linux {report['kernel']}", highlight=False)
    console.print(
        f"types from {types}; events through a {report['buffer']} buffer; tracefs at {report['tracefs'] or 'nowhere'}",
        highlight=False,
    )
    console.print(f"compiled programs are kept in {markup(cache.where())}", highlight=False)
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
        table.add_column()
        for rung in probe.rungs:
            mark = "[green]✓[/]" if rung.reason is None else "[dim]·[/]"
            said = f"costs {rung.cost}" if rung.reason is None else rung.reason
            table.add_row(f"  {mark} {markup(rung.via)}", markup(said))
        console.print(table)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 where a probe cannot attach."""
    if refused():
        return NO_PRIVILEGE
    outputs = hush()
    process.status_if_ended = 1  # 0 would say that every probe works
    report = examine(args)
    with os.fdopen(outputs.stdout_fd, "w", closefd=False) as out:
        if args.json:
            out.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
        else:
            # A pipe has no width: what reads it wants whole lines.
            _print(report, Console(file=out, width=None if out.isatty() else 200))
    if args.verbose:
        _print_log(outputs)
    return 0 if all(probe.state == "on" for probe in report["probes"]) else 1


def _print_log(outputs: Outputs) -> None:
    with os.fdopen(outputs.stderr_fd, "wb", closefd=False) as err:
        err.write(outputs.log_path.read_bytes())
