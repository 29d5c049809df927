"""A screen of a probe of its own: attached while it is open, shown at the moment that the main screen shows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from rich.cells import cell_len
from textual import on
from textual.binding import Binding, BindingType

from ebpftop.core.clock import time_text
from ebpftop.core.source import Source
from ebpftop.models.subset import Kind
from ebpftop.ui.screens.going import GoController
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.over_time import TIME_KEYS
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.screens.row_actions import RowController
from ebpftop.ui.screens.saving import SaveController
from ebpftop.ui.widgets.columns import Shown, Span
from ebpftop.ui.widgets.row_steps import beside
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.sheet_title import SheetTitle
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

_BETWEEN = " · "

MARGIN = 6
"""Cells beside a line that it leaves free."""


class Below(Protocol):
    """What such a screen asks of the main one, which is below it."""

    source: Source
    playback: PlaybackController
    going: GoController
    rows: RowController
    saving: SaveController

    def action_pause(self) -> None:
        """Freeze, or go on."""

    def action_seek(self, seconds: float) -> None:
        """Show another moment."""

    def action_present(self) -> None:
        """Return to the present."""

    def action_mark(self, step: int) -> None:
        """Show the moment of the next mark, or of the one before."""


class FeedScreen(LiveScreen):
    """A table of what a probe saw. A subclass has a binding whose key opens and closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *TIME_KEYS,
        Binding("c", "columns", "Columns", show=False, tooltip="Choose and widen columns", id="pane.columns"),
        Binding("y", "copy", "Copy", show=False, tooltip="Send its name to the clipboard", id="copy"),
        Binding("ctrl+s", "save('recording')", "Save", show=False, tooltip="Save the history", id="save"),
        Binding("E", "save('csv')", "Export", show=False, tooltip="These rows as CSV or JSON", id="export"),
    ]

    rows_called: ClassVar[str]
    """What its rows are, of which there may be none."""
    key: ClassVar[str]
    """What opens it."""
    table: TableView[Any]

    def __init__(self) -> None:
        super().__init__()
        self.below: Below

    def fill_above(self, below: Below) -> Self:
        """Show what *below* has of the moment that it shows, when this screen is pushed the next time."""
        self.below = below
        self.filled()
        return self

    # What a subclass has.

    @property
    def feed(self) -> ProbeFeed:
        """The probe, and the model of what it saw."""
        raise NotImplementedError

    @property
    def readings(self) -> Hashable:
        """What changes with each reading of the model."""
        raise NotImplementedError

    @property
    def now(self) -> float:
        """When what is shown was read; 0.0: nothing was."""
        raise NotImplementedError

    def exported(self) -> Shown[Any]:
        """Return the rows for an export."""
        raise NotImplementedError

    def details_of(self, row: Any) -> Details:
        """Return what Enter opens."""
        raise NotImplementedError

    def title_parts(self) -> list[str]:
        """Return what the title says, the most important first."""
        raise NotImplementedError

    def state_text(self) -> str:
        """Return what stands at the right end of the title."""
        raise NotImplementedError

    # What all of them do.

    def begin(self) -> None:
        order = self.table.sort_key, self.table.reversed
        self.table.begin()
        self.table.sort_key, self.table.reversed = order
        self.set_focus(self.table)
        self.feed.open()

    def let_go(self) -> None:
        super().let_go()
        self.feed.close()

    def on_resize(self) -> None:
        if not self.is_closed:
            self.update_if_changed()

    def state(self) -> Hashable:
        feed, playback = self.feed, self.below.playback
        shown = id(feed.model), self.readings, self.table.row_filter and self.table.row_filter.query
        return *shown, playback.paused, feed.doing, feed.trouble, feed.state(playback.overview), self.app.size

    def show_title(self, line: SheetTitle) -> None:
        right = [Span(self.state_text(), "dim")]
        if self.below.playback.paused:
            right.append(Span(f"  PAUSED {time_text(self.below.playback.moment_or_shown)}", "bad"))
        elif self.now:
            right.append(Span(f"  {time_text(self.now)}", "dim"))
        room = self.app.size.width - sum(cell_len(span.text) for span in right) - MARGIN
        parts = [[Span(part)] for part in self.title_parts()]
        head = [Span(self.label, "name"), Span("  ")]
        line.set_text([*head, *fitting(parts, room - cell_len(self.label))], right)

    def of_filtered(self) -> str:
        """Return how many rows a filter shows, as the beginning of a part of the title; empty if there is none."""
        row_filter = self.table.row_filter
        return f"{self.table.end} of " if row_filter is not None and row_filter.query is not None else ""

    def message(self) -> list[Span]:
        """Return why there is no row."""
        feed, probe, playback = self.feed, self.feed.probe, self.below.playback
        state = feed.state(playback.overview)
        if not feed.is_available:
            return [Span(f"The probe {probe} was not asked for with --probes", "warn")]
        if feed.trouble:
            again = f"! shows what happened; {self.key} again tries once more"
            return [Span(feed.trouble, "bad"), Span(again, "dim")]
        if state is not None and state.state == "failed":
            remedy = [Span(state.remedy, "strong")] if state.remedy else []
            return [Span(f"The probe {probe} could not start", "bad"), Span(state.reason or "", "warn"), *remedy]
        if self.now:
            return [Span("This reading has no row: all have ended, or none matches the filter", "dim")]
        if playback.is_past:
            return [Span(f"No {self.rows_called} was read at this moment", "dim"), Span("l: back to live", "dim")]
        if not self.below.source.live or playback.piped:
            none = f"The recording has no {self.rows_called} so far. To record it:"
            return [Span(none, "dim"), Span(f"ebpftop record FILE --probes execs,{probe}", "strong")]
        return [Span(f"{feed.doing or 'reading'} …", "dim")]

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        self.below.going.open(self.details_of(event.row), beside(self.table, self.details_of))

    def action_columns(self) -> None:
        from ebpftop.ui.screens.column_picker import pick_columns

        pick_columns(self.app, self.table, self.label)

    def action_copy(self) -> None:
        row = self.table.selected()
        self.below.rows.copy_details(None if row is None else self.details_of(row))

    async def action_save(self, kind: Kind) -> None:
        await self.below.saving.ask(kind, self.label, self.feed.probe, self.exported())

    # Time, which is the main screen's.

    def action_pause(self) -> None:
        self.below.action_pause()
        self.update_if_changed()

    def action_seek(self, seconds: float) -> None:
        self.below.action_seek(seconds)

    def action_present(self) -> None:
        self.below.action_present()
        self.update_if_changed()

    def action_mark(self, step: int) -> None:
        self.below.action_mark(step)


def fitting(parts: Sequence[Sequence[Span]], width: int) -> list[Span]:
    """Join those of *parts* that fit into *width* cells, from the first on; at least that one, if there is any."""
    spans: list[Span] = []
    for part in parts:
        joined = [*([Span(_BETWEEN, "dim")] if spans else []), *part]
        if spans and sum(cell_len(span.text) for span in (*spans, *joined)) > width:
            break
        spans += joined
    return spans
