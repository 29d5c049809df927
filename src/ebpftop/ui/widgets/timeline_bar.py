"""The timeline: events per second of the whole history, and the moment shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.message import Message
from textual.strip import Strip

from ebpftop.core.clock import date_text, day, time_text, whole_text
from ebpftop.core.format import age, bars, count, counted
from ebpftop.models.seeking import clamp
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine

_ZONE_FROM, _DATE_FROM = 60, 90
"""Cells from which the zone, and the date, have room."""

HINT = ", . 1 s · [ ] 1 min"


@dataclass(frozen=True)
class Moments:
    """What the timeline shows: `rates` evenly over `span` (Unix seconds), and the moment shown."""

    span: tuple[float, float] = (0.0, 0.0)
    rates: tuple[float | None, ...] = ()
    moment: float = 0.0
    present: float = 0.0
    note: str = ""
    back: str = ""
    marks: tuple[float, ...] = ()


class TimelineBar(SpanLine):
    """Two lines. A click, or the mouse held down, seeks to the moment under it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("timeline--dim", "timeline--bar", "timeline--past", "timeline--moment", "timeline--present"),
        *("timeline--strong", "timeline--mark"),
    }
    prefix = "timeline"

    class Scrubbed(Message):
        """The mouse chose `moment` (Unix seconds)."""

        def __init__(self, moment: float) -> None:
            super().__init__()
            self.moment = moment

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._moments = Moments()
        self._scrubbing = False

    @property
    def buckets(self) -> int:
        """The number of rates that fit."""
        return max(1, self.size.width)

    @property
    def moments(self) -> Moments:
        return self._moments

    @moments.setter
    def moments(self, moments: Moments) -> None:
        if moments != self._moments:
            self._moments = moments
            self.refresh()

    def column(self, time: float) -> int:
        """Return the column of a moment."""
        first, last = self._moments.span
        share = (clamp(time, (first, last)) - first) / (last - first) if last > first else 1.0
        return min(self.buckets - 1, int(share * self.buckets))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        spans = self._words(width) if y == 0 else self._bars(width)
        return self.line_of(layout_cell(spans, width))

    def _words(self, width: int) -> list[Span]:
        m = self._moments
        first, last = m.span
        peak = max((rate for rate in m.rates if rate is not None), default=0.0)
        about = Span(f"  {m.note}") if m.note else Span(f"  {age(last - first)}", "dim")
        begin, end = self._ends(width)
        left = [Span(begin, "dim"), about]
        right = [Span(f"{m.back}  " if m.back else "", "strong"), Span(end, "dim")]
        # As much as fits, the most useful first.
        marks = sum(first <= mark <= last for mark in m.marks)
        for more in (
            Span(f"  ◆ {counted(marks, 'mark')}" if marks else "", "mark"),
            Span(f"  peak {count(peak)} ev/s", "dim"),
            Span(f"  {HINT}", "dim"),
        ):
            if more.text and _length([*left, more, *right]) + 2 <= width:
                left.append(more)
        return [*left, Span(" " * max(2, width - _length([*left, *right]))), *right]

    def _ends(self, width: int) -> tuple[str, str]:
        """Return the times of both ends: dates if they differ or there is room, and the zone behind the last."""
        first, last = self._moments.span
        if not (first and last):
            return _clock(first), _clock(last)
        several_days = day(int(first)) != day(int(last))
        date = width >= _DATE_FROM or (several_days and width >= _ZONE_FROM)
        begin = f"{date_text(first)} {time_text(first)}" if date else time_text(first)
        return begin, whole_text(last, date=several_days and date) if width >= _ZONE_FROM else time_text(last)

    def _bars(self, width: int) -> list[Span]:
        m = self._moments
        text = bars(m.rates).ljust(width)[:width]
        at, present = self.column(m.moment), self.column(m.present)
        first, last = m.span
        marked = {self.column(mark): "mark" for mark in m.marks if first <= mark <= last}
        marks = {**marked, present: "present", at: "moment"}
        spans: list[Span] = []
        start = 0
        for mark in sorted(marks):
            if mark > start:
                spans.append(Span(text[start:mark], "bar" if start <= at else "past"))
            spans.append(Span("◆" if marks[mark] == "mark" else "┃", marks[mark]))
            start = mark + 1
        return [*spans, Span(text[start:], "past" if start > at else "bar")]

    # The mouse.

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self._scrubbing = True
        self.capture_mouse()
        self._point(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._scrubbing:
            self._point(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        event.stop()
        self._scrubbing = False
        self.release_mouse()

    def _point(self, x: int) -> None:
        first, last = self._moments.span
        # The middle of the column, which stands for a span of time.
        self.post_message(self.Scrubbed(clamp(first + (x + 0.5) * (last - first) / self.buckets, (first, last))))


def _clock(time: float) -> str:
    return time_text(time) if time else ""


def _length(spans: list[Span]) -> int:
    return sum(len(span.text) for span in spans)
