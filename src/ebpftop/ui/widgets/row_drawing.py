"""How rows look: columns in their places, the header, the message in place of rows, and the look of each."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ebpftop.ui.textual_fixes.app_errors import report, summary
from ebpftop.ui.widgets.columns import Cell, Column, PlacedColumn, Span, cell_from, clip, fit, layout_cell, on_screen
from ebpftop.ui.widgets.row_filter import RowFilter

Row = TypeVar("Row")

STYLES = (
    *(
        "head",
        "sorted",
        "point",
        "zebra",
        "cursor",
        "blurred",
        "dim",
        "strong",
        "accent",
        "good",
        "warn",
        "bad",
        "signal",
    ),
    *("root", "user", "bar", "struck", "note"),
)

GUTTER = 2
"""Cells at the left of each row: its mark, and an angle at the selected one."""

POINT = "›"  # noqa: RUF001  # as the screens are drawn

_NO_MARK = Span(" ")


class DrawnRows(ScrollView, Generic[Row]):
    """Makes Strips of rows. It keeps none: `RowView` knows which have changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{look}" for look in STYLES}

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        mark: Callable[[Row], Span] | None = None,
        header: bool = True,
        id: str | None = None,
    ) -> None:
        """Show *columns*, with a *header* above them; *mark* returns one cell that tells what is special of a row."""
        super().__init__(id=id)
        self.columns = columns
        self.mark = mark
        self.header_height = int(header)
        self.slid = 0
        """Cells at the left of the widest text that are scrolled away."""
        self.hidden = frozenset(c.key for c in columns if c.hidden)
        self.widths: dict[str, int] = {}
        self.empty = frozenset(c.key for c in columns if c.filled is not None)
        """Columns that nothing was seen for yet."""
        self.scales: dict[str, str] = {}
        """Titles of columns that have one scale for all rows."""
        self.now = 0.0
        self.message: list[Span] = []
        self.row_filter: RowFilter[Row] | None = None
        """The filter that can be typed for it."""
        self.faded = False
        self._slots: list[PlacedColumn[Row]] = []
        self._styles_of: dict[tuple[str, str], Style] = {}
        self._blank: tuple[int, Style, Strip] | None = None
        self._header_line: tuple[object, Strip] | None = None
        self._message_drawn: tuple[object, dict[int, Strip]] | None = None
        """Header and message as they were made last, and of what."""

    # What a subclass supplies.

    @property
    def first(self) -> int:
        """Position of the first row."""
        raise NotImplementedError

    @property
    def end(self) -> int:
        """One past the position of the last row."""
        raise NotImplementedError

    def row(self, position: int) -> Row:
        """The row at a position."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Make every line again, and draw those that have become different."""
        raise NotImplementedError

    # The columns, and looks.

    fills_are_text: ClassVar[bool] = False
    """Whether columns that are drawn to their width are texts, not bars."""

    @property
    def sorted_by(self) -> str:
        """Key of the column that rows are sorted by; empty if they have an order of their own."""
        return ""

    @property
    def sliding(self) -> Column[Row] | None:
        """The column that scrolls sideways: the text that is as wide as the others leave room for."""
        return next((slot.column for slot in self.slots if self.is_text(slot.column)), None)

    def is_text(self, column: Column[Row]) -> bool:
        """Return whether a column is a text as long as it may be, of which some may have to be cut."""
        return column.flexible and not column.sort and (column.fill is None or self.fills_are_text)

    @property
    def page(self) -> int:
        """How many rows are in view."""
        return max(1, self.scrollable_content_region.height - self.header_height)

    @property
    def slots(self) -> list[PlacedColumn[Row]]:
        """The columns that are shown."""
        if not self._slots:
            width = self.scrollable_content_region.width - GUTTER
            columns = on_screen(self.columns, self.app.size.width, self.widths, self.sorted_by)
            slots = fit(columns, width, self.hidden | self.empty, self.widths, self.sorted_by)
            self._slots = [replace(slot, x=slot.x + GUTTER) for slot in slots]
        return self._slots

    def style_of(self, name: str, line: str = "") -> Style:
        """The style of a look, on a line that has its own look (the cursor's)."""
        style = self._styles_of.get(key := (name, line))
        if style is None:
            style = self.rich_style
            if line and name == "bar":
                name = "accent"  # a plot in its own colour could hardly be seen there
            for part in (line, name):
                if part:
                    style += self.get_component_rich_style(f"lines--{part}", partial=True)
            if line:
                # The line keeps its background, whatever a span sets.
                style += Style(bgcolor=self.get_component_rich_style(f"lines--{line}", partial=True).bgcolor)
            # Textual filters the lines, each time that one is new: here once for all that have this style.
            for line_filter in self.get_line_filters():
                style = line_filter.apply([Segment(" ", style)], self.background_colors[1])[0].style or style
            self._styles_of[key] = style
        return style

    # Strips.

    def _blank_line(self, width: int) -> Strip:
        style = self.style_of("")
        if self._blank is None or self._blank[:2] != (width, style):
            self._blank = width, style, Strip.blank(width, style)
        return self._blank[2]

    def _draw_safely(self, row: Row, width: int, line: str, wrapped: Cell | None, *, further: bool = False) -> Strip:
        """Draw a row; if that fails, show the error in its place. Other rows are not affected."""
        try:
            return self._draw(row, width, line, wrapped, further=further)
        except Exception as error:  # noqa: BLE001  # whatever it is
            report(error, f"a row of {self.id or type(self).__name__}")
            return Strip([Segment(clip(f"cannot be drawn: {summary(error)}", width), self.style_of("bad", line))])

    def _draw(self, row: Row, width: int, line: str, wrapped: Cell | None, *, further: bool) -> Strip:
        """Draw a line of a row, of whose longest text *wrapped* stands in it; *further*: and nothing else."""
        look = self.style_of
        base = look("", line)
        back = "dim" if self.faded else ""
        mark = _NO_MARK if self.mark is None or further else self.mark(row)
        point = Span(POINT if line in ("cursor", "blurred") and not further else " ", "point")
        segments = [Segment(mark.text, look(back or mark.style, line)), Segment(point.text, look(point.style, line))]
        x = GUTTER
        for slot in self.slots:
            column, start, size = slot.column, slot.x, slot.width
            if start > x:
                segments.append(Segment(" " * (start - x), base))
            slid = self.slid if column is self.sliding else 0
            if wrapped is not None and column is self.sliding:
                cell = wrapped
            elif further:
                cell = ()
            else:
                cell = column.fill(row, size + slid) if column.fill else column.cell(row, self.now)
            if slid:
                cell = cell_from(cell, slid)
            for text, name in layout_cell(cell, size, column.right):
                segments.append(Segment(text, look(back or name, line)))
            x = start + size
        if x < width:
            segments.append(Segment(" " * (width - x), base))
        return Strip(segments, max(x, width))

    def heading(self, column: Column[Row]) -> Span:
        """The heading of a column."""
        return Span(self.title_of(column), "head")

    def title_of(self, column: Column[Row]) -> str:
        """Return the title of a column; that of a scale says its top, that of a text how far it is scrolled away."""
        title = self.scales.get(column.key, column.title)
        return f"{title} ←{self.slid}" if self.slid and column is self.sliding else title

    def _header(self, width: int) -> Strip:
        base = self.style_of("head")
        headings = [self.heading(slot.column) for slot in self.slots]
        made_of = width, base, headings, self.slots
        if self._header_line is None or self._header_line[0] != made_of:
            self._header_line = made_of, self._make_header(width, base, headings)
        return self._header_line[1]

    def _make_header(self, width: int, base: Style, headings: Sequence[Span]) -> Strip:
        segments: list[Segment] = []
        x = 0
        for slot, heading in zip(self.slots, headings, strict=True):
            column, start, size = slot.column, slot.x, slot.width
            if column.right and start > x and cell_len(heading.text) == size + 1:
                # The arrow of the order stands in the gap.
                start, size = start - 1, size + 1
            if start > x:
                segments.append(Segment(" " * (start - x), base))
            for text, name in layout_cell([heading], size, column.right):
                segments.append(Segment(text, self.style_of(name or "head")))
            x = start + size
        if x < width:
            segments.append(Segment(" " * (width - x), base))
        return Strip(segments, max(x, width))

    def _message_lines(self, width: int) -> dict[int, Strip]:
        """If there are no rows, the message is in the middle, else in the last lines."""
        message = self.message or self._no_match()
        empty = self.end == self.first
        made_of = width, self.size.height, self.header_height, empty, self.style_of(""), [*message]
        if self._message_drawn is None or self._message_drawn[0] != made_of:
            self._message_drawn = made_of, self._make_message(message, width, empty=empty)
        return self._message_drawn[1]

    def _make_message(self, message: Sequence[Span], width: int, *, empty: bool) -> dict[int, Strip]:
        height = self.size.height
        wrapped = [
            Span(line, look)
            for text, look in message
            for line in textwrap.wrap(text, max(10, width - 4), break_on_hyphens=False)
        ]
        head = self.header_height
        lines = wrapped[: max(1, height - head)]
        start = max(head, (height - len(lines)) // 2) if empty else max(head, height - len(lines))
        placed: dict[int, Strip] = {}
        for y, (text, look) in enumerate(lines, start if height > head else 0):
            left = max(0, (width - cell_len(text)) // 2) if empty else GUTTER
            placed[y] = Strip([Segment(clip(" " * left + text, width), self.style_of(look))])
        return placed

    def _no_match(self) -> list[Span]:
        nothing = self.row_filter.nothing_text if self.row_filter is not None else ""
        return [Span(nothing, "dim")] if nothing else []
