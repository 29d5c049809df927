"""A log: the newest row is at the bottom, and is followed unless the user has scrolled away from it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType

from ebpftop.models.ring import View
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.row_view import RowView

Row = TypeVar("Row")

_LATE_ROWS = 64
"""How many rows from the position of its time a row is searched."""


class LogView(RowView[Row]):
    """The rows of a view. If it is scrolled away, the rows in view stay, whatever arrives below."""

    fills_are_text = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("F", "follow", "Follow", show=False, tooltip="Keep the newest row in view", id="log.follow"),
    ]

    def __init__(
        self,
        view: View[Row],
        columns: Sequence[Column[Row]],
        *,
        stamp: Callable[[Row, float], Hashable] | None = None,
        when: Callable[[Row], float] | None = None,
        same: Callable[[Row], Hashable] | None = None,
        mark: Callable[[Row], Span] | None = None,
        header: bool = True,
        id: str | None = None,
    ) -> None:
        """Show *view*. *when* returns the time of a row, *same* a key that identifies it in another view."""
        super().__init__(columns, mark=mark, header=header, id=id)
        self.view = view
        self._when = when
        self._same = same
        self._missed: tuple[Row, int] | None = None
        self._chosen: int | None = None
        """The row (by its number in the ring) that the cursor goes back to once a filter shows it again."""
        self.follow = True
        self._stamp = stamp
        self._moving = False

    def begin(self, view: View[Row] | None = None) -> None:
        """Reset to the initial state, and show *view*."""
        if view is not None:
            self.view = view
        self._missed = self._chosen = None
        self.follow = True
        super().begin()

    def put_view(self, view: View[Row]) -> None:
        """Show another view: with the row under the cursor at the same line of the screen, or the newest.

        If it does not have that row, the next view is searched for it again, until the cursor is moved.
        """
        wanted = self._missed
        row = self.selected()
        if row is not None:
            assert self.cursor is not None
            wanted = row, self.line_of(self.cursor)
        self.view = view
        self.cursor = None
        self._shown_first = view.first
        self._missed = self._chosen = None
        self.redraw()
        if wanted is None:
            self._set_follow(True)
            return
        position = self._find(wanted[0])
        if position is None:
            self._missed = wanted
            self._set_follow(True)
            return
        self._set_follow(False)
        self.cursor = position
        self._settle()
        self._moving = True
        try:
            self.place(position, wanted[1])
        finally:
            self._moving = False

    def refilter(self, change: Callable[[], None]) -> None:
        """*change* which rows the view shows. The row under the cursor stays there, at the same line, if it is shown.

        If not, the next newer one takes its place, until it is shown again or the cursor is moved.
        """
        line = None if self.cursor is None else self.line_of(self.cursor)
        if self._chosen is None and not self.follow:
            self._chosen = self._cursor
        change()
        self._shown_first = self.view.first
        if line is None or self._cursor is None:
            self._set_follow(True)
        self.rearrange()
        self.sync()
        if line is not None and self.cursor is not None and not self.follow:
            self._moving = True
            try:
                self.place(self.cursor, min(max(line, 0), self.page - 1))
            finally:
                self._moving = False

    def _find(self, row: Row) -> int | None:
        """Return the position of the same row in the view. Rows are about in the order of their times."""
        if not self.view.in_time_order:
            return self.view.find(row)
        if self._when is None or self._same is None:
            return None
        when, same, view = self._when, self._same, self.view
        wanted = same(row)
        near = bisect_left(range(view.first, view.end), when(row), key=lambda at: when(view[at])) + view.first
        around = range(max(view.first, near - _LATE_ROWS), min(view.end, near + _LATE_ROWS))
        return next((at for at in around if same(view[at]) == wanted), None)

    @property
    def first(self) -> int:
        return self.view.first

    @property
    def end(self) -> int:
        return self.view.end

    def row(self, position: int) -> Row:
        return self.view[position]

    def rows(self) -> list[Row]:
        return self.view.rows()

    def version(self, row: Row) -> Hashable:
        return (id(row), self._stamp(row, self.now)) if self._stamp else id(row)

    @property
    def cursor(self) -> int | None:
        # Kept as the row's number in the ring: a position of a filtered view is another row when rows come and go.
        if self._cursor is None or self.end == self.first:
            return None
        return min(max(self.view.position(self._cursor), self.first), self.end - 1)

    @cursor.setter
    def cursor(self, position: int | None) -> None:
        self._cursor = None if position is None else self.view.sequence(position)

    def find(self, row: Row, position: int) -> int | None:
        if self.first <= position < self.end and self.row(position) is row:
            return position
        return self._find(row)

    def identity_at(self, position: int) -> Hashable:
        return self.view.sequence(position)

    def position_of(self, identity: Hashable) -> int | None:
        if not isinstance(identity, int):
            return None
        position, view = self.view.position(identity), self.view
        if view.in_time_order or (view.first <= position < view.end and view.sequence(position) == identity):
            return position
        return None

    def _settle(self) -> None:
        moving, self._moving = self._moving, True
        if self._chosen is not None:
            self._cursor = self._chosen
        try:
            super()._settle()
            if self.follow:
                if self.cursor is not None:
                    self.cursor = self.end - 1 if self.end > self.first else None
                self.place_end()
        finally:
            self._moving = moving

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._moving and not self.is_resizing and round(old_value) != round(new_value):
            self._set_follow(self.at_end)

    def scrolled(self) -> None:
        self._set_follow(self.at_end)

    def set_wrap(self, wraps: bool) -> None:
        self._moving = True
        try:
            super().set_wrap(wraps)
        finally:
            self._moving = False
        self.sync()  # if it follows, to the end

    def go_to(self, position: int) -> None:
        self._missed = self._chosen = None
        self.follow = False
        super().go_to(position)
        self._set_follow(position >= self.end - 1)

    def action_follow(self) -> None:
        self._missed = self._chosen = None
        if not self.follow:
            self.cursor = None
            self._set_follow(True)
            self.sync()
        else:
            self._set_follow(False)

    def stop_following(self) -> None:
        """Keep what is in view in view, though newer rows come."""
        self._set_follow(False)

    def _set_follow(self, follow: bool) -> None:
        follow = follow and self.view.in_time_order
        if self.follow != follow:
            self.follow = follow
            self.post_message(self.Arranged())
