"""A pane of a log whose rows are filtered as one types."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from textual.message import Message

from ebpftop.core.source import Batch, Source
from ebpftop.filters.parse import parse_filter
from ebpftop.filters.query import Language, Query
from ebpftop.models.base import Model
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.ring import View
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_filter import RowFilter

Row = TypeVar("Row")

SCAN_ROWS = 4000
"""Rows that a new filter searches at a time."""


class FilteredModel(Model, Protocol):
    """A model that shows only what matches a filter and a query."""

    view_filter: ViewFilter
    query: Query[Any] | None

    @property
    def view(self) -> View[Any]:
        """The rows that match."""

    def apply_filter(self, view_filter: ViewFilter, query: Query[Any] | None) -> None:
        """Show only rows that match both; `view.scan` then searches the older ones."""


class LogFilter(RowFilter[Row]):
    """The filter of a pane's log. What stands in front and the kernel can match goes to the kernel, for all panes."""

    def __init__(self, pane: FilteredPane, language: Language[Row]) -> None:
        super().__init__(pane.log_lines, language)
        self._pane = pane

    def apply(self) -> None:
        self._pane.apply_query(self.query)

    @property
    def counts(self) -> tuple[int, int, bool]:
        view = self._pane.model.view
        return view.matching, len(view.ring), self._pane.searching

    def enter_text(self) -> str:
        level = None if self.error else parse_filter(self.text)[0]
        if level is None:
            return ""
        return f"{level.label}, {'decided in the kernel' if self._pane.source.reads_all else 'in all panes'}"

    def keep(self) -> None:
        super().keep()
        step, rest = (None, "") if self.error else parse_filter(self.text)
        if step is not None:
            self.type(rest)
            self._pane.post_message(self._pane.FilterRequested(step))


class FilteredPane(Pane):
    """A pane of a log that can be filtered. A subclass sets `model`, `log_lines` and `log_filter`."""

    is_log = True
    model: FilteredModel
    log_lines: LogView[Any]
    log_filter: LogFilter[Any]

    class ViewFilterChanged(Message):
        """The query, or what else chooses the rows, changed."""

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.searching = False
        """Older rows are still searched for what matches."""

    def filter_lines(self, language: Language[Any]) -> None:
        """Let filters be typed for `log_lines`, in this language."""
        self.log_filter = self.log_lines.row_filter = LogFilter(self, language)

    @property
    def typed_query(self) -> Query[Any] | None:
        """What shown rows match, besides the filter of all panes."""
        return self.model.query

    @property
    def filter_text(self) -> str:
        """The query that shown rows match: decided here, not in the kernel."""
        return f"/{self.typed_query.text}" if self.typed_query else ""

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        query = self.typed_query
        super().set_model(model, view_filter)
        if (self.model.view_filter, self.typed_query) != (view_filter, query):
            self.model.apply_filter(view_filter, query)
            # The cursor's row is searched in what has been found.
            self.model.view.scan(SCAN_ROWS)
        self.log_lines.put_view(self.model.view)
        self.search()

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)
        if self.model.view.behind and not self.searching:
            self.search()

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self._apply(view_filter, self.typed_query)

    def apply_query(self, query: Query[Any] | None) -> None:
        """Show only what matches *query*, and the filter of all panes."""
        self._apply(self.model.view_filter, query)

    def _apply(self, view_filter: ViewFilter, query: Query[Any] | None) -> None:
        """Show only what matches, newest first found."""
        self.log_lines.refilter(lambda: self.model.apply_filter(view_filter, query))
        self.search()
        self.post_message(self.ViewFilterChanged())

    def search(self) -> None:
        more = self.model.view.scan(SCAN_ROWS)
        self.log_lines.sync()
        self.searching = more
        self.describe()
        self.log_filter.news()
        if more:
            self.search_later()

    def show(self) -> None:
        self.log_lines.sync()
        self.log_filter.news()

    def shown_of_all(self) -> str:
        return f"{self.log_filter.counts[0]:,} of " if self.model.view.filtered else ""
