"""The merged log of all hosts, and the line above it."""

from __future__ import annotations

from ebpftop.fleet.fields import log_language
from ebpftop.fleet.model import FleetModel, Logged
from ebpftop.ui.panes.fleet_columns import LOG_COLUMNS, log_mark
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_filter import RowFilter

SCANNED = 5_000
"""Rows that are searched in one go."""


class _LogFilter(RowFilter[Logged]):
    lines: FleetLog

    def apply(self) -> None:
        self.lines.refilter(self.lines.filter_again)

    @property
    def counts(self) -> tuple[int, int, bool]:
        return len(self.lines.view), len(self.lines.view.ring), self.lines.searching


class FleetLog(LogView[Logged]):
    """The programs of all hosts that match its filter."""

    def __init__(self, model: FleetModel) -> None:
        super().__init__(
            model.view,
            LOG_COLUMNS,
            stamp=lambda row, _: row.end is None,
            when=lambda row: row.started.time,
            same=lambda row: row.key,
            mark=log_mark,
            id="fleet-log",
        )
        self.row_filter = _LogFilter(self, log_language())
        self.searching = False
        """There are older rows which have not been searched yet."""

    def filter_again(self) -> None:
        """Show what matches what is typed."""
        query = self.row_filter.query if self.row_filter is not None else None
        self.view.set_filter(None if query is None else lambda row: query.matches(row, self.now))
        self.searching = self.view.scan(SCANNED)

    def advance(self) -> None:
        """Show the new rows, and search older ones."""
        if self.searching:
            self.searching = self.view.scan(SCANNED)
        self.view.advance()
        assert self.row_filter is not None
        typed = self.row_filter.nothing_text
        self.message = [] if len(self.view) else [Span(typed or "No program has started so far", "dim")]
        self.sync()
        self.row_filter.news()
