"""The row of time on the main screen: how much waits while it is paused, and where in the history the moment is."""

from __future__ import annotations

from dataclasses import replace

from textual.containers import Horizontal, Vertical

from ebpftop.ui.screens.playback import PlaybackController, Rates
from ebpftop.ui.screens.watching import WatchController
from ebpftop.ui.widgets.badge import PausedBadge, PausedHint
from ebpftop.ui.widgets.timeline_bar import Moments, TimelineBar


class TimeRowController:
    """Keeps the timeline, and the words below it, up to date."""

    def __init__(self, playback: PlaybackController, watching: WatchController) -> None:
        self._playback = playback
        self._watching = watching
        self._bar = TimelineBar(id="timeline")
        self._hint = PausedHint(id="paused-words")
        self.widget = Horizontal(PausedBadge(id="paused"), Vertical(self._bar, self._hint), id="time")

    def describe_badge(self) -> None:
        """Show beside the badge how much waits, or which moment is shown."""
        playback = self._playback
        if playback.moment is not None:
            self._hint.away(playback.back_text, recording=playback.player is not None)
        else:
            self._hint.held(playback.held.weight, playback.held.has_overflowed)

    def describe(self, anew: bool = False) -> None:
        """Update the timeline; its rates only now and then, since they change slowly and cost much time."""
        playback, bar = self._playback, self._bar
        if playback.timeline is None or not bar.display:
            return
        rates = bar.moments.rates
        if anew or len(rates) != bar.buckets:
            playback.ask_rates(bar.buckets)
        bar.moments = Moments(
            span=playback.timeline.span,
            rates=rates,
            moment=playback.shown_time if playback.moment is None else playback.moment,
            present=playback.position,
            note=playback.kept,
            back=playback.back_text,
            marks=self._watching.marks,
        )

    def show_rates(self, rates: Rates) -> None:
        """Show how much happened over the whole span, if the bar still has so many columns."""
        if len(rates) == self._bar.buckets:
            self._bar.moments = replace(self._bar.moments, rates=rates)
