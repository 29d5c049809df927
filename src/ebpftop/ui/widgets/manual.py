"""A text in sections, wrapped to the width that there is: what the help shows."""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, clip
from ebpftop.ui.widgets.row_drawing import STYLES

_OWN_STYLES = ("title", "heading", "term", "found")
_TERM_SHARE = 4
"""A quarter of the width is for what is explained,"""
_TERM_MIN, _TERM_MAX = 9, 18  # cells
_GAP = 2
_MARGIN = 1
_WIDTH_MAX = 110  # longer lines are hard to read


@dataclass(frozen=True, slots=True)
class Entry:
    """Something and what it means. Without a term: a paragraph; without a text: a heading."""

    term: str
    text: str
    look: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What the help says about one thing; *key* identifies it."""

    key: str
    title: str
    entries: tuple[Entry, ...]


class _Line(NamedTuple):
    spans: tuple[Span, ...]
    entry: int
    """The number of its entry, of all sections; -1 for the title of a section, and between entries."""


class ManualView(ScrollView, can_focus=True):
    """Sections below each other. Lines are laid out once for each width, and made into Strips when they are drawn."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"lines--{look}" for look in STYLES),
        *(f"manual--{look}" for look in _OWN_STYLES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "lines(1)", "Down", show=False, id="lines.down"),
        Binding("k,up", "lines(-1)", "Up", show=False, id="lines.up"),
        Binding("pagedown,ctrl+f,space", "pages(1.0)", "Page down", show=False, id="lines.page_down"),
        Binding("pageup,ctrl+b", "pages(-1.0)", "Page up", show=False, id="lines.page_up"),
        Binding("ctrl+d", "pages(0.5)", "Half a page down", show=False, id="lines.half_down"),
        Binding("ctrl+u", "pages(-0.5)", "Half a page up", show=False, id="lines.half_up"),
        Binding("g,home", "lines(-1000000)", "Top", show=False, id="lines.first"),
        Binding("G,end", "lines(1000000)", "Bottom", show=False, id="lines.last"),
    ]

    class Moved(Message):
        """Another section may be on top now."""

    def __init__(self) -> None:
        super().__init__()
        self._sections: tuple[Section, ...] = ()
        self._entries: tuple[Entry, ...] = ()
        self._lines: list[_Line] = []
        self._starts: list[int] = []
        self._laid_for: tuple[tuple[Section, ...], int] | None = None
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}
        self._searched = ""
        self._found: list[int] = []

    def show(self, sections: Sequence[Section], key: str) -> None:
        """Show *sections*, beginning at the one with *key*, or at the first."""
        self._sections = tuple(sections)
        self._entries = tuple(entry for section in self._sections for entry in section.entries)
        self.search("")
        self.lay_out()
        self.go_to_section(key)

    def lay_out(self) -> None:
        """Wrap the text to the width that there is, unless that was done."""
        width = min(_WIDTH_MAX, self.scrollable_content_region.width - 2 * _MARGIN)
        if width <= 0 or (self._sections, width) == self._laid_for:
            return
        at = self.section.key if self._starts else ""
        self._laid_for = self._sections, width
        self._lines, self._starts = [], []
        number = 0
        for section in self._sections:
            if self._lines:
                self._lines.append(_Line((), -1))
            self._starts.append(len(self._lines))
            self._lines.append(_Line((Span(section.title, "title"),), -1))
            for entry in section.entries:
                if not entry.text:
                    self._lines.append(_Line((), -1))
                self._lines += (_Line(spans, number) for spans in _wrapped(entry, width))
                number += 1
        self._strips.clear()
        # So much below the last section that it can begin at the top.
        height = max(len(self._lines), (self._starts or [0])[-1] + self.scrollable_content_region.height)
        self.virtual_size = Size(self.scrollable_content_region.width, height)
        if at:
            self.go_to_section(at)

    def on_resize(self) -> None:
        self.lay_out()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._strips.clear()

    # Sections.

    @property
    def section(self) -> Section:
        """The section at the top of what is in view."""
        return self._sections[self._section_number]

    @property
    def place(self) -> tuple[int, int]:
        """The number of that section, from 1, and how many there are."""
        return self._section_number + 1, len(self._sections)

    @property
    def _section_number(self) -> int:
        return max(0, bisect_right(self._starts, self.scroll_offset.y) - 1)

    def go_to_section(self, key: str) -> None:
        """Bring the section with *key* to the top."""
        keys = [section.key for section in self._sections]
        if self._starts:
            self._go_to(self._starts[keys.index(key) if key in keys else 0])

    def step(self, sections: int) -> None:
        """Go to the next section, or to one before; behind the last one is the first."""
        self.go_to_section(self._sections[(self._section_number + sections) % len(self._sections)].key)

    def _go_to(self, y: float) -> None:
        self.scroll_to(y=y, animate=False, immediate=True, force=True)
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def action_lines(self, lines: int) -> None:
        self._go_to(self.scroll_offset.y + lines)

    def action_pages(self, pages: float) -> None:
        self._go_to(self.scroll_offset.y + int(pages * max(1, self.scrollable_content_region.height - 1)))

    # Searching.

    @property
    def is_searched(self) -> bool:
        """Is something marked?"""
        return bool(self._searched)

    def search(self, text: str) -> int:
        """Mark *text* wherever it is, in any case of letters; return how many entries have it."""
        wanted = text.casefold()
        if wanted != self._searched:
            self._searched = wanted
            self._found = [
                number
                for number, entry in enumerate(self._entries)
                if wanted and wanted in f"{entry.term} {entry.text}".casefold()
            ]
            self._strips.clear()
            self.refresh()
        return len(self._found)

    def go_to_match(self, step: int) -> None:
        """Bring the next entry that matches into view: the first at or below the top, if *step* is 0."""
        if not self._found or not self._lines:
            return  # without lines there is no room for any
        lines = [next(y for y, line in enumerate(self._lines) if line.entry == number) for number in self._found]
        top = self.scroll_offset.y
        if step > 0:
            y = next((y for y in lines if y > top + 1), lines[0])
        elif step < 0:
            y = next((y for y in reversed(lines) if y < top + 1), lines[-1])
        else:
            y = next((y for y in lines if y >= top), lines[0])
        if step or not top <= y < top + self.scrollable_content_region.height:
            self._go_to(max(0, y - 1))

    # Drawing.

    def _style_of(self, look: str) -> Style:
        style = self._styles.get(look)
        if style is None:
            style = self.rich_style
            if look:
                style += self.get_component_rich_style(
                    f"{'manual' if look in _OWN_STYLES else 'lines'}--{look}", partial=True
                )
            self._styles[look] = style
        return style

    def render_lines(self, crop: Region) -> list[Strip]:
        top = self.scroll_offset.y
        width = self.scrollable_content_region.width
        lines = [self._line(top + y, width) for y in crop.line_range]
        return [strip.crop(*crop.column_span) for strip in lines]

    def _line(self, y: int, width: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            spans = self._lines[y].spans if 0 <= y < len(self._lines) else ()
            pieces = [piece for span in spans for piece in self._marked(span)]
            strip = Strip([Segment(text, self._style_of(look)) for text, look in (Span(" " * _MARGIN), *pieces)])
            strip = self._strips[y] = strip.adjust_cell_length(width, self._style_of(""))
        return strip

    def _marked(self, span: Span) -> Iterator[Span]:
        """Yield *span* in pieces, with what is searched standing out."""
        text, folded, at = span.text, span.text.casefold(), 0
        if self._searched and len(folded) == len(text):
            while (found := folded.find(self._searched, at)) >= 0:
                yield Span(text[at:found], span.style)
                at = found + len(self._searched)
                yield Span(text[found:at], "found")
        yield Span(text[at:], span.style)


def _wrapped(entry: Entry, width: int) -> Iterator[tuple[Span, ...]]:
    """Yield the lines of *entry* in *width* cells: its term at the left, or above the text if it is long."""
    if not entry.text:
        yield (Span(clip(entry.term, width), "heading"),)
        return
    if not entry.term:
        for line in textwrap.wrap(entry.text, max(10, width), break_on_hyphens=False):
            yield (Span(line, entry.look),)
        return
    column = min(_TERM_MAX, max(_TERM_MIN, width // _TERM_SHARE))
    look = entry.look or "term"
    indent = Span(" " * (column + _GAP))
    first = Span(entry.term, look), Span(" " * (column + _GAP - cell_len(entry.term)))
    if cell_len(entry.term) > column:
        yield (Span(clip(entry.term, min(width, cell_len(entry.term))), look),)
        first = (Span(""), indent)
    for line in textwrap.wrap(entry.text, max(10, width - column - _GAP), break_on_hyphens=False):
        yield (*first, Span(line))
        first = (Span(""), indent)
