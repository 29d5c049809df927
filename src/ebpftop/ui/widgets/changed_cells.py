"""Which cells of a line are not as they were: only these are written to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, TypeAlias

from rich.cells import cell_len

Pieces: TypeAlias = Sequence[tuple[Any, ...]]
"""A line: a text and its style each, as `Span` and Rich's `Segment` are."""


def changed_cells(before: Pieces, after: Pieces) -> tuple[int, int] | None:
    """Return the first cell of *after* that is not as in *before*, and the end of the last one; None if all are.

    >>> changed_cells([("own ", "dim"), ("7 %", "")], [("own ", "dim"), ("9 %", "")])
    (4, 5)
    """
    same = sum(1 for _ in takewhile(_are_equal, zip(before, after, strict=False)))
    old, new = before[same:], after[same:]
    if not old and not new:
        return None
    begin = sum(_cells(piece[0]) for piece in after[:same])
    first = begin + (_common(old[0], new[0]) if old and new else 0)
    rest, cells = (sum(_cells(piece[0]) for piece in pieces) for pieces in (old, new))
    if rest != cells:
        return first, begin + max(rest, cells)
    end = begin + cells
    for one, other in zip(reversed(old), reversed(new), strict=False):
        if one != other:
            end -= _common((one[0][::-1], one[1]), (other[0][::-1], other[1]))
            break
        end -= _cells(other[0])
    return first, max(end, first + 1)


def _are_equal(pair: tuple[object, object]) -> bool:
    return pair[0] == pair[1]


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _common(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """Return how many characters two pieces of one style begin with alike, if each of these is one cell; else 0."""
    if one[1] != other[1] or not (_is_plain(one[0]) and _is_plain(other[0])):
        return 0
    return sum(1 for _ in takewhile(_are_equal, zip(one[0], other[0], strict=False)))


def _is_plain(text: str) -> bool:
    return text.isascii() or all(cell_len(character) == 1 for character in text)
