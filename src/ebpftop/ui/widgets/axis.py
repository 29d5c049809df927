"""The line of times below a plot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ebpftop.core.clock import time_text
from ebpftop.ui.widgets.columns import Span

MARK = "◆"
"""Stands where a watch matched."""

_CELLS = 8
_APART = 12
"""Cells between two labels, at least."""


class TimeShown(NamedTuple):
    """The span of the timeline, the moment shown, whether that is the newest, and the marks (Unix seconds).

    *lost*: how much was lost up to that moment, as the status bar has it.
    """

    span: tuple[float, float]
    shown: float
    is_newest: bool
    marks: tuple[float, ...]
    lost: int


def clock(time: float) -> str:
    """Return the time of day of a moment."""
    return time_text(time)


def time_axis(span: tuple[float, float], width: int, cursor: int | None = None, marks: Collection[int] = ()) -> str:
    """Return times below *width* columns of *span*: the first, the last, and as many between as have room.

    Each stands below the column whose beginning it is, but for the last, which ends with the line. *cursor*: a sign and
    the time of this column, before which other labels give way. *marks*: columns with a mark; a single one, or one
    that is far from the others, has its time.
    """
    first, last = span
    line = [" "] * width
    if width < _CELLS or last <= first:
        return "".join(line)

    def put(at: int, text: str) -> None:
        free = line[max(0, at - 1) : at + len(text) + 1]
        if at >= 0 and at + len(text) <= width and not any(character != " " for character in free):
            line[at : at + len(text)] = text

    if cursor is not None:
        text = f"┃{clock(first + (cursor + 0.5) * (last - first) / width)}"
        put(min(cursor, width - len(text)) if cursor < width - len(text) else max(0, width - len(text)), text)
        if cursor >= width - len(text):
            # At the right end the mark stands behind its time, below its column.
            line[width - len(text) :] = " " * len(text)
            begin = cursor - _CELLS
            put(max(0, begin), f"{text[1:]}┃" if begin >= 0 else text)
    for column in marks:
        if 0 <= column < width and line[column] == " ":
            line[column] = MARK
    put(width - _CELLS, clock(last))
    put(0, clock(first))
    for column in sorted(marks):
        text = clock(first + (column + 0.5) * (last - first) / width)
        free = line[column + 1 : column + 2 + _CELLS]
        if line[column] == MARK and len(free) > _CELLS and not any(character != " " for character in free):
            line[column + 1 : column + 1 + _CELLS] = text
    between = max(0, (width - 2 * _CELLS) // (_CELLS + _APART))
    for number in range(1, between + 1):
        at = width * number // (between + 1)
        put(at, clock(first + at * (last - first) / width))
    return "".join(line)


def column_of(moment: float, span: tuple[float, float], count: int) -> int:
    """Return the column of *moment*, of *count* of *span*."""
    first, last = span
    share = (moment - first) / (last - first) if last > first else 1.0
    return min(max(0, int(share * count)), count - 1)


def marked_columns(marks: Iterable[float], span: tuple[float, float], count: int) -> frozenset[int]:
    """Return which of *count* columns of *span* have a mark: *marks* are moments."""
    first, last = span
    if last <= first:
        return frozenset()
    scale = count / (last - first)
    return frozenset(min(count - 1, int((mark - first) * scale)) for mark in marks if first <= mark <= last)


def are_few(marked: Collection[int], count: int) -> bool:
    """Return whether so many columns can have a sign for their mark; else they have its colour, and keep their bar."""
    return len(marked) <= count // 2


def axis_spans(axis: str, look: str = "dim") -> Iterator[Span]:
    """Yield the line of times, with its marks in their own look, ``mark``."""
    for at, text in enumerate(axis.split(MARK)):
        if at:
            yield Span(MARK, "mark")
        if text:
            yield Span(text, look)
