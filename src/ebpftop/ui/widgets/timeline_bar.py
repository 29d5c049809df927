"""The timeline: events per second of the whole history, marks, and the moment shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, NamedTuple

from textual import events
from textual.message import Message
from textual.strip import Strip

from ebpftop.core.clock import date_text, day, time_text, whole_text
from ebpftop.core.format import age, bars, brief, counted
from ebpftop.models.seeking import clamp
from ebpftop.ui.widgets.axis import MARK, are_few, column_of, marked_columns
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.plot import peak_of
from ebpftop.ui.widgets.span_line import SpanLine

_WIDE_FROM, _DATE_FROM = 100, 150
"""Cells from which span, zone and marks, and the date, have room."""

_SECONDS_BELOW_S = 600.0
"""In a narrow terminal a longer span has no seconds at its ends."""

_SCALE_CELLS, _SPAN_CELLS = len("≤9.9k"), len("12m12s")


@dataclass(frozen=True)
class Moments:
    """What the timeline shows: `rates` evenly over `span` (Unix seconds), and what is marked.

    *moment* is the one that the panes show, None while that is the present; *present*: what is newest, or plays.
    """

    span: tuple[float, float] = (0.0, 0.0)
    rates: tuple[float | None, ...] = ()
    moment: float | None = None
    present: float = 0.0
    marks: tuple[float, ...] = ()
    box: tuple[float, float] | None = None
    """The span that is shown alone."""


class _Ends(NamedTuple):
    """What stands at the left and at the right of the bars; its width does not depend on figures."""

    left: str
    right: list[Span]

    def columns(self, width: int) -> int:
        return max(1, width - len(self.left) - sum(len(span.text) for span in self.right))


class TimelineBar(SpanLine):
    """One line. A click seeks to the moment under it, a drag selects a span."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("timeline--dim", "timeline--bar", "timeline--past", "timeline--moment", "timeline--present"),
        *("timeline--peak", "timeline--mark", "timeline--box"),
    }
    prefix = "timeline"

    class Scrubbed(Message):
        """The mouse chose `moment` (Unix seconds)."""

        def __init__(self, moment: float) -> None:
            super().__init__()
            self.moment = moment

    class Selected(Message):
        """The mouse was dragged over a span (Unix seconds)."""

        def __init__(self, begin: float, end: float) -> None:
            super().__init__()
            self.begin = begin
            self.end = end

    class Sized(Message):
        """Another number of rates fits."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._moments = Moments()
        self._margin = 0
        self._pressed: int | None = None
        """The column where the mouse was pressed."""
        self._dragged: int | None = None
        """The column that it was dragged to."""

    @property
    def buckets(self) -> int:
        """The number of rates that fit."""
        return self._ends().columns(self.size.width)

    @property
    def moments(self) -> Moments:
        return self._moments

    @moments.setter
    def moments(self, moments: Moments) -> None:
        if moments != self._moments:
            self._moments = moments
            self.refresh_line(0, self._line())

    @property
    def margin(self) -> int:
        """The cells at the left that something above has, whose columns are to stand above those of the bar; or 0."""
        return self._margin

    @margin.setter
    def margin(self, cells: int) -> None:
        if cells != self._margin:
            self._margin = cells
            self.refresh()

    def on_resize(self) -> None:
        self.post_message(self.Sized())

    def column(self, time: float) -> int:
        """Return the column of a moment."""
        return column_of(clamp(time, self._moments.span), self._moments.span, self.buckets)

    def place(self, time: float) -> int:
        """Return the cell of a moment."""
        return len(self._ends().left) + self.column(time)

    def render_line(self, y: int) -> Strip:
        return self.drawn_line(y, self._line())

    def _line(self) -> list[Span]:
        ends = self._ends()
        line = [Span(ends.left, "dim"), *self._bars(ends.columns(self.size.width)), *ends.right]
        return layout_cell(line, self.size.width)

    # What stands around the bars.

    def _ends(self) -> _Ends:
        width, (first, last) = self.size.width, self._moments.span
        peak = max((rate for rate in self._moments.rates if rate is not None), default=0.0)
        scale = f"≤{brief(peak)}" if peak > 0 else ""
        if self._margin:
            # What is above says the times.
            return _Ends(f"{scale + '/s' if scale else '':<{self._margin - 1}.{self._margin - 1}} ", [])
        if not first:
            return _Ends("", [])
        begin, end = self._times(width)
        if width < _WIDE_FROM:
            return _Ends(f"{begin} ", [Span(f" {end}  {scale + '/s' if scale else '':<{_SCALE_CELLS + 2}}", "dim")])
        about = f"{age(last - first):<{_SPAN_CELLS}} {scale + ' ev/s' if scale else '':<{_SCALE_CELLS + 5}}"
        right = [Span(f" {end}  {about}", "dim")]
        if marks := sum(first <= mark <= last for mark in self._moments.marks):
            right.append(Span(f" {MARK}{counted(marks, 'mark')} ", "mark"))
        return _Ends(f"{begin} ", right)

    def _times(self, width: int) -> tuple[str, str]:
        """Return the times of both ends: dates if they differ or there is room, and the zone behind the last."""
        first, last = self._moments.span
        date = width >= _DATE_FROM or (width >= _WIDE_FROM and day(int(first)) != day(int(last)))
        if width < _WIDE_FROM:
            cells = len("22:48:25") if last - first < _SECONDS_BELOW_S else len("22:48")
            return time_text(first)[:cells], time_text(last)[:cells]
        return f"{date_text(first)} {time_text(first)}" if date else time_text(first), whole_text(last, date=date)

    # The bars.

    def _bars(self, count: int) -> Iterator[Span]:
        m = self._moments
        rates = stretched(m.rates, count)
        marked = marked_columns(m.marks, m.span, count)
        signs = {"moment": "┃", "present": "┃"}
        if are_few(marked, count):
            signs["mark"] = MARK
        looks = self._looks(count, peak_of(rates), marked)
        cells = [(look, signs.get(look, bar)) for look, bar in zip(looks, bars(rates).ljust(count), strict=True)]
        for look, group in groupby(cells, key=lambda cell: cell[0]):
            yield Span("".join(sign for _, sign in group), look)

    def _looks(self, count: int, peak: int | None, marked: frozenset[int]) -> list[str]:
        m = self._moments
        at = count if m.moment is None else self.column(m.moment)
        looks = ["bar" if column <= at else "past" for column in range(count)]
        if peak is not None:
            looks[peak] = "peak"
        if m.moment is None:
            looks[-1] = "peak"
        for column in self._boxed():
            looks[column] = "box"
        for column in marked:
            looks[column] = "mark"
        if m.moment is not None:
            looks[self.column(m.present)] = "present"
            looks[at] = "moment"
        return looks

    # The mouse.

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self._pressed, self._dragged = self._column_at(event.x), None
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._pressed is None:
            self.tooltip = self._about(event.x)
            return
        column = self._column_at(event.x)
        if column != (self._pressed if self._dragged is None else self._dragged):
            self._dragged = column
            self.refresh()

    def on_leave(self) -> None:
        self.tooltip = None

    def on_mouse_up(self, event: events.MouseUp) -> None:
        event.stop()
        self.release_mouse()
        pressed, dragged = self._pressed, self._dragged
        self._pressed = self._dragged = None
        if pressed is None:
            return
        if dragged is None or dragged == pressed:
            self.post_message(self.Scrubbed(self._moment_of(pressed + 0.5)))
        else:
            left, right = sorted((pressed, dragged))
            self.post_message(self.Selected(self._moment_of(left), self._moment_of(right + 1)))
        self.refresh()

    def _column_at(self, x: int) -> int:
        return min(max(0, x - len(self._ends().left)), self.buckets - 1)

    def _moment_of(self, column: float) -> float:
        """Return the moment at so many columns from the left."""
        first, last = self._moments.span
        return clamp(first + column * (last - first) / self.buckets, (first, last))

    def _boxed(self) -> range:
        """Return the columns of the span that is dragged over, else of the one that is shown alone."""
        if self._pressed is not None and self._dragged is not None:
            left, right = sorted((self._pressed, self._dragged))
            return range(left, right + 1)
        box = self._moments.box
        return range(0) if box is None else range(self.column(box[0]), self.column(box[1]) + 1)

    def _about(self, x: int) -> str | None:
        column, rates = x - len(self._ends().left), stretched(self._moments.rates, self.buckets)
        if not 0 <= column < len(rates):
            return None
        rate = rates[column]
        known = "not known yet" if rate is None else f"{brief(rate)} events/s"
        moment = time_text(self._moment_of(column + 0.5))
        return f"{moment}  {known}. A click shows this moment; drag over a span, and every pane shows it alone"


def stretched(rates: tuple[float | None, ...], count: int) -> tuple[float | None, ...]:
    """Return *rates* in so many columns, until those that were asked for come."""
    if not rates or len(rates) == count:
        return rates
    return tuple(rates[column * len(rates) // count] for column in range(count))
