"""Screens with lists that can be filtered: `/` types a filter for the list with the focus, `n` and `N` step."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any, TypeVar

from textual import on
from textual.binding import Binding
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from ebpftop.models.ring import PACE_S
from ebpftop.ui.widgets.filter_bar import FilterBar
from ebpftop.ui.widgets.row_filter import AnyFilter
from ebpftop.ui.widgets.row_view import RowView

Result = TypeVar("Result")

PAUSE_S = 0.005
"""Between two steps of a search: keys are handled then."""

STEPS = Binding.Group("Next, previous")

FILTER_KEYS = (
    Binding(
        "slash", "filter", "Filter", key_display="/", tooltip="Show only rows of this list that match", id="filter"
    ),
    Binding(
        "n", "match(1)", "Next match", show=False, tooltip="The next row that matches", id="match.next", group=STEPS
    ),
    Binding(
        *("N", "match(-1)", "Previous match"),
        show=False,
        tooltip="The one before that matches",
        id="match.previous",
        group=STEPS,
    ),
)


class ListFilters(Screen[Result]):
    """Has one `FilterBar`, and any number of lists."""

    _match_search: Timer | None = None

    @property
    def list_in_focus(self) -> RowView[Any] | None:
        """The list that a key is for."""
        return self.focused if isinstance(self.focused, RowView) else None

    @property
    def filter_in_focus(self) -> AnyFilter | None:
        """The filter of the list that a key is for; None if it has none."""
        lines = self.list_in_focus
        return lines.row_filter if lines is not None else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # In the filter a slash is a slash: the footer does not offer it.
        if action in ("filter", "match") and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        row_filter = self.filter_in_focus
        if row_filter is None:
            self.app.notify("There is no list to filter here")
        else:
            self.query_one(FilterBar).open(row_filter)

    @on(FilterBar.Closed)
    def _filter_closed(self, event: FilterBar.Closed) -> None:
        event.stop()
        if isinstance(self.focused, Input) or self.focused is None:
            self.set_focus(event.row_filter.lines)

    def action_match(self, step: int) -> None:
        """Go to the next row that matches the filter, or the last one that was typed for this list."""
        lines, row_filter = self.list_in_focus, self.filter_in_focus
        if self._match_search is not None:
            self._match_search.stop()
        if lines is None or row_filter is None or row_filter.last is None:
            self.app.notify("Nothing to search for: / types what rows must match")
            return
        if lines.cursor is not None:
            at = lines.cursor + step
        else:
            in_view = lines.in_view
            at = in_view.start if step > 0 else in_view.stop - 1
        if row_filter.query is not None:
            # All rows match.
            if lines.first <= at < lines.end:
                lines.go_to(at)
            return
        self._search(lines, row_filter, at, step)

    def _search(self, lines: RowView[Any], row_filter: AnyFilter, at: int, step: int) -> None:
        self._match_search = None
        until_s = monotonic() + PACE_S
        query = row_filter.last
        while query is not None and lines.first <= at < lines.end:
            if query.matches(lines.row(at), lines.now):
                lines.go_to(at)
                return
            at += step
            if monotonic() >= until_s:
                self._match_search = self.set_timer(PAUSE_S, partial(self._search, lines, row_filter, at, step))
                return
        if query is not None:
            where, key = ("below", "N") if step > 0 else ("above", "n")
            self.app.notify(f"No row {where} matches {query.text}; {key} searches the other way")
