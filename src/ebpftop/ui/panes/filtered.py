"""A pane whose rows are filtered as one types."""

from __future__ import annotations

from typing import Any, Protocol

from textual import on
from textual.message import Message

from ebpftop.core.source import Batch, Source
from ebpftop.filters.parse import misplaced_term, parse_filter
from ebpftop.filters.regex import Pattern, PatternError, parse
from ebpftop.filters.stack import FilterLevel
from ebpftop.models.base import Model
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.ring import View
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.log_view import LogView

SCAN_ROWS = 4000
"""Rows that a new filter searches at a time."""


class FilteredModel(Model, Protocol):
    """A model that shows only what matches a filter and a pattern."""

    view_filter: ViewFilter
    pattern: Pattern | None

    @property
    def view(self) -> View[Any]:
        """The rows that match."""

    def apply_filter(self, view_filter: ViewFilter, pattern: Pattern | None) -> None:
        """Show only rows that match both; `view.scan` then searches the older ones."""


class FilteredPane(Pane):
    """A pane of a log, with a line to type a filter. A subclass sets `model` and `log_lines`, and yields `bar`."""

    is_log = True
    model: FilteredModel
    log_lines: LogView[Any]

    class ViewFilterChanged(Message):
        """The pattern, or what else chooses the rows, changed."""

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.bar = FilterBar()
        self.bar.display = False
        self.pattern_error = ""
        self.term_warning = ""
        self._typed_step: FilterLevel | None = None
        self._scanning = False

    @property
    def pattern(self) -> Pattern | None:
        """The regular expression that shown rows match."""
        return self.model.pattern

    @property
    def filter_text(self) -> str:
        """The pattern that shown rows match: decided here, not in the kernel."""
        return f"/{self.pattern.text}" if self.pattern else ""

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        pattern = self.pattern
        super().set_model(model, view_filter)
        if (self.model.view_filter, self.pattern) != (view_filter, pattern):
            self.model.apply_filter(view_filter, pattern)
            # The cursor's row is searched in what has been found.
            self.model.view.scan(SCAN_ROWS)
        self.log_lines.put_view(self.model.view)
        self.search()

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)
        if self.model.view.behind and not self._scanning:
            self.search()

    def open_filter(self) -> None:
        """Type a filter for the rows."""
        self.bar.open()

    def clear_filter(self) -> bool:
        """Clear the pattern; False if there was none."""
        if self.pattern is None:
            return False
        self._apply(self.model.view_filter, None)
        self.bar.text = ""
        return True

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self._apply(view_filter, self.pattern)

    @on(FilterBar.Changed)
    def _typed(self, event: FilterBar.Changed) -> None:
        event.stop()
        step, rest = parse_filter(event.text)
        try:
            pattern = parse(rest)
        except PatternError as error:
            # The last good filter stays while one is still typing.
            self.pattern_error = str(error)
            self._note_matches()
            return
        self.pattern_error = ""
        self.term_warning = misplaced_term(rest)
        self._typed_step = step
        self._apply(self.model.view_filter, pattern)

    @on(FilterBar.Done)
    def _typed_all(self, event: FilterBar.Done) -> None:
        event.stop()
        self.bar.display = False
        self.screen.set_focus(self.lines)
        step, rest = parse_filter(self.bar.text)
        if step is not None:
            self.bar.text = rest
            self.post_message(self.FilterRequested(step))

    def _apply(self, view_filter: ViewFilter, pattern: Pattern | None) -> None:
        """Show only what matches, newest first found."""
        self.model.apply_filter(view_filter, pattern)
        self.log_lines.cursor = None
        self.log_lines.follow = True
        self.log_lines.rearrange()
        self.search()
        self.post_message(self.ViewFilterChanged())

    def search(self) -> None:
        more = self.model.view.scan(SCAN_ROWS)
        self.log_lines.sync()
        self.describe()
        self._scanning = more
        self._note_matches()
        if more:
            self.search_later()

    def _note_matches(self) -> None:
        """Say of what is typed what is wrong, or what Enter does, also while rows come; else how many rows match."""
        if wrong := self.pattern_error or self.term_warning:
            self.bar.note(wrong, bad=True)
        elif self._typed_step is not None:
            self.bar.note(f"Enter: {self._typed_step.label}, decided in the kernel")
        elif self.model.view.filtered:
            self.bar.note(f"{len(self.model.view):,}{' …' if self._scanning else ''} match")
        else:
            self.bar.note("")
