"""The incident report of what the screen shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ebpftop import __version__
from ebpftop.core.format import counted
from ebpftop.core.records import Header
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.overview import Overview
from ebpftop.models.report import LINES, ROWS, Graph, Log, Report, Table, report_text
from ebpftop.models.series import Series, What
from ebpftop.models.subset import default_name
from ebpftop.recording.timeline import Timeline
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.save_dialog import Saving
from ebpftop.ui.widgets.columns import Column, Shown, value_of

_GRAPH_CELLS = 80
_GRAPHS: Sequence[tuple[What, str, str, float]] = (
    ("failed", "Programs that did not start", "a second", 1.0),
    ("calls", "System calls", "a second", 1.0),
    ("errors", "Errors of system calls", "a second", 1.0),
    ("p99", "p99 of all calls that returned", "ms", 1e-6),
    ("lost", "Losses", "a second", 1.0),
    ("cost", "Cost of ebpftop", "% of one CPU", 100.0),
)


@dataclass(frozen=True)
class OnScreen:
    """What of the screen is saved, or a report is about."""

    header: Header
    overview: Overview
    shown: float
    filter: str
    watches: Sequence[str]
    panes: Sequence[Pane]
    more: Mapping[str, Shown[Any]]
    """Rows that no pane shows, by their title."""
    timeline: Timeline | None
    series: Series | None


def report_choice(screen: OnScreen, write: Callable[[str, bytes, bool], None]) -> Saving:
    """Return what saves the report of what is shown now; *write* creates a file."""
    shown = [(pane, pane.rows_shown()) for pane in screen.panes if pane.state != "off" or pane.lines.rows()]

    def save(path: str, replace: bool) -> str:
        text = report_text(_report(screen, shown))
        write(path, text.encode(), replace)
        return f"report of {counted(text.count(chr(10)), 'line', whole=True)} in {os.path.abspath(path)}"

    name = default_name("report", screen.header.host, "", screen.shown or time.time())
    return Saving("report", "for a ticket: versions, losses, graphs, top rows, the newest lines", name, save)


def _report(screen: OnScreen, shown: Sequence[tuple[Pane, Shown[Any]]]) -> Report:
    span = screen.timeline.span if screen.timeline is not None else (screen.header.started, screen.shown)
    return Report(
        header=screen.header,
        version=__version__,
        made=time.time(),
        span=span,
        shown=screen.shown,
        overview=screen.overview,
        filter=screen.filter,
        graphs=tuple(_graphs(screen, span)),
        tables=(
            *(_table(pane.label, rows) for pane, rows in shown if not pane.is_log),
            *(_table(title, rows) for title, rows in screen.more.items()),
        ),
        logs=tuple(_log(pane.label, rows) for pane, rows in shown if pane.is_log),
        watches=screen.watches,
    )


def _graphs(screen: OnScreen, span: tuple[float, float]) -> list[Graph]:
    graphs = []
    if screen.timeline is not None:
        graphs.append(Graph("Events", screen.timeline.rates(_GRAPH_CELLS), "a second"))
    if screen.series is not None and span[1] > span[0]:
        for what, title, unit, factor in _GRAPHS:
            values = screen.series.columns(what, span, _GRAPH_CELLS)
            graphs.append(Graph(title, [None if value is None else value * factor for value in values], unit))
    return graphs


def _table(title: str, shown: Shown[Any]) -> Table:
    rows = [[_text(column, row, shown.now) for column in shown.columns] for row in shown.rows[:ROWS]]
    heads = [column.title or column.key for column in shown.columns]
    return Table(title, heads, rows, len(shown.rows))


def _log(title: str, shown: Shown[Any]) -> Log:
    newest = shown.rows[-LINES:]
    lines = [("  ".join(_text(column, row, shown.now) for column in shown.columns), _failed(row)) for row in newest]
    return Log(title, lines, len(shown.rows))


def _text(column: Column[Any], row: Any, now: float) -> str:
    if column.fill is not None:
        value = value_of(column, row, now)
        return "" if value is None else str(value)
    return "".join(span.text for span in column.cell(row, now)).strip()


def _failed(row: Any) -> bool:
    if isinstance(row, ExecRow):
        ending = row.exit
        return row.failed or (ending is not None and bool(ending.signal or ending.code))
    return bool(getattr(row, "error", None))
