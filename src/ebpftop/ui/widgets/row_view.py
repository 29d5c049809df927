"""The base of every log and table: which rows are in view, the cursor, and lines that are drawn only if they changed.

Frames cost time, not events: a line is made into a Strip when it is first drawn, and the same object is returned until
it changes, so that Textual's own caches on it keep working.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from ebpftop.core.clock import day
from ebpftop.ui.textual_fixes.app_errors import guard_drawing
from ebpftop.ui.widgets.changed_cells import changed_cells
from ebpftop.ui.widgets.columns import GAP, Column, Span
from ebpftop.ui.widgets.row_scroll_bar import RowScrollBar
from ebpftop.ui.widgets.row_sliding import SLIDE_KEYS
from ebpftop.ui.widgets.row_wrapping import WRAP_KEY, WrappingRows

Row = TypeVar("Row")


OPEN = "lines.open"
"""The id of the binding that opens a row."""


class RowView(WrappingRows[Row], can_focus=True):
    """Rows at positions `first` up to `end`, supplied by a subclass. A row keeps its position while others arrive."""

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
        *SLIDE_KEYS,
        Binding("enter", "open", "Details", tooltip="Everything known about this row", id=OPEN),
        WRAP_KEY,
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
        super().__init__(columns, mark=mark, header=header, id=id)
        self._day = 0
        self._cursor: int | None = None
        self._strips: dict[tuple[int, int], tuple[Hashable, Strip]] = {}
        """The lines as they were made, by the row's position and which line of the row it is."""
        self._lines_known = {}
        self._stale = False
        self._shown_first = 0
        self._drawn: dict[int, tuple[int, Row]] = {}
        """The rows on the terminal: from the line of the widget to position and row."""
        self._shown: list[Strip | None] = []
        """The lines as they will be on the terminal once all that was asked for is drawn; None if that is not known."""
        self._awaited: set[int] = set()
        """Lines of which a drawing was asked for, and has not happened yet."""

    # What a subclass supplies.

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

    def identity_at(self, position: int) -> Hashable:
        """Return what tells the row at *position* from all others, for `position_of`."""
        raise NotImplementedError

    def position_of(self, identity: Hashable) -> int | None:
        """Return where the row of an identity is now. If it is gone: where the next one is, None if that is unknown."""
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
            self._forget_lines()
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
        if self.empty:
            self._find_filled()
        lines, placed = self._lines(range(height))
        before, self._shown = self._shown, list(lines)
        if len(before) != height:
            self._awaited.update(range(height))
            self.refresh()
            return
        changed = [y for y in range(height) if before[y] is not lines[y] and before[y] != lines[y]]
        if changed:
            self._awaited.update(changed)
            self.refresh(*(_changed_region(y, before[y], lines[y], width) for y in changed))
        # What looks the same is not drawn again, but may be another row.
        self._place(placed, [y for y in range(height) if y not in self._awaited])

    def _find_filled(self) -> None:
        """Show the columns that have something in them in a row in view, from now on."""
        rows = [self.row(position) for position in self.in_view]
        found = {c.key for c in self.columns if c.key in self.empty and c.filled and any(map(c.filled, rows))}
        if found:
            self.empty -= found
            self._slots = []
            self._forget_lines()

    def _place(self, placed: dict[int, tuple[int, Row]], lines: Iterable[int]) -> None:
        """Note which rows are at these lines of the terminal."""
        for y in lines:
            self._drawn.pop(y, None)
            if y in placed:
                self._drawn[y] = placed[y]

    def _settle(self) -> None:
        first, end = self.first, self.end
        self._set_height()
        # Rows in view stay in view: if rows at the top were removed, the scroll position moves with them.
        gone = first - self._shown_first
        self._shown_first = first
        if gone:
            self._placing = gone <= self.scroll_offset.y
            self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False, force=True)
            self._placing = False
        if self.cursor is not None:
            self.cursor = min(max(self.cursor, first), end - 1) if end > first else None

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        # Not ScrollView's, which draws every line again: most of them may be the same, as when a table ends.
        self.move_scrollbar(self.virtual_size.height, new_value)
        if round(old_value) != round(new_value):
            self._skip_again()
        if round(old_value) != round(new_value) and not self._syncing:
            self.refresh_changed()

    def move_scrollbar(self, height: int, top: float) -> None:
        self.vertical_scrollbar.move(height, top)

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
        self._forget_lines()
        self._shown = []
        self._skipped = 0
        self.set_reactive(RowView.scroll_y, 0.0)
        self.set_reactive(RowView.scroll_target_y, 0.0)
        self.move_scrollbar(self.virtual_size.height, 0.0)
        self.refresh()

    def rearrange(self) -> None:
        """Columns or styles changed: draw everything again."""
        self._slots = []
        self._forget_lines()
        self._styles_of.clear()
        if self.is_attached:
            self.refresh_changed()
            self.post_message(self.Arranged())

    def redraw(self) -> None:
        """Make every line again, and draw those that have become different."""
        self._forget_lines()
        self.refresh_changed()

    def _forget_lines(self) -> None:
        self._strips.clear()
        self._lines_known.clear()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_of.clear()
        self._forget_lines()

    def on_resize(self) -> None:
        self._slots = []
        self._forget_lines()
        self.sync()
        if self.wraps and self.cursor is not None and self.is_attached and self.size:
            self.show(self.cursor)

    def on_show(self) -> None:
        if self._stale:
            self.sync()

    def on_focus(self) -> None:
        self.refresh_changed()

    def on_blur(self) -> None:
        self.refresh_changed()

    # Drawing.

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
        places = self.places(numbers)
        marked = self.cursor
        cursor_line = "cursor" if self.has_focus else "blurred"
        known, self._strips = self._strips, {}
        lines: list[Strip] = []
        placed: dict[int, tuple[int, Row]] = {}
        blank = self._blank_line(width)
        words = self._message_lines(width) if self.message or (first == end and self.row_filter is not None) else {}
        for y, (position, part) in zip(numbers, places, strict=True):
            if y in words:
                lines.append(words[y])
            elif y < self.header_height:
                lines.append(self._header(width))
            elif first <= position < end:
                row = self.row(position)
                line = cursor_line if position == marked else "zebra" if position % 2 and self.is_striped else ""
                stamp = (self.version(row), line)
                entry = known.get((position, part))
                if entry is None or entry[0] != stamp:
                    text = self.lines_of_row(position)[part] if self.wraps else None
                    entry = (stamp, self._draw_safely(row, width, line, text, further=part > 0))
                self._strips[position, part] = entry
                placed[y] = position, row
                lines.append(entry[1])
            else:
                lines.append(blank)
        # Lines near these stay cached.
        height = self.size.height
        top = first + self.scroll_offset.y
        for place, entry in known.items():
            if place not in self._strips and top - height <= place[0] <= top + 2 * height and place[1] <= height:
                self._strips[place] = entry
        return lines, placed

    # Moving.

    def go_to(self, position: int) -> None:
        """Put the cursor on *position* and bring it into view."""
        first, end = self.first, self.end
        if end <= first:
            return
        self.cursor = min(max(position, first), end - 1)
        self._settle()
        self.show(self.cursor)
        self.refresh_changed()
        self.post_message(self.Arranged())

    def unselect(self) -> None:
        """Select no row."""
        self.cursor = None
        self.refresh_changed()
        self.post_message(self.Arranged())

    def _from(self) -> int:
        """Where the cursor starts if no row was selected."""
        if self.cursor is not None:
            return self.cursor
        return self.in_view.stop - 1

    def action_move(self, rows: int) -> None:
        self.go_to(self._from() + (rows if self.cursor is not None or rows < 0 else 0))

    def action_page(self, pages: int) -> None:
        self._go_further(pages * max(1, self.page - 1))

    def action_half_page(self, pages: int) -> None:
        self._go_further(pages * max(1, self.page // 2))

    def _go_further(self, lines: int) -> None:
        """Move the cursor by so many lines; through a row that is higher than the page, the page goes on first."""
        position = self._from()
        if self.wraps and self.first <= position < self.end and self.height_of(position) > self.page:
            start = self.line_of(position)
            end = start + self.height_of(position)
            if start < 0 if lines < 0 else self.page < end:
                self.go_to(position)
                self.scroll_lines(max(lines, start) if lines < 0 else min(lines, end - self.page))
                return
        self.go_to(self.further(position, lines))

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "wrap":
            return any(self.is_text(column) for column in self.columns)
        return super().check_action(action, parameters)

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


def _changed_region(y: int, before: Strip | None, line: Strip, width: int) -> Region:
    """Return the cells of line *y* that are not as they were; all of them if it is not known how they were."""
    cells = changed_cells(before._segments, line._segments) if before is not None else None
    first, end = cells or (0, width)
    return Region(first, y, max(1, min(end, width) - first), 1)
