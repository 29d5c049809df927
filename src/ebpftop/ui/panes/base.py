"""What every pane is: a title with the state of a probe above lines, and a thread that polls that probe."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer

from ebpftop.core import format
from ebpftop.core.clock import time_text
from ebpftop.core.format import counted
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.filters.stack import FilterLevel
from ebpftop.models.base import Model
from ebpftop.models.box import Box
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.overview import Overview
from ebpftop.models.seccomp import CallsSeen
from ebpftop.models.subject import Subject
from ebpftop.models.watch import Watch
from ebpftop.ui.panes.polling import NOT_RECORDED, PollingPane
from ebpftop.ui.panes.title import Count, Title
from ebpftop.ui.widgets.columns import Column, Shown, Span
from ebpftop.ui.widgets.row_steps import beside
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Beside, Details
from ebpftop.ui.widgets.status_bar import MARKS
from ebpftop.ui.words import Mark

log = logging.getLogger(__name__)

SEARCH_PAUSE_S = 0.005
"""Between two steps of a search: keys are handled then."""


class Pane(PollingPane):
    """One pane.

    To make one, set `probe`, `label` and `empty_text`; make the model in `__init__`, its lines in `make_lines`; feed
    the model in `feed`, and show it in `show`. `title_counts` and `details` must be there too; the other methods under
    "What a subclass supplies" have a meaning without being overridden. If the model needs the batches of other probes,
    name them in `extra_probes`. A row of `ebpftop.ui.registry` puts it on the screen; for a log of events there is
    `ebpftop.ui.panes.log.LogPane`.
    """

    extra_probes: ClassVar[tuple[ProbeName, ...]] = ()  # other probes whose batches the model reads
    tab_label: str = ""
    """The label in a line of tabs, if it is another one."""
    empty_text: ClassVar[str]
    """A clause without its full stop: " since 22:48:02." may follow. Also true for a recording that has ended."""
    hint: ClassVar[str] = ""
    """What makes something appear, for a pane that is empty: a sentence."""
    about: ClassVar[str] = ""
    """What it shows, for the help: sentences; a newline begins a paragraph. Columns say themselves what they are."""
    marks: ClassVar[tuple[Mark, ...]] = ()
    """The signs in its rows and their meanings, for the help."""

    class DetailsRequested(Message):
        """Enter on a row: a request for its details; *beside* steps to the rows beside it."""

        def __init__(self, details: Details, beside: Beside | None = None) -> None:
            super().__init__()
            self.details = details
            self.beside = beside

    class ProbeRequested(Message):
        """A request for what is known of the probe of *pane*."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

    class FilterRequested(Message):
        """A request to filter to this."""

        def __init__(self, step: FilterLevel) -> None:
            super().__init__()
            self.step = step

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.newest_only = False
        """The model begins in the middle: what came before the newest events was not read again."""
        self.box: Box | None = None
        """The box of the heat map that the model was made for; None if it holds all up to its moment."""
        self.losses = ""
        """What was lost of the probe, by kind."""
        self._searching: Timer | None = None

    # What a subclass supplies.

    model: Model

    def make_lines(self) -> RowView[Any]:
        """Build the widget that shows the rows."""
        raise NotImplementedError

    def feed(self, batch: Batch) -> None:
        """Take a batch into the model."""
        raise NotImplementedError

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        """Show *model*, of the same type as the one before, from now on, with this filter."""
        self.model = model
        self.lines.redraw()

    def show(self) -> None:
        """Show what the model holds now."""
        raise NotImplementedError

    def title_counts(self) -> Sequence[Count]:
        """Counts for the title, each with a rank that says which is dropped first."""
        raise NotImplementedError

    def last_counted(self) -> str:
        """Return what a pane that is off says of what it counted."""
        return next((text for count in self.title_counts() if not (text := count.text).endswith("/s")), "")

    def tab_count(self) -> Span:
        """Return the figure behind the label in a line of tabs."""
        return Span("")

    def details(self, row: Any) -> Details:
        """Build the details of a row of `lines`, which may no longer be there."""
        raise NotImplementedError

    def message_if_empty(self) -> str:
        """Why there are no rows, if nothing is wrong."""
        return self.none_yet()

    def lines_if_empty(self) -> list[Span]:
        """Return the lines that say so."""
        return [Span(self.message_if_empty(), "dim")]

    def none_yet(self) -> str:
        """Say that nothing has happened, since when, and what makes something happen."""
        started = self.source.header.started
        if not self.source.live or self.past or not started:
            return f"{self.empty_text}."
        return f"{self.empty_text} since {time_text(started)}. {self.hint}".rstrip()

    @property
    def list_filter_text(self) -> str:
        """What the rows of the list match, besides the filter of all panes; empty if nothing was typed."""
        row_filter = self.lines.row_filter
        return f"/{row_filter.query.text}" if row_filter is not None and row_filter.query is not None else ""

    def shown_of_all(self) -> str:
        """How many rows match the filter of the list, for a title; empty if all are shown."""
        row_filter = self.lines.row_filter
        return f"{row_filter.counts[0]:,} of " if row_filter is not None and row_filter.query is not None else ""

    def user_level(self) -> FilterLevel | None:
        """The filter for the user of the row under the cursor."""
        return None

    def container_level(self) -> FilterLevel | None:
        """The filter for the container of the row under the cursor."""
        return None

    def subject(self, row: Any) -> Subject | None:
        """Return what a row is about, for what can be watched for, or copied as a command line."""
        return None

    def watch_of_filter(self) -> Watch | None:
        """Return the watch for new rows that match what is typed; None if nothing is."""
        return None

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only what matches."""

    def tabs(self) -> Sequence[str]:
        """Return the labels of all that the pane can show, `label` among them, for its title; none if that is one."""
        return ()

    def subtitle(self) -> str:
        """The text at the right end of the title: how rows are chosen, sorted, followed."""
        return ""

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        """Return the columns that the help explains, each group with its heading."""
        return (("Columns", self.lines.columns),)

    def rows_shown(self) -> Shown[Any]:
        """Return the columns and the rows that the pane shows, scrolled away or not, for an export."""
        lines = self.lines
        columns = [
            c
            for c in lines.columns
            if (c.always or c.key not in lines.hidden) and (c.value is not None or c.fill is None)
        ]
        return Shown(tuple(columns), lines.rows(), lines.now)

    def newest_text(self, rows: int, before: int) -> str:
        """Say in a title that older rows than these are not at hand: evicted, or not read again for a past moment."""
        if before:
            return f"newest {format.count(rows)} of "
        return "newest " if self.newest_only else ""

    @property
    def shown_probe(self) -> ProbeName:
        """The probe whose records the rows are made of."""
        return self.probe

    @property
    def list_name(self) -> str:
        """What its rows are called in the name of a file."""
        return self.probe

    @property
    def all_lists(self) -> Sequence[RowView[Any]]:
        """Return all lists that it can show, also those never shown so far; the first is named as its probe."""
        return tuple(self.query(RowView))

    def calls_seen(self, row: Any) -> CallsSeen | None:
        """Return the system calls that were seen of what a row is about; None if that is not known."""
        return None

    # The title.

    def compose(self) -> ComposeResult:
        self.lines = self.make_lines()
        yield self.lines

    def on_mount(self) -> None:
        self.describe()
        if self.probe in self.source.probes:
            self.collect()

    @property
    def message_is_late(self) -> bool:
        """Whether what is said where rows were missing may not hold any more: there are rows now."""
        return bool(self.lines.message) and self.lines.end > self.lines.first

    def update_overview(self, overview: Overview) -> None:
        """Take the state of the probe and its losses."""
        self._state = overview.probes.get(self.shown_probe)
        self.is_absent = self.source.is_on(self.shown_probe) is None and overview.lacks(self.shown_probe)
        self.losses = format.losses(overview.losses(self.shown_probe))
        self.describe()

    def describe(self) -> None:
        """Put what is known into the title and the message."""
        remark = "" if self.is_absent else self.subtitle()
        blind = self._state.blind if self._state and self.state == "on" else ()
        counts = () if self.is_absent else self.title_counts()
        right = [Span(remark, "dim")] if remark else []
        if blind:
            # What does not fit is in the details of the probe, as is what it is attached to.
            said = (f"not seen: {'; '.join(blind)}", "not all seen")
            right = [Span(f"{remark} · {words}" if remark else words, "warn") for words in said] + right
        self._entitle(
            Title(
                self.number,
                self.label,
                Span(*MARKS[self.state]),
                (
                    *([Count(doing, -1)] if (doing := self._state_text()) else []),
                    *counts,
                ),
                self.losses,
                tuple(right),
                self.tabs(),
            )
        )
        faded = self.state in ("off", "failed")
        if faded != self.lines.faded:
            # What is left from before stands back: it does not move any more.
            self.lines.faded = faded
            self.lines.redraw()
        message = self._message()
        if message != self.lines.message:
            self.lines.message = message
            self.lines.refresh_changed()

    def search_later(self) -> None:
        """Call `search` in a moment.

        By a timer: a key waits until what the key before it set off has come to its end, and each callback of a widget
        counts as that. A search takes hundreds.
        """
        if self._searching is None:
            self._searching = self.set_timer(SEARCH_PAUSE_S, self._search_on)

    def _search_on(self) -> None:
        self._searching = None
        self.search()

    def search(self) -> None:
        """Search for a moment what a new filter matches, and show it; `search_later` if there is more."""

    def _message(self) -> list[Span]:
        empty = self.lines.end == self.lines.first
        doing = self._doing()
        if self.trouble:
            return [
                Span(f"This pane stopped: {self.trouble}", "bad"),
                Span(f"press {self.number} to try again, ! for what happened", "dim"),
            ]
        state = self._state
        if self.shown_probe not in self.source.probes:
            why = "not asked for with --probes" if self.source.live else NOT_RECORDED
            return [Span(why, "dim")] if empty else []
        if self.is_absent and empty:
            return [Span(NOT_RECORDED, "dim"), Span(f"record and stream --probes {self.shown_probe} record it", "dim")]
        if doing and (empty or self.busy):
            return [Span(f"{doing} …", "warn")]
        if state is not None and state.state == "failed":
            message = [
                Span(f"The probe {self.shown_probe} could not start", "bad"),
                Span(state.reason or "no reason known", "warn"),
            ]
            tried = f"all {counted(len(state.attempts), 'attempt')}" if len(state.attempts) > 1 else "what was tried"
            return message + ([Span(state.remedy, "strong")] if state.remedy else []) + [Span(f"Enter: {tried}", "dim")]
        if state is not None and state.state == "off":
            last = self.last_counted()
            return [
                Span("Detached: it costs nothing.", "note"),
                Span(f"{self.number} attaches it.{f' Last: {last}' if last else ''}", "strong"),
            ]
        if empty and self.box is not None:
            return [Span("nothing in the box; Esc clears it", "dim")]
        return self.lines_if_empty() if empty else []

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        self.open_row(event.row)

    def open_row(self, row: Any) -> None:
        """Do what Enter on *row* does: ask for its details."""
        self.post_message(self.DetailsRequested(self.details(row), beside(self.lines, self.details)))

    @on(RowView.OpenedEmpty)
    def _opened_empty(self, event: RowView.OpenedEmpty) -> None:
        event.stop()
        self.post_message(self.ProbeRequested(self))
