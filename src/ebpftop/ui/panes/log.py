"""A pane that is a log of events: all that a probe needs whose events are shown one a line."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult

from ebpftop.core.clock import whole_text
from ebpftop.core.format import count, counted
from ebpftop.core.records import Event, ProbeName
from ebpftop.core.source import Source
from ebpftop.models.eventlog import EventLog
from ebpftop.models.subject import Subject, subject_of_event
from ebpftop.models.watch import Watch
from ebpftop.probes.registry import kind_of
from ebpftop.ui.panes.common import date_and_time
from ebpftop.ui.panes.filtered import FilteredPane
from ebpftop.ui.panes.title import Count
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.sheet import Details, Sheet

LoggedEvent = TypeVar("LoggedEvent", bound=Event)


class LogPane(FilteredPane, Generic[LoggedEvent]):
    """Events, one a line, newest last, with a filter.

    To make one, set `probe`, `label`, `empty_text`, `counted_as`, `columns` and `model_type`. `sheet` is what Enter
    opens, `copies` what `y` copies in the list.
    """

    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("execs",)
    counted_as: ClassVar[str]
    """What the title counts: "line" for "1,204 lines"."""
    columns: ClassVar[Sequence[Column[Any]]]
    model_type: ClassVar[type[EventLog[Any]]]
    has_header: ClassVar[bool] = True

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: EventLog[LoggedEvent] = self.model_type()

    def compose(self) -> ComposeResult:
        self.log_lines = LogView(
            self.model.view,
            self.columns_shown(),
            stamp=self.stamp,
            when=lambda event: event.time,
            same=self.identity,
            header=self.has_header,
        )
        self.lines = self.log_lines
        self.filter_lines(self.model.language)
        yield self.lines

    def columns_shown(self) -> Sequence[Column[Any]]:
        """Return the columns as this pane draws them."""
        return self.columns

    def stamp(self, event: LoggedEvent, now: float) -> Hashable:
        """Return what changes if the line of *event* must be drawn again: here, it never changes."""
        return None

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        return (("Columns", self.columns),)

    def identity(self, event: LoggedEvent) -> Hashable:
        """Return what tells an event from all others, in another view too."""
        return event

    def sheet(self, event: LoggedEvent) -> Sheet:
        """Return the details of an event: here, all its fields."""
        sheet = Sheet()
        sheet.heading(self.label)
        for name in event.__struct_fields__:
            sheet.fact(name, date_and_time(event.time) if name == "time" else getattr(event, name))
        return sheet

    def title_of(self, event: LoggedEvent) -> str:
        """Return the title of the details."""
        return self.label

    def copies(self, event: LoggedEvent) -> str:
        """Return the text that `y` copies in the list: here, what a filter searches."""
        return self.model.searchable(event)

    def subject(self, row: LoggedEvent) -> Subject | None:
        return subject_of_event(kind_of(type(row)), row)

    def watch_of_filter(self) -> Watch | None:
        query = self.typed_query
        if query is None:
            return None
        label = f"{self.counted_as}s that match {self.filter_text}"
        return Watch(label, {self.model.kind: query.matches})

    def details(self, row: LoggedEvent) -> Details:
        return Details(
            title=self.title_of(row),
            sheet=lambda: self.sheet(row),
            copies=self.copies(row),
            copies_what=self.counted_as.capitalize(),
            subject=self.subject(row),
            when=whole_text(row.time, date=False),
        )

    def message_if_empty(self) -> str:
        if self.log_filter.query is not None and self.model.ring.end:
            return self.log_filter.nothing_text
        return f"No {self.counted_as} matches the filter. Esc clears it." if self.model.ring.end else self.none_yet()

    def title_counts(self) -> Sequence[Count]:
        events = self.model.ring.end
        shown = self.shown_of_all()
        newest = self.newest_text(len(self.model.ring), self.model.ring.first)
        return (Count(f"{shown}{newest}{counted(events, self.counted_as)}"),) if events else ()

    def tab_count(self) -> Span:
        return Span(count(self.model.ring.end) if self.model.ring.end else "", "dim")

    def subtitle(self) -> str:
        filtered = f"{self.filter_text} picks what is shown" if self.filter_text else ""
        return " · ".join(part for part in (filtered, "follows" if self.log_lines.follow else "F: follow") if part)
