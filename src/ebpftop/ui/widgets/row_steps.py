"""From the row that a sheet is about to the rows beside it, in the list that the sheet was opened from."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Beside, Details

Row = TypeVar("Row")

AT_THE_END = {
    1: "This is the last row of the list; N goes back",
    -1: "This is the first row of the list; n goes on",
}
"""What is said where there is no row to step to."""


class RowSteps(Generic[Row]):
    """Begins at the row under the cursor of *lines*, and steps as they are shown: filtered, folded, sorted.

    The cursor of the list goes with it, so that Esc returns to the row that was shown last.
    """

    def __init__(self, lines: RowView[Row]) -> None:
        self._lines = lines
        self._note()

    def _note(self) -> None:
        self._at = self._lines.cursor
        self._identity: Hashable = None if self._at is None else self._lines.identity_at(self._at)

    def step(self, by: int) -> Row | None:
        """Go to the next row (1), or to the one before (-1), and return it; None if there is none."""
        lines = self._lines
        position = lines.position_of(self._identity)
        at = self._at if position is None else position
        if at is None:
            return None
        is_there = lines.first <= at < lines.end and lines.identity_at(at) == self._identity
        if not is_there and by > 0:
            at -= 1  # the row is gone, and the next one is in its place
        if not lines.first <= at + by < lines.end:
            return None
        lines.go_to(at + by)
        self._note()
        return lines.selected()


def beside(lines: RowView[Row], details: Callable[[Row], Details]) -> Beside:
    """Return what steps from the row under the cursor of *lines*: *details* builds those of a row."""
    steps = RowSteps(lines)

    def step(by: int) -> Details | None:
        row = steps.step(by)
        return None if row is None else details(row)

    return step
