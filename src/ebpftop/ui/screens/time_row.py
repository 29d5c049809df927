"""The timeline on the main screen: when it is read again, and what it shows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace

from ebpftop.ui.screens.playback import PlaybackController, Rates
from ebpftop.ui.widgets.timeline_bar import Moments, TimelineBar

_COLUMN_PART = 0.5
_LEAST_S = 2.0
"""Its rates are read again when so much of a column has passed, but not sooner: each time all of its bars change."""

_ON_MARK_S = 0.001
_LEFT_MARK_S = 2.0
"""A mark that is so near is the one that is shown; longer in a recording that plays, which has left it meanwhile."""


class TimelineController:
    """Keeps the timeline up to date, and goes from mark to mark."""

    def __init__(
        self, playback: PlaybackController, marks: Callable[[], tuple[float, ...]], margin: Callable[[], int]
    ) -> None:
        """*margin* returns the cells at the left of what has its columns above those of the timeline."""
        self._playback = playback
        self._marks = marks
        self._margin = margin
        self._read_for: tuple[object, ...] = ()
        self.widget = TimelineBar(id="timeline")

    def update(self) -> None:
        """Show what changed; read its rates again now and then, since they change slowly and cost much time."""
        playback, bar = self._playback, self.widget
        if playback.timeline is None or not bar.size.width:
            return
        span = playback.timeline.span
        bar.margin = self._margin()
        bar.moments = Moments(
            span=span,
            rates=bar.moments.rates,
            moment=self._moment,
            present=playback.position,
            marks=self._marks(),
            box=None if playback.box is None else (playback.box.begin, playback.box.end),
        )
        count = bar.buckets
        step_s = max(_LEAST_S, _COLUMN_PART * (span[1] - span[0]) / count)
        known = playback.timeline.counts_fast or playback.timeline.indexed
        read_for = (count, *(edge // step_s for edge in span), known)
        if read_for != self._read_for:
            self._read_for = read_for
            playback.ask_rates(count)

    @property
    def _moment(self) -> float | None:
        playback = self._playback
        if playback.moment is not None:
            return playback.moment
        return playback.shown_time if playback.paused or playback.player is not None else None

    def show_rates(self, rates: Rates) -> None:
        """Show how much happened over the whole span."""
        self.widget.moments = replace(self.widget.moments, rates=rates)

    # Marks.

    def mark_from_here(self, step: int) -> float | None:
        """Return the moment of the mark before the moment shown (-1), or after it (1); None if there is none."""
        timeline = self._playback.timeline
        if timeline is None:
            return None
        first, last = timeline.span
        marks = sorted(mark for mark in self._marks() if first <= mark <= last)
        here = self._playback.moment_or_shown
        if step < 0:
            plays = self._playback.player is not None and not self._playback.paused
            at = bisect_left(marks, here - (_LEFT_MARK_S if plays else _ON_MARK_S)) - 1
            return marks[at] if at >= 0 else None
        at = bisect_right(marks, here + _ON_MARK_S)
        return marks[at] if at < len(marks) else None
