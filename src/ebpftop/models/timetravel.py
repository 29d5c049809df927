"""Looking back: what rebuilds the models at another moment, and how the way there is told. Knows no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ebpftop.models import figures
from ebpftop.models.overview import Overview
from ebpftop.past import Counts, Past
from ebpftop.records import ProbeName
from ebpftop.source import Batch

STEP_S = 1.0
LEAP_S = 60.0
SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 0.0)
"""Recorded seconds per second, slowest first; 0 stands for as fast as it goes."""

BARS = " ▁▂▃▄▅▆▇█"


class Model(Protocol):
    """Pure state that batches are fed into."""

    def begin_after(self, before: Counts) -> None:
        """Go on, empty as this is, from where so much had happened."""

    def feed(self, batch: Batch) -> None:
        """Take in one batch."""


def rebuild(past: Past, takers: Mapping[ProbeName, Iterable[Model]]) -> Overview:
    """Bring the empty models, which take the batches of a probe, to a moment; return the overview of that moment."""
    if past.before is not None:
        for model in {id(model): model for models in takers.values() for model in models}.values():
            model.begin_after(past.before)
    overview = Overview()
    for batch in past.batches:
        overview.feed(batch)
        for model in takers.get(batch.probe, ()):
            model.feed(batch)
    overview.recall(past.seconds)
    return overview


def clamp(moment: float, span: tuple[float, float]) -> float:
    """Return the moment of *span* nearest to *moment*."""
    return min(max(moment, span[0]), span[1])


def other_speed(speed: float, steps: int) -> float:
    """Return the speed that is *steps* faster, or slower where that is negative."""
    nearest = len(SPEEDS) - 1
    if speed:
        nearest = min(range(len(SPEEDS) - 1), key=lambda i: abs(SPEEDS[i] - speed))
    return SPEEDS[min(max(nearest + steps, 0), len(SPEEDS) - 1)]


def speed_text(speed: float) -> str:
    """Return a speed as the state line says it."""
    return f"{speed:g}x" if speed else "max"


def offset_text(seconds: float) -> str:
    """Return how far back a moment lies, as minutes and seconds.

    >>> offset_text(135.2)
    '-2:15'
    """
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"-{hours}:{minutes:02}:{left:02}" if hours else f"-{minutes}:{left:02}"


def clock_text(time: float) -> str:
    """Return the local time of a moment with tenths of a second."""
    at = datetime.fromtimestamp(time)
    return f"{at:%H:%M:%S}.{at.microsecond // 100_000}"


def kept_text(span: tuple[float, float], used: int, bound: int) -> str:
    """Return how far back the history goes, and how much memory it takes of how much it may."""
    return f"kept {figures.age(span[1] - span[0])} {used / (1 << 20):.1f}/{bound / (1 << 20):.0f} MiB"


def bars(rates: Sequence[float | None]) -> str:
    """Return one character a rate: a bar as high as the busiest needs; ``·`` where nothing is known yet."""
    peak = max((rate for rate in rates if rate is not None), default=0.0)
    top = len(BARS) - 1

    def bar(rate: float | None) -> str:
        if rate is None:
            return "·"
        # Whatever happened at all can be seen.
        return BARS[max(1, round(rate / peak * top))] if rate > 0 else BARS[0]

    return "".join(map(bar, rates))
