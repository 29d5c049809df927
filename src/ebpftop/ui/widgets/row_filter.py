"""The filter of one list: what is typed, what it shows, what was typed before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from textual.widget import Widget

from ebpftop.filters.query import Language, Query, QueryError

Row = TypeVar("Row")

RECENT_MAX = 50
"""Filters that Up recalls."""


class RowFilter(Generic[Row]):
    """A list and its filter. A subclass shows what matches; `ebpftop.ui.screens.list_filters` lets it be typed."""

    def __init__(self, lines: Widget, language: Language[Row]) -> None:
        self.lines = lines
        self.language = language
        self.text = ""
        """As typed, even if it is none that works."""
        self.error = ""
        self.doubt = ""
        self.query: Query[Row] | None = None
        """What is shown. While something is typed that does not work, the last that did."""
        self.last: Query[Row] | None = None
        """What `n` and `N` search for: also after the filter was cleared."""
        self.recent: list[str] = []
        """What was typed before, the newest last."""
        self.on_news: Callable[[], None] | None = None
        """Called when other rows match, or more of them are known, while it is typed."""

    # What a subclass supplies.

    def apply(self) -> None:
        """Show only what matches `query`."""
        raise NotImplementedError

    @property
    def counts(self) -> tuple[int, int, bool]:
        """How many rows match, of how many, and whether older ones are still searched."""
        raise NotImplementedError

    def enter_text(self) -> str:
        """What Enter does with the text, besides keeping it; empty: nothing."""
        return ""

    def keep(self) -> None:
        """The text is typed: Enter was pressed."""
        self.remember()

    # What is typed.

    def type(self, text: str) -> None:
        """Show what matches *text*, as far as it is a filter."""
        self.text = text
        self.doubt = self.language.doubt(text)
        try:
            query = self.language.parse(text)
        except QueryError as error:
            # While one is still typing, the last good filter stays; a field without a value yet is left out.
            self.error = str(error)
            if error.rest is not None:
                with suppress(QueryError):
                    self.set_query(self.language.parse(error.rest))
            self.news()
            return
        self.error = ""
        self.set_query(query)
        self.news()

    def set_query(self, query: Query[Row] | None) -> None:
        self.last = query or self.last
        if query != self.query:
            self.query = query
            self.apply()

    def clear(self) -> bool:
        """Show all rows again; False if there was no filter."""
        had = self.query is not None
        self.remember()
        self.text = self.error = self.doubt = ""
        self.set_query(None)
        return had

    def forget(self) -> None:
        """Begin without a filter, because the list shows something else now; what was typed can still be recalled."""
        self.remember()
        self.text = self.error = self.doubt = ""
        self.query = None

    def remember(self) -> None:
        text = self.text.strip()
        if text and not self.error:
            self.recent = [*(one for one in self.recent if one != text), text][-RECENT_MAX:]

    def news(self) -> None:
        """Tell whoever shows how many rows match."""
        if self.on_news is not None:
            self.on_news()

    @property
    def count_text(self) -> str:
        """How many rows match, as a title shows it; empty without a filter."""
        if self.query is None:
            return ""
        shown, of, searching = self.counts
        return f"{shown:,}{' …' if searching else ''} of {of:,}"

    @property
    def nothing_text(self) -> str:
        """What stands in place of the rows if none matches; empty without a filter."""
        return f"No row matches {self.query.text}: Esc clears the filter" if self.query is not None else ""

    @property
    def hint(self) -> str:
        """The fields that the list has."""
        return " ".join(self.language.names)


AnyFilter = RowFilter[Any]
