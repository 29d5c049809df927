"""The title line of a pane: which parts of it fit, and where they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.containers import Vertical
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from ebpftop.ui.textual_fixes.app_errors import guard_drawing
from ebpftop.ui.widgets.columns import Span, layout_cell

Part = Literal["mark", "probe", "other"]
"""What was clicked: the mark of the probe's state; what is said of the probe (losses, what it cannot see); the rest."""

_GAP = 2


class Count(NamedTuple):
    """A figure of a title. Those of a higher *rank* are dropped first if the width is too small, as columns are.

    Before one is dropped, all are said in *brief*, if they can be.
    """

    text: str
    rank: int = 0
    brief: str = ""


def joined(counts: Sequence[Count]) -> str:
    """Return *counts* as a title says them."""
    return " · ".join(count.text for count in counts)


@dataclass(frozen=True)
class Title:
    """What a title says: `counts` as far as they fit; of `right`, the first text that fits.

    `tabs` are the labels of all that can be shown there, of which `label` is: in its place, if the first count has room
    beside them.
    """

    number: int
    label: str
    mark: Span
    counts: tuple[Count, ...] = ()
    lost: str = ""
    right: tuple[Span, ...] = ()
    tabs: Sequence[str] = ()

    def spans(self, width: int, *, focused: bool) -> list[Span]:
        """Return the line in exactly *width* cells."""
        head = self._head(width, focused=focused)
        lost = [Span(f"  lost {self.lost}", "warn")] if self.lost else []
        counts, right = self._fitting(width - _length([*head, *lost]))
        left = [*head, Span(f"  {joined(counts)}" if counts else "", "dim"), *lost]
        if not right.text:
            return layout_cell(left, width)
        room = width - cell_len(right.text) - 1
        return [*layout_cell(left, room), right, Span(" ")]

    def _head(self, width: int, *, focused: bool) -> list[Span]:
        """Return all in front of the counts; the mark is the last of it."""
        begin = [Span("▸" if focused else " ", "focus"), Span(f"{self.number} ", "number")]
        look = "focus" if focused else "label"
        short = [*begin, Span(f"{self.label} ", look), self.mark]
        if not self.tabs:
            return short
        tabs = [(Span(tab, look) if tab == self.label else Span(tab.lower(), "dim")) for tab in self.tabs]
        between = [part for tab in tabs for part in (tab, Span(_BETWEEN_TABS, "dim"))]
        whole = [*begin, *between[:-1], Span(" "), self.mark]
        return whole if _length(whole) + _needs(self._kept(1), Span("")) <= width else short

    def tab_at(self, x: int, width: int) -> str:
        """Return the label of the tab at cell *x* of a line so wide; empty if there is none."""
        end = 0
        for span in self._head(width, focused=False):
            end += cell_len(span.text)
            if x < end:
                return next((tab for tab in self.tabs if tab.lower() == span.text.lower()), "")
        return ""

    def _fitting(self, room: int) -> tuple[Sequence[Count], Span]:
        """Return the counts and the right end for so many cells: one count first, then the right end, then the rest."""
        for right in (*self.right, Span("")):
            if _needs(self._kept(1 if right.text else 0), right) <= room:
                return next(counts for counts in self._shorter() if _needs(counts, right) <= room), right
        return (), Span("")

    def _shorter(self) -> Iterator[Sequence[Count]]:
        for n in range(len(self.counts), -1, -1):
            kept = self._kept(n)
            yield kept
            if any(count.brief for count in kept):
                yield [count._replace(text=count.brief or count.text) for count in kept]

    def _kept(self, n: int) -> Sequence[Count]:
        """Return the *n* most important counts, in their order."""
        by_rank = sorted(range(len(self.counts)), key=lambda at: self.counts[at].rank)
        return [self.counts[at] for at in sorted(by_rank[:n])]

    def part_at(self, x: int, width: int) -> Part:
        """Return what is at cell *x* of a line so wide."""
        end = 0
        mark = len(self._head(width, focused=False)) - 1
        for position, span in enumerate(self.spans(width, focused=False)):
            end += cell_len(span.text)
            if x < end:
                if position == mark:
                    return "mark"
                return "probe" if position > mark and span.style in _OF_PROBE else "other"
        return "other"


_BETWEEN_TABS = "·"
_OF_PROBE = frozenset(("bad", "warn"))
"""Looks of losses, and of what the probe cannot see."""


def _needs(counts: Sequence[Count], right: Span) -> int:
    used = _GAP + cell_len(joined(counts)) if counts else 0
    return used + (_GAP + cell_len(right.text) + 1 if right.text else 0)


def _length(spans: Sequence[Span]) -> int:
    return sum(cell_len(span.text) for span in spans)


class TitledPane(Vertical):
    """A title above widgets, without a frame; `│` at the left if another pane stands there (class ``-beside``)."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("pane--title", "pane--focus", "pane--number", "pane--label", "pane--dim"),
        *("pane--good", "pane--warn", "pane--bad", "pane--edge"),
    }

    class TitleClicked(Message):
        """A click on the title, on *part* of it, or on *tab*; *times* is 2 for the second of a double click."""

        def __init__(self, pane: TitledPane, part: Part, tab: str, times: int) -> None:
            super().__init__()
            self.pane = pane
            self.part = part
            self.tab = tab
            self.times = times

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._title: Title | None = None
        self._title_strip: tuple[int, bool, Strip] | None = None
        self._styles_of: dict[str, Style] = {}

    @property
    def title_text(self) -> str:
        """The title as it is drawn."""
        return self._draw_title().text

    @property
    def _is_focused(self) -> bool:
        return self.has_focus_within

    def _entitle(self, title: Title) -> None:
        """Show *title*; draw its line if it looks different."""
        if title != self._title:
            self._title = title
            self._title_changed()

    def _title_changed(self) -> None:
        before = self._title_strip
        self._title_strip = None
        if self.has_title and (before is None or before[2] != self._draw_title()):
            self.refresh(Region(0, 0, self.outer_size.width, 1).translate(-self.content_offset))

    def on_descendant_focus(self) -> None:
        self._title_changed()

    def on_descendant_blur(self) -> None:
        self._title_changed()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_of.clear()
        self._title_strip = None

    def _style_of(self, look: str, line: str = "") -> Style:
        style = self._styles_of.get(f"{line} {look}")
        if style is None:
            style = self.rich_style
            for part in (line, look):
                if part:
                    style += self.get_component_rich_style(f"pane--{part}", partial=True)
            for line_filter in self.get_line_filters():
                style = line_filter.apply([Segment(" ", style)], self.background_colors[1])[0].style or style
            self._styles_of[f"{line} {look}"] = style
        return style

    @property
    def has_title(self) -> bool:
        """Whether there is a line for it; in a small terminal there are tabs instead."""
        return bool(self.styles.padding.top)

    @property
    def _left(self) -> int:
        """Cells at the left that are not the pane's."""
        return int(self.has_class("-beside"))

    def _draw_title(self) -> Strip:
        width, focused = self.outer_size.width, self._is_focused
        if self._title_strip is None or self._title_strip[:2] != (width, focused):
            spans = [] if self._title is None else self._title.spans(max(0, width - self._left), focused=focused)
            strip = Strip([Segment(text, self._style_of(look, "title")) for text, look in spans if text])
            self._title_strip = width, focused, Strip.join([self._edge(), strip]) if self._left else strip
        return self._title_strip[2]

    def _edge(self) -> Strip:
        return Strip([Segment("│", self._style_of("edge"))], 1)

    @guard_drawing
    def render_lines(self, crop: Region) -> list[Strip]:
        width = self.outer_size.width
        blank = Strip.blank(width - self._left, self._style_of(""))
        if self._left:
            blank = Strip.join([self._edge(), blank])
        title = self._draw_title()
        lines = [title if y == 0 and self.has_title else blank for y in crop.line_range]
        return lines if crop.column_span == (0, width) else [line.crop(*crop.column_span) for line in lines]

    def on_click(self, event: events.Click) -> None:
        # Clicks on the rows come here too, with places of their own.
        x, y = event.screen_x - self.region.x, event.screen_y - self.region.y
        if y == 0 and self.has_title and self._title is not None:
            event.stop()
            at, width = x - self._left, self.outer_size.width - self._left
            part, tab = self._title.part_at(at, width), self._title.tab_at(at, width)
            self.post_message(self.TitleClicked(self, part, tab, event.chain))
