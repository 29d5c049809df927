"""A line in which a screen shows its notices: toasts would cover what is read or typed at its foot."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.notifications import Notification
from textual.timer import Timer
from textual.visual import visualize
from textual.widget import Widget
from textual.widgets import Static

_LINES_MAX = 4
_SEVERITIES = ("information", "warning", "error")


class NoticeLine(Static):
    """The newest notice, for as long as a toast would show it; a click removes it."""

    def __init__(self, instead_of: Widget) -> None:
        """While there is a notice, *instead_of* is not shown, and its lines are this one's at least."""
        super().__init__("", markup=False)
        self.display = False
        self._instead_of = instead_of
        self._shown: Notification | None = None
        self._ends: Timer | None = None

    def show(self, notices: Iterable[Notification]) -> None:
        """Show the newest of *notices* that has time left."""
        newest = max((one for one in notices if not one.has_expired), key=lambda one: one.raised_at, default=None)
        if newest is self._shown:
            return
        self._shown = newest
        if self._ends is not None:
            self._ends.stop()
            self._ends = None
        self.display, self._instead_of.display = newest is not None, newest is None
        if newest is None:
            return
        for severity in _SEVERITIES:
            self.set_class(severity == newest.severity, f"-{severity}")
        # As in a toast: only what `app.offer` writes has markup, a link of ours.
        text = visualize(self, newest.message, markup=newest.markup)
        assert isinstance(text, Content)
        self.styles.min_height = self._instead_of.styles.height
        self.styles.max_height = _LINES_MAX
        self.update(Content.assemble((f"{newest.title}: ", "bold"), text) if newest.title else text)
        self._ends = self.set_timer(newest.time_left, self._end)

    def _end(self) -> None:
        if self._shown is not None:
            self.app._unnotify(self._shown)

    def on_click(self) -> None:
        self._end()
