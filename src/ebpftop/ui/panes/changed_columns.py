"""Columns of what changed between two spans, and the plot of a row."""

from __future__ import annotations

import math
from collections.abc import Callable

from ebpftop.core.format import bars, brief, nanoseconds
from ebpftop.models.changed_rows import MOVED, Row
from ebpftop.models.changed_text import MARKS, bar_share, figure_text, is_time, rate_text, times_text
from ebpftop.ui.panes.figure_columns import share_column
from ebpftop.ui.widgets.columns import Cell, Column, Span, clip

_LOOKS = {"+": "good", "-": "dim", "up": "warn", "down": "accent", "same": "dim"}
_LEAST_NAME = 8
_MOST_BARS = 40


def is_sure(row: Row) -> bool:
    """Whether a row moved by more than chance."""
    return row.mark != "same" and row.at_least >= MOVED


def sign(row: Row) -> Span:
    """Return the sign in front of a row: how it moved."""
    return Span(MARKS[row.mark], _LOOKS[row.mark] if is_sure(row) else "dim")


def _look(row: Row) -> str:
    return "" if is_sure(row) else "dim"


def _order(row: Row) -> tuple[float, float]:
    """Return the place of a row: what is sure first, by the sure factor, then by share; what is not sure behind."""
    if is_sure(row):
        return 1000 + round(10 * math.log2(row.at_least)), row.share
    if row.mark != "same":
        return 100 + 10 * math.log2(1 + row.count_before + row.count_after), row.share
    return min(99.0, 10 * abs(math.log2(row.factor or 1.0))), row.share


def _figure(row: Row, value: float | None) -> Cell:
    text = figure_text(row, value)
    return (Span(text, "dim" if text == "·" else _look(row)),)


def _span_column(key: str, value: Callable[[Row], float | None], *, about: str, rank: int) -> Column[Row]:
    return Column(
        key,
        key.upper(),
        7,
        lambda row, _: _figure(row, value(row)),
        right=True,
        rank=rank,
        sort=lambda row: (float(is_time(row)), value(row) or 0.0),
        value=lambda row, _: value(row),
        about=about,
    )


def _bar(row: Row, width: int) -> Cell:
    if not is_sure(row):
        return ()
    cells = bar_share(row) * width
    text = "█" * int(cells) + ("▌" if cells - int(cells) >= 0.5 or cells < 1 else "")
    return (Span(text, "accent"),)


COLUMNS: tuple[Column[Row], ...] = (
    Column(
        "what",
        "WHAT",
        8,
        lambda r, _: (Span(r.what, "dim"),),
        rank=3,
        sort=lambda r: r.what,
        value=lambda r, _: r.what,
        about="program: starts of it; failed: execve calls that failed, by program and errno; exit: ends by a signal "
        "or another code than 0; unit: programs in a systemd unit or container; user; call: a system call; errno: an "
        "error of a call; p50, p90, p99: the latency of a call; process: calls of busy processes of this name; mean: "
        "how long a call of such took on average.",
    ),
    Column(
        "name",
        "NAME",
        14,
        lambda r, _: (Span(r.name, "strong" if is_sure(r) else "dim"),),
        always=True,
        flexible=True,
        widest=60,
        sort=lambda r: r.name,
        value=lambda r, _: r.name,
        about="What moved.",
    ),
    _span_column(
        "before",
        lambda r: r.before,
        rank=2,
        about="In span A: a second (/s), a minute (/m) or an hour (/h), or a time.",
    ),
    _span_column("after", lambda r: r.after, rank=1, about="In span B."),
    Column(
        "times",
        "TIMES",
        6,
        lambda r, _: (Span(times_text(r), _look(r)),),
        right=True,
        sort=_order,
        value=lambda r, _: r.factor,
        about="How many times more (×) or less (÷) it is after. The order is that of the factor which is sure, "
        "whatever chance did: that is what the bar shows, on a logarithmic scale.",
        exported="factor",
    ),
    Column(
        "bar",
        "AT LEAST",
        8,
        fill=_bar,
        rank=4,
        flexible=True,
        widest=12,
        value=lambda r, _: r.at_least,
        about="The factor that is sure, logarithmic: full is 1024 times. It is full for what appeared or vanished.",
        exported="at_least",
    ),
    share_column(
        "share",
        "SHARE",
        5,
        lambda r: r.share,
        look=_look,
        rank=5,
        shown_from=100,
        sort=lambda r: r.share,
        about="Of all of its kind, of a latency of all time in calls, in the span where it is larger.",
    ),
    Column(
        "counts",
        "COUNTED",
        13,
        lambda r, _: (Span(f"{brief(r.count_before)} → {brief(r.count_after)}", "dim"),),
        right=True,
        rank=6,
        shown_from=120,
        sort=lambda r: float(r.count_before + r.count_after),
        value=lambda r, _: f"{r.count_before} {r.count_after}",
        about="How often it happened in each of the two.",
    ),
)


def plot(row: Row, width: int) -> list[Span]:
    """Return one line with both spans of a row on the same scale: the latencies, or the course."""
    if row.histogram_before_ns or row.histogram_after_ns:
        both = row.histogram_before_ns, row.histogram_after_ns
        used = [at for one in both for at, count in enumerate(one) if count]
        first, stop = min(used, default=0), max(used, default=0) + 1
        parts = [[(one[at] if at < len(one) else 0) / (sum(one) or 1) for at in range(first, stop)] for one in both]
        scale = f"{nanoseconds(2.0**first)} … {nanoseconds(2.0**stop)}, same axis"
    else:
        parts = [[*row.slices_before], [*row.slices_after]]  # type: ignore[list-item]
        peak = max((value for part in parts for value in part if value is not None), default=0.0)
        scale = f"over time, ≤{nanoseconds(peak) if is_time(row) else rate_text(peak)}"
    room = width - len(" A   B   ") - len(scale) - _LEAST_NAME
    each = max(4, min(_MOST_BARS, room // 2))
    a, b = (_fitted(part, each) for part in parts)
    text = bars([*a, *b])
    name = clip(f"{row.name}", max(0, min(len(row.name), width - len(text) - len(" A   B   ") - len(scale) - 1)))
    return [
        Span(f"{name} ", "strong"),
        Span(" A ", "dim"),
        Span(text[: len(a)], "accent"),
        Span("  B ", "dim"),
        Span(text[len(a) :], "accent"),
        Span(f"  {scale}", "dim"),
    ]


def _fitted(values: list[float | None] | list[float], width: int) -> list[float | None]:
    """Return *values*, or the largest of each few of them, in at most *width* cells."""
    each = -(-len(values) // width) or 1
    groups = (values[at : at + each] for at in range(0, len(values), each))
    return [max((value for value in group if value is not None), default=None) for group in groups]
