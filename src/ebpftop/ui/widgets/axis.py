"""The line of times below a plot."""

from __future__ import annotations

from ebpftop.core.clock import time_text

_CELLS = 8
_APART = 12
"""Cells between two labels, at least."""


def clock(time: float) -> str:
    """Return the time of day of a moment."""
    return time_text(time)


def time_axis(span: tuple[float, float], width: int, cursor: int | None = None) -> str:
    """Return times below *width* columns of *span*: the first, the last, and as many between as have room.

    Each stands below the column whose beginning it is, but for the last, which ends with the line. *cursor*: a mark and
    the time of this column, before which other labels give way.
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
    put(width - _CELLS, clock(last))
    put(0, clock(first))
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
