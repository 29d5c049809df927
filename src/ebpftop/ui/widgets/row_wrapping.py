"""Wrapping: the text that is too long for its column goes on below, so that a row has several lines.

What scrolls are rows, and the lines of the first one in view that are above it: so the lines of rows that nobody sees
are never counted.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from textual import events
from textual.app import App
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scrollbar import ScrollDown, ScrollUp

from ebpftop.ui.textual_fixes.app_errors import report, summary
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.row_sliding import WIDEST_TEXT, SlidingRows
from ebpftop.ui.widgets.wrapping import wrapped

Row = TypeVar("Row")

WRAP_KEY = Binding(
    "w", "wrap", "Wrap", tooltip="Wrap long texts of lists, or cut them at the end of the line", id="lines.wrap"
)

_PAGES_KEPT = 4
"""Pages of rows whose lines are kept."""


class WrappingApp(App[int]):
    """An app in which all lists wrap long texts, or none."""

    wraps_rows = False

    def wrap_rows(self, wraps: bool) -> None:
        """Let all lists wrap, or cut."""
        self.wraps_rows = wraps
        if not self._screen_stack:
            return  # lists that are made later ask when they are
        made = (screen for screen in self._installed_screens.values() if not callable(screen))
        for screen in {*self.screen_stack, *made}:
            for rows in screen.query(WrappingRows):
                rows.set_wrap(wraps)


class WrappingRows(SlidingRows[Row]):
    """Rows of one line each, or of as many as the longest text needs."""

    wraps = False
    _skipped = 0
    """Lines of the first row in view that are above it."""
    _placing = False
    """Whether the first line in view is being set, not only the first row."""
    _syncing = False
    """Whether all that changed is drawn anyway, in a moment."""
    _settled_page = 0
    """The height of the page when it was last asked how far the rows scroll."""
    _lines_known: dict[int, tuple[Hashable, list[Cell]]]

    def on_mount(self) -> None:
        self.wraps = isinstance(self.app, WrappingApp) and self.app.wraps_rows

    # What a subclass supplies.

    def version(self, row: Row) -> Hashable:
        """A value that changes if, and only if, the line of a row must be drawn again."""
        raise NotImplementedError

    def refresh_changed(self) -> None:
        """Draw the lines that are not as they were drawn last."""
        raise NotImplementedError

    def rearrange(self) -> None:
        """Columns or styles changed: draw everything again."""
        raise NotImplementedError

    def sync(self) -> None:
        """Rows were added, removed or changed: scroll and draw accordingly."""
        raise NotImplementedError

    @property
    def cursor(self) -> int | None:
        """Position of the selected row; None if no row is selected."""
        raise NotImplementedError

    def scrolled(self) -> None:
        """The user has scrolled by lines, without moving the cursor."""

    # The lines of a row.

    def lines_of_row(self, position: int) -> list[Cell]:
        """Return the lines of the longest text of a row, at least one, each as wide as its column at most."""
        row = self.row(position)
        stamp = self.version(row)
        known = self._lines_known.get(position)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            lines = self._wrap(row)
        except Exception as error:  # noqa: BLE001  # whatever it is
            report(error, f"a row of {self.id or type(self).__name__}")
            lines = [(Span(f"cannot be drawn: {summary(error)}", "bad"),)]
        if len(self._lines_known) > _PAGES_KEPT * self.page:
            self._lines_known.clear()
        self._lines_known[position] = stamp, lines
        return lines

    def _wrap(self, row: Row) -> list[Cell]:
        slot = next((slot for slot in self.slots if slot.column is self.sliding), None)
        return [()] if slot is None else wrapped(whole_cell(slot.column, row, self.now), slot.width)

    def height_of(self, position: int) -> int:
        """Return how many lines a row has."""
        return len(self.lines_of_row(position)) if self.wraps else 1

    # What is in view.

    @property
    def top(self) -> tuple[int, int]:
        """The position of the first row in view, and how many of its lines are above the view."""
        position = self.first + self.scroll_offset.y
        if not self.wraps:
            return position, 0
        if position >= self.end:
            return self._last_page()  # rows have gone since it was scrolled
        if not self._skipped:
            return position, 0
        return position, min(self._skipped, self.height_of(position) - 1)

    @property
    def in_view(self) -> range:
        """The positions of the rows in view, also of those that are there in part."""
        at, skipped = self.top
        if not self.wraps:
            return range(at, min(self.end, at + self.page))
        start, line = at, -skipped
        while at < self.end and line < self.page:
            line += self.height_of(at)
            at += 1
        return range(start, at)

    def line_of(self, position: int) -> int:
        """Return the line of the page at which a row begins.

        It is negative, or that of the page's end or more, if the row begins outside; rows far outside are not counted.
        """
        top, skipped = self.top
        if not self.wraps:
            return position - top
        line = -skipped
        for at in range(top, position):
            if line >= self.page:
                break
            line += self.height_of(at)
        for at in range(top - 1, position - 1, -1):
            if line <= -self.page:
                break
            line -= self.height_of(at)
        return line

    def places(self, numbers: range) -> list[tuple[int, int]]:
        """Return for each of these lines of the widget the position of its row, and which line of the row it is."""
        head = self.header_height
        at, line = self.top
        if not self.wraps:
            return [(at - head + y, 0) for y in numbers]
        places = [(at, -1)] * head
        while len(places) < numbers.stop:
            height = self.height_of(at) if at < self.end else 1
            shown = range(line, min(height, line + numbers.stop - len(places)))
            places += [(at, one) for one in shown]
            at, line = at + 1, 0
        return [places[y] for y in numbers]

    # Scrolling.

    @property
    def is_resizing(self) -> bool:
        """Whether the page has another height than its rows were counted for: Textual scrolls by itself then."""
        return self.wraps and self.page != self._settled_page

    @property
    def at_end(self) -> bool:
        if self.wraps:
            return self.top >= self._last_page()
        return self.scroll_offset.y >= self.max_scroll_y

    def _last_page(self) -> tuple[int, int]:
        """Return `top` when the last line of the last row is the last in view."""
        at, left = self.end, self.page
        while at > self.first and left > 0:
            at -= 1
            left -= self.height_of(at)
        return at, max(0, -left)

    def _set_height(self, *, to_end: bool = False) -> None:
        """Let as many rows be scrolled away as there are above the last page. Far above it, its lines do not count."""
        rows = self.end - self.first
        self._settled_page = self.page
        height = rows + self.header_height
        if self.wraps and (to_end or self.scroll_offset.y >= rows - self.page):
            height = self._last_page()[0] - self.first + self.page + self.header_height
        width = self.scrollable_content_region.width
        if self.virtual_size.height != height or self.virtual_size.width != width:
            # The scrollbar is always there, so another row needs no new layout of the whole screen.
            self.set_reactive(WrappingRows.virtual_size, Size(width, height))
            self.move_scrollbar(height, self.scroll_y)

    def move_scrollbar(self, height: int, top: float) -> None:
        """Show that rows from *top* on are in view, of so many lines in all."""
        raise NotImplementedError

    def place(self, position: int, line: int = 0) -> None:
        """Scroll until a row begins at this line of the page, or as near to it as can be."""
        if not self.wraps:
            self.scroll_to(y=max(0, position - self.first - line), animate=False, force=True)
            return
        while line > 0 and position > self.first:
            position -= 1
            line -= self.height_of(position)
        self._scroll_to_line(position, max(0, -line))

    def place_end(self) -> None:
        """Scroll to the end."""
        if self.wraps:
            self._scroll_to_line(self.end, 0)
        else:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def scroll_lines(self, lines: int) -> None:
        """Scroll by lines; the cursor stays on its row."""
        top, skipped = self.top
        self.place(top, -skipped - lines)
        self.scrolled()

    def _scroll_to_line(self, top: int, skipped: int) -> None:
        while top < self.end and skipped >= (height := self.height_of(top)):
            top, skipped = top + 1, skipped - height
        near_end = top >= self.end - self.page
        if near_end:
            top, skipped = min((top, skipped), self._last_page())
        self._set_height(to_end=near_end)
        before = self.scroll_offset.y, self._skipped
        self._skipped = skipped
        self._placing = True
        try:
            self.scroll_to(y=top - self.first, animate=False, force=True)
        finally:
            self._placing = False
        if before[0] == self.scroll_offset.y and before[1] != skipped and not self._syncing:
            self.refresh_changed()

    def show(self, position: int) -> None:
        """Bring a row into view: all of it, if there is room; of a longer one, what is in view stays."""
        line, height = self.line_of(position), self.height_of(position)
        if height > self.page and line <= 0 < line + height:
            return
        if line < 0:
            self.place(position)
        elif line + height > self.page:
            self.place(position, max(0, self.page - height))

    def _skip_again(self) -> None:
        """Another row has become the first in view: from its first line on, or to the last line of all."""
        if self.wraps and not self._placing:
            last, skipped = self._last_page() if self.scroll_offset.y >= self.max_scroll_y else (0, 0)
            self._skipped = skipped if last == self.first + self.scroll_offset.y else 0

    def further(self, position: int, lines: int) -> int:
        """Return the position of the row so many lines below (if negative, above) the beginning of another."""
        if not self.wraps:
            return position + lines
        step = 1 if lines > 0 else -1
        at, left = position, abs(lines)
        while left > 0 and self.first <= at + step < self.end:
            left -= self.height_of(at if step > 0 else at + step)
            at += step
        # At least one row, but none that begins further away than was asked for.
        return at - step if left < 0 and at != position + step else at

    # Keys and the wheel.

    def action_wrap(self) -> None:
        """Let all lists wrap long texts, or cut them."""
        if isinstance(self.app, WrappingApp):
            self.app.wrap_rows(not self.wraps)
            if self.wraps and all(self.height_of(position) == 1 for position in self.in_view):
                self.app.notify("Long texts of lists wrap now. None is in view here")

    def set_wrap(self, wraps: bool) -> None:
        """Wrap long texts, or cut them. The row under the cursor, or else the first in view, stays where it is."""
        if wraps is self.wraps:
            return
        kept, line = self.top[0], 0
        if self.cursor is not None and self.cursor in self.in_view:
            kept, line = self.cursor, self.line_of(self.cursor)
        self.wraps, self.slid, self._skipped = wraps, 0, 0
        self.rearrange()
        self.sync()
        if self.first <= kept < self.end:
            self.place(kept, max(0, line))
            self.show(kept)

    def slide(self, cells: int) -> None:
        if not self.wraps:
            super().slide(cells)

    def _wheel(self, event: events.MouseEvent, steps: int, *, sideways: bool = False) -> None:
        super()._wheel(event, steps, sideways=sideways)
        if self.wraps and not (sideways or event.shift):
            event.stop()
            event.prevent_default()
            self.scroll_lines(steps * round(self.app.scroll_sensitivity_y))

    def on_scroll_down(self, event: ScrollDown) -> None:
        self._track(event, 1)

    def on_scroll_up(self, event: ScrollUp) -> None:
        self._track(event, -1)

    def _track(self, event: Message, pages: int) -> None:
        """A click on the scrollbar beside its thumb: it goes on by a page of lines."""
        if self.wraps:
            event.stop()
            event.prevent_default()
            self.scroll_lines(pages * self.page)


def whole_cell(column: Column[Row], row: Row, now: float) -> Cell:
    """Return the text of a column, as long as it is."""
    if column.whole is not None:
        return column.whole(row, now)
    return column.fill(row, WIDEST_TEXT) if column.fill else column.cell(row, now)
