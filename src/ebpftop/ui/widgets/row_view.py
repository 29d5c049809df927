"""The base of every log and table: pinned header, cursor, scrolling, and Strips that are made once.

Frames cost time, not events: a line is made into a Strip when it is first drawn, and the same object is returned until
it changes, so that Textual's own caches on it keep working.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ebpftop.core.clock import day
from ebpftop.ui.textual_fixes.app_errors import guard_drawing, report, summary
from ebpftop.ui.widgets.columns import GAP, Column, PlacedColumn, Span, cell_from, clip, fit, layout_cell
from ebpftop.ui.widgets.row_filter import RowFilter
from ebpftop.ui.widgets.row_scroll_bar import RowScrollBar

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
        "faint",
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

SLIDE = 8
"""Cells of a step sideways."""

WIDEST_TEXT = 1000
"""Cells of a text that is drawn to a width, when its length is asked for."""

_NO_MARK = Span(" ")


class RowView(ScrollView, Generic[Row], can_focus=True):
    """Rows at positions `first` up to `end`, supplied by a subclass. A row keeps its position while others arrive."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{look}" for look in STYLES}
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="lines.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="lines.up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="lines.page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="lines.page_up"),
        Binding("ctrl+d", "half_page(1)", "Half a page down", show=False, id="lines.half_down"),
        Binding("ctrl+u", "half_page(-1)", "Half a page up", show=False, id="lines.half_up"),
        Binding("g,home", "top", "First", show=False, id="lines.first"),
        Binding("G,end", "bottom", "Last", show=False, id="lines.last"),
        Binding("left", "slide(-1)", "Left", show=False, key_display="←", tooltip="Back to the left", id="lines.left"),
        Binding(
            "right",
            "slide(1)",
            "Right",
            show=False,
            key_display="→",
            tooltip="Scroll sideways, where a row is cut",
            id="lines.right",
        ),
        Binding("enter", "open", "Details", tooltip="Everything known about this row", id="lines.open"),
    ]

    class Opened(Message):
        """Enter or a double click on `row` of `lines`. It carries the row: another row may soon have its position."""

        def __init__(self, lines: RowView[Any], row: Any) -> None:
            super().__init__()
            self.lines = lines
            self.row = row

    class OpenedEmpty(Message):
        """Enter where there is no row."""

    class Arranged(Message):
        """The columns, the sort order or the cursor changed: titles and footers may have to change too."""

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
        self.scales: dict[str, str] = {}
        """Titles of columns that have one scale for all rows."""
        self.now = 0.0
        self._day = 0
        self._cursor: int | None = None
        self.message: list[Span] = []
        self.row_filter: RowFilter[Row] | None = None
        """The filter that can be typed for it."""
        self.faded = False
        self._slots: list[PlacedColumn[Row]] = []
        self._strips: dict[int, tuple[Hashable, Strip]] = {}
        self._styles_of: dict[tuple[str, str], Style] = {}
        self._stale = False
        self._shown_first = 0
        self._drawn: dict[int, tuple[int, Row]] = {}
        """The rows on the terminal: from the line of the widget to position and row."""
        self._shown: list[Strip | None] = []
        """The lines as they will be on the terminal once all that was asked for is drawn; None if that is not known."""
        self._awaited: set[int] = set()
        """Lines of which a drawing was asked for, and has not happened yet."""
        self._syncing = False
        self._blank: tuple[int, Style, Strip] | None = None

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

    def rows(self) -> list[Row]:
        """All rows, in their order."""
        raise NotImplementedError

    @property
    def cursor(self) -> int | None:
        """Position of the selected row; None if no row is selected."""
        return self._cursor

    @cursor.setter
    def cursor(self, position: int | None) -> None:
        self._cursor = position

    def find(self, row: Row, position: int) -> int | None:
        """Return the position of *row* now (it was drawn at *position*); None if it no longer exists."""
        raise NotImplementedError

    def selected(self) -> Row | None:
        """The row under the cursor."""
        if self.cursor is None or not self.first <= self.cursor < self.end:
            return None
        return self.row(self.cursor)

    def version(self, row: Row) -> Hashable:
        """A value that changes if, and only if, the line of a row must be drawn again."""
        raise NotImplementedError

    @property
    def is_striped(self) -> bool:
        """Whether every second row has another background: where figures are far from the name they are about."""
        return False

    @property
    def vertical_scrollbar(self) -> RowScrollBar:
        # Textual makes its own here, when it is asked for first.
        if self._vertical_scrollbar is None:
            bar = self._vertical_scrollbar = RowScrollBar()
            bar.display = False
            self.app._start_widget(self, bar)
        assert isinstance(self._vertical_scrollbar, RowScrollBar)
        return self._vertical_scrollbar

    # Keeping up.

    def sync(self) -> None:
        """Rows were added, removed or changed: scroll and draw accordingly."""
        if not self.is_attached or not self.size:
            return
        if not self.is_on_screen:
            self._stale = True
            return
        self._stale = False
        if self.now and self._day != (today := day(int(self.now))):
            # Rows of the day before say so now.
            self._day = today
            self._strips.clear()
        self._syncing = True
        try:
            self._settle()
        finally:
            self._syncing = False
        self.refresh_changed()

    def refresh_changed(self) -> None:
        """Draw the lines that are not as they were drawn last."""
        if not self.is_attached or not self.size:
            return
        width, height = self.size
        lines, placed = self._lines(range(height))
        before, self._shown = self._shown, list(lines)
        if len(before) != height:
            self._awaited.update(range(height))
            self.refresh()
            return
        changed = [y for y in range(height) if before[y] is not lines[y] and before[y] != lines[y]]
        if changed:
            self._awaited.update(changed)
            self.refresh(*(Region(0, y, width, 1) for y in changed))
        # What looks the same is not drawn again, but may be another row.
        self._place(placed, [y for y in range(height) if y not in self._awaited])

    def _place(self, placed: dict[int, tuple[int, Row]], lines: Iterable[int]) -> None:
        """Note which rows are at these lines of the terminal."""
        for y in lines:
            self._drawn.pop(y, None)
            if y in placed:
                self._drawn[y] = placed[y]

    def _settle(self) -> None:
        first, end = self.first, self.end
        height = end - first + self.header_height
        if self.virtual_size.height != height or self.virtual_size.width != self.scrollable_content_region.width:
            # The scrollbar is always there, so another row needs no new layout of the whole screen.
            self.set_reactive(RowView.virtual_size, Size(self.scrollable_content_region.width, height))
            self.vertical_scrollbar.move(height, self.scroll_y)
        # Rows in view stay in view: if rows at the top were removed, the scroll position moves with them.
        gone = first - self._shown_first
        self._shown_first = first
        if gone:
            self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False, force=True)
        if self.cursor is not None:
            self.cursor = min(max(self.cursor, first), end - 1) if end > first else None

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        # Not ScrollView's, which draws every line again: most of them may be the same, as when a table ends.
        self.vertical_scrollbar.move(self.virtual_size.height, new_value)
        if round(old_value) != round(new_value) and not self._syncing:
            self.refresh_changed()

    def begin(self) -> None:
        """Reset to the initial state: no row selected, the first rows in view, the original columns."""
        self._cursor = None
        self.hidden = frozenset(c.key for c in self.columns if c.hidden)
        self.widths = {}
        self.slid = 0
        self.message = []
        self._shown_first = self.first
        self._slots = []
        self._drawn.clear()
        self._strips.clear()
        self._shown = []
        self.set_reactive(RowView.scroll_y, 0.0)
        self.set_reactive(RowView.scroll_target_y, 0.0)
        self.vertical_scrollbar.move(self.virtual_size.height, 0.0)
        self.refresh()

    def rearrange(self) -> None:
        """Columns or styles changed: draw everything again."""
        self._slots = []
        self._strips.clear()
        self._styles_of.clear()
        if self.is_attached:
            self.refresh_changed()
            self.post_message(self.Arranged())

    def redraw(self) -> None:
        """Make every line again, and draw those that have become different."""
        self._strips.clear()
        self.refresh_changed()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_of.clear()
        self._strips.clear()

    def on_resize(self) -> None:
        self._slots = []
        self._strips.clear()
        self.sync()

    def on_show(self) -> None:
        if self._stale:
            self.sync()

    def on_focus(self) -> None:
        self.refresh_changed()

    def on_blur(self) -> None:
        self.refresh_changed()

    # Drawing.

    @property
    def slots(self) -> list[PlacedColumn[Row]]:
        """The columns that are shown."""
        if not self._slots:
            width = self.scrollable_content_region.width - GUTTER
            self._slots = [
                replace(slot, x=slot.x + GUTTER) for slot in fit(self.columns, width, self.hidden, self.widths)
            ]
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

    @guard_drawing
    def render_lines(self, crop: Region) -> list[Strip]:
        lines, placed = self._lines(crop.line_range)
        self._place(placed, crop.line_range)
        self._awaited.difference_update(crop.line_range)
        for y, line in zip(crop.line_range, lines, strict=True):
            if y < len(self._shown) and self._shown[y] is not line:
                # Something changed that was not asked to be drawn: whatever is drawn now is not what was expected.
                self._shown[y] = None
        width = self.scrollable_content_region.width
        if crop.column_span != (0, width):
            lines = [strip.crop(*crop.column_span) for strip in lines]
        return lines

    def _lines(self, numbers: range) -> tuple[list[Strip], dict[int, tuple[int, Row]]]:
        """Make these lines, as they are now; what has not changed is the same object as before.

        Also return the rows in them: from the line to position and row.
        """
        width = self.scrollable_content_region.width
        first, end = self.first, self.end
        top = first + self.scroll_offset.y - self.header_height
        marked = self.cursor
        cursor_line = "cursor" if self.has_focus else "blurred"
        known, self._strips = self._strips, {}
        lines: list[Strip] = []
        placed: dict[int, tuple[int, Row]] = {}
        blank = self._blank_line(width)
        words = self._message_lines(width) if self.message or (first == end and self.row_filter is not None) else {}
        for y in numbers:
            position = top + y
            if y in words:
                lines.append(words[y])
            elif y < self.header_height:
                lines.append(self._header(width))
            elif first <= position < end:
                row = self.row(position)
                line = cursor_line if position == marked else "zebra" if position % 2 and self.is_striped else ""
                stamp = (self.version(row), line)
                entry = known.get(position)
                if entry is None or entry[0] != stamp:
                    entry = (stamp, self._draw_safely(row, width, line))
                self._strips[position] = entry
                placed[y] = position, row
                lines.append(entry[1])
            else:
                lines.append(blank)
        # Lines near these stay cached.
        height = self.size.height
        for position, entry in known.items():
            if position not in self._strips and top - height <= position <= top + 2 * height:
                self._strips[position] = entry
        return lines, placed

    def _blank_line(self, width: int) -> Strip:
        style = self.style_of("")
        if self._blank is None or self._blank[:2] != (width, style):
            self._blank = width, style, Strip.blank(width, style)
        return self._blank[2]

    def _draw_safely(self, row: Row, width: int, line: str) -> Strip:
        """Draw a row; if that fails, show the error in its place. Other rows are not affected."""
        try:
            return self._draw(row, width, line)
        except Exception as error:  # noqa: BLE001  # whatever it is
            report(error, f"a row of {self.id or type(self).__name__}")
            return Strip([Segment(clip(f"cannot be drawn: {summary(error)}", width), self.style_of("bad", line))])

    def _draw(self, row: Row, width: int, line: str) -> Strip:
        look = self.style_of
        base = look("", line)
        back = "faint" if self.faded else ""
        mark = _NO_MARK if self.mark is None else self.mark(row)
        point = Span(POINT if line in ("cursor", "blurred") else " ", "point")
        segments = [Segment(mark.text, look(back or mark.style, line)), Segment(point.text, look(point.style, line))]
        x = GUTTER
        for slot in self.slots:
            column, start, size = slot.column, slot.x, slot.width
            if start > x:
                segments.append(Segment(" " * (start - x), base))
            slid = self.slid if column is self.sliding else 0
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
        segments: list[Segment] = []
        x = 0
        for slot in self.slots:
            column, start, size = slot.column, slot.x, slot.width
            if start > x:
                segments.append(Segment(" " * (start - x), base))
            for text, name in layout_cell([self.heading(column)], size, column.right):
                segments.append(Segment(text, self.style_of(name or "head")))
            x = start + size
        if x < width:
            segments.append(Segment(" " * (width - x), base))
        return Strip(segments, max(x, width))

    def _message_lines(self, width: int) -> dict[int, Strip]:
        """If there are no rows, the message is in the middle, else in the last lines."""
        empty = self.end == self.first
        height = self.size.height
        wrapped = [
            Span(line, look)
            for text, look in self.message or self._no_match()
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

    # Sideways.

    fills_are_text: ClassVar[bool] = False
    """Whether columns that are drawn to their width are texts, not bars."""

    @property
    def sliding(self) -> Column[Row] | None:
        """The column that scrolls sideways: the text that is as wide as the others leave room for."""
        flexible = (slot.column for slot in self.slots if slot.column.flexible and not slot.column.sort)
        return next((column for column in flexible if column.fill is None or self.fills_are_text), None)

    def slide(self, cells: int) -> None:
        """Scroll the widest text sideways, not beyond the longest one that is in view."""
        slot = next((slot for slot in self.slots if slot.column is self.sliding), None)
        if slot is None:
            return
        column, top = slot.column, self.first + self.scroll_offset.y
        rows = [self.row(at) for at in range(top, min(self.end, top + self.page))]
        fill, now = column.fill, self.now
        cells_of = (fill(row, WIDEST_TEXT) if fill else column.cell(row, now) for row in rows)
        longest = max((sum(cell_len(span.text) for span in cell) for cell in cells_of), default=0)
        slid = min(max(0, self.slid + cells), max(0, longest - slot.width))
        if slid != self.slid:
            self.slid = slid
            self.redraw()

    def action_slide(self, steps: int) -> None:
        self.slide(steps * SLIDE)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._wheel(event, 1, sideways=True)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._wheel(event, -1, sideways=True)

    def _wheel(self, event: events.MouseEvent, steps: int, *, sideways: bool = False) -> None:
        if sideways or event.shift:
            event.stop()
            event.prevent_default()
            self.slide(steps * SLIDE)

    # Moving.

    @property
    def page(self) -> int:
        """How many rows are in view."""
        return max(1, self.scrollable_content_region.height - self.header_height)

    @property
    def at_end(self) -> bool:
        return self.scroll_offset.y >= self.max_scroll_y

    def go_to(self, position: int) -> None:
        """Put the cursor on *position* and bring it into view."""
        first, end = self.first, self.end
        if end <= first:
            return
        self.cursor = min(max(position, first), end - 1)
        self._settle()
        y = self.cursor - first
        top = self.scroll_offset.y
        if y < top:
            self.scroll_to(y=y, animate=False, force=True)
        elif y >= top + self.page:
            self.scroll_to(y=y - self.page + 1, animate=False, force=True)
        self.refresh_changed()
        self.post_message(self.Arranged())

    def _from(self) -> int:
        """Where the cursor starts if no row was selected."""
        if self.cursor is not None:
            return self.cursor
        return min(self.end, self.first + self.scroll_offset.y + self.page) - 1

    def action_move(self, rows: int) -> None:
        self.go_to(self._from() + (rows if self.cursor is not None or rows < 0 else 0))

    def action_page(self, pages: int) -> None:
        self.go_to(self._from() + pages * max(1, self.page - 1))

    def action_half_page(self, pages: int) -> None:
        self.go_to(self._from() + pages * max(1, self.page // 2))

    def action_top(self) -> None:
        self.go_to(self.first)

    def action_bottom(self) -> None:
        self.go_to(self.end - 1)

    def action_open(self) -> None:
        if self.end > self.first:
            self.go_to(self._from())
            row = self.selected()
            if row is not None:
                self.post_message(self.Opened(self, row))
        else:
            self.post_message(self.OpenedEmpty())

    def column_at(self, x: int) -> Column[Row] | None:
        """The column under a cell of the header."""
        for slot in self.slots:
            column, start, size = slot.column, slot.x, slot.width
            if start <= x < start + size + GAP:
                return column
        return None

    def clicked_header(self, column: Column[Row]) -> None:
        """A click on the heading of a column."""

    def on_mouse_move(self, event: events.MouseMove) -> None:
        column = self.column_at(event.x) if event.y < self.header_height else None
        # A heading says what is below it.
        self.tooltip = Content(column.about) if column is not None and column.about else None

    def on_click(self, event: events.Click) -> None:
        if event.y < self.header_height:
            column = self.column_at(event.x)
            if column is not None:
                self.clicked_header(column)
            return
        # The click means the row that was drawn there, which may have moved since.
        position, row = self._drawn.get(event.y, (0, None))
        now_at = None if row is None else self.find(row, position)
        if now_at is not None:
            self.go_to(now_at)
            if event.chain == 2:
                self.action_open()
