"""Time on the main screen: freezing it, looking back, and what a recording does when it plays on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol, TypeAlias

from ebpftop.core.format import history_text
from ebpftop.core.format import speed_text as format_speed
from ebpftop.core.records import Cost
from ebpftop.core.source import Batch, Source
from ebpftop.models import box as boxes
from ebpftop.models.base import Model, share_processes
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.held import Held
from ebpftop.models.overview import Overview
from ebpftop.models.requests import LatestRequests
from ebpftop.models.seeking import clamp, other_speed
from ebpftop.sources.capabilities import comes_through_pipe, history_of, player_of, timeline_of
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.polling import FRAME_RECORDS
from ebpftop.ui.screens.frames import FrameHost, Frames
from ebpftop.ui.screens.intake import Intake
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.screens.rebuilding import Rebuilt, Viewer, rebuild_at
from ebpftop.ui.textual_fixes.app_errors import surviving

log = logging.getLogger(__name__)

PULSE_S = 1.0
"""The timeline moves on this often."""

Rates: TypeAlias = tuple[float | None, ...]
Group: TypeAlias = Literal["seek", "slow"]


class Host(FrameHost, Protocol):
    """What the controller needs of the screen that owns it. But for `post`, it is called on the screen's thread."""

    def describe_time(self) -> None:
        """Bring everything around the panes up to date: another moment is shown, or time stands still or goes on."""

    def show_rates(self, rates: Rates) -> None:
        """Show how much happened over the whole span, as many rates as were asked for."""

    def notify_of(self, message: str, *, is_warning: bool = False) -> None:
        """Show a message."""

    def run_in_thread(self, group: Group, work: Callable[[], None]) -> None:
        """Run *work* in a thread; call `PlaybackController.failed` if it raises."""

    def post(self, do: Callable[[], None]) -> None:
        """Have *do* called on the screen's thread, in order with the batches that arrive. Any thread may call this."""


class PlaybackController:
    """The panes' models, of the present and of the moment shown.

    At present the panes show the models that batches are fed into; frozen, batches wait. Looking back, they show other
    models, rebuilt from what the source remembers, while the present ones are fed as ever: the way back costs nothing.
    """

    def __init__(self, source: Source, panes: Sequence[Pane], host: Host, feeds: Sequence[ProbeFeed] = ()) -> None:
        """Show *source* in *panes*, and keep the models of *feeds* up to date, which other screens show."""
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
        self.box: boxes.Box | None = None
        """What the panes show alone, up to `moment`; None: all up to it."""
        self.complete_from = 0.0
        """All events of the box from this time on are in the logs."""
        self.held: Held[Pane | ProbeFeed] = Held()
        self.view_filter = ViewFilter()
        """What panes show of what they hold."""
        self.seeking = False
        self.look_at: Callable[[Batch], None] = lambda _: None
        """Sees each batch when it comes, whatever is shown."""
        self._probes = source.probes
        self._panes = tuple(panes)
        self._viewers: tuple[Viewer, ...] = (*panes, *feeds)
        share_processes(pane.model for pane in self._panes)
        self._host = host
        self.frames = Frames(self._panes, self, host)
        self.intake: Intake[Pane | ProbeFeed] = Intake(host, self.take, self._taken)
        self._has_rows: set[Pane] = set()
        """Panes that were sent something that they may show in their rows."""
        self._left_filter = self.view_filter
        self._left_newest_only = False
        self._models: dict[Viewer, Model] = {}
        self._jump = 0
        self._jumping = False
        self._slow_requests: LatestRequests[str, tuple[int, float]] = LatestRequests()
        self._has_reported_end = False

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Let all panes show only what matches."""
        self.view_filter = view_filter
        for viewer in self._viewers:
            viewer.apply_filter(view_filter)

    # What comes in.

    def take(self, viewer: Pane | ProbeFeed, batch: Batch) -> None:
        """Feed *batch* of the probe of *viewer* to the present models, or hold it while they are frozen."""
        if batch.jump != self._jump:
            return
        if not isinstance(viewer, ProbeFeed) and not all(isinstance(record, Cost) for record in batch.records):
            self._has_rows.add(viewer)
        with surviving("the overview"):
            self.present.feed(batch)
        with surviving("the watches"):
            self.look_at(batch)
        # What is released still goes before what comes now.
        if self._frozen or self.held:
            for oldest_viewer, oldest in self.held.put(viewer, batch):
                self._feed(oldest_viewer, oldest)
        else:
            self._feed(viewer, batch)

    def _taken(self, viewer: Pane | ProbeFeed) -> None:
        if isinstance(viewer, ProbeFeed):
            shown_in = viewer.shown_in()
            if shown_in is not None:
                self.frames.fed(shown_in)
            else:
                self.frames.fed_around()
        elif viewer in self._has_rows:
            self._has_rows.discard(viewer)
            self.frames.fed(viewer)
        else:
            self.frames.fed_around()

    @property
    def is_past(self) -> bool:
        """Whether the panes show models of the past."""
        return bool(self._models)

    @property
    def _frozen(self) -> bool:
        """Whether the present models wait: they are shown, and shall not change."""
        return self.paused and not self._models

    def _feed(self, viewer: Viewer, batch: Batch) -> None:
        for other in self._viewers:
            if other is viewer or viewer.probe in other.extra_probes:
                # If one cannot process it, the others still can.
                with surviving(f"what came for {other.label}"):
                    if self._models:
                        self._models[other].feed(batch)
                    else:
                        other.feed(batch)

    def _release(self) -> None:
        """Let the present models have what was held back, so much at a time that keys are answered meanwhile."""
        if self._frozen:
            return
        for viewer, batch in self.held.take(FRAME_RECORDS):
            self._feed(viewer, batch)
        if self.held:
            # Not at once: waiting messages are handled without a check for keys.
            self._host.call_soon(self._release)
        else:
            self.held.clear()
            if not self._models:
                self._show_at(self.present.time)

    # Freezing and going on.

    @property
    def shown_time(self) -> float:
        """The moment that the panes show, or would if they could be seen."""
        shown = max(pane.lines.now for pane in self._panes)
        return shown if self.paused or self._models else max(shown, self.present.time * self._host.is_hidden)

    @property
    def moment_or_shown(self) -> float:
        """The moment that the panes show, or soon will."""
        return self.shown_time if self.moment is None else self.moment

    def toggle_pause(self) -> None:
        """Freeze, or go on: live from now, a recording from the moment shown."""
        if not self.paused:
            self._freeze()
        elif self.player is not None and self.moment is not None:
            self.paused = self.frames.pace.frozen = False
            if self.box is not None:
                # The models hold nothing but the box.
                self.seek(self.moment)
            if not self.seeking:
                self._play_from(self.moment)
        else:
            self.return_to_present()
        self._host.describe_time()

    def _freeze(self) -> None:
        if self._host.is_hidden:
            # Nothing was shown of what came meanwhile.
            self._show_at(self.present.time)
        self.paused = self.frames.pace.frozen = True
        if self.player is not None:
            self.player.pause()

    def return_to_present(self) -> None:
        """Return to live, or to where the recording plays."""
        self.paused = self.frames.pace.frozen = False
        self.moment = self.box = None
        models, self._models = self._models, {}
        self.overview = self.present
        for viewer, model in models.items():
            viewer.box = None
            viewer.newest_only = self._left_newest_only
            viewer.past = False
            viewer.set_model(model, self.view_filter)
            if self.view_filter != self._left_filter:
                viewer.apply_filter(self.view_filter)
        self._release()
        if self.held:
            self._show_at(self.present.time)
        if self.player is not None:
            self.player.resume()
        self._host.describe_time()

    def _play_from(self, moment: float) -> None:
        """Let the recording go on from *moment*, which the panes show."""
        assert self.player is not None
        self._jump = self.player.next_jump()
        self._jumping = True
        self._models = {}
        for viewer in self._viewers:
            viewer.past = False
            viewer.box = None
        self._has_reported_end = False
        self.held.clear()
        self.present = self.overview
        self.moment = None
        self._request("jump", (self._jump, moment))

    def _jumped(self, number: int) -> None:
        """The recording is where the jump of this number leads."""
        if number == self._jump:
            self._jumping = False
            # It was frozen, or another moment was chosen, since: then it stands still.
            if self.player is not None and not self.paused and self.moment is None:
                self.player.resume()

    # Work that may wait for a disk, or read all that was recorded: the last request of each kind counts.

    def ask_rates(self, buckets: int) -> None:
        """Have `Host.show_rates` called with so many rates; at once if they take less time than a thread would.

        A history is in memory. A recording may be on a slow disk, and no key waits for that.
        """
        if self.timeline is not None and self.player is None and self.timeline.counts_fast:
            self._host.show_rates(self.timeline.rates(buckets))
        else:
            self._request("rates", (buckets, 0.0))

    def _request(self, what: str, value: tuple[int, float]) -> None:
        if self._slow_requests.put(what, value):
            self._host.run_in_thread("slow", self._fulfil)

    def _fulfil(self) -> None:
        assert self.timeline is not None
        try:
            for what, (number, moment) in self._slow_requests:
                if what == "rates":
                    self._host.post(partial(self._host.show_rates, self.timeline.rates(number)))
                elif self.player is not None:
                    self.player.jump(moment, number)
                    self._host.post(partial(self._jumped, number))
        except BaseException:
            self._slow_requests.drop()
            raise

    # Looking back.

    def step(self, seconds: float) -> None:
        """Show the moment so many seconds after the one shown."""
        self.seek(self.moment_or_shown + seconds)

    def seek(self, moment: float) -> None:
        """Show *moment* (Unix seconds). Live time stands still for it; a recording that plays goes on from there."""
        if self.timeline is None:
            self._host.notify_of("There is no history to go back to", is_warning=True)
            return
        if not self.paused and self.player is None:
            self._freeze()
        elif self.player is not None:
            # What comes now would be of neither place.
            self.player.pause()
        self._show(clamp(moment, self.timeline.span), None)

    def show_box(self, box: boxes.Box) -> None:
        """Let all panes show only what happened in *box*; time stands still for it, also that of a recording."""
        if self.timeline is None:
            return
        if not self.paused:
            self._freeze()
        self._show(clamp(box.end, self.timeline.span), box)

    def _show(self, moment: float, box: boxes.Box | None) -> None:
        self.moment, self.box = moment, box
        if not self.seeking:
            self._rebuild(moment, box)
        self._host.describe_time()

    def _rebuild(self, moment: float, box: boxes.Box | None) -> None:
        """Read the moment in a thread: that lasts a tenth of a second if much happened."""
        self.seeking = True
        self._host.run_in_thread("seek", partial(self._read, moment, box))

    def _read(self, moment: float, box: boxes.Box | None) -> None:
        assert self.timeline is not None
        rebuilt = rebuild_at(self.timeline, self._viewers, self._probes, self.view_filter, moment, box)
        self._host.post(partial(self._rebuilt, rebuilt))

    def _rebuilt(self, event: Rebuilt) -> None:
        self.seeking = False
        if self.moment is None:
            # Gone back in the meantime.
            return
        if (self.moment, self.box) != (event.moment, event.box):
            self._rebuild(self.moment, self.box)
        if not self._models:
            self._models = {viewer: viewer.model for viewer in self._viewers}
            self._left_filter = self.view_filter
            self._left_newest_only = self._panes[0].newest_only
            self._release()
        self.overview = event.overview
        self.complete_from = event.complete_from
        for viewer, model in event.models.items():
            viewer.newest_only = not event.whole
            viewer.past = True
            viewer.box = event.box
            viewer.set_model(model, self.view_filter)
        self._show_at(event.moment)
        if not self.seeking and not self.paused:
            self._play_from(event.moment)
        self._host.describe_time()

    def failed(self, error: BaseException | None) -> None:
        """Note that work in a thread failed."""
        self.seeking = self._jumping = False
        log.error("looking back failed", exc_info=error)

    def _show_at(self, time: float) -> None:
        for pane in self._panes:
            pane.lines.now = time
            with surviving(f"showing {pane.label}"):
                pane.show()
            pane.update_overview(self.overview)

    # What is said about it.

    def pulse(self) -> None:
        """Report the end of a recording, once. Call it now and then."""
        if self.player is not None and self.ended and not self._has_reported_end:
            self._has_reported_end = True
            self._host.notify_of("The recording has ended. [: back a minute, q: quit")

    @property
    def kept(self) -> str:
        """How far back the history goes, and how much memory it uses; empty for a file."""
        if self.history is None or self.timeline is None:
            return ""
        return history_text(self.timeline.span, self.history.bytes_used, self.history.max_bytes)

    @property
    def position(self) -> float:
        """Where the present is: where a recording plays, or the newest that is known."""
        if self.player is not None:
            return self.player.position
        return self.timeline.span[1] if self.timeline is not None else self.present.time

    @property
    def speed_text(self) -> str:
        """What the recording does: its speed, or that it ended; empty for a live source."""
        if self.player is None:
            return ""
        return "ended" if self.ended else format_speed(self.player.speed)

    @property
    def ended(self) -> bool:
        """Whether the recording that plays has come to its end."""
        return self.player is not None and self.player.finished and not self.paused and not self._jumping

    def change_speed(self, steps: int) -> None:
        """Let the recording go faster, or slower."""
        if self.player is not None:
            self.player.speed = other_speed(self.player.speed, steps)
            self._host.describe()
