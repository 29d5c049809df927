"""Frames of the main screen: one for all panes, however many batches came for them. See also `panes/frames.py`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from operator import is_
from time import monotonic
from typing import Protocol

from ebpftop.core.records import Probe
from ebpftop.models.overview import Overview
from ebpftop.ui.panes import frames
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.intake import Turns
from ebpftop.ui.textual_fixes.app_errors import surviving

GATHER_S = 0.04
"""So long a frame waits for what the other panes were sent at the same time."""


class FrameHost(Turns, Protocol):
    """What frames need of the screen. It is called on the screen's thread."""

    @property
    def is_covered(self) -> bool:
        """Whether another screen is above the panes."""

    @property
    def is_hidden(self) -> bool:
        """Whether nothing of the panes can be seen, because the screen above is opaque."""

    def describe(self) -> None:
        """Bring everything around the panes up to date."""

    def one_frame(self) -> AbstractContextManager[None]:
        """Draw together, at its end, what changes meanwhile."""


class Shown(Protocol):
    """Which moment is shown: of `PlaybackController`."""

    overview: Overview
    present: Overview
    paused: bool

    @property
    def is_past(self) -> bool:
        """Whether the panes show models of the past."""


class Frames:
    """Shows what panes were fed when a frame is due, and now and then what is around their rows."""

    def __init__(self, panes: Sequence[Pane], shown: Shown, host: FrameHost) -> None:
        self.pace = frames.FramePace()
        self._panes = tuple(panes)
        for pane in self._panes:
            pane.pace = self.pace
        self._shown = shown
        self._host = host
        self._shown_s: dict[Pane, float] = {}
        self._fed: set[Pane] = set()
        """Panes whose own probe sent something since they were shown."""
        self._frame_at_s = float("inf")
        """When the next frame is due; infinity if nothing came for one."""
        self._outdated: set[Pane] = set()
        """Panes that learnt something from the probe of another one since they were shown."""
        self._around_s = float("-inf")
        """When what is around the rows was brought up to date."""
        self._around_later = False
        self._around_is_old = False
        """Something came that is to be seen around the rows, since that was brought up to date."""
        self._around_waits = False
        """It was time for that, but another screen is above."""
        self._states: tuple[Probe, ...] = ()

    def fed(self, pane: Pane) -> None:
        """Show what *pane* was fed in the next frame."""
        self._fed.add(pane)
        self.show_when_due()

    def fed_around(self) -> None:
        """Show, within a second, what came that no pane shows in its rows."""
        self._show_around_later(max(0.0, self._around_s + frames.AROUND_S - monotonic()))

    def show_when_due(self) -> None:
        """Show what was fed as soon as it is time. Call it again if it is time earlier than it seemed."""
        if self._around_waits and not self._host.is_covered:
            self._show_around()
        if not self._fed or self._host.is_hidden:
            return
        now_s = monotonic()
        due_s = self.pace.next_s()
        if self._host.is_covered:
            due_s = max(due_s, self.pace.shown_s + frames.COVERED_S)
        at_s = max(due_s, now_s + GATHER_S)
        if at_s >= self._frame_at_s:
            return
        self._frame_at_s = at_s
        self.pace.planned(at_s - GATHER_S)
        if at_s <= now_s:
            self._show_frame(at_s)
        else:
            self._host.call_after(at_s - now_s, partial(self._show_frame, at_s))

    @property
    def _are_live(self) -> bool:
        """Whether the panes show what they are fed; else all of it is shown when time goes on."""
        return not self._shown.paused and not self._shown.is_past

    def _show_frame(self, at_s: float) -> None:
        if at_s != self._frame_at_s:
            return  # it was shown earlier
        if self._host.is_hidden:
            self._frame_at_s = float("inf")
        else:
            with self._host.one_frame():
                self._show_fed(at_s)

    def _show_fed(self, at_s: float) -> None:
        self._frame_at_s = float("inf")
        since_frame_s = monotonic() - self.pace.shown_s
        # Counted from when it was due: what is sent next is then not too early.
        self.pace.shown(at_s - GATHER_S)
        fed, self._fed = self._fed, set()
        self._outdated.update(other for other in self._panes if any(pane.probe in other.extra_probes for pane in fed))
        self._outdated -= fed
        is_urgent = False
        if self._are_live:
            for other in self._panes:
                other.lines.now = max(other.lines.now, self._shown.overview.time)
            for pane in fed:
                self._show(pane)
                is_urgent |= pane.message_is_late
            for pane in self._outdated:
                with surviving(f"the title of {pane.label}"):
                    pane.describe()  # two titles that say the same say it of the same reading
        states = tuple(self._shown.present.probes.values())
        is_urgent |= len(states) != len(self._states) or not all(map(is_, states, self._states))
        now_s = monotonic()
        # A little early is better than another frame for it: readings come as often. If frames are as rare, with each.
        if is_urgent or max(now_s - self._around_s, since_frame_s) >= 0.75 * frames.AROUND_S:
            self._states = states
            self._show_around()
        else:
            self._show_around_later(self._around_s + frames.AROUND_S - now_s)

    def _show(self, pane: Pane) -> None:
        self._shown_s[pane] = monotonic()
        with surviving(f"showing {pane.label}"):
            pane.show()
            pane.describe()  # what a title counts, it counts in these rows

    def _show_around_later(self, delay_s: float) -> None:
        self._around_is_old = True
        if not self._around_later:
            self._around_later = True
            self._host.call_after(delay_s, self._show_around_late)

    def _show_around_late(self) -> None:
        """Bring what is around the rows up to date, if no frame has done it since."""
        self._around_later = False
        if self._host.is_covered:
            self._around_waits = True
        elif (now_s := monotonic()) >= self._around_s + frames.AROUND_S / 2:
            with self._host.one_frame():
                self._show_around()
        elif self._around_is_old:  # it came after that frame
            self._show_around_later(self._around_s + frames.AROUND_S - now_s)

    def _show_around(self) -> None:
        """Show what panes learnt from other probes, titles, and the state of all."""
        self._around_s = monotonic()
        self._around_waits = self._around_is_old = False
        if self._are_live:
            # One whose own probe sends as often as that is about to be shown anyway.
            since_s = self._around_s - 1.5 * frames.AROUND_S
            outdated = {pane for pane in self._outdated if self._shown_s.get(pane, since_s) <= since_s}
            self._outdated -= outdated
            for pane in outdated:
                self._show(pane)
            if self._outdated:
                self._show_around_later(frames.AROUND_S)
        if not self._shown.is_past:
            for pane in self._panes:
                with surviving(f"the title of {pane.label}"):
                    pane.update_overview(self._shown.overview)
        self._host.describe()
