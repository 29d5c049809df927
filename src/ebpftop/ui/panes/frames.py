"""How often the screen shows what came. Frames cost, not events; whoever presses a key does not wait for one."""

from __future__ import annotations

FRAME_S = 0.3
"""While something comes all the time, it is shown this often: in one frame for all panes."""
AROUND_S = 1.0
"""What is around the rows changes this often: titles, the status bar, and what a pane learnt from another's probe."""
FROZEN_S = 1.0
"""The same while the panes are frozen: only the number of records that wait grows."""
COVERED_S = 5.0
"""The same while another screen is above the panes, which are dim and mostly covered."""
QUICK_FRAMES = 5
QUICK_S = 0.1
"""After a quiet moment, so many frames may follow each other this closely: what begins suddenly is seen at once."""


class FramePace:
    """When the next frame may be shown. Times are monotonic, in seconds. Any thread may ask."""

    def __init__(self) -> None:
        self.frozen = False
        self.shown_s = float("-inf")
        self._planned_s = float("-inf")
        self._saved = float(QUICK_FRAMES)
        """Frames that were not needed so far, and may come at once."""

    def next_s(self) -> float:
        """Return the time from which on the next frame may be shown."""
        if self.frozen:
            return self.shown_s + FROZEN_S * bool(FRAME_S)
        return self.shown_s + max(QUICK_S, (1.0 - self._saved) * FRAME_S) * bool(FRAME_S)

    def planned(self, at_s: float) -> None:
        """A frame will be shown then."""
        self._planned_s = at_s

    def next_wanted_s(self) -> float:
        """Return the time from which on something is wanted for a frame that is not planned yet."""
        return max(self.next_s(), self._planned_s + FRAME_S if self._saved < 1.0 else 0.0)

    def shown(self, now_s: float) -> None:
        """A frame was shown."""
        if FRAME_S:
            self._saved = min(QUICK_FRAMES, self._saved + (now_s - self.shown_s) / FRAME_S) - 1.0
        self.shown_s = now_s
