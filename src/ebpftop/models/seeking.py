"""Where a seek ends, and how fast a recording plays."""

from __future__ import annotations

STEP_S = 1.0
LONG_STEP_S = 60.0
SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 0.0)
"""Recorded seconds per second, slowest first; 0 means as fast as possible."""


def clamp(moment: float, span: tuple[float, float]) -> float:
    """Return the moment of *span* nearest to *moment*."""
    return min(max(moment, span[0]), span[1])


def other_speed(speed: float, steps: int) -> float:
    """Return the speed that is *steps* faster, or slower if *steps* is negative."""
    nearest = len(SPEEDS) - 1
    if speed:
        nearest = min(range(len(SPEEDS) - 1), key=lambda i: abs(SPEEDS[i] - speed))
    return SPEEDS[min(max(nearest + steps, 0), len(SPEEDS) - 1)]
