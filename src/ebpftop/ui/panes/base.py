"""What every pane is: a title with the state of a probe above lines, and a thread that polls that probe."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, WorkerState, get_current_worker

from ebpftop.core import format
from ebpftop.core.clock import time_text
from ebpftop.core.format import counted
from ebpftop.core.records import Probe, ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.filters.stack import FilterLevel
from ebpftop.models.base import Model
from ebpftop.models.box import Box
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.overview import Overview
from ebpftop.models.requests import LatestRequests
from ebpftop.models.subject import Subject
from ebpftop.models.watch import Watch
from ebpftop.ui.panes.frames import FramePace
from ebpftop.ui.panes.title import Title, TitledPane
from ebpftop.ui.widgets.columns import Column, Shown, Span
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.status_bar import MARKS
from ebpftop.ui.words import Mark

log = logging.getLogger(__name__)

FRAME_RECORDS = 2_500
RECORD_BYTES = 1000
"""A pane does not get more at once, however fast a recording plays: a key waits for what was delivered before it.

A record counts once for each so many bytes of memory."""

PIECE_RECORDS = 250
"""And at most this much of it is processed before the terminal's keys are checked."""

SEARCH_PAUSE_S = 0.005
"""Between two steps of a search: keys are handled then."""

PATIENCE_S = 1.0
"""How long a poll may wait, unless the source is interrupted: each wake-up costs as much as a small reading."""

AGAIN_S = 0.25
"""After so long a source is asked again that has come to its end: it may go on, as after a jump."""

REST_S = 0.3
REST_RECORDS = 2000
"""While events come all the time, they are read when the next frame is due: so long a rest, if a reading has brought no
more than so many records since the one before. The kernel's buffer holds many times as many."""


def _burden(batch: Batch) -> int:
    """Return for how many records *batch* counts: one may be as heavy as thousands of others."""
    return max(len(batch.records), batch.size // RECORD_BYTES)


def _pieces(batch: Batch) -> Iterator[Batch]:
    """Yield *batch* in parts of which none holds up a key: all that happened in a moment may be one batch."""
    step = PIECE_RECORDS * len(batch.records) // max(1, _burden(batch)) or 1
    if len(batch.records) <= step:
        yield batch
        return
    for at in range(0, len(batch.records), step):
        records = batch.records[at : at + step]
        yield replace(batch, records=records, size=batch.size * len(records) // len(batch.records))


class Pane(TitledPane):
    """One pane.

    To make one, set `probe`, `label` and `empty_text`; make the model in `__init__`, its lines in `make_lines`; feed
    the model in `feed`, and show it in `show`. `title_counts` and `details` must be there too; the other methods under
    "What a subclass supplies" have a meaning without being overridden. If the model needs the batches of other probes,
    name them in `extra_probes`. A row of `ebpftop.ui.registry` puts it on the screen; for a log of events there is
    `ebpftop.ui.panes.log.LogPane`.
    """

    probe: ClassVar[ProbeName]
    is_log: ClassVar[bool] = False
    """Its probe has events, which the kernel keeps until they are read."""
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ()  # other probes whose batches the model reads
    label: ClassVar[str]
    tab_label: ClassVar[str] = ""
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
        """Enter on a row: a request for its details."""

        def __init__(self, details: Details) -> None:
            super().__init__()
            self.details = details

    class ProbeRequested(Message):
        """A request for what is known of the probe of *pane*."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

    class Toggled(Message):
        """The probe of *pane* was attached or detached, as was requested last."""

        def __init__(self, pane: Pane, on: bool) -> None:
            super().__init__()
            self.pane = pane
            self.on = on

    class FilterRequested(Message):
        """A request to filter to this."""

        def __init__(self, step: FilterLevel) -> None:
            super().__init__()
            self.step = step

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(id=self.probe)
        self.source = source
        self.number = number
        self._toggle_requests: LatestRequests[ProbeName, bool] = LatestRequests()
        self.pace = FramePace()
        """When all panes show what came; the screen has one for all of them."""
        self.deliver: Callable[[Sequence[Batch]], None] = lambda _: self.acknowledge()
        """Takes what the probe yielded since the last frame, oldest first, in the thread that polls it.

        The screen feeds it to panes, now or later, and calls `acknowledge`.
        """
        self.newest_only = False
        """The model begins in the middle: what came before the newest events was not read again."""
        self.past = False
        """What is shown was: what is set in the kernel shows at present."""
        self.box: Box | None = None
        """The box of the heat map that the model was made for; None if it holds all up to its moment."""
        self.trouble = ""
        self._state: Probe | None = None
        self._unconfirmed: Probe | None = None
        """The state that the probe reported before it was toggled."""
        self._losses = ""
        self._searching: Timer | None = None
        self._ended = threading.Event()
        """Nobody wants to know any more what the probe yields."""
        self._taken = threading.Event()
        self._taken.set()

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

    def title_counts(self) -> str:
        """Counts for the title, the most important first, with `` · `` between them."""
        raise NotImplementedError

    def tab_count(self) -> Span:
        """Return the figure behind the label in a line of tabs."""
        return Span("")

    def details(self, row: Any) -> Details:
        """Build the details of a row of `lines`, which may no longer be there."""
        raise NotImplementedError

    def message_if_empty(self) -> str:
        """Why there are no rows, if nothing is wrong."""
        return self.none_yet()

    def none_yet(self) -> str:
        """Say that nothing has happened, since when, and what makes something happen."""
        started = self.source.header.started
        if not self.source.live or self.past or not started:
            return f"{self.empty_text}."
        return f"{self.empty_text} since {time_text(started)}. {self.hint}".rstrip()

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

    def subtitle(self) -> str:
        """The text at the right end of the title: how rows are chosen, sorted, followed."""
        return ""

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        """Return the columns that the help explains, each group with its heading."""
        return (("Columns", self.lines.columns),)

    def rows_shown(self) -> Shown[Any]:
        """Return the columns and the rows that the pane shows, scrolled away or not, for an export."""
        lines = self.lines
        columns = [c for c in lines.columns if c.key not in lines.hidden and (c.value is not None or c.fill is None)]
        return Shown(tuple(columns), lines.rows(), lines.now)

    def newest_text(self, rows: int, before: int) -> str:
        """Say in a title that older rows than these are not at hand: evicted, or not read again for a past moment."""
        if before:
            return f"newest {format.count(rows)} of "
        return "newest " if self.newest_only else ""

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
        self._state = overview.probes.get(self.probe)
        self._losses = format.losses(overview.losses(self.probe))
        self.describe()

    @property
    def state(self) -> str:
        """``on``, ``off``, ``failed``, ``busy`` until a request is done, ``waiting`` before anything is known."""
        if self.trouble:
            return "failed"
        if self.busy:
            return "busy"
        return self._state.state if self._state else "waiting"

    def describe(self) -> None:
        """Put what is known into the title and the message."""
        remark = self.subtitle()
        blind = self._state.blind if self._state and self.state == "on" else ()
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
                tuple(part for part in self.title_counts().split(" · ") if part),
                self._losses,
                tuple(right),
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
        if self.trouble:
            return [
                Span(f"This pane stopped: {self.trouble}", "bad"),
                Span(f"press {self.number} to try again, ! for what happened", "dim"),
            ]
        state = self._state
        if self.probe not in self.source.probes:
            why = "not asked for with --probes" if self.source.live else "not in this recording"
            return [Span(why, "dim")] if empty else []
        if empty and state is None and self.source.is_on(self.probe) and not self.past:
            return [Span("attaching …", "warn")]
        if self.busy:
            requested = self._toggle_requests.last(self.probe)
            on = self.source.is_on(self.probe) if requested is None else requested
            return [Span("attaching …" if on else "detaching …", "warn")]
        if state is not None and state.state == "failed":
            message = [
                Span(f"The probe {self.probe} could not start", "bad"),
                Span(state.reason or "no reason known", "warn"),
            ]
            tried = f"all {counted(len(state.attempts), 'attempt')}" if len(state.attempts) > 1 else "what was tried"
            return message + ([Span(state.remedy, "strong")] if state.remedy else []) + [Span(f"Enter: {tried}", "dim")]
        if state is not None and state.state == "off":
            last = next((part for part in self.title_counts().split(" · ") if not part.endswith("/s")), "")
            return [
                Span("Detached: it costs nothing.", "note"),
                Span(f"{self.number} attaches it.{f' Last: {last}' if last else ''}", "strong"),
            ]
        if empty and self.box is not None:
            return [Span("nothing in the box; Esc lifts it", "dim")]
        return [Span(self.message_if_empty(), "dim")] if empty else []

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        self.open_row(event.row)

    def open_row(self, row: Any) -> None:
        """Do what Enter on *row* does: ask for its details."""
        self.post_message(self.DetailsRequested(self.details(row)))

    @on(RowView.OpenedEmpty)
    def _opened_empty(self, event: RowView.OpenedEmpty) -> None:
        event.stop()
        self.post_message(self.ProbeRequested(self))

    # The probe.

    @work(thread=True, exclusive=True, group="collect", exit_on_error=False)
    def collect(self) -> None:
        """Poll the probe until the pane is removed; deliver what came, at most once a frame."""
        worker = get_current_worker()
        pending: deque[Batch] = deque()
        records = 0
        last = 0
        while not (worker.is_cancelled or self._ended.is_set()):
            if self.is_log and self.source.reads_all and last <= REST_RECORDS:
                rest_s = self.pace.next_wanted_s() - monotonic()
                if rest_s > 0:
                    self._ended.wait(min(rest_s, REST_S))
            now, due = monotonic(), self.pace.next_s()
            ready = pending and (now >= due or records >= FRAME_RECORDS)
            if ready and self._taken.is_set():
                self._taken.clear()
                frame: list[Batch] = []
                taken = 0
                while pending and taken < FRAME_RECORDS:
                    frame.append(pending.popleft())
                    taken += _burden(frame[-1])
                self.deliver(tuple(frame))
                records -= taken
            elif ready:
                # The screen is behind: let the kernel's buffer fill, because losses are counted there.
                self._taken.wait(PATIENCE_S)
                continue
            patience = min(PATIENCE_S, max(0.0, due - now)) if pending else PATIENCE_S
            batch = self.source.poll(self.probe, patience)
            last = len(batch.records) if batch is not None else 0
            if batch is not None:
                for piece in _pieces(batch):
                    pending.append(piece)
                    records += _burden(piece)
            elif monotonic() - now < patience / 2:
                # A source that has come to its end returns at once.
                self._ended.wait(min(max(patience, 0.02), AGAIN_S))

    def stop_collecting(self) -> None:
        """Let `collect` end at once, together with an interrupt of the source."""
        self._ended.set()
        self._taken.set()

    def acknowledge(self) -> None:
        """The screen has worked off what was delivered."""
        self._taken.set()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state == WorkerState.ERROR:
            error = event.worker.error
            log.error("the worker %s of %s failed", event.worker.group, self.label, exc_info=error)
            if event.worker.group == "collect":
                self.trouble = f"{type(error).__name__}: {error}"
            else:
                self.app.notify(str(error), title=f"{self.label}: the probe stays as it is", severity="error")
            self.describe()

    @property
    def busy(self) -> bool:
        """Whether the probe is being attached or detached, or has not reported its state yet."""
        if self._toggle_requests.last(self.probe) is not None:
            return True
        return self._unconfirmed is not None and self._unconfirmed is self._state and not self.past

    @work(thread=True, group="toggle", exit_on_error=False)
    def toggle(self) -> None:
        """Attach or detach the probe until it is as requested last."""
        try:
            done = False
            for probe, on in self._toggle_requests:
                if self.source.is_on(probe) is not on:
                    self._unconfirmed = self._state
                    self.source.toggle(probe)
                done = on
            self.post_message(self.Toggled(self, done))
        except BaseException:
            self._toggle_requests.drop()
            self._unconfirmed = None
            raise
        finally:
            self.call_later(self.describe)

    def start_toggle(self) -> None:
        """Request the opposite of the last request for the probe; show it. A pane that stopped polls again instead."""
        if self.trouble:
            self.trouble = ""
            self._taken.set()
            self.describe()
            self.collect()
            return
        requested = self._toggle_requests.last(self.probe)
        on = self.source.is_on(self.probe) if requested is None else requested
        if self._toggle_requests.put(self.probe, not on):
            self.toggle()
        self.describe()


def worker_sleep(seconds: float) -> None:
    """Wait without polling."""
    threading.Event().wait(max(seconds, 0.02))
