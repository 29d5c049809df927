"""A log: newest row at the bottom, followed unless one has scrolled away from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType

from ebpftop.models.ring import View
from ebpftop.widgets.columns import Column
from ebpftop.widgets.lines import Lines

Row = TypeVar("Row")


class LogLines(Lines[Row]):
    """The rows of a view. Scrolled away, it keeps what is in view in view, whatever comes in below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("F", "follow", "Follow", show=False, tooltip="Keep the newest row in view", id="log.follow"),
    ]

    def __init__(
        self,
        view: View[Row],
        columns: Sequence[Column[Row]],
        *,
        stamp: Callable[[Row, float], Hashable] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(columns, id=id)
        self.view = view
        self.follow = True
        self._stamp = stamp
        self._moving = False

    def put_view(self, view: View[Row]) -> None:
        """Show other rows from now on, the newest of them."""
        self.view = view
        self.cursor = None
        self._shown_first = view.first
        self.redraw()
        self._set_follow(True)

    @property
    def first(self) -> int:
        return self.view.first

    @property
    def end(self) -> int:
        return self.view.end

    def row(self, position: int) -> Row:
        return self.view[position]

    def stamp(self, row: Row) -> Hashable:
        return (id(row), self._stamp(row, self.now)) if self._stamp else id(row)

    def selected(self) -> Row | None:
        """The row under the cursor."""
        if self.cursor is None or not self.first <= self.cursor < self.end:
            return None
        return self.row(self.cursor)

    def _settle(self) -> None:
        self._moving = True
        try:
            super()._settle()
            if self.follow:
                if self.cursor is not None:
                    self.cursor = self.end - 1 if self.end > self.first else None
                self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
        finally:
            self._moving = False

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._moving and round(old_value) != round(new_value):
            self._set_follow(self.at_end)

    def go_to(self, position: int) -> None:
        self.follow = False
        super().go_to(position)
        self._set_follow(position >= self.end - 1)

    def action_follow(self) -> None:
        if not self.follow:
            self.cursor = None
            self._set_follow(True)
            self.sync()
        else:
            self._set_follow(False)

    def _set_follow(self, follow: bool) -> None:
        if self.follow != follow:
            self.follow = follow
            self.post_message(self.Arranged())
