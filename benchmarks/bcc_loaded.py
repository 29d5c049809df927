#!/usr/bin/env python3
"""Which tools of Debian's bpfcc-tools run unchanged on the workbench: compile, load, attach, deliver.

    sudo .venv/bin/python benchmarks/bcc_loaded.py [--json] [NAME ..]
    sudo .venv/bin/python benchmarks/bcc_loaded.py --write HERE.jsonl [GUEST.jsonl]

Takes the C out of each installed tool (`apt install bpfcc-tools`; nothing of it is kept), gives it to what
`ebpftop load` uses, with the events that the tool attaches itself, lets a workload do a little of everything, and reads
buffers and maps. Prints a line for each; with --json what was seen. --write makes docs/bcc-tools.md of what --json
printed on this kernel, and on one that has kprobes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "src")]

from tests import bcc_tools  # noqa: E402
from tests.kernel.bcc_tool_trial import Outcome, not_run, trials  # noqa: E402

from ebpftop.kernel import tracefs  # noqa: E402
from ebpftop.kernel.load.server import LoadServer  # noqa: E402

PAGE = CHECKOUT / "docs/bcc-tools.md"

_NEEDS = {
    "compactsnoop": "a kernel whose tracepoint mm_compaction_begin has five arguments, as older ones have",
    "criticalstat": "the tracepoints of CONFIG_PREEMPTIRQ_TRACEPOINTS",
    "dbslower": "a mysqld",
    "dbstat": "a running mysqld with its own probes (USDT), before the tool makes its C",
    "deadlock": "1 GB for its stacks; a file may have 256 MB",
    "inject": "a kernel that lets programs change results (CONFIG_BPF_KPROBE_OVERRIDE)",
    "llcstat": "counters of the processor",
    "mysqld_qslower": "a running mysqld with its own probes (USDT), before the tool makes its C",
    "nfsslower": "NFS in the kernel, not as a module",
    "ppchcalls": "a POWER processor",
}


Seen: TypeAlias = tuple[str, dict[str, Outcome]]
"""A kernel, and what was seen there of each tool."""


def main() -> int:
    """Try the tools or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--together", type=int, default=1, metavar="N", help="so many tools watch one workload (1)")
    parser.add_argument("--json", action="store_true", help="print what was seen, a line for each tool")
    parser.add_argument("--write", nargs="+", metavar="FILE", type=Path, help=f"write {PAGE.relative_to(CHECKOUT)}")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    options = parser.parse_args()
    if options.write:
        PAGE.write_text(_page(*(_read(file) for file in options.write)))
        return 0
    chosen = [path for path in bcc_tools.tools() if not options.names or bcc_tools.name_of(path) in options.names]
    if not chosen:
        print("bpfcc-tools is not installed: sudo apt install bpfcc-tools", file=sys.stderr)
        return 2
    if tracefs.mount_privately() is None:
        print("tracefs cannot be mounted", file=sys.stderr)
        return 2
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="ebpftop-bcc-", dir="/var/tmp") as folder:
        server = LoadServer()
        try:
            for some in batched(chosen, options.together):
                programs = bcc_tools.programs_of(some)
                found = [not_run(program) for program in programs if not program.text]
                found += trials([program for program in programs if program.text], Path(folder), server)
                for outcome in found:
                    _print(outcome, as_json=options.json)
                outcomes += found
        finally:
            server.close()
    if not options.json:
        print(f"\n{_sums(outcomes)}")
    return 0


def batched(tools: list[Path], size: int) -> Iterator[list[Path]]:
    """Yield *tools* in lists of *size*. (itertools.batched is new in Python 3.12.)"""
    for begin in range(0, len(tools), size):
        yield tools[begin : begin + size]


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**outcome._asdict(), "kernel": os.uname().release}), flush=True)
        return
    seen = f"{outcome.events} events" if outcome.events else ", ".join(outcome.filled)
    marks = "".join(mark if yes else "-" for mark, yes in zip("CLA", _steps(outcome), strict=True))
    print(f"{outcome.name:16} {marks} {seen or '-':40.40} {outcome.reason[:150]}", flush=True)


def _steps(outcome: Outcome) -> tuple[bool, bool, bool]:
    return outcome.compiles, outcome.loads, bool(outcome.attached)


def _sums(outcomes: list[Outcome]) -> str:
    steps = [sum(step) for step in zip(*map(_steps, outcomes), strict=True)]
    delivered = sum(one.delivers for one in outcomes)
    return (
        f"of {len(outcomes)} tools {steps[0]} compile, {steps[1]} load, {steps[2]} attach, "
        f"{delivered} deliver under a small workload"
    )


def _read(file: Path) -> Seen:
    """Return the kernel, and what was seen of each tool."""
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]
    kernel = rows[0]["kernel"] if rows else ""
    return kernel.partition("-")[0], {
        row["name"]: msgspec.convert([row[name] for name in Outcome._fields], Outcome) for row in rows
    }


def _page(here: Seen, *guests: Seen) -> str:
    kernels = (here, *guests)
    head = [
        "# BCC's tools on the workbench",
        "",
        "Written by `benchmarks/bcc_loaded.py`. `ebpftop load` gets the C of each tool in Debian's bpfcc-tools 0.26",
        "unchanged; functions hang where the tool's Python attaches them (`--attach`). No headers of a kernel are",
        "installed. A tool *delivers* if events came out of its buffers, or something stood in its maps, after a",
        "workload of a second that executes, opens, writes, connects and kills a little. A tool for what does not",
        "happen in it, a lost packet or a full memory, is attached and silent.",
        "",
    ]
    for name, found in kernels:
        head.append(f"- Linux {name}: {_sums(list(found.values()))}.")
    if guests:
        delivered = {name for _, found in kernels for name, one in found.items() if one.delivers}
        emulated = " and ".join(name for name, _ in guests)
        head += [
            "",
            f"Linux {here[0]} has neither kprobes nor fentry. {emulated}: Debian's kernel",
            "in an emulated machine (`tests/vm`), without disks and without modules. A tool with nothing in its column",
            "was not tried there.",
            f"{len(delivered)} tools deliver on one of these kernels.",
        ]
    table = [
        "",
        f"| tool | {' | '.join(f'Linux {name}' for name, _ in kernels)} | what it needs, or what hinders it |",
        "|---" * (len(kernels) + 2) + "|",
    ]
    for name in sorted(here[1]):
        cells = [_cell(found.get(name)) for _, found in kernels]
        seen = [found[name] for _, found in kernels if name in found]
        table.append(f"| {name} | {' | '.join(cells)} | {_need(name, seen)} |")
    return "\n".join([*head, *table, ""])


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if outcome.events:
        return "delivers events"
    if outcome.filled:
        return "fills its maps"
    if outcome.attached:
        return "attached, silent"
    if outcome.loads:
        return "loads"
    return "compiles" if outcome.compiles else "-"


def _need(name: str, seen: list[Outcome]) -> str:
    """Return in a line what a tool needs that a kernel does not have: the first that lacks something."""
    if name in _NEEDS:
        return _NEEDS[name]
    here, *_ = seen
    if "kprobes" in here.reason:
        need = "kprobes or fentry, for some of its events" if here.attached else "kprobes or fentry"
    elif here.delivers:
        return ""
    else:
        need = "something that happens, to be seen" if here.attached else here.reason.replace("|", "/")[:120]
    if len(seen) > 1 and not any(one.delivers for one in seen):
        why = _hindrance(seen[-1])
        need += f"; {why}" if why != need else ""
    return need


def _hindrance(there: Outcome) -> str:
    """Return in a line why a tool saw nothing on a kernel with kprobes."""
    missing = sorted({event.partition(":")[2] for event in there.not_attached})
    if missing:
        more = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
        return f"functions that the kernel has not, or not as a whole: {', '.join(missing[:2])}{more}"
    return "something that happens, to be seen" if there.attached else there.reason.replace("|", "/")[:120]


if __name__ == "__main__":
    sys.exit(main())
