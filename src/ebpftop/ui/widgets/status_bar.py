"""The status bar: the source, which probes are on, the rate of events, what was lost, what ebpftop costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from rich.cells import cell_len
from textual.strip import Strip

from ebpftop.core import format
from ebpftop.core.records import Cost, State
from ebpftop.filters.stack import SEPARATOR
from ebpftop.ui.widgets.columns import Span, clip_front
from ebpftop.ui.widgets.span_line import SpanLine

MARKS: Mapping[str, tuple[str, str]] = {
    "on": (format.MARKS["on"], "good"),
    "off": (format.MARKS["off"], "faint"),
    "failed": (format.MARKS["failed"], "bad"),
    "busy": ("◌", "warn"),
    "waiting": ("◌", "faint"),
}


_FILTER_CELLS = len("filter ") + 2
_TRAIL_CELLS = 24  # of the filter are shown, whatever else is left out
_GONE_CELLS = 32
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
    cost: Cost | None = None
    filter: str = ""
    gone: str = ""
    mode: str = ""
    paused: str = ""
    moment: str = ""
    history: str = ""
    time: int = 0
    interval_s: float = 1.0


class StatusBar(SpanLine):
    """One line. If the terminal is narrow, the least important parts are left out first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("state--name", "state--dim", "state--good", "state--faint", "state--warn", "state--bad", "state--paused"),
        "state--filter",
        "state--moment",
    }
    prefix = "state"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._status = Status()

    @property
    def status(self) -> Status:
        return self._status

    @status.setter
    def status(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            self.refresh()

    def render_line(self, y: int) -> Strip:
        return self.line_of(self.spans(self.size.width))

    def spans(self, width: int) -> list[Span]:
        """Return the line in exactly *width* cells."""
        s = self._status
        # (rank, spans): higher ranks are left out first if the width does not suffice.
        left: list[tuple[int, list[Span]]] = [(0, [Span(" ebpftop ", "name")])]
        if s.paused:
            left.append((0, [Span(f" {s.paused} ", "paused")]))
        if s.moment:
            left.append((0, [Span(s.moment, "moment")]))
        left.append((2, [Span(s.host)]))
        if s.mode:
            left.append((2, [Span(s.mode, "warn")]))
        if s.history:
            left.append((3, [Span(s.history, "dim")]))
        left.append((6, [Span(s.kernel, "dim")]))
        probes = [Span(f"{i}{MARKS[state][0]}", MARKS[state][1]) for i, state in s.probes]
        left.append((1, [span for probe in probes for span in (probe, Span(" "))][:-1]))
        left.append((4, [Span(format.count(s.events_per_second)), Span(" ev/s", "dim")]))
        lost = (
            [Span("lost ", "dim"), Span("0")]
            if not s.lost
            else [Span(f"lost {format.count(s.lost)} {s.lost_kind}".rstrip(), "warn")]
        )
        left.append((0, lost))
        if s.gone:
            # Nothing can match: that must not look like a quiet machine.
            left.append((0, [Span(clip_front(f"{s.gone} is gone", _GONE_CELLS), "bad")]))
        if s.cost is not None:
            # None: only root may measure it.
            kernel = "?" if s.cost.kernel is None else format.share(s.cost.kernel)
            cost = [Span("cost ", "dim"), Span(kernel), Span(" kernel ", "dim")]
            left.append((5, [*cost, Span(format.share(s.cost.user)), Span(" user", "dim")]))
        left.append((7, [Span("every ", "dim"), Span(f"{s.interval_s:g}s")]))
        clock = datetime.fromtimestamp(s.time).strftime("%H:%M:%S") if s.time else ""

        parts = [(rank, spans) for rank, spans in left if spans and any(span.text for span in spans)]
        if s.filter:
            # Details go first, then the clock, then the oldest levels of the filter.
            whole = cell_len(s.filter)
            parts = _fitting(parts, width - len(clock) - 2 - _FILTER_CELLS - whole, keep=_DETAILS)
            if _length(parts) + _FILTER_CELLS + whole + len(clock) + 2 > width:
                clock = ""
            parts = _fitting(parts, width - 2 - _FILTER_CELLS - min(whole, _TRAIL_CELLS))
            room = width - _length(parts) - _FILTER_CELLS - len(clock) - (2 if clock else 0)
            parts.append((0, [Span("filter ", "dim"), Span(newest_steps(s.filter, room), "filter")]))
        else:
            parts = _fitting(parts, width - len(clock) - 2)
        right = [Span(clock + " ", "dim")]
        line: list[Span] = []
        for i, (_, spans) in enumerate(parts):
            line += [*([Span("  ")] if i else []), *spans]
        used = sum(cell_len(span.text) for span in line)
        gap = width - used - len(clock) - 1
        if gap > 0:
            return [*line, Span(" " * gap), *right]
        return [*line, Span(" " * max(0, width - used))]


def newest_steps(trail: str, width: int) -> str:
    """Return *trail* in at most *width* cells; the oldest levels are left out first."""
    steps = trail.split(SEPARATOR)
    for first in range(len(steps)):
        text = SEPARATOR.join(["…"] * bool(first) + steps[first:])
        if cell_len(text) <= width:
            return text
    return clip_front(steps[-1], width)


def _fitting(parts: list[tuple[int, list[Span]]], width: int, keep: int = 1) -> list[tuple[int, list[Span]]]:
    """Return *parts* without those of the highest ranks, down to *keep*, so that they fit into *width* cells."""
    while _length(parts) > width and any(rank >= keep for rank, _ in parts):
        worst = max(rank for rank, _ in parts)
        parts = [part for part in parts if part[0] != worst]
    return parts


def _length(parts: list[tuple[int, list[Span]]]) -> int:
    return sum(2 + sum(cell_len(span.text) for span in spans) for _, spans in parts)
