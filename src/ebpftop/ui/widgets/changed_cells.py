"""Which cells of a line are not as they were: only these are written to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, TypeAlias

from rich.cells import cell_len

Pieces: TypeAlias = Sequence[tuple[Any, ...]]
"""A line: a text and its style each, as `Span` and Rich's `Segment` are."""


def changed_cells(before: Pieces, after: Pieces) -> tuple[int, int] | None:
    """Return where the first piece begins that is not as in *before*, and where the last one ends; None: all are.

    A piece is written whole: so a word is found in what a terminal was sent.

    >>> changed_cells([("own ", "dim"), ("7 %", ""), (" x", "dim")], [("own ", "dim"), ("9 %", ""), (" x", "dim")])
    (4, 7)
    """
    same = sum(1 for _ in takewhile(_are_equal, zip(before, after, strict=False)))
    old, new = before[same:], after[same:]
    if not old and not new:
        return None
    first = sum(_cells(piece[0]) for piece in after[:same])
    rest, cells = (sum(_cells(piece[0]) for piece in pieces) for pieces in (old, new))
    if rest != cells:
        return first, first + max(rest, cells)
    at_end = takewhile(_are_equal, zip(reversed(old), reversed(new), strict=False))
    end = first + cells - sum(_cells(piece[0]) for _, piece in at_end)
    return first, max(end, first + 1)


def _are_equal(pair: tuple[tuple[Any, ...], tuple[Any, ...]]) -> bool:
    return pair[0] == pair[1]


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
