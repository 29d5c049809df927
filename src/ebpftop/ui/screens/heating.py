"""The heat map of the machine on the main screen: when it is read again, and what its box does."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.core.format import brief, share
from ebpftop.models.box import Box
from ebpftop.models.series import Series
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.widgets.heat_band import HeatBand

_LEAST, _MOST = 8, 20
"""Lines of the map."""

_LISTED = 2
"""Processes that are named."""


class HeatController:
    """Shows the map, once a second at most, and lets the panes show a box of it."""

    def __init__(
        self,
        playback: PlaybackController,
        series: Series | None,
        calls: Callable[[], SyscallsModel | None],
        marks: Callable[[], tuple[float, ...]],
    ) -> None:
        self._playback = playback
        self._series = series
        self._calls = calls
        self._marks = marks
        self.widget = HeatBand(series, id="heat-band")
        self.widget.display = False
        self._shown: tuple[object, ...] = ()

    def place(self, lines: int) -> None:
        """Give the map its height in a terminal of so many lines."""
        self.widget.styles.height = max(_LEAST, min(_MOST, lines * 11 // 24))

    def toggle(self) -> bool:
        """Show the map, or hide it and lift its box; return whether it is shown. False also if there is no history."""
        if self._series is None:
            return False
        self.widget.display = not self.widget.display
        self._shown = ()
        if not self.widget.display:
            self.lift()
        self.update()
        return bool(self.widget.display)

    def keep(self, box: Box) -> None:
        """Let all panes show *box* alone."""
        self._playback.show_box(box)

    def lift(self) -> None:
        """Let all panes show the present again."""
        if self._playback.box is not None:
            self._playback.return_to_present()

    def update(self) -> None:
        """Show what changed, if it is to be seen."""
        timeline, playback = self._playback.timeline, self._playback
        if self._series is None or timeline is None or not self.widget.display:
            return
        marks = self._marks()
        state = (
            *(int(self._series.newest), self.widget.size, playback.box, playback.seeking, playback.shown_time),
            marks,
        )
        if state == self._shown:
            return
        self._shown = state
        rate = self._series.at("calls", playback.shown_time)
        about = ""
        if playback.box is not None and not playback.seeking:
            about = self._about(playback.box)
        rate_text = "" if rate is None else f" · {brief(rate) if rate > 0 else 0}/s"
        self.widget.show(timeline.span, playback.box, about, rate_text, marks)

    def _about(self, box: Box) -> str:
        """Return which call is most of *box*, and who makes it, as far as that is known."""
        model = self._calls()
        if model is None or not model.calls:
            return ""
        buckets = box.buckets or range(64)
        counts = {call: sum(call.row.histogram_ns[buckets.start : buckets.stop]) for call in model.calls.values()}
        top = max(counts, key=lambda call: counts[call])
        text = f", {brief(counts[top])} {top.row.name}"
        made = top.row.count
        # Who made a call is known, but not how long each took.
        listed = [caller for caller in model.callers(top.key) if caller.pid is not None and made][:_LISTED]
        if listed:
            text += " (by " + ", ".join(f"{caller.comm} {share(caller.count / made)}" for caller in listed) + ")"
        if self._playback.complete_from > box.begin:
            text += "; logs: the newest events alone"
        return text
