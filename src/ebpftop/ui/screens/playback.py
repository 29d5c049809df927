"""Time on the main screen: what comes in, freezing it, looking back, and what a recording does when it plays on."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from ebpftop.core.format import kept_text, offset_text
from ebpftop.core.format import speed_text as say_speed
from ebpftop.core.records import ProbeName
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch, Source
from ebpftop.models.base import Model, rebuild
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.held import Held
from ebpftop.models.overview import Overview
from ebpftop.models.seeking import LONG_STEP_S, STEP_S, clamp, other_speed
from ebpftop.models.users import UsersModel
from ebpftop.models.wishes import Wishes
from ebpftop.sources.capabilities import comes_through_pipe, history_of, player_of, timeline_of
from ebpftop.ui.panes.base import FRAME_RECORDS, Pane
from ebpftop.ui.screens.over import LaidOutOnce
from ebpftop.ui.textual_fixes.app_errors import surviving
from ebpftop.ui.widgets.badge import PausedHint
from ebpftop.ui.widgets.timeline_bar import Moments, TimelineBar

log = logging.getLogger(__name__)

PULSE_S = 0.5
"""The timeline moves on this often."""

FEED_SLICE_S = 0.02
"""How long records are processed before keys are checked, and how long a key gets before that continues."""

KEYS_FIRST_MAX_S = 1.0
"""At most this long records wait for keys."""

ALSO_S = 1.0
"""After this time a pane shows what it learnt from another pane's probe, unless its own probe sends before."""


class PlaybackScreen(LaidOutOnce[None]):
    """The panes' models, of the present and of the moment shown.

    At present the panes show the models that batches are fed into; frozen, batches wait. Looking back, they show other
    models, rebuilt from what the source remembers, while the present ones are fed as ever: the way back costs nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space,p",
            "pause",
            "Pause",
            key_display="␣",
            tooltip="Freeze; collection goes on. A recording plays on from the moment shown",
            id="pause",
        ),
        Binding("left", f"seek({-STEP_S:g})", "Back", show=False, key_display="←", tooltip="Back 1 s", id="time.back"),
        Binding(
            "right", f"seek({STEP_S:g})", "On", show=False, key_display="→", tooltip="Forward 1 s", id="time.forward"
        ),
        Binding(
            "left_square_bracket",
            f"seek({-LONG_STEP_S:g})",
            "Minute back",
            show=False,
            key_display="[",
            tooltip="Back 1 min",
            id="time.minute_back",
        ),
        Binding(
            "right_square_bracket",
            f"seek({LONG_STEP_S:g})",
            "Minute on",
            show=False,
            key_display="]",
            tooltip="Forward 1 min",
            id="time.minute_forward",
        ),
        Binding(
            "l", "present", "Live", show=False, tooltip="Back to live; a recording: to where it plays", id="time.live"
        ),
    ]

    class Rebuilt(Message):
        """The models as they were at `moment`; `whole` if nothing came before what they were rebuilt from."""

        def __init__(self, moment: float, models: Mapping[Pane, Model], overview: Overview, whole: bool) -> None:
            super().__init__()
            self.whole = whole
            self.moment = moment
            self.models = models
            self.overview = overview

    class Jumped(Message):
        """The recording is where the jump of this number leads."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Rated(Message):
        """How much happened over the whole span, as many rates as were asked for."""

        def __init__(self, rates: tuple[float | None, ...]) -> None:
            super().__init__()
            self.rates = rates

    def __init__(self, source: Source, panes: tuple[Pane, ...]) -> None:
        super().__init__()
        self.source = source
        self.panes = panes
        self.timeline = timeline_of(source)
        self.player = player_of(source)
        self.history = history_of(source)
        self.piped = comes_through_pipe(source)
        self.overview = Overview()
        """Of the moment that is shown."""
        self.present = self.overview
        """Of the newest batch."""
        self.paused = False
        self.moment: float | None = None
        """The moment shown, Unix seconds; None for the present."""
        self.held: Held[Pane] = Held()
        self._outdated: set[Pane] = set()
        """Panes that learnt something from the probe of another one since they were shown."""
        self._showing: Timer | None = None
        self._pending: deque[tuple[Pane, deque[Batch]]] = deque()
        """What came and was not processed yet, oldest first."""
        self._keys_first_until_s = 0.0
        self.view_filter = ViewFilter()
        """What panes show of what they hold."""
        self._left_filter = self.view_filter
        self._left_newest_only = False
        self._models: dict[Pane, Model] = {}
        self.seeking = False
        self._jump = 0
        self._jumping = False
        self._slow_wishes: Wishes[str, tuple[int, float]] = Wishes()
        self._told_end = False
        if self.timeline is not None and self.player is not None:
            self.add_class("-timeline")

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Let all panes show only what matches."""
        self.view_filter = view_filter
        for pane in self.panes:
            pane.apply_filter(view_filter)

    def describe(self) -> None:
        """Bring everything around the panes up to date."""
        raise NotImplementedError

    def on_mount(self) -> None:
        if self.timeline is not None:
            self.set_interval(PULSE_S, self._pulse)

    # What comes in.

    @on(Pane.BatchesArrived)
    def _arrived(self, event: Pane.BatchesArrived) -> None:
        event.stop()
        self._pending.append((event.pane, deque(event.batches)))
        if len(self._pending) == 1:
            self._keys_first_until_s = monotonic() + KEYS_FIRST_MAX_S
            self._feed_pending()

    def _feed_pending(self) -> None:
        """Process what came, for a moment, then check for keys, and go on."""
        until_s = monotonic() + FEED_SLICE_S
        while self._pending:
            pane, batches = self._pending[0]
            try:
                while batches:
                    batch = batches.popleft()
                    if batch.jump == self._jump:
                        self._take(pane, batch)
                    if batches and monotonic() >= until_s:
                        self._feed_pending_later()
                        return
                if not self._models:
                    self._show_news(pane)
            except BaseException:
                self._pending.popleft()
                pane.acknowledge()
                if self._pending:
                    self._feed_pending_later()
                raise
            self._pending.popleft()
            pane.acknowledge()
            if self._pending and monotonic() >= until_s:
                self._keys_first_until_s = monotonic() + KEYS_FIRST_MAX_S
                self._feed_pending_later()
                break
        self.describe()

    def _feed_pending_later(self) -> None:
        if getattr(self.app, "keys_waiting", 0) and monotonic() < self._keys_first_until_s:
            self.set_timer(FEED_SLICE_S, self._feed_pending)
        else:
            # Not at once: waiting messages are handled without a check for keys.
            asyncio.get_running_loop().call_soon(self.call_later, self._feed_pending)

    def _take(self, pane: Pane, batch: Batch) -> None:
        with surviving("the overview"):
            self.present.feed(batch)
        # What is released still goes before what comes now.
        if self._frozen or self.held:
            for oldest_pane, oldest in self.held.put(pane, batch):
                self._feed(oldest_pane, oldest)
        else:
            self._feed(pane, batch)

    @property
    def _frozen(self) -> bool:
        """Whether the present models wait: they are shown, and shall not change."""
        return self.paused and not self._models

    def _show_news(self, pane: Pane) -> None:
        if not self.paused:
            for other in self.panes:
                other.lines.now = max(other.lines.now, self.overview.time)
            with surviving(f"showing {pane.label}"):
                pane.show()
            self._outdated.discard(pane)
            self._outdated.update(other for other in self.panes if pane.probe in other.extra_probes)
            if not ALSO_S:
                self._show_outdated()
            elif self._outdated and self._showing is None:
                self._showing = self.set_timer(ALSO_S, self._show_outdated)
        for other in self.panes:
            with surviving(f"the title of {other.label}"):
                other.update_overview(self.overview)

    def _show_outdated(self) -> None:
        """Show what panes learnt from other probes, if their own has sent nothing since."""
        self._showing = None
        if self.paused or self._models:
            return  # all is shown when it goes on
        for pane in self._outdated:
            with surviving(f"showing {pane.label}"):
                pane.show()
                pane.update_overview(self.overview)
        self._outdated.clear()

    def _feed(self, pane: Pane, batch: Batch) -> None:
        for other in self.panes:
            if other is pane or pane.probe in other.extra_probes:
                # If one pane cannot process it, the others still can.
                with surviving(f"what came for {other.label}"):
                    if self._models:
                        self._models[other].feed(batch)
                    else:
                        other.feed(batch)

    def _release(self) -> None:
        """Let the present models have what was held back, so much at a time that keys are answered meanwhile."""
        if self._frozen:
            return
        for pane, batch in self.held.take(FRAME_RECORDS):
            self._feed(pane, batch)
        if self.held:
            # Not at once: waiting messages are handled without a check for keys.
            asyncio.get_running_loop().call_soon(self.call_later, self._release)
        else:
            self.held.clear()
            if not self._models:
                self._show_at(self.present.time)

    # Freezing and going on.

    @property
    def shown_time(self) -> float:
        """The moment that the panes show."""
        return max(pane.lines.now for pane in self.panes)

    def action_pause(self) -> None:
        """Freeze, or go on: live from now, a recording from the moment shown."""
        if not self.paused:
            self._freeze()
        elif self.player is not None and self.moment is not None:
            self.paused = False
            if not self.seeking:
                self._play_from(self.moment)
        else:
            self.action_present()
        self._travelled()

    def _freeze(self) -> None:
        self.paused = True
        if self.player is not None:
            self.player.pause()

    def action_present(self) -> None:
        """Return to live, or to where the recording plays."""
        self.paused = False
        self.moment = None
        models, self._models = self._models, {}
        self.overview = self.present
        for pane, model in models.items():
            pane.newest_only = self._left_newest_only
            pane.past = False
            pane.set_model(model, self.view_filter)
            if self.view_filter != self._left_filter:
                pane.apply_filter(self.view_filter)
        self._release()
        if self.held:
            self._show_at(self.present.time)
        if self.player is not None:
            self.player.resume()
        self._travelled()

    def _play_from(self, moment: float) -> None:
        """Let the recording go on from *moment*, which the panes show."""
        assert self.player is not None
        self._jump = self.player.next_jump()
        self._jumping = True
        self._models = {}
        for pane in self.panes:
            pane.past = False
        self._told_end = False
        self.held.clear()
        self.present = self.overview
        self.moment = None
        self._wish("jump", (self._jump, moment))

    @on(Jumped)
    def _jumped(self, event: Jumped) -> None:
        event.stop()
        if event.number == self._jump:
            self._jumping = False
            # It was frozen, or another moment was chosen, since: then it stands still.
            if self.player is not None and not self.paused and self.moment is None:
                self.player.resume()

    # Work that may wait for a disk, or read all that was recorded: the last request of each kind counts.

    def _wish(self, what: str, value: tuple[int, float]) -> None:
        if self._slow_wishes.put(what, value):
            self._fulfil()

    @work(thread=True, group="slow", exit_on_error=False)
    def _fulfil(self) -> None:
        assert self.timeline is not None
        try:
            for what, (number, moment) in self._slow_wishes:
                if what == "rates":
                    self.post_message(self.Rated(self.timeline.rates(number)))
                elif self.player is not None:
                    self.player.jump(moment, number)
                    self.post_message(self.Jumped(number))
        except BaseException:
            self._slow_wishes.drop()
            raise

    @on(Rated)
    def _rated(self, event: Rated) -> None:
        event.stop()
        bar = self.query_one(TimelineBar)
        if len(event.rates) == bar.buckets:
            bar.moments = replace(bar.moments, rates=event.rates)

    # Looking back.

    def action_seek(self, seconds: float) -> None:
        """Look at the moment so many seconds after the one shown."""
        self.seek((self.shown_time if self.moment is None else self.moment) + seconds)

    @on(TimelineBar.Scrubbed)
    def _scrubbed(self, event: TimelineBar.Scrubbed) -> None:
        event.stop()
        self.seek(event.moment)

    def seek(self, moment: float) -> None:
        """Show *moment* (Unix seconds). Live time stands still for it; a recording that plays goes on from there."""
        if self.timeline is None:
            self.app.notify("There is no history to go back to", severity="warning")
            return
        if not self.paused and self.player is None:
            self._freeze()
        elif self.player is not None:
            # What comes now would be of neither place.
            self.player.pause()
        self.moment = clamp(moment, self.timeline.span)
        if not self.seeking:
            self.seeking = True
            self._rebuild(self.moment)
        self._travelled()

    @work(thread=True, group="seek", exit_on_error=False)
    def _rebuild(self, moment: float) -> None:
        """Read the moment in a thread: that lasts a tenth of a second if much happened."""
        assert self.timeline is not None
        models: dict[Pane, Model] = {pane: type(pane.model)() for pane in self.panes}
        for model in models.values():
            if isinstance(model, UsersModel):
                # Before it is fed: its counts begin with the first reading that the filter holds for.
                model.apply_filter(self.view_filter)
        takers: dict[ProbeName, list[Model]] = {
            probe: [models[pane] for pane in self.panes if pane.probe == probe or probe in pane.extra_probes]
            for probe in self.source.probes
        }
        # A garbage collection during this would visit every record, and nothing here is garbage.
        gc.disable()
        try:
            past = self.timeline.look(moment)
            overview = rebuild(past, takers)
        finally:
            gc.enable()
        self.post_message(self.Rebuilt(moment, models, overview, past.before == EventCounts()))

    @on(Rebuilt)
    def _rebuilt(self, event: Rebuilt) -> None:
        event.stop()
        self.seeking = False
        if self.moment is None:
            # Gone back in the meantime.
            return
        if self.moment != event.moment:
            self.seeking = True
            self._rebuild(self.moment)
        if not self._models:
            self._models = {pane: pane.model for pane in self.panes}
            self._left_filter = self.view_filter
            self._left_newest_only = self.panes[0].newest_only
            self._release()
        self.overview = event.overview
        for pane, model in event.models.items():
            pane.newest_only = not event.whole
            pane.past = True
            pane.set_model(model, self.view_filter)
        self._show_at(event.moment)
        if not self.seeking and not self.paused:
            self._play_from(event.moment)
        self._travelled()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state == WorkerState.ERROR and event.worker.group in ("seek", "slow"):
            self.seeking = self._jumping = False
            log.error("looking back failed", exc_info=event.worker.error)
            self.app.notify(str(event.worker.error), title="That moment cannot be shown", severity="error")

    def _show_at(self, time: float) -> None:
        for pane in self.panes:
            pane.lines.now = time
            with surviving(f"showing {pane.label}"):
                pane.show()
            pane.update_overview(self.overview)

    # What is said about it.

    def _travelled(self) -> None:
        self.set_class(self.paused, "-paused")
        self.set_class(self.timeline is not None and (self.paused or self.player is not None), "-timeline")
        # Where the bar came up only now it has no size yet.
        self.call_after_refresh(self._describe_timeline)
        self.describe()

    def _pulse(self) -> None:
        if self.player is not None and self.ended and not self._told_end:
            self._told_end = True
            self.app.notify("The recording has ended. [: back a minute, q: quit")
        if self.has_class("-timeline"):
            self._describe_timeline(anew=True)
            self.describe()

    def _describe_timeline(self, anew: bool = False) -> None:
        """Update the timeline; its rates only now and then, since they change slowly and cost much time."""
        timeline = self.timeline
        bar = self.query_one(TimelineBar)
        if timeline is None or not bar.display:
            return
        span = timeline.span
        rates = bar.moments.rates
        if anew or len(rates) != bar.buckets:
            self._wish("rates", (bar.buckets, 0.0))
        moment = self.shown_time if self.moment is None else self.moment
        present = self.player.position if self.player else span[1]
        bar.moments = Moments(
            span=span,
            rates=rates,
            moment=moment,
            present=present,
            note=self.kept,
            back=self.back_text,
        )

    @property
    def kept(self) -> str:
        """How far back the history goes, and how much memory it uses; empty for a file."""
        if self.history is None or self.timeline is None:
            return ""
        return kept_text(self.timeline.span, self.history.bytes_used, self.history.max_bytes)

    @property
    def back_text(self) -> str:
        """How far the moment shown is behind the present, or behind where the recording plays."""
        if self.moment is None or self.timeline is None:
            return ""
        present = self.player.position if self.player else self.timeline.span[1]
        ahead = self.moment - present
        return f"+{offset_text(ahead)[1:]}" if ahead >= 0.5 else offset_text(-ahead)

    @property
    def speed_text(self) -> str:
        """What the recording does: its speed, or that it ended; empty for a live source."""
        if self.player is None:
            return ""
        return "ended" if self.ended else say_speed(self.player.speed)

    @property
    def ended(self) -> bool:
        """Whether the recording that plays has come to its end."""
        return self.player is not None and self.player.finished and not self.paused and not self._jumping

    def describe_badge(self) -> None:
        """Say beside the badge what waits, or where one is."""
        words = self.query_one(PausedHint)
        if self.moment is not None:
            words.away(self.back_text, recording=self.player is not None)
        else:
            words.held(self.held.weight, self.held.has_overflowed)

    def change_speed(self, steps: int) -> None:
        """Let the recording go faster, or slower."""
        if self.player is not None:
            self.player.speed = other_speed(self.player.speed, steps)
            self.describe()
