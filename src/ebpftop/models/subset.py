"""What is saved of a recording if the screen is filtered, and the name of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, TypeAlias

from ebpftop.core.records import Exec, Exit, Process, Record
from ebpftop.models.execlog import ExecRow, ViewFilter
from ebpftop.models.filter_match import matches
from ebpftop.models.processes import Processes, ProcessInfo

Kind: TypeAlias = Literal["recording", "csv", "json"]
SUFFIXES: dict[Kind, str] = {"recording": ".jsonl.zst", "csv": ".csv", "json": ".json"}


def default_name(kind: Kind, host: str, pane: str, moment: float) -> str:
    """Return a name with host, pane and time. A recording has all panes, so its name has none."""
    return _name(host, "" if kind == "recording" else pane, moment) + SUFFIXES[kind]


def screenshot_name(host: str, moment: float) -> str:
    """Return the name of a picture of the screen."""
    return f"{_name(host, 'screen', moment)}.svg"


def _name(host: str, what: str, moment: float) -> str:
    # The host name comes from a file that anybody may have written: it must not change the directory.
    where = "".join(c if c.isalnum() or c in "-." else "-" for c in host).strip(".-") or "host"
    when = datetime.fromtimestamp(moment).strftime("%Y%m%d-%H%M%S")
    return "-".join(filter(None, ("ebpftop", where, what, when)))


def kind_of(path: str) -> Kind | None:
    """Return what a file of this name holds; None if the name does not show it."""
    if path.endswith((".jsonl", ".zst")):
        return "recording"
    return "csv" if path.endswith(".csv") else "json" if path.endswith(".json") else None


def with_suffix(path: str, kind: Kind) -> str:
    """Return *path* with its suffix replaced by that of *kind*."""
    for suffix in (".jsonl.zst", ".jsonl", *SUFFIXES.values()):
        if path.endswith(suffix):
            return path.removesuffix(suffix) + SUFFIXES[kind]
    return path + SUFFIXES[kind]


def chooser(narrowing: ViewFilter, records: Iterable[Record]) -> Callable[[Exec | Process], bool]:
    """Return a function that returns whether *narrowing* shows a program.

    All kept *records* are read once before: a pattern may match how a program ended.
    """
    chosen: set[tuple[int, int, float]] = set()
    # Processes that ran before are reported together, perhaps a child before its parent.
    reported: list[Process] = []
    processes = Processes()
    running: dict[tuple[int, int], ExecRow] = {}

    def settle(row: ExecRow) -> None:
        if narrowing.matches(row, processes):
            chosen.add(_key(row.exec))

    def settle_reported() -> None:
        chosen.update(_key(record) for record in reported if _ran_before(narrowing, record, processes))
        reported.clear()

    for record in records:
        if isinstance(record, Process):
            processes.started(record)
            reported.append(record)
            continue
        settle_reported()
        if isinstance(record, Exec):
            row = ExecRow(record)
            if row.failed:
                settle(row)
                continue
            processes.started(record)
            before = running.get((record.pid, record.start_ns))
            if before is not None:
                before.ended, before.replaced = record.time, True
                settle(before)
            running[record.pid, record.start_ns] = row
        elif isinstance(record, Exit):
            ended = running.pop((record.pid, record.start_ns), None)
            if ended is not None:
                ended.ended, ended.exit = record.time, record
                settle(ended)
            processes.exited(record)
    settle_reported()
    for row in running.values():
        settle(row)
    return lambda record: _key(record) in chosen


def _key(record: Exec | Process) -> tuple[int, int, float]:
    return record.pid, record.start_ns, record.time


def _ran_before(narrowing: ViewFilter, record: Process, processes: Processes) -> bool:
    scope = narrowing.scope
    if narrowing.pattern is not None or scope.cgroups or scope.containers:
        # Not known of a process that started before ebpftop did.
        return False
    return matches(scope, ProcessInfo(record), processes)
