"""An incident report: what the screen shows, as plain text for a ticket. It is fed with what it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ebpftop.core.escape import printable
from ebpftop.core.format import age, bars, count, counted, share
from ebpftop.core.records import Header, ProbeName
from ebpftop.models.overview import Overview

WIDTH = 100
"""Characters of a line, but for log lines, which may be longer."""
ROWS = 15
"""Rows of each table."""
LINES = 200
"""Lines of each log."""
_LONGEST = 400
"""Characters of a log line."""

_LOSSES: Mapping[str, str] = {
    "ring": "events missed while the kernel's buffer was full",
    "exits": "ends of processes missed while the kernel's buffer was full",
    "map": "rows beyond the kernel's table; they are counted under other",
    "recursion": "events during which the kernel did not run the program",
    "argv": "commands shown without some arguments; none was missed",
    "pipe": "lines overwritten before they could be read",
    "rate": "calls or opens beyond the limit of details; they are counted",
    "fleet": "events of a host that its panes did not take in time; the list of hosts counts them",
}


@dataclass(frozen=True)
class Graph:
    """Something over the span, evenly; None where it is not known."""

    title: str
    values: Sequence[float | None]
    unit: str


@dataclass(frozen=True)
class Table:
    """A table's rows as text, the most important first; *total*: of how many."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: int


@dataclass(frozen=True)
class Log:
    """A log's lines, oldest first, and which of them are failures."""

    title: str
    lines: Sequence[tuple[str, bool]]
    total: int


@dataclass(frozen=True)
class Report:
    """All that is in a report. Times are Unix seconds."""

    header: Header
    version: str
    made: float
    span: tuple[float, float]
    shown: float
    overview: Overview
    filter: str = ""
    graphs: Sequence[Graph] = field(default=())
    tables: Sequence[Table] = field(default=())
    logs: Sequence[Log] = field(default=())
    watches: Sequence[str] = field(default=())


def moment_text(time: float) -> str:
    """Return a moment as RFC 3339, local, with its offset.

    >>> moment_text(1795352400.0)
    '2026-11-22T15:00:00+00:00'
    """
    return datetime.fromtimestamp(time).astimezone().isoformat(timespec="seconds")


def report_text(report: Report) -> str:
    """Return the report as text; every line is safe for a terminal."""
    return "".join(f"{printable(line).rstrip()}\n" for line in _lines(report))


def _lines(r: Report) -> Iterator[str]:
    first, last = r.span
    title = f"ebpftop report of {r.header.host}"
    yield from (title, "=" * len(title), "")
    yield from _facts(
        ("host", r.header.host),
        ("kernel", f"{r.header.kernel} {r.header.abi}".strip() or "unknown"),
        ("ebpftop", f"{r.version}; records by {r.header.version or 'an unknown version'}"),
        ("made", moment_text(r.made)),
        ("span", f"{moment_text(first)} to {moment_text(last)}, {age(last - first)}"),
        ("state of", moment_text(r.shown) if r.shown else "unknown"),
        ("filter", r.filter or "none: everything is shown"),
        *((("watched for"), watch) for watch in r.watches),
        ("cost", _cost(r.overview)),
    )
    yield from _heading("Attached")
    yield from _attached(r.overview)
    yield from _heading("Lost")
    yield from _lost(r.overview)
    for graph in r.graphs:
        yield from _heading(graph.title)
        yield from _graph(graph, r.span)
    for table in r.tables:
        yield from _heading(f"{table.title}: {_of(len(table.rows), table.total, 'row')}")
        yield from _table(table)
    for log in r.logs:
        failures = sum(failed for _, failed in log.lines)
        wrong = f", {counted(failures, 'failure')} first" if failures else ""
        yield from _heading(f"{log.title}: the newest {_of(len(log.lines), log.total, 'line')}{wrong}")
        if failures:
            yield from (f"! {_cut(line)}" for line, failed in log.lines if failed)
            yield ""
        yield from (f"{'!' if failed else ' '} {_cut(line)}" for line, failed in log.lines)


def _heading(title: str) -> tuple[str, ...]:
    return "", title, "-" * len(title)


def _facts(*facts: tuple[str, str]) -> Iterator[str]:
    width = max(len(name) for name, _ in facts)
    yield from (f"{name:<{width}}  {value}" for name, value in facts)


def _of(shown: int, total: int, what: str) -> str:
    return counted(shown, what, whole=True) if shown >= total else f"{shown:,} of {counted(total, what, whole=True)}"


def _cost(overview: Overview) -> str:
    cost = overview.cost
    if cost is None:
        return "not measured"
    kernel = "unknown" if cost.kernel is None else share(cost.kernel)
    return f"{kernel} of one CPU in the kernel, {share(cost.user)} in user space"


def _attached(overview: Overview) -> Iterator[str]:
    if not overview.probes:
        yield "nothing is known"
        return
    width = max(map(len, overview.probes))
    for name, probe in overview.probes.items():
        what = f"via {probe.via}" if probe.state == "on" else probe.reason or ""
        yield f"{name:<{width}}  {probe.state:<6}  {what}"
        for blind in probe.blind:
            yield f"{'':<{width}}          does not see: {blind}"


def _lost(overview: Overview) -> Iterator[str]:
    lost = [(probe, where, n) for probe in overview.lost for where, n in overview.losses(probe)]
    if not lost:
        yield "nothing"
    for probe, where, n in lost:
        yield f"{n:,} of {_probe_words(probe)}: {_LOSSES.get(where, where)} ({where})"


def _probe_words(probe: ProbeName) -> str:
    return f"the probe {probe}"


def _graph(graph: Graph, span: tuple[float, float]) -> Iterator[str]:
    known = [value for value in graph.values if value is not None]
    if not known:
        yield "nothing is known"
        return
    peak = max(known)
    yield f"scale 0 to {count(peak)} {graph.unit}; average {count(sum(known) / len(known))}; · is not known"
    yield f"|{bars(graph.values)}|"
    first, last = (moment_text(time)[11:] for time in span)
    yield f" {first}{last:>{max(len(last), len(graph.values) - len(first))}}"


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        yield "no rows"
        return
    rows = [[_clip(cell) for cell in row] for row in (table.heads, *table.rows)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.heads))]
    numeric = [all(_is_figure(row[at]) for row in rows[1:]) for at in range(len(table.heads))]
    for row in rows:
        cells = zip(row, widths, numeric, strict=True)
        yield "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells)


def _is_figure(text: str) -> bool:
    return not text or text in "·-" or text[0].isdigit() or text[:1] in "<>≥"


def _clip(text: str) -> str:
    return text if len(text) <= 48 else text[:47] + "…"


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
