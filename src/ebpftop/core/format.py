"""Numbers as people read them in a narrow column, and the small charts that fit in a line of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ebpftop.core.clock import time_text
from ebpftop.core.records import State

MARKS: Mapping[State, str] = {"on": "●", "off": "○", "failed": "✗"}
"""Of probes and of their attach options, on the screen and by `check`."""

_BARS = "▁▂▃▄▅▆▇█"
_BARS_FROM_NOTHING = f" {_BARS}"


def count(number: float) -> str:
    """Return *number* in at most six characters: 999, 12.3k, 4.56M."""
    if number < 10_000:
        return str(round(number))
    for limit, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G")):
        if number < limit * 0.9995:
            return _three(number / limit * 1000) + unit
    return _three(number / 1e12) + "T"


def brief(number: float) -> str:
    """Return *number* in at most four characters: 0.3, 9.5, 950, 9.5k, 950k, 9.5M; nothing is a dot.

    >>> [brief(n) for n in (0, 0.04, 9.5, 31, 9500, 31_000, 949_900)]
    ['·', '<0.1', '9.5', '31', '9.5k', '31k', '950k']
    """
    if number <= 0:
        return "·"
    if number < 0.05:
        return "<0.1"
    for limit, unit in ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        value = number / limit
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5:
            return f"{value:.0f}{unit}"
    return f"{number / 1e15:.0f}P"[:4]


def counted(number: int, one: str, many: str = "", *, whole: bool = False) -> str:
    """Return *number* with what it counts: 1 line, 12.3k lines; *whole*: 12,345 lines. *many* is *one* and an s."""
    digits = f"{number:,}" if whole else count(number)
    return f"{digits} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Return a number of bytes in at most seven characters: 999 B, 12.3 kB, 4.56 MB."""
    if number < 1000:
        return f"{number} B"
    for limit, unit in ((1e6, "kB"), (1e9, "MB"), (1e12, "GB")):
        if number < limit * 0.9995:
            return f"{_three(number / limit * 1000)} {unit}"
    return f"{_three(number / 1e12)} TB"


def per_second(rate: float) -> str:
    """Return a rate in at most six characters; below ten it keeps one decimal, and nothing at all is a dot."""
    if rate <= 0:
        return "·"
    if rate < 0.05:
        return "<0.1"
    if rate < 9.95:
        return f"{rate:.1f}"
    return count(rate)


def duration(seconds: float) -> str:
    """Return a time span in at most six characters: 120µs, 45ms, 3.21s, 119.0s, 12m30s, 5h02m, 11d4h, 100d."""
    if seconds < 0:
        return "0"
    if seconds < 0.9995e-3:
        return f"{round(seconds * 1e6)}µs"
    if seconds < 0.9995:
        return f"{round(seconds * 1e3)}ms"
    if seconds < 119.95:
        return f"{seconds:.2f}s" if seconds < 9.995 else f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    days = whole // 86400
    return f"{days}d" if days >= 100 else f"{days}d{whole % 86400 // 3600}h"


def age(seconds: float) -> str:
    """Return how long something has been running, in whole seconds: it is redrawn only when it changes."""
    if seconds < 120:
        return f"{max(0, int(seconds))}s"
    return duration(int(seconds))


def nanoseconds(ns: float | None) -> str:
    """Return a latency in at most five characters: 128ns, 1.2µs, 45ms, 3.4s, 2m00s, 10m; unknown is a dot."""
    if ns is None:
        return "·"
    if ns < 999.5:
        return f"{ns:.0f}ns"
    for limit, unit in ((1e6, "µs"), (1e9, "ms")):
        if ns < limit * 0.9995:
            value = ns / limit * 1000
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    seconds = ns / 1e9
    if seconds >= 119.5:
        text = duration(round(seconds))
        return text if len(text) <= 5 or seconds >= 8_640_000 else text[:-3]  # without the smaller unit
    return f"{seconds:.1f}s" if seconds < 99.5 else f"{seconds:.0f}s"


def at_least(ns: float, *, lower_bound: bool) -> str:
    """Return a latency in at most six characters; with *lower_bound* it may be longer: >3.4s."""
    return f">{nanoseconds(ns)}" if lower_bound else nanoseconds(ns)


def share(part: float) -> str:
    """Return a share of one (0 to 1) as a percentage in at most five characters."""
    percent = part * 100
    if percent <= 0:
        return "0%"
    if percent < 0.1:
        return "<0.1%"
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"


def whole_share(part: float) -> str:
    """Return a share of one (0 to 1) as a whole percentage in at most four characters."""
    return "<1%" if 0 < part < 0.005 else f"{max(0.0, part):.0%}"


def fine_share(part: float) -> str:
    """Return a share of one (0 to 1) as a percentage in at most five characters, small ones with two decimals.

    >>> [fine_share(part) for part in (0, 0.00004, 0.0007, 0.0025, 0.034, 0.5, 4)]
    ['·', '<.01%', '0.07%', '0.25%', '3.4%', '50%', '400%']
    """
    percent = part * 100
    if percent <= 0:
        return "·"
    if percent < 0.005:
        return "<.01%"
    if percent < 0.995:
        return f"{percent:.2f}%"
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"


def bar(part: float, width: int) -> str:
    """Return *part* (0 to 1) of *width* cells as a bar, to half a cell; anything above nothing shows."""
    halves = round(min(1.0, max(0.0, part)) * width * 2)
    if part > 0:
        halves = max(1, halves)
    return "━" * (halves // 2) + "╸" * (halves % 2)


_DECADES = 3
"""Orders of magnitude of a logarithmic sparkline; what is less has the lowest bar."""


def sparkline(values: Sequence[float], width: int, log_peak: float | None = None) -> str:
    """Return the last *width* values, scaled to their own maximum; nothing is a blank, not a low bar.

    *log_peak*: on a logarithmic scale up to that instead, which several can share.
    """
    shown = values[-width:] if width else ()
    if log_peak is not None:
        heights = (1 + math.log10(v / log_peak) / _DECADES if v > 0 < log_peak else None for v in shown)
        return "".join(" " if h is None else _BARS[min(7, max(0, int(h * 7.999)))] for h in heights).rjust(width)
    peak = max(shown, default=0.0)
    if peak <= 0:
        return " " * width
    text = "".join(" " if v <= 0 else _BARS[min(7, int(v / peak * 7.999))] for v in shown)
    return text.rjust(width)


def losses(counts: Iterable[tuple[str, int]]) -> str:
    """Return counts with their names: ``4 ring, 2 argv``; empty if nothing was lost."""
    return ", ".join(f"{count(n)} {where}" for where, n in counts if n)


def speed_text(speed: float) -> str:
    """Return a speed as the status bar shows it."""
    return f"{speed:g}x" if speed else "max"


def clock_text(time: float) -> str:
    """Return the local time of a moment with tenths of a second."""
    return f"{time_text(time)}.{int(time * 10) % 10}"


def history_text(span: tuple[float, float], used: int, bound: int) -> str:
    """Return how far back the history goes, and how much memory it uses of its limit."""
    return f"history: {age(span[1] - span[0])} {used / (1 << 20):.1f}/{bound / (1 << 20):.0f} MiB"


def bars(rates: Sequence[float | None]) -> str:
    """Return one character a rate: a bar as high as the busiest needs; ``·`` where nothing is known yet."""
    peak = max((rate for rate in rates if rate is not None), default=0.0)
    top = len(_BARS_FROM_NOTHING) - 1

    def bar(rate: float | None) -> str:
        if rate is None:
            return "·"
        # Whatever happened at all can be seen.
        return _BARS_FROM_NOTHING[max(1, round(rate / peak * top))] if rate > 0 else _BARS_FROM_NOTHING[0]

    return "".join(map(bar, rates))


def _three(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
