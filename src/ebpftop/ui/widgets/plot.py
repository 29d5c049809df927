"""Plots of block characters: values in columns, as high as their share of the largest one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BARS = " ▁▂▃▄▅▆▇█"
"""A cell from empty to full. Terminals without eighths get other characters for them when the line is written."""

UNKNOWN = "·"

_EIGHTHS = len(BARS) - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """From `bottom`, which stands at no height, to `top`. On a logarithmic one `bottom` is above zero."""

    top: float
    bottom: float = 0.0
    log: bool = False

    def share(self, value: float) -> float:
        """Return the height of *value*, 0 to 1."""
        if value <= self.bottom or self.top <= self.bottom:
            return 0.0 if value <= self.bottom else 1.0
        if self.log:
            return min(1.0, math.log(value / self.bottom) / math.log(self.top / self.bottom))
        return min(1.0, (value - self.bottom) / (self.top - self.bottom))

    def value(self, share: float) -> float:
        """Return the value at a height."""
        if self.log:
            return float(self.bottom * (self.top / self.bottom) ** share)
        return self.bottom + share * (self.top - self.bottom)


def scale_of(values: Sequence[float | None], *, log: bool = False) -> Scale:
    """Return the scale on which *values* fill the height; a logarithmic one begins half an order below the least."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return Scale(1.0, 0.1, log) if log else Scale(0.0)
    return Scale(max(known), min(known) / 3, log=True) if log else Scale(max(known))


def plot(values: Sequence[float | None], height: int, scale: Scale) -> list[str]:
    """Return *height* lines of the bars of *values*, the top one first. Whatever is above nothing can be seen."""
    levels: list[int | None] = []
    for value in values:
        if value is None:
            levels.append(None)
        else:
            level = round(scale.share(value) * height * _EIGHTHS)
            levels.append(max(1, level) if value > 0 else 0)
    lines = []
    for line in range(height - 1, -1, -1):
        below = line * _EIGHTHS
        lines.append(
            "".join(
                (UNKNOWN if line == 0 else " ") if level is None else BARS[min(max(level - below, 0), _EIGHTHS)]
                for level in levels
            )
        )
    return lines


def peak_of(values: Sequence[float | None]) -> int | None:
    """Return the column of the largest value, the newest of several; None if nothing is above zero."""
    best: int | None = None
    for at, value in enumerate(values):
        if value and value > 0 and (best is None or value >= (values[best] or 0.0)):
            best = at
    return best


def with_marks(lines: list[str], columns: Iterable[int], mark: str) -> list[str]:
    """Return the lines of a plot with a mark on top of some columns; of one that is as high as the plot, in it."""
    rows = [list(line) for line in lines]
    for column in columns:
        if column < len(rows[0]):
            free = (y for y in range(len(rows) - 1, -1, -1) if rows[y][column] == " ")
            rows[next(free, 0)][column] = mark
    return ["".join(row) for row in rows]
