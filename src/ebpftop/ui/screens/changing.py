"""What is compared: the marks that M sets, and the two spans that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

from ebpftop.core.clock import time_text
from ebpftop.core.format import duration
from ebpftop.models.changed import compare
from ebpftop.models.changed_rows import Changed
from ebpftop.models.span_figures import SpanFigures
from ebpftop.models.span_marks import Compared, Marked, SpanMarks
from ebpftop.recording.timeline import Timeline
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.widgets.columns import Shown

_LUMP_RECORDS = 500
_REST_S = 0.002
"""After so many records keys may go first."""


class ChangesController:
    """Marks moments and spans on the timeline, and says what is compared."""

    def __init__(self, playback: PlaybackController, notify: Callable[[str], None]) -> None:
        self.marks = SpanMarks()
        self.listed: Mapping[str, Shown[Any]] = {}
        """What was found last, for a report."""
        self._playback = playback
        self._notify = notify

    def mark(self) -> None:
        """Mark the span that is shown, or the moment; remove that mark if it is there."""
        playback = self._playback
        if playback.timeline is None:
            self._notify("There is no history to compare")
            return
        box = playback.box
        mark = Marked(box.begin, box.end) if box is not None else Marked(playback.moment_or_shown)
        text = span_text((mark.begin, mark.end)) if mark.end is not None else time_text(mark.begin)
        if not self.marks.toggle(mark):
            self._notify(f"◆ {text}: no longer marked")
        elif len(self.marks.marks) == 1:
            before = "it with what was before" if mark.end is not None else "what comes after it with as long before"
            self._notify(f"◆ {text} marked. D compares {before}, or mark another")
        else:
            self._notify(f"◆ {text} marked. D compares what follows the two marks")

    def compared(self) -> Compared | None:
        """Return the two spans; None if nothing is marked. Raises ValueError with what to do."""
        playback = self._playback
        if playback.timeline is None:
            return None
        box = playback.box
        return self.marks.compared(
            playback.timeline.span, playback.moment_or_shown, None if box is None else (box.begin, box.end)
        )


def span_text(span: tuple[float, float]) -> str:
    """Return when a span is, and how long: 22:40:00–22:44:00 (4m00s)."""
    return f"{time_text(span[0])}–{time_text(span[1])} ({duration(span[1] - span[0])})"


def compare_in(timeline: Timeline, compared: Compared, is_wanted: Callable[[], bool]) -> Changed | None:
    """Compare two spans of a history; None if nobody waits for it any more. It takes seconds of a busy one."""
    figures = []
    for span in compared:
        one = SpanFigures(timeline.header, *span)
        waiting = []
        for record in timeline.figures(span):
            waiting.append(record)
            if len(waiting) >= _LUMP_RECORDS:
                one.feed(waiting)
                waiting.clear()
                if not is_wanted():
                    return None
                sleep(_REST_S)
        one.feed(waiting)
        one.close()
        figures.append(one)
    return compare(figures[0], figures[1])
