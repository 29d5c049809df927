"""The status bar: the source, which probes are on, the rate of events, what was lost, what ebpftop costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from ebpftop.core import format
from ebpftop.core.clock import time_text, whole_text
from ebpftop.core.records import Cost, State
from ebpftop.filters.stack import SEPARATOR
from ebpftop.ui.widgets.columns import Span, clip, clip_front
from ebpftop.ui.widgets.span_line import SpanLine
from ebpftop.ui.words import STATUS

MARKS: Mapping[str, tuple[str, str]] = {
    "on": (format.MARKS["on"], "good"),
    "off": (format.MARKS["off"], "dim"),
    "failed": (format.MARKS["failed"], "bad"),
    "busy": ("…", "warn"),
    "waiting": ("…", "dim"),
    "absent": ("–", "dim"),
}


_FILTER_CELLS = len("filter ") + 2
_TRAIL_CELLS = 24  # of the filter are shown, whatever else is left out
_GONE_CELLS = 32
_OWN_CELLS = 44
_ZONE_FROM, _DATE_FROM, _WEEKDAY_FROM = 70, 100, 150  # cells of the terminal
_DETAILS = 3  # ranks from here on are details


@dataclass(frozen=True)
class Status:
    """What the status bar shows."""

    host: str = ""
    kernel: str = ""
    live: bool = True
    probes: tuple[tuple[int, State | str], ...] = ()
    events_per_second: float = 0.0
    lost: int = 0
    lost_kind: str = ""
    """If all of it is of one kind."""
    beyond_limit: int = 0
    """What was counted but not reported one by one, because so much was asked for."""
    cost: Cost | None = None
    filter: str = ""
    gone: str = ""
    own: str = ""
    """What does not run of the file that is loaded; empty if all of it does, or none is."""
    mode: str = ""
    damage: str = ""
    """What is missing of a recording."""
    paused: tuple[str, ...] = ()
    """If time stands still: which moment is shown, how far that is behind, whether collection goes on."""
    history: str = ""
    time: int = 0
    interval_s: float = 1.0


class _Part(NamedTuple):
    """A part of the line: those of higher ranks are left out first if the width does not suffice."""

    rank: int
    key: str
    """Its name in `ebpftop.ui.words.STATUS`."""
    spans: list[Span]

    @property
    def cells(self) -> int:
        return sum(cell_len(span.text) for span in self.spans)


class StatusBar(SpanLine):
    """One line. If the terminal is narrow, the least important parts are left out first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("state--name", "state--dim", "state--good", "state--warn", "state--bad", "state--paused"),
        "state--filter",
    }
    prefix = "state"

    class Clicked(Message):
        """A click on a part of the line, by its name."""

        def __init__(self, part: str) -> None:
            super().__init__()
            self.part = part

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._status = Status()
        self._line: tuple[int, Sequence[Span]] = (-1, ())
        """Its spans, for a width."""
        self._places: list[tuple[int, int, str]] = []
        """The cells of each part that is shown: from, up to, its name."""

    @property
    def status(self) -> Status:
        return self._status

    @status.setter
    def status(self, status: Status) -> None:
        if status != self._status:
            attached = status.probes != self._status.probes
            self._status = status
            self._line = self.size.width, self.spans(self.size.width)
            if attached:
                self.refresh()  # all marks at once, for whoever reads what the terminal was sent
            else:
                self.refresh_line(0, self._line[1])

    def render_line(self, y: int) -> Strip:
        if self._line[0] != self.size.width:
            self._line = self.size.width, self.spans(self.size.width)
        return self.drawn_line(y, self._line[1])

    def spans(self, width: int) -> list[Span]:
        """Return the line in exactly *width* cells."""
        s = self._status
        left = [_Part(0, "name", [Span(" ebpftop ", "name")])]

        def add(rank: int, key: str, *spans: Span) -> None:
            if any(span.text for span in spans):
                left.append(_Part(rank, key, list(spans)))

        add(2, "host", Span(s.host))
        add(2, "mode", Span(s.mode, "warn"))
        add(1, "damage", Span(s.damage, "bad"))
        add(3, "history", Span(s.history, "dim"))
        add(6, "kernel", Span(s.kernel, "dim"))
        probes = [Span(f"{i}{MARKS[state][0]}", MARKS[state][1]) for i, state in s.probes]
        add(1, "probes", *[span for probe in probes for span in (probe, Span(" "))][:-1])
        add(4, "events", Span(format.count(s.events_per_second)), Span(" ev/s", "dim"))
        if s.lost:
            add(0, "lost", Span(f"lost {format.count(s.lost)} {s.lost_kind}".rstrip(), "warn"))
        else:
            add(0, "lost", Span("lost ", "dim"), Span("0"))
        if s.beyond_limit:
            add(1, "limit", Span("over limit ", "dim"), Span(format.count(s.beyond_limit)))
        if s.gone:
            # Nothing can match: that must not look like a quiet machine.
            add(0, "gone", Span(clip_front(f"{s.gone} is gone", _GONE_CELLS), "bad"))
        if s.own:
            add(0, "own", Span(clip(s.own, _OWN_CELLS).rstrip(), "bad"))
        if s.cost is not None:
            # None: only root may measure it.
            kernel = "?" if s.cost.kernel is None else format.share(s.cost.kernel)
            user = format.share(s.cost.user)
            add(
                5,
                "cost",
                *(Span("cost ", "dim"), Span(kernel), Span(" kernel ", "dim"), Span(user), Span(" user", "dim")),
            )
        add(7, "interval", Span("every ", "dim"), Span(f"{s.interval_s:g}s"))
        fitted, right = self._fitted(left, width)
        line: list[Span] = []
        self._places = []
        x = 0
        for i, part in enumerate(fitted):
            line += [*([Span("  ")] if i else []), *part.spans]
            x += 2 if i else 0
            self._places.append((x, x + part.cells, part.key))
            x += part.cells
        gap = width - x - right.cells - 1
        if gap <= 0:
            return [*line, Span(" " * max(0, width - x))]
        self._places.append((width - right.cells - 1, width - 1, right.key))
        return [*line, Span(" " * gap), *right.spans, Span(" ")]

    def _fitted(self, left: list[_Part], width: int) -> tuple[list[_Part], _Part]:
        """Return the parts that fit, with the filter, and what stands at the right end."""
        s = self._status
        if not s.filter:
            right = self._right(left, width)
            return _fitting(left, width - right.cells - 2), right
        # The date goes first, then details, then the clock, then the oldest levels of the filter. PAUSED stays.
        whole = cell_len(s.filter)
        rights = [*self._paused_forms()] or [_clock(self._when(min(width, _ZONE_FROM))), _clock("")]
        for right in rights:
            parts = _fitting(left, width - right.cells - 2 - _FILTER_CELLS - whole, keep=_DETAILS)
            if _length(parts) + _FILTER_CELLS + whole + right.cells + 2 <= width:
                break
        least = min(whole, _TRAIL_CELLS) + (right.cells + 2 if s.paused else 0)
        parts = _fitting(parts, width - 2 - _FILTER_CELLS - least)
        room = width - _length(parts) - _FILTER_CELLS - right.cells - (2 if right.cells else 0)
        shown = [Span("filter ", "dim"), Span(newest_steps(s.filter, room), "filter")]
        return [*parts, _Part(0, "filter", shown)], right

    def _right(self, left: list[_Part], width: int) -> _Part:
        """Return the clock, or instead of it that time stands still: as much as fits beside what matters most."""
        forms = [*self._paused_forms()] or [_clock(self._when(width))]
        for position, form in enumerate(forms):
            is_moment = position >= len(forms) - 2  # it matters more than the host and its probes
            beside = [part for part in left if part.rank < (1 if is_moment else _DETAILS)]
            if form.cells + _length(beside) + 2 <= width:
                return form
        return forms[-1]

    def _paused_forms(self) -> Iterator[_Part]:
        """Yield what is said while time stands still, the longest form first."""
        if not self._status.paused:
            return
        said = [text for text in self._status.paused if text]
        for count in range(len(said), 0, -1):
            yield _Part(0, "paused", [Span(f" ␣ PAUSED {', '.join(said[:count])} ", "paused")])
        yield _Part(0, "paused", [Span(" PAUSED ", "paused")])

    def _when(self, width: int) -> str:
        """Return time, zone and date, as far as there is room; a recording's date first of all."""
        time = self._status.time
        if not time:
            return ""
        if width < _ZONE_FROM:
            return time_text(time)
        return whole_text(time, date=width >= _DATE_FROM or not self._status.live, weekday=width >= _WEEKDAY_FROM)

    # The mouse.

    def _part_at(self, x: int) -> str:
        return next((key for begin, end, key in self._places if begin <= x < end), "")

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self.tooltip = STATUS.get(self._part_at(event.x))

    def on_click(self, event: events.Click) -> None:
        if key := self._part_at(event.x):
            self.post_message(self.Clicked(key))


def _clock(when: str) -> _Part:
    return _Part(0, "clock", [Span(when, "dim")])


def newest_steps(trail: str, width: int) -> str:
    """Return *trail* in at most *width* cells; the oldest levels are left out first."""
    steps = trail.split(SEPARATOR)
    for first in range(len(steps)):
        text = SEPARATOR.join(["…"] * bool(first) + steps[first:])
        if cell_len(text) <= width:
            return text
    return clip_front(steps[-1], width)


def _fitting(parts: list[_Part], width: int, keep: int = 1) -> list[_Part]:
    """Return *parts* without those of the highest ranks, down to *keep*, so that they fit into *width* cells."""
    while _length(parts) > width and any(part.rank >= keep for part in parts):
        worst = max(part.rank for part in parts)
        parts = [part for part in parts if part.rank != worst]
    return parts


def _length(parts: list[_Part]) -> int:
    return sum(2 + part.cells for part in parts)
